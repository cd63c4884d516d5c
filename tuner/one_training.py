"""One training: of a config (`tuner.train`), or of a study's trial again, to have its weights (`tuner export`)."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from torch import nn

from search_spaces import Space
from search_spaces.errors import ConfigurationError, unknown_name
from studies.diagnosis import Finding, diagnose_record
from studies.leases import GRACE_SECONDS, Leases, Refusal
from studies.recorded import RecordedStudy, create_study, open_study
from studies.records import EpochReadings, Outcome, StudyPlan, StudyRecord, Telemetry, TrialRecord
from tuner.searching.ask_tell import error_record
from tuner.searching.objective import Objective, Task
from tuner.searching.planning import check_data, objective_of, task_name, versions
from tuner.training.checkpoint import save_trained
from tuner.training.config import TrainingConfig, direction_of
from tuner.training.data import load_dataset
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.downloads import Announce
from tuner.training.datasets.splits import Splits
from tuner.training.loop import TrainingRun
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
            state=_state_of(self.outcome, self.value).name.lower(),
            outcome=self.outcome,
            value=self.value,
            config=self.config.to_mapping(),
            telemetry=self.telemetry,
        )
        return StudyRecord(
            name="one training", direction=direction_of(self.metric), metric=self.metric, trials=(trial,)
        )


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
    config = _resolved(config, model)
    folder = None if data_dir is None else Path(data_dir)
    dataset = task if isinstance(task, Dataset) else load_dataset(task, data_dir=folder, announce=announce)
    with listening_for_signals() as interruption:
        run = TrainingRun(
            config,
            dataset,
            device=device,
            model=model,
            metric=metric,
            should_stop=lambda: Outcome.INTERRUPTED if interruption.is_requested() else None,
        )
        metric = metric or run.metric
        recorder = None
        if study is not None:
            name = dataset.name if isinstance(task, Dataset) or task == "auto" else task_name(task)
            recorder = _Recorder(_study_of_trainings(study, storage, name, dataset, metric), run, metric)
        _run_to_end(run, recorder, on_epoch)
    if save is not None:
        _save(Path(save), run, dataset, metric)
    return Training(
        outcome=run.outcome,
        value=_value_of(run, metric),
        metric=metric,
        best_epoch=run.best_epoch,
        config=config,
        telemetry=run.telemetry(),
        model=run.model,
        interrupted_by=interruption.exit_code if interruption.is_requested() else None,
    )


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A trial that was trained again, to its end, and written."""

    folder: Path
    task: str
    trial: int
    recorded_value: float | None
    """None for a trial that was pruned."""
    value: float | None
    """The recorded one again, on the same machine."""


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
    run, dataset = _again(
        recorded.plan,
        chosen,
        device=device,
        data_dir=None if data_dir is None else Path(data_dir),
        announce=announce,
    )
    for readings in run.epochs():
        on_epoch(readings)
    folder = Path(output) if output is not None else _default_folder(recorded, chosen, is_best=trial is None)
    _save(folder, run, dataset, record.metric, study=study, trial=chosen.number)
    return Exported(
        folder=folder,
        task=recorded.plan.task,
        trial=chosen.number,
        recorded_value=chosen.value,
        value=_value_of(run, record.metric),
    )


def _chosen(record: StudyRecord, trial: int | None) -> TrialRecord:
    by_number = {found.number: found for found in record.trials if found.state in {"complete", "pruned"}}
    if trial is None and record.best is not None:
        return record.best
    if trial is None or not by_number:
        way_out = "; choose a pruned one by its number" if by_number else ""
        raise ConfigurationError(f"Study {record.name!r} has no complete trial to export{way_out}.")
    if trial not in by_number:
        raise unknown_name(f"A trial to export of {record.name!r}", trial, map(str, by_number))
    return by_number[trial]


def _again(
    plan: StudyPlan, chosen: TrialRecord, *, device: str, data_dir: Path | None, announce: Announce | None
) -> tuple[TrainingRun, Dataset]:
    """The training of a trial, about to begin once more, and the data it is on."""
    data: Dataset | Splits
    if Space.from_json(plan.space).levers:
        objective = objective_of(plan, device=device, data_dir=data_dir, announce=announce)
        config, data = objective.config(chosen.searched), objective.splits
    else:  # a single training, whose config is its own and not the study's
        objective = Objective(_NO_LEVERS, plan.task, metric=plan.metric, data_dir=data_dir, announce=announce)
        check_data(plan, objective)
        config, data = TrainingConfig.from_mapping(chosen.config), objective.dataset
    run = TrainingRun(config, data, device=device, metric=plan.metric, direction=plan.direction)
    return run, objective.dataset


def _default_folder(recorded: RecordedStudy, chosen: TrialRecord, *, is_best: bool) -> Path:
    return recorded.paths.best if is_best else recorded.paths.folder / f"trial-{chosen.number}"


def _resolved(config: TrainingConfig | Mapping[str, Any], model: ModelBuilder | None) -> TrainingConfig:
    """The config, with a model function under its name: that is what is recorded and saved."""
    if not isinstance(config, TrainingConfig):
        config = TrainingConfig.from_mapping(config)
    return config if model is None else dataclasses.replace(config, model=task_name(model))


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


def _value_of(run: TrainingRun, metric: str) -> float | None:
    return None if run.outcome is Outcome.DIVERGED else run.value(metric)


def _state_of(outcome: Outcome, value: float | None) -> TrialState:
    """What Optuna is told: PRUNED keeps a diverged trial's last finite value, so that samplers learn from it."""
    if not outcome.is_answer:
        return TrialState.FAIL
    return TrialState.PRUNED if value is None else TrialState.COMPLETE


def _save(folder: Path, run: TrainingRun, dataset: Dataset, metric: str, **more: Any) -> None:
    about = {
        "task": dataset.name,
        "data_hash": dataset.content_hash,
        "split": run.splits.describe(),
        "outcome": run.outcome,
        "metric": metric,
        "value": _value_of(run, metric),
        "best_epoch": run.best_epoch,
        "versions": versions(),
    }
    save_trained(folder, run.config, run, about | more)


def _study_of_trainings(
    name: str, storage: str | None, task: str, dataset: Dataset, metric: str
) -> RecordedStudy:
    """A study whose trials are single trainings, each with a config of its own: its space is empty."""
    plan = StudyPlan(
        task=task,
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

    def __init__(self, recorded: RecordedStudy, run: TrainingRun, metric: str) -> None:
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

    def keep(self, readings: EpochReadings) -> None:
        trial_id = self._trial._trial_id  # noqa: SLF001 - telemetry is keyed by it
        telemetry = self._recorded.telemetry
        if readings.epoch == 0:
            telemetry.save_probes(trial_id, self._run.step_zero, self._run.data_probe)
        telemetry.save_epoch(trial_id, readings, self._run.last_steps)
        value = self._run.latest(self._metric)
        if value is not None:
            self._trial.report(value, readings.epoch)
        self._leases.beat(self._lease)

    def fail(self, error: BaseException) -> None:
        """Record what broke the training; a second Ctrl-C is no fault of it."""
        if isinstance(error, KeyboardInterrupt):
            self._tell(Outcome.INTERRUPTED, None)
        else:
            self._trial.set_user_attr("error", dataclasses.asdict(error_record(error)))
            self._tell(Outcome.FAILED, None)

    def end(self) -> None:
        self._trial.set_user_attr("best_epoch", self._run.best_epoch)
        self._tell(self._run.outcome, _value_of(self._run, self._metric))

    def _tell(self, outcome: Outcome, value: float | None) -> None:
        state = _state_of(outcome, value)
        value = value if state is TrialState.COMPLETE else None
        self._trial.set_user_attr("outcome", outcome.value)
        self._recorded.study.tell(self._trial, value, state=state, skip_if_finished=True)
        self._leases.release(self._lease)
