"""Unshuffled data: minibatches hold one class at a time, and the network learns the latest one."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, data_of, falls_short
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "unshuffled_data"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Labels that are less mixed within a minibatch than when shuffled; minibatches of a few show nothing.

    Half as mixed is a fault by itself, somewhat less mixed (as behind a small shuffle buffer) where harm shows: in a
    later symptom, or in a validation accuracy that leaves something to be wished for.
    """
    data, situation = data_of(trial), Situation(trial=trial)
    tiny = situation.number("batch_size") < limits.MIXING_BATCH.value
    if data is None or tiny or not data.label_mixing < limits.LABEL_MIXING.value:
        return None
    is_sorted = data.label_mixing < limits.LABEL_MIXING_SORTED.value
    causes = (Cause(name=CauseName.UNSHUFFLED_DATA, confidence=0.95 if is_sorted else 0.8),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=(
            f"The labels within a minibatch are {data.label_mixing:.2f} times as mixed as in shuffled data: "
            "the training data comes in the order of its labels."
        ),
        causes=causes,
        evidence=(
            crossed(
                "label_mixing",
                data.label_mixing,
                limits.LABEL_MIXING_SORTED if is_sorted else limits.LABEL_MIXING,
                first_step=1,
            ),
        ),
        remedies=remedies_for(causes, situation),
        hurts_by_itself=is_sorted or falls_short(trial),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.DATA)
