"""Why steps are too large: the rate, or what makes more of it - momentum, single samples, a schedule, a cold start."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed
from studies.diagnosis.finding import CauseName
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import RATE_JUMP, Signs
from studies.diagnosis.weighing import Suspicion
from studies.readings import NAN

ALTERNATIVE = 0.5
"""The confidence of a cause that nothing speaks for but that it can do what is seen: it is tried after the others."""
DEEP = 4
"""Hidden layers from which the first updates are dangerous by themselves (own design)."""
LARGE_BATCH = 256
"""Samples from which rates are usually raised so far that they need a warmup (Goyal et al. 2017)."""


MEDIAN_OF = 5
"""Step losses whose running median says whether the loss is above its start (own design)."""


def instability(signs: Signs) -> tuple[Suspicion, ...]:
    """What makes the steps of an unstable training too large; the rate itself is never ruled out."""
    found = what_enlarges_steps(signs)
    is_explained = bool(found) or bool(restraint(signs))
    rate = Suspicion(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.6 if is_explained else 0.9)
    return (*found, *_alternatives(signs), rate)


def what_enlarges_steps(signs: Signs) -> tuple[Suspicion, ...]:
    """What a reading speaks for, beside the rate."""
    rules = (_schedule, _single_samples, high_momentum, _cold_start)
    return tuple(suspicion for rule in rules if (suspicion := rule(signs)) is not None)


def _alternatives(signs: Signs) -> tuple[Suspicion, ...]:
    """What may make the steps too large without a sign of its own: the curves do not tell it from a high rate."""
    is_possible = {
        CauseName.SCHEDULE_SPIKES: len(signs.rate_jumps) >= limits.RATE_JUMPS.value,
        CauseName.BATCH_TOO_SMALL: signs.batch_size <= limits.NOISY_BATCH.value,
        CauseName.MISSING_WARMUP: (_is_prone(signs) or _bursts_early(signs)) and not signs.warmup_share > 0.0,
    }
    return tuple(Suspicion(name=name, confidence=ALTERNATIVE) for name, holds in is_possible.items() if holds)


def are_enlarged(signs: Signs) -> bool:
    """Whether the momentum or the batch is known to make steps larger than the rate says."""
    return has_high_momentum(signs) or signs.batch_size <= limits.NOISY_BATCH.value


def has_high_momentum(signs: Signs) -> bool:
    return high_momentum(signs) is not None


def has_tiny_batch(signs: Signs) -> bool:
    """Whether an update sees so few samples that it is mostly noise."""
    return signs.batch_size <= limits.SMALL_BATCH.value


def _schedule(signs: Signs) -> Suspicion | None:
    """A schedule that lifts the rate beyond where the training began."""
    jumps = signs.rate_jumps
    if len(jumps) < limits.RATE_JUMPS.value:
        return None
    before = float(signs.rates[: jumps[0]].max())
    if not float(signs.rates[jumps[0] :].max()) > RATE_JUMP * before:
        return None
    evidence = crossed("n_rate_jumps", float(len(jumps)), limits.RATE_JUMPS)
    return Suspicion(name=CauseName.SCHEDULE_SPIKES, confidence=0.85, evidence=(evidence,))


def _single_samples(signs: Signs) -> Suspicion | None:
    if has_tiny_batch(signs):
        evidence = crossed("batch_size", signs.batch_size, limits.SMALL_BATCH)
        return Suspicion(name=CauseName.BATCH_TOO_SMALL, confidence=0.85, evidence=(evidence,))
    return None


def high_momentum(signs: Signs) -> Suspicion | None:
    """A momentum that makes steps much larger than the rate says."""
    momentum = signs.situation.number("momentum")
    if signs.situation.choice("optimizer") in {"sgd", "rmsprop"} and momentum > limits.MOMENTUM_HIGH.value:
        evidence = crossed("momentum", momentum, limits.MOMENTUM_HIGH)
        return Suspicion(name=CauseName.MOMENTUM_TOO_HIGH, confidence=0.8, evidence=(evidence,))
    return None


def is_cold_start(signs: Signs) -> bool:
    """Whether the first updates of a deep network or of large batches burst without any warmup."""
    return _is_prone(signs) and _bursts_early(signs) and not signs.warmup_share > 0.0


def _bursts_early(signs: Signs) -> bool:
    return signs.early_burst > limits.EARLY_BURST.value


def burst_share(signs: Signs) -> float:
    """The share of the steps until the loss was below its start for good, 0 where it never rose; NaN without steps.

    Of a running median, so that single updates do not count.
    """
    losses = signs.step_losses
    if not len(losses) or not signs.start_loss > 0.0:
        return NAN
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(losses, MEDIAN_OF // 2, mode="edge"), MEDIAN_OF)
    above = np.flatnonzero(~(np.median(windows, axis=1) < signs.start_loss))
    return float(above[-1] + 1) / len(losses) if len(above) else 0.0


def is_remembered(signs: Signs) -> bool:
    """Whether the optimizer may divide by its past gradients, those of a burst among them: all but plain SGD may.

    It makes its first updates at full length however small the gradients are, and a burst shortens all that follow.
    Plain steps leave nothing of a burst that has passed.
    """
    return signs.situation.choice("optimizer") != "sgd"


def has_passed(signs: Signs) -> bool:
    """Whether an early burst was the only one, soon over, and left no trace: no lost units, weights of a usual size."""
    is_only = _bursts_early(signs) and signs.burst <= signs.early_burst
    was_short = is_only and burst_share(signs) <= limits.LONG_BURST.value
    keeps_units = not signs.lost_rise > limits.DEAD_RISE.value
    return (
        was_short
        and keeps_units
        and signs.weight_growth <= limits.WEIGHT_GROWTH.value
        and not is_remembered(signs)
    )


def goes_on(signs: Signs) -> bool:
    """Whether the trouble comes back after the first updates: what a warmup spares does not."""
    return signs.n_train_rises >= limits.RISES.value


def _is_prone(signs: Signs) -> bool:
    return signs.situation.number("depth") >= DEEP or signs.batch_size >= LARGE_BATCH


def _cold_start(signs: Signs) -> Suspicion | None:
    """A burst that a warmup would have spared; where the loss never comes back below its start, the rate did it.

    So it did where the loss rises again later.
    """
    if not is_cold_start(signs):
        return None
    evidence = crossed("early_burst", signs.early_burst, limits.EARLY_BURST)
    passes = signs.explained > 0.0 and not goes_on(signs)
    confidence = 0.7 if passes else ALTERNATIVE
    return Suspicion(name=CauseName.MISSING_WARMUP, confidence=confidence, evidence=(evidence,))
