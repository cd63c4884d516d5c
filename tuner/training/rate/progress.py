"""How far a range test has come, for whoever waits for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tuner.training.rate.plan import SweepPlan

EXPECTED_HELD_RATES = 8
"""In a sweep: it depends on where the limit lies, so the end is an estimate until it is there."""


@dataclass(frozen=True, kw_only=True)
class RangeProgress:
    """``n_expected_steps`` and ``eta_seconds`` are estimates: how many rates are held shows only on the way."""

    sweep: int
    """From 1: the first that has not ended. Several may go on together."""
    n_sweeps: int
    n_steps: int
    """Taken so far, in all sweeps."""
    n_expected_steps: int
    eta_seconds: float


OnRangeProgress = Callable[[RangeProgress], None]


class SweepProgress:
    """Counts the steps of all sweeps, and tells of them."""

    def __init__(self, plan: SweepPlan, *, n_sweeps: int, tell: OnRangeProgress) -> None:
        self._steps_per_sweep = plan.n_steps + EXPECTED_HELD_RATES * plan.hold_steps
        self._tell = tell
        self._started = time.monotonic()
        self._n_steps = [0] * n_sweeps
        self._has_ended = [False] * n_sweeps

    def took(self, position: int, n_steps: int) -> None:
        self._n_steps[position] += n_steps
        n_taken = sum(self._n_steps)
        n_expected = sum(map(self._expected_steps, self._n_steps, self._has_ended))
        n_sweeps = len(self._n_steps)
        pace = (time.monotonic() - self._started) / n_taken
        self._tell(
            RangeProgress(
                sweep=min(sum(self._has_ended) + 1, n_sweeps),
                n_sweeps=n_sweeps,
                n_steps=n_taken,
                n_expected_steps=n_expected,
                eta_seconds=pace * (n_expected - n_taken),
            )
        )

    def ended(self, position: int) -> None:
        self._has_ended[position] = True

    def _expected_steps(self, n_taken: int, has_ended: bool) -> int:
        return n_taken if has_ended else max(self._steps_per_sweep, n_taken)
