"""Non-finite data: inputs hold NaN or infinity, so that every loss they enter does too."""

from studies.diagnosis.before_training import crossed, data_of
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.thresholds import Threshold
from studies.records import StudyRecord, TrialRecord

NAME = "non_finite_data"
NONE_ALLOWED = Threshold(value=0, unit="values", source="inputs must be finite")


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Any NaN or infinity among the inputs."""
    data = data_of(trial)
    if data is None or not data.n_non_finite:
        return None
    causes = (Cause(name=CauseName.NON_FINITE_DATA, confidence=0.97),)
    values = "1 value is" if data.n_non_finite == 1 else f"{data.n_non_finite} values are"
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"Of the inputs {values} NaN or infinite.",
        causes=causes,
        evidence=(crossed("n_non_finite", float(data.n_non_finite), NONE_ALLOWED),),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.DATA)
