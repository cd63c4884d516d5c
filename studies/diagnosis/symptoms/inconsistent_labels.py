"""Inconsistent labels: samples are labeled otherwise than nearly all the samples that look like them."""

import math

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import best_reading, crossed, data_of
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "inconsistent_labels"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """More samples than a twentieth contradicted by their neighbors, and errors to match on validation.

    Somewhat fewer where validation is poor: among very many wrong labels few neighborhoods are clear. Hard data
    has mixed neighborhoods, not clear ones with single dissenters; and where the network answers better than so
    many wrong labels allow, its inputs tell more than neighborhoods do.
    """
    data = data_of(trial)
    if data is None:
        return None
    share, error = data.label_disagreement, 1.0 - best_reading(trial, "validation_accuracy")
    is_noisy = error >= limits.NOISY_ERROR.value
    rule = limits.LABEL_DISAGREEMENT_NOISY if is_noisy else limits.LABEL_DISAGREEMENT
    if not share > rule.value or error < limits.DISAGREEMENT_ERRORS.value * share:
        return None
    causes = (Cause(name=CauseName.LABEL_NOISE, confidence=0.85),)
    evidence = [crossed("label_disagreement", share, rule)]
    if math.isfinite(error):
        evidence.append(
            crossed("validation_error_per_disagreement", error / share, limits.DISAGREEMENT_ERRORS)
        )
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"{share:.1%} of the sampled training data is labeled otherwise than nearly all its neighbors.",
        causes=causes,
        evidence=tuple(evidence),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.DATA)
