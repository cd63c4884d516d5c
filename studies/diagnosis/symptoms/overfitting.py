"""Overfitting: the training set is still fitted better while validation gets worse, and falls far behind."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, crossed_late, first_gap
from studies.diagnosis.curves import Curve, robust_epoch_noise, trailing_run
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained, trained_rows, validation_error
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.thresholds import Threshold
from studies.records import StudyRecord, TrialRecord

NAME = "overfitting"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """A persistent rise of the validation loss while train still falls, and a harm to the accuracy; or a large gap.

    The harm is a gap to the train accuracy, or an accuracy that fell; where there are none, the loss is all that
    counts. Without harm, worse probabilities are overconfidence at most.
    """
    signs = signs_of(trial)
    rise = _rise(trial)
    if rise is None:
        return _memorized(signs)
    gap = _gap(signs)
    if gap is None and _has_accuracy(trial) and not _accuracy_fell(signs):
        return None
    said = f"The validation loss has risen {rise.value:.0%} since epoch {rise.first_step} as train fell"
    behind = f"; train accuracy is {gap.value:.3f} above validation" if gap is not None else ""
    return _finding(signs, f"{said}{behind}.", (rise, gap) if gap is not None else (rise,))


def _memorized(signs: Signs) -> Finding | None:
    """Without a rise: the samples are known by heart, or answered without an error at least, and the others are not."""
    if not signs.rows or not (_knows(signs) or signs.error_ratio < limits.ERRORS_GONE.value):
        return None
    gap = _gap(signs)
    if gap is None:
        return None
    span = {"first_step": gap.first_step, "last_step": gap.last_step}
    fit = (
        crossed("loss_ratio", signs.loss_ratio, limits.MEMORIZED_GAP, **span)
        if _knows(signs)
        else crossed("error_ratio", signs.error_ratio, limits.ERRORS_GONE, **span)
    )
    sentence = f"The training data is known by heart, and train accuracy is {gap.value:.3f} above validation."
    return _finding(signs, sentence, (gap, fit))


def _finding(signs: Signs, sentence: str, evidence: tuple[Evidence, ...]) -> Finding:
    """Memorizing takes time: where validation lags from the first epoch on, it may not hold the same kind of data."""
    early = first_gap(signs.trial)
    causes: tuple[Cause, ...] = (Cause(name=CauseName.OVERFITTING, confidence=0.85),)
    if early is not None and early.value > limits.SHIFT_GAP.value:
        causes = (
            Cause(name=CauseName.AUGMENTATION_DRIFT, confidence=0.6),
            Cause(name=CauseName.OVERFITTING, confidence=0.5),
        )
        evidence = (*evidence, early)
    return Finding(
        trial=signs.trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=sentence,
        causes=causes,
        evidence=evidence,
        remedies=remedies_for(causes, signs.situation),
    )


def _has_accuracy(trial: TrialRecord) -> bool:
    return bool(np.any(np.isfinite(trained(trial, "validation_accuracy"))))


def _knows(signs: Signs) -> bool:
    return signs.loss_ratio < limits.MEMORIZED_GAP.value


def _gap_limit(signs: Signs) -> Threshold:
    """What validation may lack: more where the fit is not done yet, less where a class has few samples to show."""
    data = signs.telemetry.data
    if not _knows(signs):
        return limits.GAP_UNLEARNED
    if data is None or not data.train_class_counts:
        return limits.GAP
    are_few = data.n_train <= limits.FEW_SAMPLES.value * len(data.train_class_counts)
    return limits.GAP_FEW_SAMPLES if are_few else limits.GAP


def _gap(signs: Signs) -> Evidence | None:
    gap, limit = signs.accuracy_gap, _gap_limit(signs)
    if not (gap > limit.value and gap > limits.GAP_ERRORS.value * signs.accuracy_noise):
        return None
    return crossed_late("accuracy_gap", gap, limit, signs)


def _rise(trial: TrialRecord) -> Evidence | None:
    train, validation = trained(trial, "train_loss"), trained(trial, "validation_loss")
    if not len(validation) or not np.all(np.isfinite(validation)) or not float(validation.min()) > 0.0:
        return None
    best = int(np.argmin(validation))
    with np.errstate(over="ignore"):  # a minimum next to 0: the rise is infinite, and that is what it is
        relative = validation / validation[best] - 1.0
    n_bad = trailing_run(relative > limits.GENERALIZATION_LOSS.value)
    is_noise = not _exceeds_noise(validation, best)
    if n_bad < limits.PERSISTENCE.value or is_noise or not train[-1] < train[best]:
        return None
    rows = trained_rows(trial)
    return crossed(
        "validation_loss_rise",
        float(relative[-1]),
        limits.GENERALIZATION_LOSS,
        first_step=rows[best].epoch,
        last_step=rows[-1].epoch,
    )


def _exceeds_noise(validation: Curve, best: int) -> bool:
    """The smallest of the last readings is out of reach of the curve's own jitter."""
    rise = float(validation[-int(limits.PERSISTENCE.value) :].min() - validation[best])
    return rise > limits.RISE_OVER_NOISE.value * robust_epoch_noise(validation)


def _accuracy_fell(signs: Signs) -> bool:
    """Each of the last readings is out of the sampling noise of the best one."""
    accuracy = trained(signs.trial, "validation_accuracy")
    best = float(np.nanmax(accuracy))
    late = accuracy[-int(limits.PERSISTENCE.value) :]
    return bool(np.all(late < best - limits.NOISE_FLOORS.value * validation_error(signs.telemetry, best)))


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CURVES, leads_to=("overconfidence",))
