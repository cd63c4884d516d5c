"""What the figure of a learning-rate range test shows, as plain data. Drawing is left to ``rate_drawing``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

HEADROOM = 1.5
"""Of the untrained loss: higher ones are divergence, and would press the descent into a line."""
MARKS = {
    "steepest": "steepest",
    "valley": "valley",
    "suggested": "suggested",
    "highest_stable": "highest stable",
}


@dataclass(frozen=True, kw_only=True)
class SweepCurve:
    """The ramp of one seed."""

    seed: int
    frame: pd.DataFrame
    """Columns learning_rate, loss, smoothed."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A marked rate and what it was in the single sweeps, from ``low`` to ``high``."""

    name: str
    rate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class RateFigure:
    """Ramps, held rates and marks."""

    curves: tuple[SweepCurve, ...]
    held: pd.DataFrame
    """Columns seed, learning_rate, loss, stable; a rate that diverged has no loss."""
    marks: tuple[Mark, ...]
    """By rising rate."""
    loss_range: tuple[float, float]
    is_log: bool
    """Whether all losses are positive, so that the axis may be logarithmic."""


def rate_figure(found: Mapping[str, Any]) -> RateFigure:
    """``found`` is what `tuner lr-range --json` prints."""
    curves = tuple(
        SweepCurve(
            seed=sweep["seed"],
            frame=pd.DataFrame({name: sweep[name] for name in ("learning_rate", "loss", "smoothed")}),
        )
        for sweep in found["sweeps"]
        if len(sweep["loss"])
    )
    rows = [
        (sweep["seed"], held["learning_rate"], _finite(held["loss"]), held["stable"])
        for sweep in found["sweeps"]
        for held in sweep["held"]
    ]
    held = pd.DataFrame(rows, columns=["seed", "learning_rate", "loss", "stable"])
    loss_range, is_log = _loss_axis([curve.frame for curve in curves], held)
    return RateFigure(curves=curves, held=held, marks=_marks(found), loss_range=loss_range, is_log=is_log)


def _marks(found: Mapping[str, Any]) -> tuple[Mark, ...]:
    intervals = dict(found["intervals"]) | {"suggested": (found["low"], found["high"])}
    marks = [
        Mark(name=text, rate=found[name], low=intervals[name][0], high=intervals[name][1])
        for name, text in MARKS.items()
        if found[name] is not None
    ]
    return tuple(sorted(marks, key=lambda mark: mark.rate))


def _loss_axis(frames: Sequence[pd.DataFrame], held: pd.DataFrame) -> tuple[tuple[float, float], bool]:
    losses = [frame["smoothed"].to_numpy() for frame in frames] + [held["loss"].dropna().to_numpy(float)]
    shown = np.concatenate([np.array([np.nan]), *losses])
    if np.isnan(shown).all():
        return (0.0, 1.0), False
    start = max(float(frame["smoothed"].iloc[0]) for frame in frames)
    low, high = float(np.nanmin(shown)), HEADROOM * start
    if low <= 0 or start <= 0:
        room = 0.05 * (start - low) + 1e-9
        return (low - room, start + 10 * room), False
    return (low / 1.1, high), True


def _finite(loss: float | None) -> float:
    return math.nan if loss is None or not math.isfinite(loss) else loss
