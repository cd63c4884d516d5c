"""One number of several readings, of which some may be missing: NaN where nothing is known."""

import math
from collections.abc import Iterable
from statistics import median

import numpy as np
import numpy.typing as npt

from studies.readings import NAN


def mean_of(values: npt.NDArray[np.float64] | npt.NDArray[np.bool_]) -> float:
    """NaN for none, and where one is NaN."""
    return float(np.mean(values)) if len(values) else NAN


def median_of(values: Iterable[float]) -> float:
    """Of the positive ones: a layer that does not move has no ratio."""
    known = [value for value in values if math.isfinite(value) and value > 0.0]
    return median(known) if known else NAN  # of a few floats, in a tenth of numpy's time


def norm_of(norms: Iterable[float]) -> float:
    """The L2 norm of parts; NaN where there is none."""
    squares = [norm * norm for norm in norms]
    return math.sqrt(sum(squares)) if squares and all(math.isfinite(square) for square in squares) else NAN


def ratio_of(value: float, over: float) -> float:
    """NaN where there is nothing to divide by."""
    return value / over if over > 0.0 else NAN


def most_of(values: Iterable[float]) -> float:
    """Of those that were read."""
    return max((value for value in values if math.isfinite(value)), default=NAN)


def least_of(*values: float) -> float:
    """Of those that were read."""
    return min((value for value in values if math.isfinite(value)), default=NAN)
