"""The share of the gap to the healthy reference that a remedy recovers, with an interval.

Gain and gap are read on the same seeds, and both are noisy: the interval is Fieller's for the ratio of two paired means
(Fieller 1954, JRSS B 16: 175-185), exact for normal noise at any number of seeds. It holds all shares for which the
gain and that share of the gap do not differ by a paired t test. Of three seeds it is wide, as it should be.
"""

import math

import numpy as np
from scipy.special import stdtrit

from studies.intervals import INF, Interval, Values

METHOD = "fieller"


def recovered_share(gains: Values, gaps: Values, *, confidence: float, resolution: float = 0.0) -> Interval:
    """The mean of ``gains`` over that of ``gaps``; without bounds where the gap may as well be zero.

    Args:
        gains: of the remedy over the faulty config, one for each seed.
        gaps: of the healthy reference over the faulty config, on the same seeds.
        confidence: of the interval.
        resolution: a smaller spread than this is no spread that was seen: what one validation sample is worth.
    """
    x, g = np.asarray(gains, dtype=np.float64), np.asarray(gaps, dtype=np.float64)
    n = len(x)
    share = float(x.mean() / g.mean())
    low, high = -INF, INF
    if n > 1:
        covariance = np.cov(x, g)
        np.fill_diagonal(covariance, np.maximum(covariance.diagonal(), resolution**2))
        low, high = _bounds(float(x.mean()), float(g.mean()), covariance / n, n, confidence)
    sd = float((x - share * g).std(ddof=1)) / abs(float(g.mean())) if n > 1 else math.nan
    return Interval(mean=share, low=low, high=high, n=n, sd=sd, method=METHOD, confidence=confidence)


def _bounds(gain: float, gap: float, variances: Values, n: int, confidence: float) -> tuple[float, float]:
    """The roots of the square of the t statistic less its quantile's, as a polynomial in the share."""
    t2 = float(stdtrit(n - 1, 0.5 + confidence / 2.0)) ** 2
    (of_gain, of_both), (_, of_gap) = variances.tolist()
    a, b, c = gap**2 - t2 * of_gap, gain * gap - t2 * of_both, gain**2 - t2 * of_gain
    if a <= 0.0:
        return -INF, INF
    half = math.sqrt(max(b**2 - a * c, 0.0))
    return (b - half) / a, (b + half) / a


def share_text(share: Interval) -> str:
    """``86% (61% to 112%) of the gap to the healthy reference``."""
    between = f"{share.low:.0%} to {share.high:.0%}" if math.isfinite(share.low) else "no bounds"
    return f"{share.mean:.0%} ({between}) of the gap to the healthy reference"
