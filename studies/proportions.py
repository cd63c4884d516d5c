"""Shares of a few counts, and where the true share lies."""

import math
from statistics import NormalDist


def wilson_bounds(n_true: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share: of 0 in n it is not [0, 0], as the usual standard error would have it.

    (0, 1) where nothing was counted. Source: Wilson 1927, JASA 22: 209-212.

    Raises:
        ValueError: unless ``0 <= n_true <= n``.
    """
    if not 0 <= n_true <= n:
        raise ValueError(f"A count must lie between 0 and its total, but got {n_true} of {n}.")
    if n == 0:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf(0.5 + confidence / 2.0) ** 2
    center = (n_true + z2 / 2.0) / (n + z2)
    margin = math.sqrt(z2 * (n_true * (n - n_true) / n + z2 / 4.0)) / (n + z2)
    # In exact arithmetic the bounds of no and of all counts are 0 and 1.
    return (0.0 if n_true == 0 else center - margin), (1.0 if n_true == n else center + margin)
