"""Train an experiment's configs as the trials of one study, and judge its claims."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.recorded import RecordedStudy, open_study
from studies.records import TrialRecord
from studies.storage import shown_url
from tuner.experiments.experiment import Experiment, JudgedClaim, Restored, Run, Variant
from tuner.listed import search_listed
from tuner.prepared_search import ProgressCallback, Search
from tuner.preparing import plain_name
from tuner.searching.names import task_name
from tuner.searching.objective import Task
from tuner.training.alone import TrainingAlone
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.one_epoch import minibatch_sizes

SEEDS = (0, 1, 2)
"""On which the claims are checked."""
_SPLIT_SEED = 0
"""Plays no part where the last samples are the validation split."""


@dataclass(frozen=True, kw_only=True)
class ConductedExperiment:
    """An experiment after its trainings."""

    experiment: Experiment
    task: str
    seeds: tuple[int, ...]
    search: Search
    runs: tuple[Run, ...]
    """What ended, all variants of a seed before those of the next."""
    claims: tuple[JudgedClaim, ...]

    @property
    def n_planned(self) -> int:
        """Trainings, ended or not."""
        return len(self.experiment.planned(self.seeds))

    @property
    def is_complete(self) -> bool:
        """Whether every training ended."""
        return len(self.runs) == self.n_planned

    @property
    def holds(self) -> bool:
        """Whether every claim was judged, and held."""
        return all(claim.held is True for claim in self.claims)

    def runs_of(self, label: str) -> list[Run]:
        """One a seed."""
        return [run for run in self.runs if run.label == label]

    def to_json(self) -> dict[str, Any]:
        """As `tuner experiments --json` prints it (DESIGN §3)."""
        return {
            "name": self.experiment.name,
            "question": self.experiment.question,
            "task": self.task,
            "study": self.search.study,
            "storage": shown_url(self.search.storage),
            "seeds": self.seeds,
            "fixed": self.experiment.fixed,
            "space": self.experiment.space.to_json(),
            "runs": [run.to_json() for run in self.runs],
            "claims": self.claims,
        }


def conduct(  # noqa: PLR0913 - one keyword per concern
    experiment: Experiment,
    task: Task = "mnist",
    *,
    seeds: Sequence[int] = SEEDS,
    study: str | None = None,
    storage: str | None = None,
    workers: int | None = None,
    lanes: int | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    on_progress: ProgressCallback = lambda _progress: None,
    announce: Callable[[str], None] = lambda _line: None,
) -> ConductedExperiment:
    """Train what is left of an experiment, and judge its claims.

    Args:
        experiment: one of `EXPERIMENTS`, or one's own.
        task: the claims of `EXPERIMENTS` were made for MNIST.
        seeds: each of them decides weights and data order of one training of each variant.
        study: its name; default ``<task>-experiment-<name>``, and the seeds where they are not the usual ones.
        storage: a database URL; default ``TUNER_STORAGE``, else ``sqlite:///runs/tuner.db``.
        workers: processes on this machine, as for `tuner.search`.
        lanes: trials that a worker trains together, as for `tuner.search`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        data_dir: where the data lies.
        on_progress: called now and then while the study runs.
        announce: takes what a person should know of what goes on.

    Raises:
        ConfigurationError, DataError: as `tuner.search`.
        KeyboardInterrupt: when a training with early stopping is done again for its weights; with what is left to do.

    Interruption and a halted search are no exceptions here: see ``ConductedExperiment.search``. After an
    interruption nothing is judged.
    """
    planned = experiment.planned(seeds)
    listed = search_listed(
        [{**variant.config, "seed": seed} for variant, seed in planned],
        task,
        study=study or study_name(experiment, task, seeds),
        storage=storage,
        name=experiment.space.name,
        epochs=experiment.epochs,
        fixed=experiment.fixed,
        seed=_SPLIT_SEED,
        metric=experiment.metric,
        workers=workers,
        lanes=lanes,
        device=device,
        data_dir=data_dir,
        on_progress=on_progress,
        announce=announce,
    )
    was_interrupted = listed.search.interrupted_by is not None
    runs = [] if was_interrupted else _runs_of(planned, listed.trials)
    if any(run.config["patience"] for run in runs):
        load = functools.partial(_splits_of, task=task, device=device, data_dir=data_dir, announce=announce)
        runs = _with_weights_back(runs, listed.search, experiment.metric, load, announce)
    return ConductedExperiment(
        experiment=experiment,
        task=task_name(task),
        seeds=tuple(seeds),
        search=listed.search,
        runs=tuple(runs),
        claims=tuple(experiment.judge(runs, seeds)),
    )


def study_name(experiment: Experiment, task: Task, seeds: Sequence[int]) -> str:
    """The study of an experiment; other seeds than the usual have another, for a study's configs never change."""
    name = f"{plain_name(task_name(task))}-experiment-{experiment.name}"
    return name if tuple(seeds) == SEEDS else f"{name}-seeds-{'-'.join(map(str, seeds))}"


def _runs_of(planned: Sequence[tuple[Variant, int]], trials: Sequence[TrialRecord | None]) -> list[Run]:
    return [
        _run_of(variant, seed, trial)
        for (variant, seed), trial in zip(planned, trials, strict=True)
        if trial is not None
    ]


def _run_of(variant: Variant, seed: int, trial: TrialRecord) -> Run:
    telemetry, outcome = trial.telemetry, trial.outcome
    if telemetry is None or telemetry.data is None or outcome is None:
        raise ValueError(f"Trial {trial.number} of an experiment must have been recorded whole.")
    config = TrainingConfig.from_mapping(trial.config)
    n_train = telemetry.data.n_train
    batch_size = n_train if config.batch_size == "full" else config.batch_size
    steps_an_epoch = len(minibatch_sizes(n_train, batch_size * config.accumulation_steps))
    return Run(
        label=variant.label,
        seed=seed,
        config=trial.config,
        outcome=outcome,
        telemetry=telemetry,
        n_steps=steps_an_epoch * telemetry.epochs[-1].epoch,
    )


def _splits_of(
    run: Run,
    task: Task,
    *,
    device: str,
    data_dir: str | Path | None,
    announce: Callable[[str], None],
) -> Splits:
    """The splits that the study's trainings had."""
    config = TrainingConfig.from_mapping(run.config)
    dataset = load_dataset(task, data_dir=None if data_dir is None else Path(data_dir), announce=announce)
    return split_dataset(
        dataset,
        split=config.split,
        validation_fraction=config.validation_fraction,
        seed=_SPLIT_SEED,
        device=device,
    )


def _with_weights_back(
    runs: Sequence[Run],
    search: Search,
    metric: str,
    load: Callable[[Run], Splits],
    announce: Callable[[str], None],
) -> list[Run]:
    """The runs, those with early stopping with what it gave back, which their study then keeps."""
    recorded = open_study(search.study, search.storage, writable=True)
    return _GivenBack(recorded=recorded, metric=metric, load=load, announce=announce).evaluated(runs)


@dataclass(frozen=True, kw_only=True)
class _GivenBack:
    """What early stopping gave back: a study keeps readings of every training, but not its weights.

    So each such training is done once more, and what comes of it is kept in the study.
    """

    recorded: RecordedStudy
    metric: str
    load: Callable[[Run], Splits]
    announce: Callable[[str], None]

    def evaluated(self, runs: Sequence[Run]) -> list[Run]:
        """The runs, those with early stopping with what they gave back.

        Raises:
            KeyboardInterrupt: when it is interrupted, with what is left to do.
        """
        stopped = [run for run in runs if run.config["patience"]]
        known = {self._key(run): self._kept(run) for run in stopped}
        missing = [run for run in stopped if known[self._key(run)] is None]
        splits: Splits | None = None
        for n_done, run in enumerate(missing):
            try:
                splits = splits or self.load(run)
                known[self._key(run)] = self._trained_again(run, splits)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    f"Interrupted with {len(missing) - n_done} of {len(known)} trainings with early stopping still to "
                    f"be done again for their weights. Nothing is lost: the same command does what is left."
                ) from None
        return [dataclasses.replace(run, restored=known.get(self._key(run))) for run in runs]

    def _kept(self, run: Run) -> Restored | None:
        found = self.recorded.study.user_attrs.get(self._key(run))
        return None if found is None else Restored(**found)

    def _trained_again(self, run: Run, splits: Splits) -> Restored:
        seconds = run.computation["seconds"]
        self.announce(
            f"Training {run.label!r} with seed {run.seed} again for its weights, about {seconds:.0f} s …"
        )
        training = TrainingAlone(TrainingConfig.from_mapping(run.config), splits, metric=self.metric)
        recorded = [readings.validation_loss for readings in training.epochs()][1:]
        restored = Restored(
            recorded_minimum=min(recorded), evaluated=training.lane.evaluate("validation").loss
        )
        # Of the study and not of the trial, which Optuna lets nobody change once it has ended.
        self.recorded.study.set_user_attr(self._key(run), dataclasses.asdict(restored))
        return restored

    @staticmethod
    def _key(run: Run) -> str:
        return f"restored:{run.label}:{run.seed}"
