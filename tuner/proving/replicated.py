"""Proving through a study of replicates: resumable, with workers and lanes, diagnosable like any other."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search_spaces.errors import ConfigurationError
from studies.diagnosis.finding import Finding
from studies.recorded import open_study
from studies.records import StudyRecord
from tuner.proving.contest import Contest
from tuner.proving.judging import judged
from tuner.proving.proof import Proof
from tuner.proving.stepping import MAX_STEPS, Trials, trained_in_steps
from tuner.proving.yardstick import Yardstick
from tuner.replication import Config, Replicates, fresh_seeds, replicate
from tuner.searching.ask_tell import Ending
from tuner.searching.objective import Task
from tuner.training.config import TrainingConfig, direction_of

N_SEEDS = 5


class InterruptedProofError(KeyboardInterrupt):
    """A signal ended the replicates cleanly; the same call goes on from there."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


class UnendedProofError(RuntimeError):
    """Trainings failed: on part of the seeds nothing is judged."""


def prove(  # noqa: PLR0913 - one keyword per concern
    finding: Finding,
    config: Config,
    task: Task,
    *,
    study: str,
    seeds: int | Sequence[int] = N_SEEDS,
    reference: Config | None = None,
    metric: str = "validation_accuracy",
    direction: str | None = None,
    epochs: int | None = None,
    storage: str | None = None,
    seed: int = 0,
    model: str | Callable[..., Any] | None = None,
    max_steps: int = MAX_STEPS,
    **running: Any,
) -> Proof:
    """Train the faulty config and each of the finding's remedies with the same fresh seeds, and judge.

    Args:
        finding: whose remedies are tried, one at a time.
        config: the faulty one, whole.
        task: as for `tuner.search`.
        study: of the replicates; on an existing one what is left is done.
        seeds: how many fresh ones, or which.
        reference: a healthy config, which is trained beside them: the gap to it is what a remedy has to close.
        metric: the study's own; some causes are judged by another, see `yardstick`.
        direction: of the metric; None is its own.
        epochs: of each training; None is the config's.
        storage: where the replicates live.
        seed: of the split, none of ``seeds``.
        model: as for `tuner.search`.
        max_steps: along a lever whose remedy leaves the same cause, the remedy among them; each further step is a
            study of its own, ``<study>-step2``.
        running: workers, lanes, device, data_dir, grace, on_progress and announce, as for `search_listed`.

    Raises:
        ConfigurationError: when no remedy can be tried, and for seeds that are not fresh.
        InterruptedProofError: after a signal.
        UnendedProofError: when trainings failed.
    """
    own = TrainingConfig.from_mapping({**config, **({} if epochs is None else {"epochs": epochs})})
    contest = contest_of(finding, own.to_mapping(), reference, epochs=epochs, model=model)
    if not contest.remedies:
        raise ConfigurationError(
            f"A proof needs a remedy that edits the config, but those of {finding.symptom} do not."
        )
    chosen, direction = fresh_seeds(seeds, seed=seed), direction or direction_of(metric)

    train = functools.partial(
        _trained,
        task,
        study,
        storage,
        seeds=chosen,
        seed=seed,
        epochs=own.epochs,
        metric=metric,
        direction=direction,
        model=None if isinstance(model, str) else model,
        **running,
    )
    empty = StudyRecord(name=study, direction=direction, metric=metric, trials=())
    judge = functools.partial(
        judged,
        yardstick=Yardstick.of(finding, metric=metric, direction=direction),
        seeds=chosen,
        replicates=study,
        own_seed=own.seed,
    )
    stepped = trained_in_steps(
        contest, train, empty, is_settled=lambda *so_far: judge(*so_far).is_proven, max_steps=max_steps
    )
    return judge(*stepped)


def _trained(
    task: Task, study: str, storage: str | None, configs: Mapping[str, Config], step: int, **asked: Any
) -> Trials:
    """The replicates of the configs of a step, which all ended."""
    replicates = replicate(configs, task, study=study_of_step(study, step), storage=storage, **asked)
    check_ended(replicates)
    return _with_steps(replicates, storage)


def study_of_step(study: str, step: int) -> str:
    """Where the replicates of a step along a lever live: a study goes on only as it was begun."""
    return study if step == 1 else f"{study}-step{step}"


def _with_steps(replicates: Replicates, storage: str | None) -> Trials:
    """The trials with their step cadence, on which a diagnosis may rest."""
    record = open_study(replicates.study, storage).record(steps=True)
    by_number = {trial.number: trial for trial in record.trials}
    return {
        label: [by_number[trial.number] for trial in row if trial is not None]
        for label, row in replicates.trials.items()
    }


def contest_of(
    finding: Finding,
    config: Config,
    reference: Config | None,
    *,
    epochs: int | None,
    model: str | Callable[..., Any] | None,
) -> Contest:
    """The contest under what rules for all of its configs."""
    ruling = {
        **({} if epochs is None else {"epochs": epochs}),
        **({"model": model} if isinstance(model, str) else {}),
    }
    healthy = None if reference is None else {**reference, **ruling}
    return Contest.of(finding, {**config, **ruling}, reference=healthy)


def check_ended(replicates: Replicates) -> None:
    """Pass on what ended the replicates before their end."""
    listed = replicates.listed
    if listed is None or (listed.is_complete and listed.search.ending is not Ending.INTERRUPTED):
        return
    found = listed.search
    if found.ending is Ending.INTERRUPTED:
        raise InterruptedProofError(found.interrupted_by or 130)
    if found.error is not None:
        raise UnendedProofError(
            f"The replicates in {found.study!r} ended early: {found.error.type}: {found.error.message}"
        )
    raise UnendedProofError(
        f"The replicates in {found.study!r} have trainings that failed; see `tuner show {found.study}`."
    )
