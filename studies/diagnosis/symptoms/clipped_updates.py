"""Clipped updates: nearly every gradient is cut down, and the training gets on slowly for it."""

from studies.diagnosis.finding import Finding, Severity
from studies.diagnosis.reference import has_diverged
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import signs_of
from studies.diagnosis.slowness import clipping_too_tight
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "clipped_updates"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """More than half of the steps clipped, in a training that ends short of what it could be or learns nothing."""
    signs = signs_of(trial)
    if not signs.rows or has_diverged(trial):
        return None
    suspicion = clipping_too_tight(signs)
    if suspicion is None:
        return None
    causes = (suspicion.cause,)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"{signs.clip_share:.0%} of the steps were clipped, and the training data is still fitted poorly.",
        causes=causes,
        evidence=suspicion.evidence,
        remedies=remedies_for(causes, signs.situation),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.EARLY)
