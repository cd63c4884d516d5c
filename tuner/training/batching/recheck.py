"""Is the rate that a rule gave stable at the picked batch? A short learning-rate range test answers."""

from dataclasses import dataclass

from tuner.training.batching.candidates import Candidate
from tuner.training.batching.throughput import OnPart
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.learning_rate_range import learning_rate_range
from tuner.training.models import ModelBuilder
from tuner.training.rate.plan import HOLD_STEPS, MIN_STEPS
from tuner.training.rate.progress import EXPECTED_HELD_RATES

BELOW, ABOVE = 100.0, 10.0
"""The range that is tested, as factors of the rate: a loss must be seen to fall below it, and to break above."""
RAMP_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Recheck:
    """What the range test said of one candidate's rate."""

    rule_rate: float
    learning_rate: float
    """The rule's, or the suggested one where that was not stable."""
    highest_stable: float | None
    reliable: bool
    reason: str
    """The range test's own words."""

    @property
    def is_lowered(self) -> bool:
        return self.learning_rate < self.rule_rate


def recheck_rate(
    candidate: Candidate,
    config: TrainingConfig,
    splits: Splits,
    *,
    model: ModelBuilder | None,
    budget_seconds: float,
    on_part: OnPart,
) -> Recheck:
    """Keep ``candidate``'s rate where a short range test finds it stable or finds no limit, else lower it."""
    rate = candidate.learning_rate
    found = learning_rate_range(
        candidate.config(config),
        splits,
        model=model,
        n_sweeps=1,
        low=rate / BELOW,
        high=rate * ABOVE,
        n_steps=RAMP_STEPS,
        hold_steps=_hold_steps(candidate.seconds_per_step, budget_seconds),
        on_progress=lambda progress: on_part(progress.n_steps / progress.n_expected_steps),
    )
    limit, suggested = found.highest_stable, found.suggested
    is_too_high = limit is not None and suggested is not None and rate > limit
    return Recheck(
        rule_rate=rate,
        learning_rate=suggested if is_too_high and suggested is not None else rate,
        highest_stable=limit,
        reliable=found.reliable,
        reason=found.reason,
    )


def shortest_steps() -> int:
    """Optimizer steps of the shortest range test, about."""
    return RAMP_STEPS + EXPECTED_HELD_RATES * MIN_STEPS


def _hold_steps(seconds_per_step: float, budget_seconds: float) -> int:
    """Steps for which each rate is held, so that the whole test takes about ``budget_seconds``."""
    n_steps = (budget_seconds / seconds_per_step - RAMP_STEPS) / EXPECTED_HELD_RATES
    return round(min(max(n_steps, MIN_STEPS), HOLD_STEPS))
