"""One training: of a config (`tuner.train`), or of a study's trial again, to have its weights (`tuner export`)."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from search_spaces import Space
from search_spaces.errors import ConfigurationError, unknown_name
from studies.diagnosis import Finding, diagnose_record
from studies.leases import GRACE_SECONDS, Leases, Refusal
from studies.recorded import RecordedStudy, create_study, open_study
from studies.records import EpochReadings, Outcome, StudyPlan, StudyRecord, Telemetry, TrialRecord
from tuner.searching.ask_tell import error_record
from tuner.searching.objective import Task
from tuner.searching.planning import check_data, objective_of, task_name, versions
from tuner.training.checkpoint import save_trained
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.dataset import Dataset
from tuner.training.loop import TrainingRun
from tuner.training.models import ModelBuilder
from tuner.worker import Interruption, listening_for_signals

Announce = Callable[[str], None]
OnEpoch = Callable[[EpochReadings], None]


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
    model: Any
    """The ``nn.Module`` with the best epoch's weights. It takes scaled inputs; what ``save`` wrote takes raw ones."""
    interrupted_by: int | None = None
    """The exit code of the signal that ended it."""

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with this training, judged by itself."""
        record = self._record()
        return diagnose_record(record, record.trials[0].number)

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
        trial = TrialRecord(
            number=0,
            state="pruned" if self.outcome is Outcome.DIVERGED else "complete",
            outcome=self.outcome,
            value=self.value,
            config=self.config.to_mapping(),
            telemetry=self.telemetry,
        )
        direction = "maximize" if self.metric.endswith("accuracy") else "minimize"
        return StudyRecord(name="one training", direction=direction, metric=self.metric, trials=(trial,))


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
) -> Training:
    """Train one config.

    Args:
        config: a `TrainingConfig`, or a mapping of config keys.
        task: as for `search`, or a loaded data set.
        study: also record it as a trial of this study of single trainings, for `tuner diagnose` and the dashboard.
        storage: where that study lives.
        save: a folder for config.yaml and the best weights.
        data_dir: where the data lies.
        device: ``auto``, ``cpu``, ``cuda``, ...
        model: a function ``(config, input_shape, n_outputs) -> nn.Module`` instead of the config's.
        metric: what the best epoch goes by; None is validation accuracy, or validation loss for regression.
        on_epoch: called with each epoch's readings.
        announce: takes what a person should know of the data.

    Raises:
        ConfigurationError: for a config, task, metric or device that cannot be.
        DataError: for data that cannot be found or trained on.
    """
    if not isinstance(config, TrainingConfig):
        config = TrainingConfig.from_mapping(config)
    folder = None if data_dir is None else Path(data_dir)
    dataset = task if isinstance(task, Dataset) else load_dataset(task, data_dir=folder, announce=announce)
    with listening_for_signals() as interruption:
        run = TrainingRun(
            config, dataset, device=device, model=model, metric=metric, should_stop=_ending_of(interruption)
        )
        recorder = None
        if study is not None:
            named = dataset.name if isinstance(task, Dataset) or task == "auto" else task_name(task)
            recorder = _Recorder(_study_of_trainings(study, storage, named, dataset, run), run)
        _run_to_end(run, recorder, on_epoch)
    if save is not None:
        _save(Path(save), run, dataset)
    return _training_of(run, interruption)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A trial that was trained again and written."""

    folder: Path
    task: str
    trial: int
    recorded_value: float | None
    value: float | None


def export(
    study: str,
    *,
    trial: int | None = None,
    output: str | Path | None = None,
    storage: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    on_epoch: OnEpoch = lambda _readings: None,
    announce: Announce | None = None,
) -> Exported:
    """Train the best trial's config again, with its seed, and write config.yaml and weights.pt.

    A search keeps no weights: of hundreds of trials one or two are ever wanted, and the same config and seed give
    the same weights on the same machine.

    Raises:
        ConfigurationError: when the study or the trial is not there, no trial completed, or the plan is unknown.
    """
    recorded = open_study(study, storage)
    if recorded.plan is None:
        raise ConfigurationError(
            f"Study {study!r} was not made by symptune, so its models cannot be rebuilt."
        )
    record = recorded.record(telemetry=False)
    chosen = _chosen(record, trial)
    folder = Path(output) if output is not None else _default_folder(recorded, chosen, is_best=trial is None)
    objective = objective_of(
        recorded.plan, device=device, data_dir=None if data_dir is None else Path(data_dir), announce=announce
    )
    check_data(recorded.plan, objective)
    run = TrainingRun(
        objective.config(chosen.searched), objective.splits, model=objective.model, metric=record.metric
    )
    for readings in run.epochs():
        on_epoch(readings)
    _save(folder, run, objective.dataset, study=study, trial=chosen.number)
    return Exported(
        folder=folder,
        task=recorded.plan.task,
        trial=chosen.number,
        recorded_value=chosen.value,
        value=run.value(record.metric),
    )


def _chosen(record: StudyRecord, trial: int | None) -> TrialRecord:
    if trial is None:
        if record.best is None:
            raise ConfigurationError(
                f"Study {record.name!r} has no complete trial to export; name one with --trial."
            )
        return record.best
    by_number = {found.number: found for found in record.trials if found.params}
    if trial not in by_number:
        raise unknown_name(f"The trial of {record.name!r}", trial, map(str, by_number))
    return by_number[trial]


def _default_folder(recorded: RecordedStudy, chosen: TrialRecord, *, is_best: bool) -> Path:
    return recorded.paths.best if is_best else recorded.paths.folder / f"trial-{chosen.number}"


def _ending_of(interruption: Interruption) -> Callable[[], Outcome | None]:
    return lambda: Outcome.INTERRUPTED if interruption.is_requested() else None


def _run_to_end(run: TrainingRun, recorder: "_Recorder | None", on_epoch: OnEpoch) -> None:
    try:
        for readings in run.epochs():
            if recorder is not None:
                recorder.keep(readings)
            on_epoch(readings)
    except BaseException as error:
        if recorder is not None:
            recorder.fail(error)
        raise
    run.restore_best()
    if recorder is not None:
        recorder.end()


def _training_of(run: TrainingRun, interruption: Interruption) -> Training:
    return Training(
        outcome=run.outcome,
        value=None if run.outcome is Outcome.DIVERGED else run.value(run.metric),
        metric=run.metric,
        best_epoch=run.best_epoch,
        config=run.config,
        telemetry=run.telemetry(),
        model=run.model,
        interrupted_by=interruption.exit_code if interruption.is_requested() else None,
    )


def _save(folder: Path, run: TrainingRun, dataset: Dataset, **more: Any) -> None:
    about = {
        "task": dataset.name,
        "data_hash": dataset.content_hash,
        "split": run.splits.describe(),
        "outcome": run.outcome,
        "value": run.value(run.metric),
        "best_epoch": run.best_epoch,
        "versions": versions(),
    }
    save_trained(folder, run.config, run, about | more)


def _study_of_trainings(
    name: str, storage: str | None, task: str, dataset: Dataset, run: TrainingRun
) -> RecordedStudy:
    """A study whose trials are single trainings, each with a config of its own: its space is empty."""
    plan = StudyPlan(
        task=task,
        model="as each trial's config says",
        space=Space(name="single-trainings", levers=()).to_json(),
        sampler="none",
        pruner="none",
        epochs=0,
        seed=0,
        metric=run.metric,
        direction="maximize" if run.metric.endswith("accuracy") else "minimize",
        data_hash=dataset.content_hash,
        versions=versions(),
    )
    return create_study(name, plan, storage)


class _Recorder:
    """Keeps one training as a trial, under a lease, so that its end is told whatever happens."""

    def __init__(self, recorded: RecordedStudy, run: TrainingRun) -> None:
        self._recorded = recorded
        self._run = run
        self._leases = Leases(recorded.storage, recorded.study, grace_seconds=GRACE_SECONDS)
        lease = self._leases.take(None)
        if isinstance(lease, Refusal):
            raise TypeError("A lease without a limit is never refused.")
        self._trial = recorded.study.ask()
        self._lease = self._leases.bind(lease, self._trial._trial_id)  # noqa: SLF001 - leases are on ids
        self._trial.set_user_attr("config", run.config.to_mapping())

    def keep(self, readings: EpochReadings) -> None:
        trial_id = self._trial._trial_id  # noqa: SLF001 - telemetry is keyed by it
        telemetry = self._recorded.telemetry
        if readings.epoch == 0:
            telemetry.save_probes(trial_id, self._run.step_zero, self._run.data_probe)
        telemetry.save_epoch(trial_id, readings, self._run.last_steps)
        value = self._run.latest(self._run.metric)
        if value is not None:
            self._trial.report(value, readings.epoch)
        self._leases.beat(self._lease)

    def fail(self, error: BaseException) -> None:
        self._trial.set_user_attr("error", dataclasses.asdict(error_record(error)))
        self._tell(Outcome.FAILED, TrialState.FAIL, None)

    def end(self) -> None:
        outcome, value = self._run.outcome, self._run.value(self._run.metric)
        if outcome is Outcome.INTERRUPTED:
            self._tell(outcome, TrialState.FAIL, None)
        elif outcome is Outcome.DIVERGED or value is None:
            self._tell(outcome, TrialState.PRUNED, None)
        else:
            self._tell(outcome, TrialState.COMPLETE, value)

    def _tell(self, outcome: Outcome, state: TrialState, value: float | None) -> None:
        self._trial.set_user_attr("outcome", outcome.value)
        self._recorded.study.tell(self._trial, value, state=state, skip_if_finished=True)
        self._leases.release(self._lease)
