"""Slow training: it ends short of what it could be, because the steps were too small, too few or gone too soon."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.instability import burst_share
from studies.diagnosis.progress import is_good
from studies.diagnosis.reference import has_diverged
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.slowness import fit_in_words, rose_for_most, slowness, warmup_cost
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.weighing import causes_of, evidence_of
from studies.records import StudyRecord, TrialRecord

NAME = "slow_training"

_SAID = {
    CauseName.PREMATURE_DECAY: "the learning rate was gone before the fit was there",
    CauseName.WARMUP_TOO_LONG: "the learning rate was still rising for most of the training",
    CauseName.BATCH_TOO_LARGE: "an epoch has too few steps",
    CauseName.LEARNING_RATE_TOO_LOW: "the updates are small all along",
    CauseName.TOO_FEW_EPOCHS: "it was still getting better when it ended",
}

_HARMLESS = (
    "The learning rate was still rising for most of the training, and the training got there all the same."
)


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """A fit that is as poor on train as on validation, still falling or cut off by its schedule.

    Where a pruner ended it, that it ends short is the pruner's doing, whatever the rate and however few the steps of an
    epoch: a fault only as the harm that an earlier anomaly did.
    """
    signs = signs_of(trial)
    if not signs.rows or has_diverged(trial) or _fell_from_a_burst(signs) or restraint(signs):
        return None
    found = slowness(signs)
    if not found:
        return None
    causes = causes_of(found)
    is_harmless, is_pruned = _costs_nothing(signs, causes), trial.state == "pruned"
    ends = "was pruned" if is_pruned else "ends"
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.NOTE if is_harmless else Severity.WARNING,
        sentence=_HARMLESS
        if is_harmless
        else f"The training {ends} short of what it could be ({fit_in_words(signs)}): {_SAID[causes[0].name]}.",
        causes=causes,
        evidence=evidence_of(found),
        remedies=remedies_for(causes, signs.situation),
        hurts_by_itself=not is_pruned,
    )


def _fell_from_a_burst(signs: Signs) -> bool:
    """Whether it is a burst that the loss comes back from; one that is known to be brief explains no late fall."""
    return signs.burst > limits.BURST.value and not burst_share(signs) <= limits.LONG_BURST.value


def _costs_nothing(signs: Signs, causes: tuple[Cause, ...]) -> bool:
    """Whether a long warmup is all there is to say, and cost less accuracy than is noise, or the fit is there already.

    Where the training data itself is still fitted poorly, half of that noise is no excuse: the fit tells as much, and
    alone where the rate rose for most of the time. A good end is none where most of the errors that are left are its.
    """
    is_all = all(cause.name is CauseName.WARMUP_TOO_LONG for cause in causes)
    is_poor = signs.fit_ratio > limits.FIT_RATIO_UNFINISHED.value
    limit = limits.WARMUP_COST_POOR_FIT if is_poor else limits.NOISE_FLOORS
    is_done = is_good(signs) or not signs.fit_ratio > limits.FIT_RATIO_SHORT_PATH.value
    cost = warmup_cost(signs)
    if is_done:
        is_most = cost * signs.accuracy_noise > limits.WARMUP_COST_SHARE.value * signs.late_error
        return is_all and not (is_most and cost > limit.value)
    return is_all and cost <= limit.value and not rose_for_most(signs)


SYMPTOM = TrialSymptom(
    name=NAME, find=find, stage=Stage.CURVES, leads_to=("plateau", "underfitting"), shows_harm=True
)
