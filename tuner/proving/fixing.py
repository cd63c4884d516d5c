"""`tuner.fix`: the worst fault of a study, its remedies tried as replicates, the verdict kept with the study."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from markupsafe import escape

from search_spaces.edits import EditKind
from search_spaces.errors import ConfigurationError
from studies.diagnosis import Finding, diagnose_record
from studies.encoding import jsonable, to_json
from studies.leases import GRACE_SECONDS
from studies.plan import StudyPlan
from studies.proofs import request_of, save_proof, save_request
from studies.recorded import RecordedStudy, open_study
from studies.records import Outcome, StudyRecord, TrialRecord
from tuner.prepared_search import ProgressCallback
from tuner.preparing import check_limits
from tuner.proving.choosing import (
    SINGLE_TRAININGS,
    cases_of,
    faults_of,
    healthy_reference,
    seed_of_split,
    top_fault,
    trial_of,
)
from tuner.proving.contest import IS_AN_ACTION, Contest, LeftOut
from tuner.proving.judging import MIN_SEEDS
from tuner.proving.proof import Proof
from tuner.proving.replicated import N_SEEDS, contest_of, prove
from tuner.replication import FIRST_FRESH_SEED, check_reproducible, model_of
from tuner.searching.objective import Task
from tuner.training.checkpoint import write_whole
from tuner.training.config import TrainingConfig

N_OTHERS = 5
"""Trials that are named as the other choices, the worst first."""


@dataclass(frozen=True, kw_only=True)
class PreparedFix:
    """What `fix` is about to train; nothing is written yet."""

    chosen: str
    """Why this trial, and how to choose another; empty where the caller named it."""
    recorded: RecordedStudy
    plan: StudyPlan
    finding: Finding
    faulty: TrialRecord
    reference: TrialRecord | None
    contest: Contest
    seeds: tuple[int, ...]
    split_seed: int
    epochs: int | None
    task: Task
    model: str | Callable[..., Any] | None

    @property
    def n_trainings(self) -> int:
        return len(self.contest.configs) * len(self.seeds)

    @property
    def seconds(self) -> float:
        """Of training on one worker, by the faulty trial's own seconds an epoch; NaN where they were not taken."""
        rows = self.faulty.telemetry.epochs if self.faulty.telemetry is not None else ()
        taken = [row.seconds for row in rows if row.epoch > 0 and math.isfinite(row.seconds)]
        an_epoch = sum(taken) / len(taken) if taken else math.nan
        n_epochs = sum(int(each["epochs"]) for each in self.contest.configs.values())
        return an_epoch * len(self.seeds) * n_epochs

    @property
    def request(self) -> str:
        """What is asked for, as a digest: the same goes on with the replicates that are there."""
        asked = {
            "configs": self.contest.configs,
            "seeds": self.seeds,
            "split": self.split_seed,
            "metric": self.plan.metric,
        }
        return hashlib.sha256(to_json(asked).encode()).hexdigest()

    @property
    def replicates(self) -> str:
        """``<study>-fix-<trial>``, with a letter where that is there for something else."""
        taken = set(optuna.get_all_study_names(self.recorded.storage))
        stem = f"{self.recorded.name}-fix-{self.faulty.number}"
        ends = ["", *(f"-{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")]
        names = [*(stem + end for end in ends), *(f"{stem}-{n}" for n in range(27, 28 + len(taken)))]
        study = self.recorded.study
        return next(name for name in names if name not in taken or request_of(study, name) == self.request)

    def report_tells(self, proof: Proof) -> bool:
        """Whether the study's report has this verdict, which rests on these replicates, already."""
        path = self.recorded.paths.report
        page = path.read_text(encoding="utf-8") if path.exists() else ""
        return all(
            str(escape(text)) in page for text in (proof.sentence, f"in the study {proof.replicates};")
        )

    def run(self, **running: Any) -> Proof:
        """Train what is left, judge, and keep the verdict with the study."""
        name = self.replicates
        study = open_study(self.recorded.name, self.recorded.url, writable=True).study
        save_request(study, name, self.request)
        proof = prove(
            self.finding,
            self.faulty.config,
            self.task,
            study=name,
            seeds=self.seeds,
            reference=None if self.reference is None else self.reference.config,
            metric=self.plan.metric,
            direction=self.plan.direction,
            epochs=self.epochs,
            storage=self.recorded.url,
            seed=self.split_seed,
            model=self.model,
            **running,
        )
        save_proof(study, self.faulty.number, proof.to_json())
        if proof.config is None:  # as with the verdict, an older one of the same trial goes
            self.recorded.paths.fixed_config(self.faulty.number).unlink(missing_ok=True)
        else:
            write_config(self.recorded, self.faulty.number, proof.config)
        return proof


def fix(  # noqa: PLR0913 - one keyword per concern
    study: str,
    *,
    trial: int | None = None,
    storage: str | None = None,
    seeds: int = N_SEEDS,
    epochs: int | None = None,
    task: Task | None = None,
    model: str | Callable[..., Any] | None = None,
    workers: int | None = None,
    lanes: int | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    grace: float = GRACE_SECONDS,
    on_progress: ProgressCallback = lambda _progress: None,
    announce: Callable[[str], None] | None = None,
) -> Proof:
    """Prove the remedies of a study's worst fault, or of one trial's: same seeds, same split, one change at a time.

    Args:
        study: its name. Nothing is trained where nothing is wrong with it, or nothing that a lever can mend.
        trial: whose worst fault it is to be.
        storage: where the study lives, and where the replicates go.
        seeds: how many fresh ones.
        epochs: of each training; None is the trial's own.
        task: needed only if the study's was a function that cannot be imported.
        model: likewise.
        workers: processes on this machine.
        lanes: trials that each worker trains together.
        device: ``auto``, ``cpu``, ``cuda``, ...
        data_dir: where the data lies.
        grace: seconds of silence after which a worker counts as dead.
        on_progress: called now and then.
        announce: takes what a person should know of the data.

    Raises:
        ConfigurationError: for a study that symptune did not make, fewer than three seeds, a trial that is not there.
        InterruptedProofError: after a signal; the same call goes on.
        UnendedProofError: when trainings failed.
    """
    check_limits(workers=workers, lanes=lanes, grace=grace)
    prepared = prepare_fix(
        study,
        trial=trial,
        storage=storage,
        seeds=seeds,
        epochs=epochs,
        task=task,
        model=model,
        data_dir=data_dir,
    )
    if isinstance(prepared, Proof):
        return prepared
    return prepared.run(
        workers=workers,
        lanes=lanes,
        device=device,
        data_dir=data_dir,
        grace=grace,
        on_progress=on_progress,
        announce=announce,
    )


def prepare_fix(
    study: str,
    *,
    trial: int | None = None,
    storage: str | None = None,
    seeds: int = N_SEEDS,
    epochs: int | None = None,
    task: Task | None = None,
    model: str | Callable[..., Any] | None = None,
    data_dir: str | Path | None = None,
) -> PreparedFix | Proof:
    """What `fix` would train; or, where it would train nothing, its answer. Nothing is written."""
    check_limits(epochs=epochs)
    if seeds < MIN_SEEDS:
        raise ConfigurationError(f"A proof needs at least {MIN_SEEDS} seeds, but got {seeds}.")
    recorded = open_study(study, storage)
    record, finding, chosen = _diagnosed(recorded, trial)
    if finding is None:
        return Proof(finding=None, sentence=_nothing_wrong(record, trial))
    if finding.trial is None or not any(remedy.edits for remedy in finding.remedies):
        return Proof(finding=finding, sentence=_told(finding), left_out=_all_left_out(finding))
    plan = record.plan
    if plan is None:
        raise _by_hand(record, finding)
    faulty = trial_of(record, finding.trial)
    task = plan.task if task is None else task
    model = model or (None if plan.sampler == SINGLE_TRAININGS else model_of(plan))
    reference = healthy_reference(record, faulty)
    contest = contest_of(
        finding, faulty.config, None if reference is None else reference.config, epochs=epochs, model=model
    )
    if not contest.remedies:
        return Proof(finding=finding, sentence=_told(finding), left_out=contest.left_out)
    check_reproducible(plan, task, model, data_dir)
    split_seed = seed_of_split(plan, faulty)
    return PreparedFix(
        chosen=chosen,
        recorded=recorded,
        plan=plan,
        finding=finding,
        faulty=faulty,
        reference=reference,
        contest=contest,
        seeds=new_seeds(record, seeds, split_seed=split_seed),
        split_seed=split_seed,
        epochs=epochs,
        task=task,
        model=model,
    )


def _diagnosed(recorded: RecordedStudy, trial: int | None) -> tuple[StudyRecord, Finding | None, str]:
    """The fault to mend, and why its trial where that was left to us.

    Always as the diagnosis of its one trial sees it, steps and all: remedies may rest on them.
    """
    chosen = ""
    if trial is None:
        record = recorded.record(steps=True)
        found = top_fault(faults_of(record), is_of_one_trial=False)
        if found is None or found.trial is None:
            return record, found, ""
        cases = cases_of(record) or [found]
        found, trial = cases[0], cases[0].trial
        chosen = _why_chosen(record, cases)
    record = recorded.record(steps=True)
    return record, top_fault(faults_of(record, trial), is_of_one_trial=True), chosen


def _why_chosen(record: StudyRecord, cases: Sequence[Finding]) -> str:
    """Of several trials; of one there was nothing to choose."""
    if len(cases) < 2:
        return ""
    worst, *others = (int(case.trial or 0) for case in cases)
    trial = trial_of(record, worst)
    has_value = trial.value is not None and trial.outcome is not Outcome.DIVERGED
    how = f"{record.metric.replace('_', ' ')} {trial.value:.4g}" if has_value else "it diverged"
    named = ", ".join(map(str, others[:N_OTHERS])) + (", ..." if len(others) > N_OTHERS else "")
    return (
        f"Trial {worst} is the worst of {len(cases)} with a fault that a lever may mend ({cases[0].severity}, {how}); "
        f"--trial N takes another one ({named})."
    )


def new_seeds(record: StudyRecord, n: int, *, split_seed: int) -> tuple[int, ...]:
    """So many seeds that no trial of the study has had."""
    had = [int(trial.config["seed"]) for trial in record.trials if "seed" in trial.config]
    first = max(split_seed + FIRST_FRESH_SEED, max(had, default=0) + 1)
    return tuple(range(first, first + n))


def write_config(recorded: RecordedStudy, trial: int, config: Mapping[str, Any]) -> Path:
    """Write the mended config where `tuner train --config` and `--enqueue` read it: what differs from the defaults."""
    path = recorded.paths.fixed_config(trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(jsonable(chosen_keys(config)), sort_keys=False)
    write_whole(path, lambda file: file.write(text.encode()))
    return path


def chosen_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says beside the defaults, with its epochs."""
    usual = TrainingConfig().to_mapping()
    return {key: value for key, value in config.items() if key == "epochs" or value != usual.get(key)}


def _all_left_out(finding: Finding) -> tuple[LeftOut, ...]:
    why = IS_AN_ACTION if finding.trial is not None else "it concerns the study, not one training"
    return tuple(LeftOut(remedy=remedy, why=why) for remedy in finding.remedies)


def _nothing_wrong(record: StudyRecord, trial: int | None) -> str:
    """With where to look further: a study with a sound best trial makes notes of what others show."""
    if trial is not None:
        return f"Nothing is wrong: trial {trial} of {record.name!r} has no fault to mend."
    said = f"Nothing is wrong: study {record.name!r} has no fault to mend."
    noted = next((each for each in diagnose_record(record) if each.trial is not None), None)
    if noted is None:
        return said
    return (
        f"{said} Its notes begin with {noted.symptom} in trial {noted.trial}; --trial {noted.trial} looks at that one "
        f"by itself."
    )


def _told(finding: Finding) -> str:
    """Of a finding that no training here can mend."""
    first = finding.remedies[0].sentence if finding.remedies else "No remedy is known."
    where = "the study as a whole" if finding.trial is None else f"trial {finding.trial}"
    return f"Nothing was trained: no edit of a config mends {finding.symptom} of {where}. {first}"


def _by_hand(record: StudyRecord, finding: Finding) -> ConfigurationError:
    """The refusal, with what to do instead as its notes."""
    edits = [edit for remedy in finding.remedies for edit in remedy.edits if edit.kind is EditKind.FIX]
    tries = " or ".join(f"{edit.lever}={_plain(edit.value)}" for edit in edits)
    error = ConfigurationError(
        f"Only a study that symptune planned can be trained again here, but got {record.name!r}."
    )
    error.add_note(f"train trial {finding.trial}'s config yourself, as it is and with {tries}")
    error.add_note(f"give both the same seeds, {MIN_SEEDS} or more")
    error.add_note("studies.comparison.compare(values_with_the_change, values_as_it_is)")
    return error


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
