"""One training of one config: `tuner.train`."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from torch import nn

from search_spaces import Space
from studies.diagnosis import Finding, diagnose_record, missing_evidence
from studies.diagnosis.counterfactuals import changes_for_findings
from studies.leases import GRACE_SECONDS, Leases, Refusal
from studies.plan import StudyPlan
from studies.readings import Counterfactual, EpochReadings, StepReadings, Telemetry
from studies.recorded import RecordedStudy, create_study
from studies.records import Outcome, StudyRecord, TrialRecord
from tuner.searching.names import task_name
from tuner.searching.objective import Task
from tuner.searching.planning import versions
from tuner.searching.weights import save_weights, value_of
from tuner.training.alone import TrainingAlone
from tuner.training.checkpoint import CHECKPOINT_FILE, load_checkpoint, save_checkpoint
from tuner.training.config import TrainingConfig, direction_of
from tuner.training.counterfactuals import of_course
from tuner.training.course import Course
from tuner.training.data import load_dataset
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.downloads import Announce
from tuner.training.functions import error_record
from tuner.training.models import ModelBuilder
from tuner.worker import listening_for_signals

OnEpoch = Callable[[EpochReadings], None]

_NO_LEVERS = Space(name="single-trainings", levers=())


@dataclass(frozen=True, kw_only=True)
class Training:
    """What came of one training."""

    outcome: Outcome
    value: float | None
    """The metric at the best epoch; None when the training diverged or gave no finite value."""
    metric: str
    best_epoch: int | None
    config: TrainingConfig
    telemetry: Telemetry
    model: nn.Module
    """With the best epoch's weights. It takes scaled inputs; what ``save`` wrote takes them as they are."""
    interrupted_by: int | None = None
    """The exit code of the signal that ended it."""

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with this training, judged by itself."""
        record = self._record()
        return diagnose_record(record, record.trials[0].number)

    @property
    def not_judged(self) -> list[str]:
        """What could not be judged, and how to get it: without this, no findings would sound like a clean bill."""
        return missing_evidence(self._record())

    def to_json(self) -> dict[str, Any]:
        """As `tuner train --json` prints it (DESIGN §3)."""
        return {
            "outcome": self.outcome,
            "value": self.value,
            "config": self.config.to_mapping(),
            "telemetry": self.telemetry.epochs,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def _record(self) -> StudyRecord:
        return _record_of(self.config, self.outcome, self.value, self.metric, self.telemetry)


def train(  # noqa: PLR0913 - one keyword per concern
    config: TrainingConfig | Mapping[str, Any],
    task: Task | Dataset = "auto",
    *,
    study: str | None = None,
    storage: str | None = None,
    save: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    model: ModelBuilder | None = None,
    metric: str | None = None,
    on_epoch: OnEpoch = lambda _readings: None,
    announce: Announce | None = None,
    probe_causes: bool = False,
) -> Training:
    """Train one config.

    Args:
        config: a `TrainingConfig`, or a mapping of config keys.
        task: as for `search`, or a loaded data set.
        study: also record it as a trial of this study of single trainings, for `tuner diagnose` and the dashboard.
        storage: where that study lives.
        save: a folder for config.yaml and the best weights; meanwhile for a checkpoint after every epoch, from which
            the same call goes on.
        data_dir: where the data lies.
        device: ``auto``, ``cpu``, ``cuda``, ...
        model: a function ``(config, input_shape, n_outputs) -> nn.Module`` instead of the config's.
        metric: what the best epoch goes by; None is validation accuracy, or validation loss for regression.
        on_epoch: called with each epoch's readings.
        announce: takes what a person should know of the data.
        probe_causes: where a finding's causes are hard to tell apart, let the training go on for a few seconds with
            one change at a time, and rank them by what that says (docs/counterfactuals.md).

    Raises:
        ConfigurationError: for a config, task, metric or device that cannot be.
        DataError: for data that cannot be found or trained on.
    """
    config = _resolved(config, model)
    dataset = _loaded(task, data_dir, announce)
    with listening_for_signals() as interruption:
        alone = TrainingAlone(
            config,
            dataset,
            device=device,
            model=model,
            metric=metric,
            should_stop=lambda: Outcome.INTERRUPTED if interruption.is_requested() else None,
        )
        run = alone.lane
        metric = metric or run.metric
        checkpoint = None if save is None else _checkpoint_in(Path(save), run, announce)
        recorder = None
        if study is not None:
            recorder = _Recorder(_study_of_trainings(study, storage, task, dataset, metric), run, metric)
        _run_to_end(alone, recorder, checkpoint, on_epoch)
        counterfactuals = _counterfactuals(run, metric) if probe_causes else ()
        if recorder is not None:
            recorder.keep_counterfactuals(counterfactuals)
        run.restore_best()
    if save is not None:
        save_weights(Path(save), run, dataset, metric)
    return Training(
        outcome=run.outcome,
        value=value_of(run, metric),
        metric=metric,
        best_epoch=run.best_epoch,
        config=config,
        telemetry=dataclasses.replace(run.telemetry(), counterfactuals=counterfactuals),
        model=run.model,
        interrupted_by=interruption.exit_code if interruption.is_requested() else None,
    )


def _resolved(config: TrainingConfig | Mapping[str, Any], model: ModelBuilder | None) -> TrainingConfig:
    """The config, with a model function under its name: that is what is recorded and saved."""
    if not isinstance(config, TrainingConfig):
        config = TrainingConfig.from_mapping(config)
    return config if model is None else dataclasses.replace(config, model=task_name(model))


def _loaded(task: Task | Dataset, data_dir: str | Path | None, announce: Announce | None) -> Dataset:
    if isinstance(task, Dataset):
        return task
    return load_dataset(task, data_dir=None if data_dir is None else Path(data_dir), announce=announce)


def _run_to_end(
    alone: TrainingAlone, recorder: "_Recorder | None", checkpoint: "_Checkpoint | None", on_epoch: OnEpoch
) -> None:
    run = alone.lane
    try:
        for readings in alone.epochs():
            if recorder is not None:
                recorder.keep(readings, run.last_steps)
            if checkpoint is not None:
                save_checkpoint(checkpoint.path, run)
            on_epoch(readings)
    except BaseException as error:
        if recorder is not None:
            recorder.fail(error)
        raise
    if recorder is not None:
        recorder.end()
    if checkpoint is not None and run.outcome is not Outcome.INTERRUPTED:
        checkpoint.path.unlink(missing_ok=True)


def _counterfactuals(run: Course, metric: str) -> tuple[Counterfactual, ...]:
    """What tells the causes of the run's findings apart; ``()`` where they are plain, or where it was cut off."""
    if run.outcome not in {Outcome.COMPLETED, Outcome.STOPPED_EARLY}:
        return ()
    record = _record_of(run.config, run.outcome, value_of(run, metric), metric, run.telemetry())
    findings = diagnose_record(record, record.trials[0].number)
    return of_course(run, changes_for_findings(findings))


def _record_of(
    config: TrainingConfig, outcome: Outcome, value: float | None, metric: str, telemetry: Telemetry
) -> StudyRecord:
    """The training as the only trial of a study."""
    trial = TrialRecord(
        number=0,
        state=_state_of(outcome, value).name.lower(),
        outcome=outcome,
        value=value,
        config=config.to_mapping(),
        telemetry=telemetry,
    )
    return StudyRecord(name="one training", direction=direction_of(metric), metric=metric, trials=(trial,))


class _Checkpoint:
    """The state of an unfinished training in its ``save`` folder, from which the same command goes on."""

    def __init__(self, path: Path, run: Course) -> None:
        self.path = path
        self._run = run

    def load(self) -> bool:
        """Let the run go on from the file, if there is one."""
        if not self.path.exists():
            return False
        load_checkpoint(self.path, self._run)
        return True


def _checkpoint_in(folder: Path, run: Course, announce: Announce | None) -> _Checkpoint:
    """The checkpoint of a run, which goes on from what lies there."""
    checkpoint = _Checkpoint(folder / CHECKPOINT_FILE, run)
    if checkpoint.load() and announce is not None:
        announce(f"Going on after epoch {run.n_epochs_done}, from {checkpoint.path}.")
    return checkpoint


def _state_of(outcome: Outcome, value: float | None) -> TrialState:
    """What Optuna is told: PRUNED keeps a diverged trial's last finite value, so that samplers learn from it."""
    if not outcome.is_answer:
        return TrialState.FAIL
    return TrialState.PRUNED if value is None else TrialState.COMPLETE


def _study_of_trainings(
    name: str, storage: str | None, task: Task | Dataset, dataset: Dataset, metric: str
) -> RecordedStudy:
    """A study whose trials are single trainings, each with a config of its own: its space is empty."""
    plan = StudyPlan(
        task=dataset.name if isinstance(task, Dataset) or task == "auto" else task_name(task),
        model="as each trial's config says",
        space=_NO_LEVERS.to_json(),
        sampler="none",
        pruner="none",
        epochs=0,
        seed=0,
        metric=metric,
        direction=direction_of(metric),
        data_hash=dataset.content_hash,
        versions=versions(),
    )
    return create_study(name, plan, storage)


class _Recorder:
    """Keeps one training as a trial, under a lease, so that its end is told whatever happens."""

    def __init__(self, recorded: RecordedStudy, run: Course, metric: str) -> None:
        self._recorded = recorded
        self._run = run
        self._metric = metric
        self._leases = Leases(recorded.storage, recorded.study, grace_seconds=GRACE_SECONDS)
        lease = self._leases.take(None)
        if isinstance(lease, Refusal):
            raise TypeError("A lease without a limit is never refused.")
        self._trial = recorded.study.ask()
        self._lease = self._leases.bind(lease, self._trial._trial_id)  # noqa: SLF001 - leases are on ids
        self._trial.set_user_attr("config", run.config.to_mapping())
        self._trial.set_user_attr("resolved_learning_rate", run.peak_learning_rate)
        earlier = run.telemetry()  # of a training that goes on from a checkpoint
        steps = {block.epoch: block for block in earlier.steps}
        for readings in earlier.epochs:
            self.keep(readings, steps.get(readings.epoch))

    def keep(self, readings: EpochReadings, steps: StepReadings | None) -> None:
        trial_id = self._trial._trial_id  # noqa: SLF001 - telemetry is keyed by it
        telemetry = self._recorded.telemetry
        if readings.epoch == 0:
            telemetry.save_probes(trial_id, self._run.step_zero, self._run.data_probe)
        telemetry.save_epoch(trial_id, readings, steps)
        value = self._run.value_at(self._metric, readings.epoch)
        if value is not None and readings.epoch > 0:  # as in a search: the untrained network is no result
            self._trial.report(value, readings.epoch)
        self._leases.beat(self._lease)

    def keep_counterfactuals(self, rows: tuple[Counterfactual, ...]) -> None:
        if rows:
            self._recorded.telemetry.save_counterfactuals(self._trial._trial_id, rows)  # noqa: SLF001

    def fail(self, error: BaseException) -> None:
        """Record what broke the training; a second Ctrl-C is no fault of it."""
        if isinstance(error, KeyboardInterrupt):
            self._tell(Outcome.INTERRUPTED, None)
        else:
            self._trial.set_user_attr("error", dataclasses.asdict(error_record(error)))
            self._tell(Outcome.FAILED, None)

    def end(self) -> None:
        self._trial.set_user_attr("best_epoch", self._run.best_epoch)
        self._tell(self._run.outcome, value_of(self._run, self._metric))

    def _tell(self, outcome: Outcome, value: float | None) -> None:
        state = _state_of(outcome, value)
        value = value if state is TrialState.COMPLETE else None
        self._trial.set_user_attr("outcome", outcome.value)
        self._recorded.study.tell(self._trial, value, state=state, skip_if_finished=True)
        self._leases.release(self._lease)
