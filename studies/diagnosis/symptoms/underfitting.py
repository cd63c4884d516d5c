"""Underfitting: even the training set is fitted much worse than is known to be possible."""

from studies.diagnosis.causes import causes_of_poor_fit
from studies.diagnosis.finding import Evidence, Finding, Severity
from studies.diagnosis.reference import learned_nothing, poor_fit, trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "underfitting"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:
    """Train and validation both far below the study's best trial at the same epoch, or an absolute floor.

    From epoch 1 on where nothing was learned.
    """
    poor = poor_fit(trial, study)
    if poor is None:
        return None
    rows = trained_rows(trial)
    causes = causes_of_poor_fit(trial, study)
    nothing = learned_nothing(trial)
    epochs = "1 epoch" if poor.n_epochs == 1 else f"{poor.n_epochs} epochs"
    best = f"the better of train and validation {poor.quantity} is {poor.value:.3f}"
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.BLOCKER if nothing else Severity.WARNING,
        sentence=(
            f"After {epochs} nothing was learned: {best}, no better than guessing."
            if nothing
            else f"After {epochs} neither split is fitted: {best}, "
            f"where at least {poor.threshold:.3f} is possible."
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
