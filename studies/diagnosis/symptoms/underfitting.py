"""Underfitting: even the training set is fitted much worse than is known to be possible."""

from studies.diagnosis.causes import causes_of_poor_fit
from studies.diagnosis.finding import Evidence, Finding, Severity
from studies.diagnosis.reference import poor_fit, trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "underfitting"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:
    """Train and validation both far below the study's best trial at the same epoch, or an absolute floor."""
    poor = poor_fit(trial, study)
    if poor is None:
        return None
    rows = trained_rows(trial)
    causes = causes_of_poor_fit(trial, study)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=(
            f"After {poor.n_epochs} epochs neither split is fitted: the better of train and validation "
            f"{poor.quantity} is {poor.value:.3f}, where at least {poor.threshold:.3f} is possible."
        ),
        causes=causes,
        evidence=(
            Evidence(
                quantity=poor.quantity,
                first_step=rows[0].epoch,
                last_step=rows[-1].epoch,
                value=poor.value,
                threshold=poor.threshold,
                source=poor.source,
            ),
        ),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find)
