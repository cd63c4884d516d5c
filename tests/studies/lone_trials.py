"""What is found in a trial that is alone in its study."""

from studies.diagnosis import Severity, diagnose_record
from studies.diagnosis.finding import Finding
from studies.records import TrialRecord
from tests.made_trials import study_of


def the_finding(trial: TrialRecord) -> Finding:
    (finding,) = diagnose_record(study_of(trial), trial.number)
    return finding


def faults(trial: TrialRecord) -> list[str]:
    findings = diagnose_record(study_of(trial), trial.number)
    return [finding.symptom for finding in findings if finding.severity is not Severity.NOTE]
