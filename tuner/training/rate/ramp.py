"""The first stage: a rate that rises exponentially from step to step, and where the loss fell on the way."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tuner.training.rate.asking import Asking, Wanted
from tuner.training.rate.learner import Floats

SMOOTHING = 0.9
"""Weight of a step's neighbor in the smoothed loss: about ten steps to either side count."""
STOP_FACTOR = 4.0
"""The ramp ends when the smoothed loss is this many times its minimum (as fastai's)."""
LEAD_SHARE = 0.1
"""Of the steps, the first: at these rates nothing is learned yet, their loss is that of the untrained network."""
FALL_SIGMAS = 4.0
FALL_SHARE = 0.05
"""A fall counts when it is this many standard errors, and this share of the untrained loss.

On random labels an untrained network still wins 2 to 4% by learning that all classes are as likely.
"""
DESCENT = (0.1, 0.9)
"""Where the descent begins and ends, as shares of the fall."""
MIN_LOSSES = 5
BLOCK = 10
"""Steps between two looks at whether to stop."""


def smoothed(losses: Floats) -> Floats:
    """An exponentially weighted mean over the steps before and after, without lag.

    The weights at each step are divided by their own sum, so neither end is drawn towards zero: the last value is
    the bias-corrected running mean. Shape [n_steps].
    """
    steps = np.arange(len(losses))
    weights = SMOOTHING ** np.abs(steps[:, None] - steps)
    return np.asarray(weights @ losses / weights.sum(1))


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """The rates that were taken, rising, and the loss before each step; both [n_steps]."""

    learning_rate: Floats
    loss: Floats
    """Finite: a ramp ends before the first that is not."""

    @cached_property
    def initial_loss(self) -> float:
        """Of the untrained network."""
        return float(np.median(self.loss[: self._n_lead]))

    @property
    def is_broken(self) -> bool:
        """Whether the loss stopped being finite while the rates were still far too low to be the reason."""
        return len(self.loss) < MIN_LOSSES

    @cached_property
    def falls(self) -> bool:
        """Whether the loss fell below the untrained one by more than its noise."""
        if self.is_broken:
            return False
        # Second differences see the noise and not the curve: of white noise their variance is six times its own.
        sigma = 1.4826 * float(np.median(np.abs(np.diff(self.loss, 2)))) / math.sqrt(6)
        effective_steps = (1 + SMOOTHING) / (1 - SMOOTHING)
        standard_error = sigma * math.sqrt(1 / self._n_lead + 1 / effective_steps)
        fall = self.initial_loss - float(self.descent.min())
        return fall > FALL_SIGMAS * standard_error and fall > FALL_SHARE * abs(self.initial_loss)

    @cached_property
    def steepest(self) -> float:
        """The rate at which the smoothed loss falls fastest per decade, before its minimum."""
        slope = np.gradient(self.descent, np.log(self.learning_rate))
        n = max(int(self.descent.argmin()), 1)
        return float(self.learning_rate[slope[:n].argmin()])

    @cached_property
    def valley(self) -> float:
        """The middle, by logarithm, of the smoothed loss's descent, from a tenth of its fall to nine tenths.

        fastai's valley is the middle of the longest decreasing subsequence: noise before the descent draws it far down.
        """
        until_minimum = self.descent[: int(self.descent.argmin()) + 1]
        fallen = (until_minimum[0] - until_minimum) / (until_minimum[0] - until_minimum[-1])
        first, last = (int((fallen >= share).argmax()) for share in DESCENT)
        return float(np.sqrt(self.learning_rate[first] * self.learning_rate[last]))

    @property
    def _n_lead(self) -> int:
        return max(3, round(LEAD_SHARE * len(self.loss)))

    @cached_property
    def descent(self) -> Floats:
        """Smoothed, but nothing above the untrained loss: divergence would reach back over the fall."""
        return smoothed(np.minimum(self.loss, self.loss[: self._n_lead].max(initial=-np.inf)))


def ramping(*, seed: int, low: float, high: float, n_steps: int) -> Asking[Ramp]:
    """Ramp from ``low`` to ``high``, or until the loss diverges."""
    rates = np.geomspace(low, high, n_steps)
    losses = np.empty(0)
    for first in range(0, n_steps, BLOCK):
        block = rates[first : first + BLOCK].tolist()
        losses = np.append(losses, (yield Wanted(learning_rates=block, seed=None if first else seed)))
        is_finite = np.isfinite(losses)
        if not is_finite.all():
            losses = losses[: int(is_finite.argmin())]
            break
        level = smoothed(losses)
        if level[-1] > STOP_FACTOR * max(level.min(), 0.0) and level[-1] > level[0]:
            break
    return Ramp(learning_rate=rates[: len(losses)], loss=losses)
