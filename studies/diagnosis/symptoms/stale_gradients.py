"""Stale gradients: backward passes add to gradients that were used already, because nobody zeroes them."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import code_of, crossed
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import Signs
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "stale_gradients"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """More than a tenth of the backward passes add to gradients of steps already taken.

    Accumulation over several minibatches is none: those gradients have not been used yet. A blocker by itself where
    gradients of many steps add up: what such a loop computes is not what it was written to, however long it goes
    well. Zeroed at every second or third step it is a blocker where harm shows; so it is zeroed at every tenth, if
    the network fits its training data all the same: the steps are longer, and that was not too much.
    """
    code = code_of(trial)
    if code is None or not code.stale_gradient_share > limits.STALE_SHARE.value:
        return None
    share = code.stale_gradient_share
    causes = (Cause(name=CauseName.STALE_GRADIENTS, confidence=0.97),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.BLOCKER,
        sentence=f"{share:.0%} of the backward passes add to gradients that the optimizer has used already.",
        causes=causes,
        evidence=(crossed("stale_gradient_share", share, limits.STALE_SHARE),),
        remedies=remedies_for(causes, Situation(trial=trial)),
        hurts_by_itself=share > limits.STALE_FOR_GOOD.value
        or (share > limits.STALE_TOO_LONG.value and not _fits(trial)),
    )


def _fits(trial: TrialRecord) -> bool:
    """Whether hardly an answer on the training data is wrong, in eval mode; False where that was not read."""
    return Signs(trial=trial).late("probe_accuracy") >= 1.0 - limits.STALE_FIT_ERROR.value


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CODE)
