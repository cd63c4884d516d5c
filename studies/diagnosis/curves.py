"""What a curve does: arrays in, numbers out, no thresholds. Epochs are positions in an array."""

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float64]


def trailing_run(flags: npt.NDArray[np.bool_]) -> int:
    """How many of the last entries are true in a row."""
    falses = np.flatnonzero(~flags)
    return len(flags) if len(falses) == 0 else len(flags) - 1 - int(falses[-1])


def epoch_noise(curve: Curve) -> float:
    """Standard deviation of what neither a level nor a slope of ``curve`` explains; NaN below 4 entries.

    From second differences, whose variance is 6 times that of independent noise.
    """
    if len(curve) < 4:
        return float("nan")
    return float(np.sqrt(np.mean(np.diff(curve, n=2) ** 2) / 6.0))


def robust_epoch_noise(curve: Curve) -> float:
    """As ``epoch_noise``, from the median absolute second difference: one bend is not noise."""
    if len(curve) < 4:
        return float("nan")
    return float(1.4826 * np.median(np.abs(np.diff(curve, n=2))) / np.sqrt(6.0))


def steady_best(curve: Curve) -> float:
    """The least that the curve had for more than a moment, the least median of three neighbors; NaN without entries."""
    if len(curve) < 3:
        return float(curve.min()) if len(curve) else float("nan")
    return float(np.median(np.lib.stride_tricks.sliding_window_view(curve, 3), axis=1).min())


def reversals(curve: Curve) -> int:
    """How often the curve turns from rising to falling or back."""
    signs = np.sign(np.diff(curve))
    signs = signs[signs != 0]
    return int(np.sum(signs[1:] != signs[:-1]))


def slope_t(curve: Curve) -> float:
    """The t statistic of the least-squares slope; NaN below 3 entries, infinite for a straight line."""
    n = len(curve)
    if n < 3:
        return float("nan")
    x = np.arange(n) - (n - 1) / 2.0
    slope = float(x @ curve / (x @ x))
    residual = curve - curve.mean() - slope * x
    error = float(np.sqrt(residual @ residual / (n - 2) / (x @ x)))
    if error == 0.0:
        return float(np.sign(slope)) * float("inf") if slope else 0.0
    return slope / error


def flat_since(curve: Curve, per_step: float) -> int:
    """The position after which the curve no longer falls by ``per_step`` (relative, compounded) an entry.

    ``len(curve) - 1`` for a curve that still falls at its end.
    """
    for start in range(len(curve) - 1):
        best = float(np.min(curve[: start + 1]))
        rest = float(np.min(curve[start + 1 :]))
        n_rest = len(curve) - 1 - start
        if best - rest < (1.0 - (1.0 - per_step) ** n_rest) * abs(best):
            return start
    return len(curve) - 1
