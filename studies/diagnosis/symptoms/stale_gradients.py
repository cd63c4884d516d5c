"""Stale gradients: backward passes add to gradients that were used already, because nobody zeroes them."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import code_of, crossed
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import signs_of
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "stale_gradients"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """More than a tenth of the backward passes add to gradients of steps already taken.

    Accumulation over several minibatches is none: those gradients have not been used yet. A blocker by itself where
    gradients of many steps add up and the network does not fit its training data. Where it does, and where they are
    zeroed at every second or third step, it is a blocker if harm shows: the sum of all gradients is a momentum of one,
    which a small rate bears, and longer steps may be none too long.
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
        hurts_by_itself=share > limits.STALE_TOO_LONG.value and not _fits(trial),
    )


def _fits(trial: TrialRecord) -> bool:
    """Whether the training data are fitted, or far better than those of validation; False where that was not read."""
    signs = signs_of(trial)
    has_few_errors = 1.0 - signs.late("probe_accuracy") < limits.STALE_FIT_ERROR.value
    return has_few_errors or signs.fit_ratio < limits.STALE_FIT_RATIO.value


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CODE)
