"""How a trial stands in its study: as good as the best that is known, clearly behind it, or nobody can tell.

As good is who *ends* so: a good epoch on the way is not what a network is worth, unless it was stopped early and got
the weights of that epoch back. And who fits the training data as well: a few hundred validation samples hide a point
and a half, of which a poorer fit may tell. Strong regularization fits so by design: such a trial is judged by itself,
but for errors that are known. Behind is who has not even one good epoch; between the two a trial is judged by itself.
"""

import math
from enum import Enum, auto
from statistics import NormalDist

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.reference import (
    chance_accuracy,
    has_diverged,
    has_learned,
    n_validation,
    standard_error,
    trained,
    trained_rows,
)
from studies.readings import NAN, PROBE_SAMPLES
from studies.records import Outcome, StudyRecord, TrialRecord


class Standing(Enum):
    """What the other trials of a study say of one."""

    HEALTHY = auto()
    """It ends within two noise floors of the best, on what it was trained on as well."""
    FITS_WORSE = auto()
    """It ends so, and clearly less good on what it was trained on."""
    WORSE = auto()
    """It was allowed to end, and no epoch of it is near the best."""
    UNKNOWN = auto()
    """There is nothing to compare it with, or not yet; or it was as good, and is no more."""


def standing(trial: TrialRecord, study: StudyRecord) -> Standing:
    """The healthy gate. Who was cut off may pass it, and is no worse for not being there yet."""
    if _lacks(end_accuracy(trial), trial, study) <= limits.NOISE_FLOORS.value:
        return Standing.FITS_WORSE if fits_worse(trial, study.best) else Standing.HEALTHY
    is_worse = trial.state == "complete" and behind_best(trial, study) > limits.NOISE_FLOORS.value
    return Standing.WORSE if is_worse else Standing.UNKNOWN


def ends_alike(trial: TrialRecord, other: TrialRecord, study: StudyRecord) -> bool:
    """Whether neither of two trials of a study ends more than two noise floors better than the other's best epoch."""
    return abs(_lacks(end_accuracy(trial), trial, study, than=other)) <= limits.NOISE_FLOORS.value


def fits_worse(
    trial: TrialRecord, other: TrialRecord | None, floors: limits.Threshold = limits.NOISE_FLOORS
) -> bool:
    """Whether it ends with so many noise floors less accuracy on training samples, in eval mode, than another trial.

    False where that was not read of both.
    """
    (known, n), (own, _) = (end_of_fit(each) for each in (other, trial))
    return known - own > floors.value * _accuracy_error(known, n)


def is_behind(trial: TrialRecord, study: StudyRecord) -> bool:
    """Whether it was allowed to end, and is known to have been harmed: more than noise and luck behind the best."""
    return trial.state == "complete" and behind_best(trial, study) > far_behind(study)


def far_behind(study: StudyRecord) -> float:
    """The noise floors behind the best from which a trial was harmed: those of the gate, and what the best is lucky by.

    The best of n equal trials is so many deviations above their mean (Blom 1958): 1.0 of four, 2.5 of a hundred.
    """
    n = max(len(study.complete_trials), 1)
    return limits.NOISE_FLOORS.value + NormalDist().inv_cdf((n - 0.375) / (n + 0.25))


def behind_best(trial: TrialRecord, study: StudyRecord) -> float:
    """By how many noise floors the best epoch is worse than that of the study's best trial.

    NaN where nobody can tell: below ``GATE_PEERS`` complete trials, without accuracies (of which alone one training
    shows the noise), where the objective is a loss, and in a study whose best trial has not clearly learned: where
    everything fails, nobody is healthy by comparison. Infinite for a trial that diverged, whatever it reached before.
    """
    return _lacks(best_accuracy(trial), trial, study)


def _lacks(accuracy: float, trial: TrialRecord, study: StudyRecord, than: TrialRecord | None = None) -> float:
    """What the accuracy lacks of the best known one, or of that of another trial, in noise floors of that.

    As if two more answers were wrong, at least (Agresti and Coull 1998): who made no error in a few hundred samples may
    make some in the next.
    """
    best = than or study.best
    if best is None or best.telemetry is None or len(study.complete_trials) < limits.GATE_PEERS.value:
        return NAN
    if not study.is_maximized or study.metric.endswith("loss"):
        return NAN
    known = best_accuracy(best)
    if math.isnan(known) or not has_learned(known, chance_accuracy(best.telemetry)):
        return NAN
    if has_diverged(trial):
        return math.inf
    return (known - accuracy) / _accuracy_error(known, n_validation(best.telemetry))


def _accuracy_error(accuracy: float, n: float) -> float:
    """Standard error of an accuracy of ``n`` samples, as if two more answers were wrong, at least."""
    return standard_error(min(accuracy, 1.0 - 2.0 / n), n)


def end_of_fit(trial: TrialRecord | None) -> tuple[float, int]:
    """The last accuracy that was read of training samples in eval mode, and of how many it is; NaN if none was."""
    if trial is None or trial.telemetry is None:
        return NAN, PROBE_SAMPLES
    readings = [row.probe_accuracy for row in trained_rows(trial) if math.isfinite(row.probe_accuracy)]
    n_train = trial.telemetry.data.n_train if trial.telemetry.data is not None else 0
    return readings[-1] if readings else NAN, min(n_train or PROBE_SAMPLES, PROBE_SAMPLES)


def best_accuracy(trial: TrialRecord) -> float:
    """The highest finite validation accuracy of an epoch; NaN without any."""
    return float(readings.max()) if len(readings := _accuracies(trial)) else NAN


def end_accuracy(trial: TrialRecord) -> float:
    """The validation accuracy of the weights that the training leaves; NaN without any.

    Those of the last epoch for which it is finite, or of the best one where an early stop brought them back.
    """
    if trial.outcome is Outcome.STOPPED_EARLY:
        return best_accuracy(trial)
    return float(readings[-1]) if len(readings := _accuracies(trial)) else NAN


def _accuracies(trial: TrialRecord) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    readings = trained(trial, "validation_accuracy")
    return readings[np.isfinite(readings)]
