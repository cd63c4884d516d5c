"""Intervals for the mean of a few replicates, and for paired differences.

Eight replicates are few. Student's t is exact for normal noise at any number and stays close for other symmetric noise;
a percentile bootstrap of eight values is more than a fifth too narrow: it knows neither that the spread is an estimate
nor that its divisor should be n - 1. BCa (Efron 1987, JASA 82: 171-185) mends its bias and skewness, not its width,
so it is there for those who ask. Signed ranks (Wilcoxon 1945; the interval is Tukey's, of Walsh averages) need neither
a spread nor finite numbers: for differences of which some are infinite, or which are all the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtrit

from search_spaces.errors import ConfigurationError, unknown_name

NAN, INF = math.nan, math.inf
Method = Literal["auto", "t", "bca"]
METHODS: tuple[Method, ...] = ("auto", "t", "bca")
N_RESAMPLES = 9999
"""Of the bootstrap: its own scatter of a bound is then some 2% of the interval's width."""
SAME = 1e-12
"""Relative to their size: differences that scatter less are equal but for rounding (0.9 - 0.8 is not 0.1)."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and where the true one lies with ``confidence``; infinite bounds mean that nothing can be said."""

    mean: float
    """NaN of no values."""
    low: float
    high: float
    n: int
    """Finite values that went in."""
    sd: float
    """Sample standard deviation (divisor n - 1): of a config's replicates, the noise floor. NaN below two values."""
    method: str
    """t, bca, signed rank, t with a shrunken correlation, or none where there are fewer than two values."""
    confidence: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0.0 or self.high < 0.0

    @property
    def text(self) -> str:
        """Mean and bounds for a sentence."""
        if math.isinf(self.low) and math.isinf(self.high) and self.low < self.high:
            return f"{self.mean:.4g} (no bounds from {self.n})"
        return f"{self.mean:.4g} ({self.confidence:.0%} interval {self.low:.4g} to {self.high:.4g})"


def interval(
    values: Sequence[float | None], *, confidence: float = 0.95, method: Method = "auto", seed: int = 0
) -> Interval:
    """The mean of ``values`` with its interval; diverged ones (None, NaN, infinity) have no number and are left out.

    Args:
        values: of independent replicates.
        confidence: of the interval.
        method: ``t``, ``bca``, or ``auto``, which is t: at the usual 8 to 20 replicates BCa is too narrow.
        seed: of the bootstrap's draws.
    """
    check_confidence(confidence)
    if method not in METHODS:
        raise unknown_name("An interval's method", method, METHODS)
    numbers = as_array(values)
    finite = numbers[np.isfinite(numbers)]
    if len(finite) < 2:
        mean = float(finite[0]) if len(finite) else NAN
        return Interval(
            mean=mean, low=-INF, high=INF, n=len(finite), sd=NAN, method="none", confidence=confidence
        )
    bounds = (
        _bca(finite, confidence, np.random.default_rng(seed)) if method == "bca" else _t(finite, confidence)
    )
    return Interval(
        mean=float(finite.mean()),
        low=bounds[0],
        high=bounds[1],
        n=len(finite),
        sd=float(finite.std(ddof=1)),
        method="bca" if method == "bca" else "t",
        confidence=confidence,
    )


def signed_rank_interval(differences: Values, *, confidence: float = 0.95) -> Interval:
    """The center of ``differences``, which may be infinite, by Wilcoxon's signed ranks: exact for symmetric noise.

    The bounds are the Walsh averages (means of two) that as many lie outside of as the test may err by. Below six
    differences no bound reaches 95%, and both are infinite. The mean and the deviation are of the finite ones.
    """
    check_confidence(confidence)
    n = len(differences)
    n_outside = _n_walsh_outside(n, (1.0 - confidence) / 2.0)
    low, high = -INF, INF
    if n_outside:
        ordered = np.sort(_walsh_averages(differences))
        low, high = float(ordered[n_outside - 1]), float(ordered[-n_outside])
    finite = differences[np.isfinite(differences)]
    return Interval(
        mean=float(finite.mean()) if len(finite) else NAN,
        low=low,
        high=high,
        n=len(finite),
        sd=float(finite.std(ddof=1)) if len(finite) > 1 else NAN,
        method="signed rank",
        confidence=confidence,
    )


def t_bounds(mean: float, standard_error: float, *, df: float, confidence: float) -> tuple[float, float]:
    """``mean`` -/+ Student's quantile for ``df`` degrees of freedom times its standard error."""
    margin = float(stdtrit(df, 0.5 + confidence / 2.0)) * standard_error
    return mean - margin, mean + margin


def as_array(values: Sequence[float | None]) -> Values:
    """Shape [n]; None becomes NaN."""
    return np.array([NAN if value is None else value for value in values], dtype=np.float64)


def are_same(values: Values) -> bool:
    """Whether finite ``values`` are equal but for rounding."""
    return float(np.ptp(values)) <= SAME * max(1.0, float(np.abs(values).max()))


def check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(f"confidence must be between 0 and 1, but got {confidence}.")


def _t(values: Values, confidence: float) -> tuple[float, float]:
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return t_bounds(float(values.mean()), error, df=len(values) - 1, confidence=confidence)


def _bca(values: Values, confidence: float, rng: np.random.Generator) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap of the mean (Efron 1987)."""
    n, mean = len(values), float(values.mean())
    if are_same(values):
        return mean, mean
    means = values[rng.integers(0, n, (N_RESAMPLES, n))].mean(axis=1)
    share_below = (np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / (2 * N_RESAMPLES)
    bias = ndtri(share_below)
    deviations = mean - (values.sum() - values) / (n - 1)  # from the means that leave one out
    acceleration = (deviations**3).sum() / (6.0 * (deviations**2).sum() ** 1.5)
    normal = bias + ndtri(np.array([(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]))
    low, high = np.quantile(means, ndtr(bias + normal / (1.0 - acceleration * normal)))
    return float(low), float(high)


def _walsh_averages(differences: Values) -> Values:
    """The means of all pairs, each value with itself included; of opposite infinities 0, which favors neither."""
    first, second = np.triu_indices(len(differences))
    with np.errstate(invalid="ignore"):
        averages = (differences[first] + differences[second]) / 2.0
    return np.where(np.isnan(averages), 0.0, averages)


def _n_walsh_outside(n: int, tail: float) -> int:
    """How many Walsh averages may lie on the far side of zero, plus one; 0 where no bound exists.

    The sum of the ranks with a given sign has known chances: each rank 1..n is in or out like a coin.
    """
    chances = np.ones(1)
    for rank in range(1, n + 1):
        shifted = np.concatenate([np.zeros(rank), chances])
        chances = (np.concatenate([chances, np.zeros(rank)]) + shifted) / 2.0
    # A tail that is met exactly must not be missed by the rounding of the sum.
    return int(np.count_nonzero(np.cumsum(chances) <= tail * (1.0 + 1e-9)))
