"""Studies that show exactly one symptom over their trials; the curves of each training are as they should be."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from studies.readings import Telemetry
from studies.records import Outcome, StudyRecord, TrialRecord
from tests import made_trials

SMALL = dataclasses.replace(made_trials.DATA, n_validation=400, validation_class_counts=(40,) * 10)
"""A validation split whose standard error is 0.015 at an accuracy of 0.9."""


def trained(number: int, value: float, *, seed: int = 0, **more: Any) -> TrialRecord:
    """A complete trial with a flat curve of one epoch; ``more`` are fields of the record."""
    record = TrialRecord(
        number=number,
        state="complete",
        outcome=Outcome.COMPLETED,
        value=value,
        config={**made_trials.DEFAULTS, "seed": seed, "width": 100 + number, "validation_fraction": 0.2},
        telemetry=Telemetry(data=SMALL),
    )
    return dataclasses.replace(record, **more)


def replicates_of(values: Sequence[float]) -> list[TrialRecord]:
    """Trials of one config, each with a seed of its own."""
    config = {**made_trials.DEFAULTS, "width": 100, "validation_fraction": 0.2}
    return [trained(n, value, config={**config, "seed": n}) for n, value in enumerate(values)]


def noisy_objective() -> StudyRecord:
    """One config, five seeds: the accuracies lie 0.08 apart, where the validation split explains 0.015."""
    return made_trials.study_of(*replicates_of((0.80, 0.90, 0.84, 0.92, 0.78)))


def still_improving(number: int, last: float) -> TrialRecord:
    """Accuracies that rise by 0.05 an epoch until the last of twelve."""
    values = {epoch: last - 0.05 * (12 - epoch) for epoch in range(1, 13)}
    return trained(number, last, intermediate_values=values)


def training_length() -> StudyRecord:
    """Of thirty trials nearly all are at their best in their last epoch, and still gain."""
    return made_trials.study_of(
        *(still_improving(n, float(v)) for n, v in enumerate(np.linspace(0.6, 0.9, 30)))
    )


def spared(number: int, value: float) -> TrialRecord:
    return trained(number, value, spared_at=2)


def eager_pruning() -> StudyRecord:
    """Six of seven spared trials end among the best, the typical survivor does not."""
    survivors = [trained(n, float(value)) for n, value in enumerate(np.linspace(0.6, 0.9, 30))]
    late = [spared(30 + n, 0.899) for n in range(6)]
    pruned = [trained(40 + n, 0.3, state="pruned", outcome=Outcome.PRUNED) for n in range(60)]
    return made_trials.study_of(*survivors, *late, spared(36, 0.5), *pruned)


STUDY_CASES: dict[str, Callable[[], StudyRecord]] = {
    case.__name__: case for case in (noisy_objective, training_length, eager_pruning)
}
