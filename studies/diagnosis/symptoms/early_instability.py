"""Early instability: the first updates throw the loss far above its start; it recovers, at a price."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, falls_short
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.instability import burst_share, goes_on, instability, is_cold_start, is_remembered
from studies.diagnosis.reference import has_diverged
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.weighing import ranked
from studies.records import StudyRecord, TrialRecord

NAME = "early_instability"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """A burst of the loss in the first updates. A note where it has left no trace.

    The trace: units that died or saturated where it moved the weights at all; at an accuracy that falls short, a loss
    that long stayed above its start; and where the optimizer remembers the burst, weights that it has pushed out, or a
    fit that it has thrown. Who knows the training data by heart has recovered.
    """
    signs = signs_of(trial)
    if not signs.rows or has_diverged(trial) or not signs.early_burst > limits.EARLY_BURST.value:
        return None
    has_rises = signs.n_train_rises >= limits.RISES.value
    is_high = signs.early_burst > limits.BURST.value
    limit = limits.DEAD_RISE if has_rises else limits.BURST_DEATHS if is_high else limits.DEAD_FRACTION
    has_settled = signs.fit_ratio < limits.SETTLED.value
    has_stayed = signs.weight_growth <= limits.MOVED.value
    has_lost_units = signs.lost_rise > limit.value and not (has_stayed or has_settled)
    is_marked = burst_share(signs) > limits.LONG_BURST.value or (
        is_remembered(signs) and (_is_pushed(signs) or _is_thrown(signs))
    )
    is_known = signs.loss_ratio < limits.MEMORIZED.value
    harms = has_lost_units or (is_marked and _leaves_errors(signs) and not is_known)
    causes = _causes(signs)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING if harms else Severity.NOTE,
        sentence=(
            f"In the first updates the loss rose to {signs.early_burst:.2f} times its start"
            + (", and the fit has not recovered." if harms else "; it recovered.")
        ),
        causes=causes,
        evidence=(crossed("early_burst", signs.early_burst, limits.EARLY_BURST),),
        remedies=remedies_for(causes, signs.situation),
    )


def _is_pushed(signs: Signs) -> bool:
    """Whether the weights are far out, by nothing that comes later; farther where hardly any of the loss is left.

    Normalization makes them free to grow: the outputs stay as they are, and only a violent burst is to blame.
    """
    is_extreme = signs.early_burst > limits.SHATTERING_BURST.value
    fitted = limits.SWOLLEN_BY_BURST if is_extreme else limits.SWOLLEN_AND_FITTED
    limit = limits.SWOLLEN if _leaves_much(signs) else fitted
    is_free = signs.situation.choice("normalization") not in {"", "none"}
    is_blamed = not is_free or signs.early_burst > limits.VIOLENT_BURST.value
    return signs.weight_growth > limit.value and is_blamed and not _has_restarts(signs)


def _is_thrown(signs: Signs) -> bool:
    """Whether the burst was beyond all measure, and the fit is still poor, beside that of validation and by itself."""
    is_extreme = signs.early_burst > limits.EXTREME_BURST.value
    return is_extreme and signs.fit_ratio > limits.FIT_RATIO_THROWN.value and _leaves_much(signs)


def _leaves_much(signs: Signs) -> bool:
    return signs.explained < 1.0 - limits.LEFT_AFTER_BURST.value


def _leaves_errors(signs: Signs) -> bool:
    """Whether its accuracy falls short; after a burst beyond any doubt fewer errors are enough to say so."""
    is_violent = signs.early_burst > limits.VIOLENT_BURST.value
    return falls_short(signs.trial) or (is_violent and signs.late_error > limits.ERRORS_AFTER_BURST.value)


def _has_restarts(signs: Signs) -> bool:
    """Whether the schedule lifts the rate again and again: what comes later pushes weights out as well."""
    return len(signs.rate_jumps) >= limits.RATE_JUMPS.value


def _causes(signs: Signs) -> tuple[Cause, ...]:
    """A burst that passes wants a warmup; one that goes on pushing the weights out wants a lower rate."""
    found = [suspicion.cause for suspicion in instability(signs)]
    if signs.warmup_share > 0.0:
        return ranked(found)
    has_grown = signs.weight_growth > limits.WEIGHT_GROWTH.value
    is_passing = not goes_on(signs) and (is_cold_start(signs) or not has_grown)
    others = [cause for cause in found if cause.name is not CauseName.LEARNING_RATE_TOO_HIGH]
    if _has_restarts(signs) and goes_on(signs):
        others.append(Cause(name=CauseName.SCHEDULE_SPIKES, confidence=0.78))
    rate = Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.6 if is_passing else 0.75)
    warmup = Cause(name=CauseName.MISSING_WARMUP, confidence=0.78 if is_passing else 0.6)
    return ranked([*others, rate, warmup])


SYMPTOM = TrialSymptom(
    name=NAME,
    find=find,
    stage=Stage.EARLY,
    leads_to=("dead_units", "slow_training", "plateau", "oscillation", "underfitting"),
)
