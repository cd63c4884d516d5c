"""How far a range test has come, for whoever waits for it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuner.training.rate.learner import Floats, Learner
from tuner.training.rate.plan import SweepPlan

EXPECTED_HELD_RATES = 8
"""In a sweep: it depends on where the limit lies, so the end is an estimate until it is there."""


@dataclass(frozen=True, kw_only=True)
class RangeProgress:
    """``n_expected_steps`` and ``eta_seconds`` are estimates: how many rates are held shows only on the way."""

    sweep: int
    """From 1."""
    n_sweeps: int
    n_steps: int
    """Taken so far, in all sweeps."""
    n_expected_steps: int
    eta_seconds: float


OnRangeProgress = Callable[[RangeProgress], None]


class WatchedLearner:
    """A learner whose steps are counted and told."""

    def __init__(self, learner: Learner, plan: SweepPlan, *, n_sweeps: int, tell: OnRangeProgress) -> None:
        self._learner = learner
        self._n_sweeps = n_sweeps
        self._steps_per_sweep = plan.n_steps + EXPECTED_HELD_RATES * plan.hold_steps
        self._tell = tell
        self._started = time.monotonic()
        self._sweep = self._n_steps = self._n_before = 0

    def start_sweep(self) -> None:
        self._sweep += 1
        self._n_before = self._n_steps

    def reset(self, seed: int) -> None:
        self._learner.reset(seed)

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        losses = self._learner.advance(learning_rates)
        self._n_steps += len(learning_rates)
        in_sweep = max(self._steps_per_sweep, self._n_steps - self._n_before)
        n_expected = self._n_before + in_sweep + (self._n_sweeps - self._sweep) * self._steps_per_sweep
        pace = (time.monotonic() - self._started) / self._n_steps
        self._tell(
            RangeProgress(
                sweep=self._sweep,
                n_sweeps=self._n_sweeps,
                n_steps=self._n_steps,
                n_expected_steps=n_expected,
                eta_seconds=pace * (n_expected - self._n_steps),
            )
        )
        return losses
