"""Overconfidence: the answers stay as good, and the probabilities given with them get worse and worse."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.reference import has_diverged
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import Signs
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "overconfidence"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Confidence above accuracy, and a validation loss risen for good, in a network that knows its training data.

    A note until it went on long after it knew all by heart: the last epochs of a sound training cost a little of the
    loss, too, and buy accuracy with it.
    """
    signs = Signs(trial=trial)
    if not signs.rows or has_diverged(trial):
        return None
    errors = signs.overconfidence / signs.accuracy_noise
    is_harm = (
        signs.loss_ratio < limits.KNOWN_BY_HEART.value
        and signs.generalization_loss > limits.CONFIDENT_RISE.value
    )
    sure = limits.OVERCONFIDENT_BY_HEART if is_harm else limits.OVERCONFIDENT
    is_sure = errors > sure.value and signs.loss_ratio < limits.MEMORIZED.value
    if not (is_sure and signs.generalization_loss > limits.CONFIDENT_NOTED.value):
        return None
    rise, fit = (
        (limits.CONFIDENT_RISE, limits.KNOWN_BY_HEART)
        if is_harm
        else (limits.CONFIDENT_NOTED, limits.MEMORIZED)
    )
    causes = (
        Cause(name=CauseName.OVERCONFIDENCE, confidence=0.85),
        Cause(name=CauseName.OVERFITTING, confidence=0.5),
    )
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING if is_harm else Severity.NOTE,
        sentence=(
            f"Answers are given with {signs.overconfidence:.3f} more confidence than they deserve, and the "
            f"validation loss is {signs.generalization_loss:.0%} above its best."
        ),
        causes=causes,
        evidence=(
            crossed(
                "overconfidence_in_standard_errors",
                errors,
                sure,
                first_step=signs.late_epoch,
                last_step=signs.last_epoch,
            ),
            crossed(
                "validation_loss_rise",
                signs.generalization_loss,
                rise,
                first_step=signs.late_epoch,
                last_step=signs.last_epoch,
            ),
            crossed(
                "loss_ratio",
                signs.loss_ratio,
                fit,
                first_step=signs.late_epoch,
                last_step=signs.last_epoch,
            ),
        ),
        remedies=remedies_for(causes, signs.situation),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CURVES)
