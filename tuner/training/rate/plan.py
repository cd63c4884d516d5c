"""What a range test is asked to do. Loads no torch: a range that cannot be is told at once."""

import math
from dataclasses import dataclass

from search_spaces.errors import ConfigurationError

N_SWEEPS, N_STEPS, HOLD_STEPS = 3, 200, 400
MIN_STEPS = 30
RANGES = {"sgd": (1e-4, 10.0)}
ADAPTIVE_RANGE = (1e-6, 1.0)
"""Of optimizers that divide by the gradient's size: a step is about the rate itself."""


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """The range of rates, and the steps of the ramp and of each held rate."""

    low: float
    high: float
    n_steps: int
    hold_steps: int


def plan_sweeps(*, low: float, high: float, n_steps: int, hold_steps: int, n_sweeps: int) -> SweepPlan:
    """The plan of each sweep.

    Raises:
        ConfigurationError: for a range or a number of steps or sweeps that cannot be; all at once.
    """
    faults = []
    if not 0 < low < high < math.inf:
        faults.append(f"0 < low < high must hold for the rates, but got low={low:g} and high={high:g}.")
    if n_steps < MIN_STEPS or hold_steps < MIN_STEPS:
        faults.append(
            f"Ramp and hold need at least {MIN_STEPS} steps each, but got {n_steps} and {hold_steps}."
        )
    if n_sweeps < 1:
        faults.append(f"At least one sweep is needed, but got {n_sweeps}.")
    if faults:
        raise ConfigurationError("\n".join(faults))
    return SweepPlan(low=low, high=high, n_steps=n_steps, hold_steps=hold_steps)


def plan_sweeps_for(
    optimizer: str, *, low: float | None, high: float | None, n_steps: int, hold_steps: int, n_sweeps: int
) -> SweepPlan:
    """As `plan_sweeps`; an end that is None is that of ``optimizer``'s usual range."""
    usual_low, usual_high = RANGES.get(optimizer, ADAPTIVE_RANGE)
    return plan_sweeps(
        low=usual_low if low is None else low,
        high=usual_high if high is None else high,
        n_steps=n_steps,
        hold_steps=hold_steps,
        n_sweeps=n_sweeps,
    )
