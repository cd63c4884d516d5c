"""The weights of a study's trial, written where they can be loaded: `tuner export`."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search_spaces import Space
from search_spaces.errors import ConfigurationError, unknown_name
from studies.plan import StudyPlan
from studies.readings import EpochReadings
from studies.recorded import RecordedStudy, open_study
from studies.records import StudyRecord, TrialRecord
from tuner.searching.objective import Objective
from tuner.searching.planning import check_data, objective_of
from tuner.searching.weights import copy_weights, kept_weights, save_weights, value_of
from tuner.training.alone import TrainingAlone
from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.downloads import Announce
from tuner.training.datasets.splits import Splits

OnEpoch = Callable[[EpochReadings], None]

_NO_LEVERS = Space(name="single-trainings", levers=())


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
    was_trained_again: bool
    """False when the search had kept the weights."""


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
    """Write config.yaml and weights.pt of the best trial, or of another one.

    A search keeps the weights of the trials that were the best when they ended, on the machine that trained them. Any
    other trial is trained again: the same config and seed give the same weights on the same machine.

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
    found = Exported(
        folder=folder,
        task=recorded.plan.task,
        trial=chosen.number,
        recorded_value=chosen.value,
        value=chosen.value,
        was_trained_again=False,
    )
    kept = kept_weights(recorded.paths, chosen, data_hash=recorded.plan.data_hash)
    if kept is not None:
        copy_weights(kept, folder)
        return found
    alone, dataset = _again(
        recorded.plan,
        chosen,
        device=device,
        data_dir=None if data_dir is None else Path(data_dir),
        announce=announce,
    )
    for readings in alone.epochs():
        on_epoch(readings)
    save_weights(folder, alone.lane, dataset, record.metric, study=study, trial=chosen.number)
    return dataclasses.replace(found, value=value_of(alone.lane, record.metric), was_trained_again=True)


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
) -> tuple[TrainingAlone, Dataset]:
    """The training of a trial, about to begin once more, and the data it is on."""
    data: Dataset | Splits
    if Space.from_json(plan.space).levers:
        objective = objective_of(plan, device=device, data_dir=data_dir, announce=announce)
        config, data = objective.config(chosen.searched), objective.splits
    else:  # a single training, whose config is its own and not the study's
        objective = Objective(
            _NO_LEVERS,
            plan.task,
            metric=plan.metric,
            data_dir=data_dir,
            announce=announce,
        )
        check_data(plan, objective)
        config, data = TrainingConfig.from_mapping(chosen.config), objective.dataset
    alone = TrainingAlone(config, data, device=device, metric=plan.metric, direction=plan.direction)
    return alone, objective.dataset


def _default_folder(recorded: RecordedStudy, chosen: TrialRecord, *, is_best: bool) -> Path:
    return recorded.paths.best if is_best else recorded.paths.folder / f"trial-{chosen.number}"
