"""All symptoms that one trial shows, before any of them explains another."""

import dataclasses

from studies.diagnosis.alternatives import discrimination
from studies.diagnosis.counterfactuals import probed
from studies.diagnosis.finding import Finding
from studies.diagnosis.staging import Shown
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.symptoms import TRIAL_SYMPTOMS
from studies.records import StudyRecord, TrialRecord


def shown_by(trial: TrialRecord, record: StudyRecord) -> list[Shown]:
    """All symptoms of a trial, in the order of a training."""
    found = ((symptom, symptom.find(trial, record)) for symptom in TRIAL_SYMPTOMS)
    return [
        Shown(symptom=symptom, finding=_completed(probed(finding, trial), symptom))
        for symptom, finding in found
        if finding is not None
    ]


def _completed(finding: Finding, symptom: TrialSymptom) -> Finding:
    """With its stage, and with what tells its causes apart where the symptom has not said it better."""
    return dataclasses.replace(
        finding,
        stage=min(finding.stage, symptom.stage),
        alternatives=finding.alternatives or discrimination(finding.causes),
    )
