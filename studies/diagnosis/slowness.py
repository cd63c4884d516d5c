"""Why a training ends short of what it could be: each rule wants the harm in the curves and the mechanism that does it.

The harm: the training data is fitted hardly better than validation (``fit_ratio``), so it is the fit that is poor, and
the accuracy is not good enough to make nothing of it.
"""

import math
from collections.abc import Callable

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, crossed_late, falls_short
from studies.diagnosis.curves import Curve
from studies.diagnosis.finding import CauseName, Evidence
from studies.diagnosis.progress import (
    crossed_short,
    gain_of_path,
    gain_of_peak,
    hardly_left,
    is_good,
    low_rate_share,
    path_length,
    promises_by_path,
    stopped_short,
    would_bring_most,
)
from studies.diagnosis.reference import trained
from studies.diagnosis.signs import LATE, Signs
from studies.diagnosis.thresholds import Threshold
from studies.diagnosis.weighing import Suspicion
from studies.readings import NAN

Rule = Callable[[Signs], Suspicion | None]

ADAPTIVE = frozenset({"adam", "adamw", "rmsprop"})
"""Optimizers whose steps are as large for small gradients as for large ones."""

GROWTH = 4.0
"""Times the training: what is promised for so much more of it (own design, as in `expected_gain`)."""


def is_unfinished(signs: Signs) -> bool:
    """Whether it ended far too soon: still on its way, or after so short a way that nothing else is to blame."""
    return _is_on_its_way(signs) or stopped_short(signs)


def _is_on_its_way(signs: Signs) -> bool:
    """Whether it fits its training data poorly, still gets better at its end, and has something to gain.

    How much of the untrained loss is left says nothing of that: a hard task keeps most of it for good.
    """
    # The steps of few epochs are large ones: they may have gone as far without having arrived, but not much farther.
    usual = 1.0 if not _is_short(signs) else GROWTH
    went_far = path_length(signs) > usual * limits.LONG_PATH.value
    if is_good(signs) or went_far or not signs.fit_ratio > limits.FIT_RATIO_UNFINISHED.value:
        return False
    has_hardly_begun = signs.explained < 1.0 - limits.LOST_LEARNING.value
    # A steep end promises much by itself; the way that is left to go says whether it is to be had.
    is_near = not _is_short(signs) and gain_of_path(signs) < limits.GAIN_LEFT.value
    return _falls(signs) and (
        has_hardly_begun or (_promised(signs) > _gain_limit(signs).value and not is_near)
    )


def _promised(signs: Signs) -> float:
    """The expected gain; of few epochs by their rates too: a schedule that ends in the second hides how it goes on."""
    gain, by_rates = expected_gain(signs), gain_by_rates(signs)
    return max(gain, by_rates) if _is_short(signs) and math.isfinite(by_rates) else gain


def _is_short(signs: Signs) -> bool:
    return signs.n_epochs < limits.FEW_EPOCHS.value


def _gain_limit(signs: Signs) -> Threshold:
    """Of the expected gain: what few epochs promise is to be had."""
    return limits.EXPECTED_GAIN_SHORT if _is_short(signs) else limits.EXPECTED_GAIN


def _falls(signs: Signs) -> bool:
    if _is_short(signs):
        return signs.doubling_fall > limits.DOUBLING_FALL.value
    return signs.fall_over_noise > limits.FALL_OVER_NOISE.value


def expected_gain(signs: Signs) -> float:
    """The accuracy that four times the epochs promise, in standard errors of it; NaN without accuracies.

    The error is taken to go on as the validation loss did over the last doubling, twice.
    """
    left = 1.0 - min(max(signs.doubling_fall, 0.0), 1.0)
    return signs.late_error * (1.0 - left**2) / signs.accuracy_noise


def warmup_cost(signs: Signs) -> float:
    """The accuracy that the warmup cost, in standard errors of it: what its steps would have brought at the peak rate.

    NaN where the rates that were read do not show it.
    """
    rates = signs.rates
    rising = np.diff(rates) > 0.0
    if not rising.any():
        return NAN
    missing = float((rates.max() - rates[:-1])[rising].sum())
    return gain_by_rates(signs, times=1.0 + missing / float(rates.sum()))


def slowness(signs: Signs) -> tuple[Suspicion, ...]:
    """All that may keep the training from its end; empty where nothing does."""
    return tuple(suspicion for rule in _RULES if (suspicion := rule(signs)) is not None)


def clipping_too_tight(signs: Signs) -> Suspicion | None:
    """Most steps are clipped, and the training gets on slowly or not at all.

    Not with an optimizer that divides by the size of past gradients: what clipping takes away it gives back.
    """
    if signs.situation.choice("optimizer") in ADAPTIVE:
        return None
    hardly_moves = signs.update_ratio < limits.UPDATE_RATIO_LOW.value
    is_slow = is_unfinished(signs) or hardly_moves or signs.explained < 1.0 - limits.LOST_LEARNING.value
    is_held = not is_slow and _is_held_by_clipping(signs)
    if not (signs.clip_share > limits.CLIP_FRACTION.value and (is_slow or is_held)):
        return None
    rule = limits.ALL_CLIPPED if is_held else limits.CLIP_FRACTION
    fit = (fit_evidence(signs, limits.FIT_RATIO_SHORT_PATH),) if is_held else _shortness(signs)
    return Suspicion(
        name=CauseName.CLIPPING_TOO_TIGHT,
        confidence=0.9,
        evidence=(_over_all("clip_fraction", signs.clip_share, rule, signs), *fit),
    )


def _is_held_by_clipping(signs: Signs) -> bool:
    """Whether clipping sets the length of every step, and leaves a poor fit that still gets better at its end."""
    is_poor = signs.fit_ratio > limits.FIT_RATIO_SHORT_PATH.value and falls_short(signs.trial)
    return signs.clip_share > limits.ALL_CLIPPED.value and is_poor and _falls(signs)


def _premature_decay(signs: Signs) -> Suspicion | None:
    """The rate was gone before the fit was there: with it the slope, or what its peak would have brought since."""
    evidence = _dear_decay(signs) or _flat_decay(signs)
    if not evidence:
        return None
    return Suspicion(name=CauseName.PREMATURE_DECAY, confidence=0.9, evidence=evidence)


def _dear_decay(signs: Signs) -> tuple[Evidence, ...]:
    """Most steps at next to nothing of the peak rate, which would have brought much."""
    share, gain = low_rate_share(signs), gain_of_peak(signs)
    fit = limits.FIT_RATIO_CLEAR if would_bring_most(signs) else limits.FIT_RATIO_SHORT_PATH
    is_poor = signs.fit_ratio > fit.value and not is_good(signs)
    if not (share > limits.LOW_RATE_SHARE.value and gain > limits.GAIN_OF_PATH.value and is_poor):
        return ()
    return (
        _over_all("low_rate_share", share, limits.LOW_RATE_SHARE, signs),
        _over_all("gain_of_peak", gain, limits.GAIN_OF_PATH, signs),
        fit_evidence(signs, fit),
    )


def _flat_decay(signs: Signs) -> tuple[Evidence, ...]:
    """A rate that was mostly over, and a loss that ends flat: of accuracies nothing need be known."""
    is_flat = abs(signs.late_train_fall) < limits.DECAYED_FALL.value
    is_poor = signs.fit_ratio > limits.FIT_RATIO_DECAYED.value
    if not (signs.rate_area < limits.RATE_AREA.value and is_poor and is_flat):
        return ()
    return (
        _over_all("rate_area", signs.rate_area, limits.RATE_AREA, signs),
        fit_evidence(signs, limits.FIT_RATIO_DECAYED),
    )


def _warmup_too_long(signs: Signs) -> Suspicion | None:
    """The rate rose for most of the time, and the loss still falls as it does at a training's start, or ends high."""
    is_long = signs.warmup_share > limits.LONG_WARMUP.value
    is_best_late = _best_is_late(trained(signs.trial, "validation_loss"))
    still_early = is_best_late and signs.late_fall > limits.WARMUP_FALL.value
    promises_more = expected_gain(signs) > limits.EXPECTED_GAIN.value
    is_short = promises_more or is_unfinished(signs) or rose_for_most(signs)
    if not (is_long and (still_early or is_short)):
        return None
    evidence = [
        _over_all("warmup_share", signs.warmup_share, limits.LONG_WARMUP, signs),
        crossed_late("validation_loss_fall", signs.late_fall, limits.WARMUP_FALL, signs),
    ]
    if math.isfinite(cost := warmup_cost(signs)):
        evidence.append(_over_all("warmup_cost_in_standard_errors", cost, limits.NOISE_FLOORS, signs))
    return Suspicion(name=CauseName.WARMUP_TOO_LONG, confidence=0.88, evidence=tuple(evidence))


def rose_for_most(signs: Signs) -> bool:
    """Whether the rate rose for most of a training that was allowed to end, and that ends with a poor fit for it.

    No schedule that anybody means rises for so long. One that was cut off may only have begun with its warmup.
    """
    is_poor = signs.fit_ratio > limits.FIT_RATIO_SHORT_PATH.value and not is_good(signs)
    return signs.trial.state == "complete" and signs.warmup_share > limits.MOSTLY_WARMUP.value and is_poor


def _best_is_late(losses: Curve) -> bool:
    return len(losses) >= LATE and int(losses.argmin()) >= len(losses) - max(1, len(losses) // LATE)


def _batch_too_large(signs: Signs) -> Suspicion | None:
    """Few steps an epoch; before a low rate where the steps lack more in number than in size."""
    is_few = is_unfinished(signs) and signs.steps_per_epoch <= limits.FEW_STEPS_PER_EPOCH.value
    is_handful = signs.steps_per_epoch <= limits.HANDFUL_PER_EPOCH.value
    is_short = stopped_short(signs, limits.GAIN_OF_FEW_STEPS) or promises_by_path(signs)
    if not (is_few or (is_handful and is_short)):
        return None
    evidence = _over_all("steps_per_epoch", signs.steps_per_epoch, limits.FEW_STEPS_PER_EPOCH, signs)
    usual = limits.UPDATE_RATIO_USUAL.value
    n_lacking, size_lacking = limits.USUAL_PATH.value / usual / signs.n_steps, usual / signs.update_ratio
    return Suspicion(
        name=CauseName.BATCH_TOO_LARGE,
        confidence=0.6 if size_lacking > n_lacking else 0.85,
        evidence=(evidence, *_shortness(signs)),
    )


def _rate_too_low(signs: Signs) -> Suspicion | None:
    """Small updates all along: more of the same epochs would be a dear way to the same end.

    Where the updates are usual and the way was short for all that, a higher rate is as good as more epochs.
    """
    is_slow = is_unfinished(signs) and signs.update_ratio < limits.UPDATE_RATIO_SLOW.value
    if is_slow or _creeps(signs) or hardly_left(signs):
        rule = limits.UPDATE_RATIO_SLOW if is_slow else limits.UPDATE_RATIO_CREEPING
        shortness = _shortness(signs) if is_slow or _creeps(signs) else _nearness(signs)
        evidence = (_over_all("update_ratio", signs.update_ratio, rule, signs), *shortness)
        confidence = 0.65 if _is_short(signs) else 0.82
    elif stopped_short(signs) and not (_premature_decay(signs) or _warmup_too_long(signs)):
        evidence, confidence = _shortness(signs), 0.4 if _is_short(signs) else 0.55
    else:
        return None
    return Suspicion(name=CauseName.LEARNING_RATE_TOO_LOW, confidence=confidence, evidence=evidence)


def _creeps(signs: Signs) -> bool:
    """Whether tiny updates leave most of the loss, and a schedule that ends at nothing hides how it would go on."""
    hardly_moves = signs.update_ratio < limits.UPDATE_RATIO_CREEPING.value
    much_is_left = signs.explained < 1.0 - limits.MOST_IS_LEFT.value
    is_poor = signs.fit_ratio > limits.FIT_RATIO_UNFINISHED.value and not is_good(signs)
    promises_more = gain_by_rates(signs) > limits.EXPECTED_GAIN_SHORT.value
    return hardly_moves and much_is_left and is_poor and _falls(signs) and promises_more


def gain_by_rates(signs: Signs, times: float = GROWTH) -> float:
    """As `expected_gain`, for so many times the sum of the rates: epochs count by what the schedule left of their rate.

    The error is taken to fall with that sum as the validation loss did over the second half of the training. NaN
    without accuracies, and where the rates were not read.
    """
    rates = signs.rates
    total, early = float(rates.sum()), float(rates[: len(rates) // 2].sum())
    if not 0.0 < early < total:
        return NAN
    left = 1.0 - min(max(signs.doubling_fall, 0.0), 1.0)
    n_halves = math.log(times) / math.log(total / early)
    return signs.late_error * float(1.0 - left**n_halves) / signs.accuracy_noise


def _too_few_epochs(signs: Signs) -> Suspicion | None:
    """Only of a training that was allowed to end."""
    if signs.trial.state != "complete" or not (is_unfinished(signs) or _has_hardly_begun(signs)):
        return None
    evidence = _shortness(signs)
    if _is_on_its_way(signs):
        evidence = (
            crossed_late("validation_loss_fall", signs.doubling_fall, limits.DOUBLING_FALL, signs),
            crossed_late("expected_gain", _promised(signs), _gain_limit(signs), signs),
            *evidence,
        )
    confidence = 0.87 if _is_short(signs) else 0.5
    return Suspicion(name=CauseName.TOO_FEW_EPOCHS, confidence=confidence, evidence=evidence)


def _has_hardly_begun(signs: Signs) -> bool:
    """Whether the loss is that of the start after so few steps and epochs that nobody can say more of it."""
    is_brief = _is_short(signs) and limits.FEW_STEPS.value <= signs.n_steps < limits.FEW_STEPS_IN_ALL.value
    is_calm = signs.burst < limits.BURST.value and signs.update_ratio > limits.UPDATE_RATIO_LOW.value
    return is_brief and is_calm and signs.explained < 1.0 - limits.HARDLY_BEGUN.value


def _shortness(signs: Signs) -> tuple[Evidence, ...]:
    """That the fit is poor, and how short the way was where that is what tells."""
    short = crossed_short(signs)
    if short is None:
        return (fit_evidence(signs, limits.FIT_RATIO_UNFINISHED),)
    fit, gain = short
    return (
        _over_all("path_length", path_length(signs), limits.USUAL_PATH, signs),
        _over_all("gain_of_path", gain_of_path(signs), gain, signs),
        fit_evidence(signs, fit),
    )


def _nearness(signs: Signs) -> tuple[Evidence, ...]:
    """That it hardly left its start, and what going on promises."""
    return (
        _over_all("path_length", path_length(signs), limits.CREEPING_PATH, signs),
        _over_all("gain_of_path", gain_of_path(signs), limits.GAIN_LEFT, signs),
        crossed_late("loss_ratio", signs.loss_ratio, limits.LOSS_RATIO_CREEPING, signs),
    )


def fit_in_words(signs: Signs) -> str:
    """The two readings whose ratio is the fit ratio: losses where theirs is the lower one, else errors."""
    error = 1.0 - signs.late("probe_accuracy")
    if signs.fit_ratio < signs.loss_ratio:
        return f"its late error is {error:.1%} on the training data and {signs.late_error:.1%} on validation"
    validation = signs.late("validation_loss")
    own = signs.loss_ratio * validation
    return f"its late loss is {own:.3g} on the training data and {validation:.3g} on validation"


def fit_evidence(signs: Signs, threshold: Threshold) -> Evidence:
    """That the training data itself is fitted poorly."""
    return crossed_late("fit_ratio", signs.fit_ratio, threshold, signs)


def _over_all(quantity: str, value: float, threshold: Threshold, signs: Signs) -> Evidence:
    return crossed(quantity, value, threshold, first_step=signs.rows[0].epoch, last_step=signs.last_epoch)


_RULES: tuple[Rule, ...] = (
    _premature_decay,
    _warmup_too_long,
    _batch_too_large,
    _rate_too_low,
    _too_few_epochs,
)
