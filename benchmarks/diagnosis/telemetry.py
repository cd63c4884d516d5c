"""Trains cases and stores what was read of each training, so that scoring needs none."""

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.diagnosis.admission import WORST_LOSS
from benchmarks.diagnosis.case import Case, Metric
from benchmarks.diagnosis.causes import case_named
from benchmarks.diagnosis.data import arrays_of, changed
from benchmarks.diagnosis.loops import train_watched
from benchmarks.diagnosis.networks import builder
from benchmarks.diagnosis.runs import Run, file_name
from benchmarks.diagnosis.scoring import asked
from studies.readings import Counterfactual
from studies.records import Outcome, StudyRecord, TrialRecord
from tuner.training.alone import TrainingAlone
from tuner.training.config import TrainingConfig
from tuner.training.counterfactuals import of_course
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.lanes.lane import Lane


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training to be done."""

    case: Case
    seed: int

    @property
    def file_name(self) -> str:
        return file_name(self.case, self.seed)


def train(case: Case, seed: int, *, task: str, part: str, probes: bool = False) -> Run:
    """Train one case with one seed; the seed also draws the split and the faults of the data.

    ``probes`` lets the training go on with the counterfactual changes that its own diagnosis asks for, as in real use.
    """
    config = TrainingConfig.from_mapping(case.config(seed))
    return train_on(case, splits_of(case, config, task=task, part=part), config, probes=probes)


def train_on(case: Case, splits: Splits, config: TrainingConfig, *, probes: bool = False) -> Run:
    """Train one case on any splits; they must have a test part."""
    started = time.perf_counter()
    record, model, scaling, reported = _trained(case, splits, config, probes=probes)
    validation = _quality(model, scaling, splits.validation_x, splits.validation_y)
    test = _of_the_test_part(model, scaling, splits)
    return Run(
        case=case.name,
        seed=config.seed,
        record=record,
        validation_accuracy=validation.accuracy,
        reported_accuracy=reported,
        n_validation=len(splits.validation_y),
        test_accuracy=test.accuracy,
        test_loss=test.loss,
        balanced_accuracy=test.balanced_accuracy,
        seconds=time.perf_counter() - started,
        asked=asked(record) if probes else (),
    )


def splits_of(case: Case, config: TrainingConfig, *, task: str, part: str) -> Splits:
    """What a case trains on with the seed of ``config``."""
    arrays = changed(arrays_of(task, part), case.setup.data, seed=config.seed)
    return split_dataset(
        arrays.dataset(task),
        split=config.split,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        device="cpu",
    )


def quality_of(model: nn.Module, scaling: nn.Module, splits: Splits, *, metric: Metric) -> float:
    """How good a trained network is on the test part; larger is better.

    By the balanced accuracy, or where the case goes by its test loss by minus that.
    """
    quality = _of_the_test_part(model, scaling, splits)
    if metric == "loss":
        return -quality.loss if math.isfinite(quality.loss) else -WORST_LOSS
    return quality.balanced_accuracy


def trial_record(lane: Lane, counterfactuals: Sequence[Counterfactual] = ()) -> TrialRecord:
    """An ended lane as the diagnosis sees it."""
    diverged = lane.outcome is Outcome.DIVERGED
    value = lane.value(lane.metric)
    return TrialRecord(
        number=0,
        state="pruned" if diverged or value is None else "complete",
        outcome=lane.outcome,
        value=None if diverged else value,
        config=lane.config.to_mapping(),
        telemetry=dataclasses.replace(lane.telemetry(), counterfactuals=tuple(counterfactuals)),
    )


def _trained(
    case: Case, splits: Splits, config: TrainingConfig, *, probes: bool
) -> tuple[StudyRecord, nn.Module, nn.Module, float]:
    if case.is_watched:
        watched = train_watched(case, splits, config, probes=probes)
        return watched.record, watched.model, watched.scaling, watched.reported
    alone = TrainingAlone(config, splits, model=builder(case.setup.network))
    for _readings in alone.epochs():
        pass
    lane = alone.lane
    trial = trial_record(lane)
    record = StudyRecord(name="one training", direction="maximize", metric=lane.metric, trials=(trial,))
    if probes and (changes := asked(record)):
        trial = trial_record(lane, of_course(lane, list(changes)))
        record = dataclasses.replace(record, trials=(trial,))
    return record, lane.model, lane.scaling, lane.last_readings.validation_accuracy


@dataclass(frozen=True, kw_only=True)
class _Quality:
    accuracy: float
    loss: float
    balanced_accuracy: float


def _of_the_test_part(model: nn.Module, scaling: nn.Module, splits: Splits) -> _Quality:
    if splits.test_x is None or splits.test_y is None:
        raise TypeError("A case always has a test part.")
    return _quality(model, scaling, splits.test_x, splits.test_y)


@torch.no_grad()
def _quality(model: nn.Module, scaling: nn.Module, x: Tensor, y: Tensor) -> _Quality:
    """In eval mode; an answer that is not finite is wrong, and a loss that is not finite is NaN."""
    model.eval()
    outputs = torch.cat([model(scaling(part)) for part in torch.split(x, 1024)])
    hits = (outputs.argmax(1) == y) & outputs.isfinite().all(1)
    by_class = [float(hits[y == label].double().mean()) for label in torch.unique(y)]
    loss = float(functional.cross_entropy(outputs, y))
    return _Quality(
        accuracy=float(hits.double().mean()),
        loss=loss if math.isfinite(loss) else math.nan,
        balanced_accuracy=sum(by_class) / len(by_class),
    )


# -- all of a part --


def jobs_of(case_names: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """The trainings of the named cases, and those of the healthy twins that faults are measured against, each once."""
    jobs: dict[str, Job] = {}
    for name in case_names:
        case = case_named(name)
        for seed in seeds:
            for job in (Job(case=case, seed=seed), Job(case=case.reference, seed=seed)):
                jobs.setdefault(job.file_name, job)
    return list(jobs.values())
