"""How a trial stands in its study: as good as the best that is known, clearly behind it, or nobody can tell.

Both by what the training ends with. A good epoch on the way is not what its network is worth in the end: the schedule
that throws the weights out once more is no better for it.
"""

import math
from enum import Enum, auto

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.reference import chance_accuracy, has_diverged, has_learned, trained, validation_error
from studies.readings import NAN
from studies.records import StudyRecord, TrialRecord


class Standing(Enum):
    """What the other trials of a study say of one."""

    HEALTHY = auto()
    """It ends within two noise floors of the best."""
    WORSE = auto()
    """It was allowed to end, and is worse than that."""
    UNKNOWN = auto()
    """There is nothing to compare it with, or not yet."""


def behind_best(trial: TrialRecord, study: StudyRecord) -> float:
    """What the last validation accuracy lacks of the best one of the study's best trial, in noise floors of it.

    NaN where nobody can tell: below ``GATE_PEERS`` complete trials, without accuracies (nothing is known of the noise),
    and in a study whose best trial has not clearly learned: where everything fails, nobody is healthy by comparison.
    Infinite for a trial that diverged, whatever it ended with.
    """
    best = study.best
    if best is None or best.telemetry is None or len(study.complete_trials) < limits.GATE_PEERS.value:
        return NAN
    reached, ends = best_accuracy(best), last_accuracy(trial)
    if math.isnan(reached) or not has_learned(reached, chance_accuracy(best.telemetry)):
        return NAN
    return math.inf if has_diverged(trial) else (reached - ends) / validation_error(best.telemetry, reached)


def standing(trial: TrialRecord, study: StudyRecord) -> Standing:
    """The healthy gate. Who was cut off may pass it, and is no worse for not being there yet."""
    behind = behind_best(trial, study)
    if behind <= limits.NOISE_FLOORS.value:
        return Standing.HEALTHY
    is_worse = trial.state == "complete" and behind > limits.NOISE_FLOORS.value
    return Standing.WORSE if is_worse else Standing.UNKNOWN


def is_behind(trial: TrialRecord, study: StudyRecord) -> bool:
    """Whether it was allowed to end, and is known to have been harmed: far more than noise behind the best."""
    return trial.state == "complete" and behind_best(trial, study) > limits.BEHIND_BEST.value


def best_accuracy(trial: TrialRecord) -> float:
    """The highest finite validation accuracy of an epoch; NaN without any."""
    return float(readings.max()) if len(readings := _accuracies(trial)) else NAN


def last_accuracy(trial: TrialRecord) -> float:
    """The validation accuracy of the last epoch for which it is finite; NaN without any."""
    return float(readings[-1]) if len(readings := _accuracies(trial)) else NAN


def _accuracies(trial: TrialRecord) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    readings = trained(trial, "validation_accuracy")
    return readings[np.isfinite(readings)]
