"""The second stage: hold a rate from the untrained weights on, and bisect between stable and not.

A ramp passes each rate in a step or two, too few for an instability to grow: it overshoots the limit.
"""

import math
from dataclasses import dataclass

import numpy as np

from tuner.training.rate.asking import Asking, Wanted
from tuner.training.rate.learner import Floats

LATE_SHARE = 1 / 3
"""Of the held steps, the last: a rate is judged by the losses there."""
TOLERANCE = 0.0025
"""Of the loss's fall: by how much a rate may end above a lower one (chosen on MNIST: docs/learning_rate_range.md)."""
LADDER_FACTOR = 2.0
BRACKET_FACTOR = 1.1
"""Bisection ends when the lowest unstable rate is at most this many times the highest stable one."""
BLOCK = 50
"""Steps between two looks at whether the loss is still finite."""
SIGMA_OF_MEDIAN = 1.2533 * 1.4826
"""The standard error of a median of n normal values is this times their median absolute deviation over sqrt(n)."""

_Between = tuple[float | None, float | None]
"""The highest stable rate and the lowest unstable one; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """One rate held; ``late_losses`` are those of the last steps, infinite once the training diverged."""

    learning_rate: float
    late_losses: Floats

    @property
    def loss(self) -> float:
        return float(np.median(self.late_losses))


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Where holding becomes unstable; None on a side where no rate of the range is of that kind."""

    highest_stable: float | None
    lowest_unstable: float | None
    held: tuple[Held, ...]
    """By rising rate."""


def holding(*, seed: int, learning_rate: float, n_steps: int) -> Asking[Held]:
    """Train ``n_steps`` at one rate; the same seed sees the same minibatches at every rate."""
    losses = np.full(n_steps, np.inf)
    for first in range(0, n_steps, BLOCK):
        n = min(BLOCK, n_steps - first)
        block = yield Wanted(learning_rates=[learning_rate] * n, seed=None if first else seed)
        if not np.isfinite(block).all():
            break
        losses[first : first + n] = block
    n_late = max(1, round(LATE_SHARE * n_steps))
    return Held(learning_rate=learning_rate, late_losses=losses[-n_late:])


class StabilityLimit:
    """Searches the highest rate that ends, beyond noise and tolerance, no higher than any lower one that was held.

    A finite loss alone would be no test: minibatch training above its limit often settles on a high loss, and adaptive
    optimizers hardly ever reach infinity. On a quadratic this rule gives 2 / L, the largest curvature's limit.

    Args:
        initial_loss: of the untrained network.
    """

    def __init__(self, *, seed: int, n_steps: int, initial_loss: float) -> None:
        self._seed = seed
        self._n_steps = n_steps
        self._initial_loss = initial_loss
        self._held: dict[float, Held] = {}

    def search(self, start: float, *, low: float, high: float) -> Asking[Limit]:
        """Climb from ``start`` to an unstable rate, or down from it to a stable one; then bisect, by logarithm."""
        stable, unstable = yield from self._climb(start, high)
        if stable == start or stable is None:  # nothing lower was held yet: start may itself be too high
            stable, unstable = yield from self._descend(start, low, unstable)
        if stable is not None and unstable is not None:
            stable, unstable = yield from self._bisect(stable, unstable)
        held = tuple(self._held[rate] for rate in sorted(self._held))
        return Limit(highest_stable=stable, lowest_unstable=unstable, held=held)

    def _climb(self, rate: float, high: float) -> Asking[_Between]:
        """The highest stable rung from ``rate`` on and the next one, which is not; None where there is none."""
        stable = None
        while (yield from self._is_stable(rate)):
            stable = rate
            if rate >= high:
                return stable, None
            rate = min(rate * LADDER_FACTOR, high)
        return stable, rate

    def _descend(self, rate: float, low: float, unstable: float | None) -> Asking[_Between]:
        """The first stable rung from ``rate`` down, judged against the next lower one, and the lowest unstable."""
        while rate > low:
            lower = max(rate / LADDER_FACTOR, low)
            yield from self._hold(lower)
            if (yield from self._is_stable(rate)):
                return rate, unstable
            rate, unstable = lower, rate
        return (rate, unstable) if (yield from self._is_stable(rate)) else (None, rate)

    def _bisect(self, stable: float, unstable: float) -> Asking[tuple[float, float]]:
        while unstable > stable * BRACKET_FACTOR:
            middle = math.sqrt(stable * unstable)
            if (yield from self._is_stable(middle)):
                stable = middle
            else:
                unstable = middle
        return stable, unstable

    def _is_stable(self, rate: float) -> Asking[bool]:
        """Whether ``rate`` ends no higher than untrained, and than the best lower rate held, minibatch by minibatch."""
        mine = (yield from self._hold(rate)).late_losses
        if not np.isfinite(mine).all() or np.median(mine) > self._initial_loss:
            return False
        lower = [held for held in self._held.values() if held.learning_rate < rate]
        if not lower:
            return True
        best = min(lower, key=lambda held: held.loss)
        gaps = mine - best.late_losses
        gap = float(np.median(gaps))
        noise = SIGMA_OF_MEDIAN * float(np.median(np.abs(gaps - gap))) / math.sqrt(len(gaps))
        fall = self._initial_loss - min(best.loss, float(np.median(mine)))
        return gap <= max(TOLERANCE * fall, noise)

    def _hold(self, rate: float) -> Asking[Held]:
        if rate not in self._held:
            self._held[rate] = yield from holding(seed=self._seed, learning_rate=rate, n_steps=self._n_steps)
        return self._held[rate]
