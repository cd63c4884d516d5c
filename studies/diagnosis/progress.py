"""How far a training went, and what going on would bring: both by the rates of its steps, not by its epochs.

An epoch at a thousandth of the peak rate is no epoch: what a schedule took away is still to be had. So the loss is seen
over the sum of the rates so far, on which it falls as on the steps of a constant rate.
"""

import math
from collections.abc import Callable
from functools import wraps
from statistics import median

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.curves import Curve
from studies.diagnosis.reference import trained, untrained_loss
from studies.diagnosis.signs import Signs
from studies.diagnosis.thresholds import Threshold
from studies.readings import NAN

LOW_RATE = 0.1
"""Of the peak rate: steps at less hardly move anything."""
N_DOUBLINGS = 4.0
"""How far a fall is taken to go on, at most: who sees the first percent of a training knows little of its end."""


def _once(reading: Callable[[Signs], float]) -> Callable[[Signs], float]:
    """Worked out once of the same signs: the rules ask for it some twenty times."""

    @wraps(reading)
    def known(signs: Signs) -> float:
        name = reading.__name__
        if name not in signs.worked_out:
            signs.worked_out[name] = reading(signs)
        return signs.worked_out[name]

    return known


@_once
def path_length(signs: Signs) -> float:
    """All updates laid end to end, in norms of the weights they move: a median over layers, summed over the steps.

    An epoch whose updates were not read counts as those beside it; NaN where none were read.
    """
    read = np.array([_layers_median(signs, position) for position in range(signs.n_epochs)])
    known = np.flatnonzero(np.isfinite(read))
    if not len(known):
        return NAN
    per_step = np.interp(np.arange(len(read)), known, read[known])
    steps = {block.epoch: len(block) for block in signs.telemetry.steps}
    n_steps = np.array([steps.get(row.epoch, signs.steps_per_epoch) for row in signs.rows], dtype=np.float64)
    return float(per_step @ n_steps)


def _layers_median(signs: Signs, position: int) -> float:
    """Of those that moved; 0 where none did."""
    ratios = [layer.update_ratio for layer in signs.rows[position].layers if layer.update_ratio >= 0.0]
    moved = [ratio for ratio in ratios if ratio > 0.0]
    return median(moved or ratios) if ratios else NAN  # of a few floats: numpy's takes ten times as long


@_once
def fall_by_rates(signs: Signs) -> float:
    """Relative fall of the least validation loss so far over the last doubling of the sum of the rates.

    Within an epoch the logarithm of the loss is taken to fall evenly. NaN where a loss or a rate was not read.
    """
    losses, rates = trained(signs.trial, "validation_loss"), _rates_of_epochs(signs)
    curve = np.concatenate([[untrained_loss(signs.telemetry)], losses])
    if not len(losses) or not np.all(np.isfinite(curve) & (curve > 0.0)) or not float(rates.sum()) > 0.0:
        return NAN
    so_far = np.concatenate([[0.0], rates.cumsum()]) / rates.sum()
    logarithms = np.log(np.minimum.accumulate(curve))
    return 1.0 - math.exp(float(logarithms[-1] - np.interp(0.5, so_far, logarithms)))


def _rates_of_epochs(signs: Signs) -> Curve:
    """The sum of the rates of each epoch's steps; of the epochs' last rates where the steps were not loaded."""
    sums = {block.epoch: float(block.learning_rate.sum(dtype=np.float64)) for block in signs.telemetry.steps}
    if not sums:
        return trained(signs.trial, "learning_rate")
    return np.array([sums.get(row.epoch, NAN) for row in signs.rows], dtype=np.float64)


def share_of_error(signs: Signs, times: float) -> float:
    """The share of the validation error that ``times`` the sum of the rates promises to take away.

    The error is taken to fall on as the validation loss did over the last doubling of that sum, as far as four more.
    """
    left = 1.0 - min(max(fall_by_rates(signs), 0.0), 1.0)
    if not times >= 1.0 or math.isnan(left):
        return NAN
    return 1.0 - math.pow(left, min(math.log2(times), N_DOUBLINGS))


def gain_of(signs: Signs, times: float) -> float:
    """The accuracy that this is, in standard errors of it; NaN without accuracies."""
    return signs.late_error * share_of_error(signs, times) / signs.accuracy_noise


def gain_of_path(signs: Signs) -> float:
    """What going as far as sound trainings do would bring, as `gain_of`."""
    return gain_of(signs, _times_to_usual(signs))


def _times_to_usual(signs: Signs) -> float:
    length = path_length(signs)
    return limits.USUAL_PATH.value / length if length > 0.0 else NAN


def stopped_short(signs: Signs, gain: Threshold = limits.GAIN_OF_PATH) -> bool:
    """Whether the weights went less far than usual, the fit is poor for it, and going on promises clearly more."""
    return crossed_short(signs, gain) is not None


def crossed_short(signs: Signs, gain: Threshold = limits.GAIN_OF_PATH) -> tuple[Threshold, Threshold] | None:
    """The thresholds of the fit ratio and of the promise that a training crossed which stopped short, else None.

    The poorer the fit, the less need be promised: they are two signs of one thing.
    """
    share = share_of_error(signs, _times_to_usual(signs))
    if is_good(signs) or not share > limits.SHARE_OF_ERROR.value:
        return None
    pairs = [(limits.FIT_RATIO_SHORT_PATH, gain), (limits.FIT_RATIO_UNFINISHED, limits.GAIN_LEFT)]
    if share > limits.SHARE_CLEAR.value:
        pairs.append((limits.FIT_RATIO_CLEAR, limits.GAIN_CLEAR))
    promised, ratio = gain_of_path(signs), signs.fit_ratio
    return next((pair for pair in pairs if ratio > pair[0].value and promised > pair[1].value), None)


def promises_by_path(signs: Signs) -> bool:
    """Whether the way was short, and going on promises so much for a handful of steps that no fit excuses it."""
    falls = share_of_error(signs, _times_to_usual(signs)) > limits.SHARE_OF_ERROR.value
    return falls and not is_good(signs) and gain_of_path(signs) > limits.GAIN_OF_A_HANDFUL.value


def hardly_left(signs: Signs) -> bool:
    """Whether tiny updates led nearly nowhere, and there is something to be had farther on.

    That is all the ways there are to see it at once: so small a step, so short a way, so much that it promises.
    """
    is_near = path_length(signs) < limits.CREEPING_PATH.value
    is_slow = signs.update_ratio < limits.UPDATE_RATIO_CREEPING.value
    is_unlearned = signs.loss_ratio > limits.LOSS_RATIO_CREEPING.value and not is_good(signs)
    return is_near and is_slow and is_unlearned and gain_of_path(signs) > limits.GAIN_LEFT.value


def low_rate_share(signs: Signs) -> float:
    """The share of the steps at less than a tenth of the peak rate."""
    rates = signs.rates
    return float(np.mean(rates < LOW_RATE * rates.max())) if len(rates) and rates.max() > 0.0 else NAN


def gain_of_peak(signs: Signs) -> float:
    """What all steps at the peak rate would have brought, as `gain_of`."""
    return gain_of(signs, _times_to_peak(signs))


def would_bring_most(signs: Signs) -> bool:
    """Whether all steps at the peak rate would clearly have taken most of the error away."""
    share = share_of_error(signs, _times_to_peak(signs))
    return share > limits.SHARE_CLEAR.value and gain_of_peak(signs) > limits.GAIN_CLEAR.value


def _times_to_peak(signs: Signs) -> float:
    return 1.0 / signs.rate_area if signs.rate_area > 0.0 else NAN


def is_good(signs: Signs) -> bool:
    """Whether so few errors are left that they are no fault of length or rate."""
    return 1.0 - signs.late_error > limits.GOOD_ENOUGH.value
