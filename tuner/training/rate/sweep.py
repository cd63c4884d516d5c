"""One seeded sweep: a ramp over all rates, then the search for the highest stable one."""

from dataclasses import dataclass
from typing import Any

from tuner.training.rate.asking import Asking
from tuner.training.rate.holding import Held, StabilityLimit
from tuner.training.rate.plan import SweepPlan
from tuner.training.rate.ramp import Ramp, ramping

START_FACTOR = 2.0
"""Of the steepest rate, where holding begins: the limit was 8 to 20 times the steepest rate on MNIST."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What one seed saw. A mark is None where the loss did not fall, or the range did not hold it."""

    seed: int
    ramp: Ramp
    held: tuple[Held, ...]
    highest_stable: float | None
    lowest_unstable: float | None

    @property
    def steepest(self) -> float | None:
        return self.ramp.steepest if self.ramp.falls else None

    @property
    def valley(self) -> float | None:
        return self.ramp.valley if self.ramp.falls else None

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "learning_rate": self.ramp.learning_rate,
            "loss": self.ramp.loss,
            "smoothed": self.ramp.descent,
            "steepest": self.steepest,
            "valley": self.valley,
            "highest_stable": self.highest_stable,
            "lowest_unstable": self.lowest_unstable,
            "held": [
                {
                    "learning_rate": held.learning_rate,
                    "loss": held.loss,
                    "stable": self.highest_stable is not None and held.learning_rate <= self.highest_stable,
                }
                for held in self.held
            ],
        }


def sweeping(plan: SweepPlan, *, seed: int) -> Asking[Sweep]:
    """The ramp of ``seed``, and its highest stable rate if the loss fell at all."""
    ramp = yield from ramping(seed=seed, low=plan.low, high=plan.high, n_steps=plan.n_steps)
    if not ramp.falls:
        return Sweep(seed=seed, ramp=ramp, held=(), highest_stable=None, lowest_unstable=None)
    search = StabilityLimit(seed=seed, n_steps=plan.hold_steps, initial_loss=ramp.initial_loss)
    start = min(START_FACTOR * ramp.steepest, plan.high)
    limit = yield from search.search(start, low=plan.low, high=plan.high)
    return Sweep(
        seed=seed,
        ramp=ramp,
        held=limit.held,
        highest_stable=limit.highest_stable,
        lowest_unstable=limit.lowest_unstable,
    )
