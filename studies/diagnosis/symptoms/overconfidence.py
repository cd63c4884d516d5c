"""Overconfidence: the answers stay as good, and the probabilities given with them get worse and worse."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed_late
from studies.diagnosis.curves import steady_best
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.reference import has_diverged, trained
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.thresholds import Threshold
from studies.records import StudyRecord, TrialRecord

NAME = "overconfidence"


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One way to be overconfident: so far a rise, so well a fit, so sure the answers."""

    severity: Severity
    rise: float
    least_rise: Threshold
    fit: Threshold
    sure: Threshold
    needs_confidence: bool = True
    """Whether the confidence must have been read; else the loss tells of probabilities that nobody read."""

    def is_gone(self, signs: Signs) -> bool:
        errors = signs.overconfidence / signs.accuracy_noise
        unread = not self.needs_confidence and math.isnan(errors) and math.isfinite(signs.accuracy_noise)
        is_known = signs.loss_ratio < self.fit.value
        return self.rise > self.least_rise.value and is_known and (errors > self.sure.value or unread)


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Confidence above accuracy, and a validation loss risen for good, in a network that knows its training data.

    A note until it went on long after it knew all by heart, or after its best: the last epochs of a sound training cost
    a little of the loss, too, and buy accuracy with it. A confidence that nobody read is none that speaks against it.
    """
    signs = signs_of(trial)
    if not signs.rows or has_diverged(trial):
        return None
    way = next((way for way in _ways(signs) if way.is_gone(signs)), None)
    if way is None:
        return None
    errors = signs.overconfidence / signs.accuracy_noise
    is_read = math.isfinite(errors)
    said = (
        f"Answers are given with {signs.overconfidence:.3f} more confidence than they deserve"
        if is_read
        else "The training data is known by heart"
    )
    confidence = (
        (crossed_late("overconfidence_in_standard_errors", errors, way.sure, signs),) if is_read else ()
    )
    causes = (
        Cause(name=CauseName.OVERCONFIDENCE, confidence=0.85),
        Cause(name=CauseName.OVERFITTING, confidence=0.5),
    )
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=way.severity,
        sentence=f"{said}, and the validation loss is {way.rise:.0%} above its best.",
        causes=causes,
        evidence=(
            *confidence,
            crossed_late("validation_loss_rise", way.rise, way.least_rise, signs),
            crossed_late("loss_ratio", signs.loss_ratio, way.fit, signs),
        ),
        remedies=remedies_for(causes, signs.situation),
    )


def _ways(signs: Signs) -> Iterator[_Way]:
    """The worst first. By heart where the rate decayed, or no confidence was read, is better known than elsewhere."""
    kept = len(signs.rates) > 0 and signs.rates[-1] > limits.RATE_KEPT.value * signs.rates.max()
    is_plain = kept and math.isfinite(signs.overconfidence)
    yield _Way(
        severity=Severity.WARNING,
        rise=signs.generalization_loss,
        least_rise=limits.CONFIDENT_RISE,
        fit=limits.KNOWN_BY_HEART if is_plain else limits.KNOWN_FOR_LONG,
        sure=limits.OVERCONFIDENT_BY_HEART,
        needs_confidence=False,
    )
    losses = trained(signs.trial, "validation_loss")
    best = steady_best(losses)
    if best > 0.0 and len(losses) - 1 - int(losses.argmin()) >= limits.LONG_SINCE_BEST.value:
        yield _Way(
            severity=Severity.WARNING,
            rise=signs.late("validation_loss") / best - 1.0,
            least_rise=limits.CONFIDENT_RISE,
            fit=limits.KNOWN_SINCE_BEST,
            sure=limits.OVERCONFIDENT_BY_HEART,
        )
    yield _Way(
        severity=Severity.NOTE,
        rise=signs.generalization_loss,
        least_rise=limits.CONFIDENT_NOTED,
        fit=limits.MEMORIZED,
        sure=limits.OVERCONFIDENT,
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CURVES)
