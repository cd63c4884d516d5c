"""Overconfidence: the answers stay as good, and the probabilities given with them get worse and worse."""

import math

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.reference import has_diverged, trained
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import Signs
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.thresholds import Threshold
from studies.records import StudyRecord, TrialRecord

NAME = "overconfidence"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Confidence above accuracy, and a validation loss risen for good, in a network that knows its training data.

    A note until it went on long after it knew all by heart: the last epochs of a sound training cost a little of the
    loss, too, and buy accuracy with it. A confidence that nobody read is none that speaks against it.
    """
    signs = Signs(trial=trial)
    if not signs.rows or has_diverged(trial):
        return None
    known = _known_by_heart(signs)
    is_harm = signs.loss_ratio < known.value and signs.generalization_loss > limits.CONFIDENT_RISE.value
    errors = signs.overconfidence / signs.accuracy_noise
    is_read = math.isfinite(errors)
    is_by_heart = is_harm and known is not limits.MEMORIZED
    sure = limits.OVERCONFIDENT_BY_HEART if is_by_heart else limits.OVERCONFIDENT
    is_sure = errors > sure.value and signs.loss_ratio < limits.MEMORIZED.value
    # Of probabilities that nobody read their loss tells: it rises, and the answers stay as good.
    is_seen = is_sure or (is_harm and not is_read and math.isfinite(signs.accuracy_noise))
    if not (is_seen and signs.generalization_loss > limits.CONFIDENT_NOTED.value):
        return None
    rise, fit = (limits.CONFIDENT_RISE, known) if is_harm else (limits.CONFIDENT_NOTED, limits.MEMORIZED)
    span = {"first_step": signs.late_epoch, "last_step": signs.last_epoch}
    said = (
        f"Answers are given with {signs.overconfidence:.3f} more confidence than they deserve"
        if is_read
        else "The training data is known by heart"
    )
    confidence = (crossed("overconfidence_in_standard_errors", errors, sure, **span),) if is_read else ()
    causes = (
        Cause(name=CauseName.OVERCONFIDENCE, confidence=0.85),
        Cause(name=CauseName.OVERFITTING, confidence=0.5),
    )
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING if is_harm else Severity.NOTE,
        sentence=f"{said}, and the validation loss is {signs.generalization_loss:.0%} above its best.",
        causes=causes,
        evidence=(
            *confidence,
            crossed("validation_loss_rise", signs.generalization_loss, rise, **span),
            crossed("loss_ratio", signs.loss_ratio, fit, **span),
        ),
        remedies=remedies_for(causes, signs.situation),
    )


def _known_by_heart(signs: Signs) -> Threshold:
    """How well the training data must be known for harm: better where the rate decayed, or no confidence was read.

    Less well where it went on for so long after its best that nothing else can have come of it.
    """
    kept = len(signs.rates) > 0 and signs.rates[-1] > limits.RATE_KEPT.value * signs.rates.max()
    is_read = math.isfinite(signs.overconfidence)
    known = limits.KNOWN_BY_HEART if kept and is_read else limits.KNOWN_FOR_LONG
    is_long = is_read and _epochs_since_best(signs) >= limits.LONG_SINCE_BEST.value
    return limits.MEMORIZED if is_long and not signs.loss_ratio < known.value else known


def _epochs_since_best(signs: Signs) -> int:
    losses = trained(signs.trial, "validation_loss")
    return len(losses) - 1 - int(losses.argmin())


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CURVES)
