"""W&B's quantized uniform distribution: multiples of q in a search, min plus multiples of q in a grid."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.exchange.wandb.written import Written

MAX_LISTED = 1000
"""Points of one parameter; beyond it a grid's values stay a range instead of a list."""
_LARGEST_COUNT = 1e9  # of steps: more than any search tells apart, and fewer than exact decimals can divide
DIGITS = 12
"""Decimals of computed bounds, so that 0.3 - 3 * 0.1 is 0 and not binary rounding noise."""


def q_uniform(written: Written) -> BaseDistribution:
    low, high = written.bounds()
    return _grid_points(written, low, high) if written.in_grid else stepped(written, low, high)


def _grid_points(written: Written, low: float, high: float) -> BaseDistribution:
    """What W&B's grid runs: from min in steps of q, max left out."""
    start, end, q = (Decimal(repr(number)) for number in (low, high, written.quantum()))
    n_points = int(((end - start) / q).to_integral_value(ROUND_CEILING))
    if n_points > MAX_LISTED:
        written.warn(f"W&B's grid has all {n_points} points; here a grid has --resolution points of them")
        return stepped(written, low, high)
    written.warn_of_default_q()
    points = [start + q * index for index in range(n_points)]
    written.warn(f"W&B's grid goes from min in steps of q and leaves max out: {points[0]} to {points[-1]}")
    whole = all(point == int(point) for point in points) and written.is_whole
    return CategoricalDistribution([int(point) if whole else float(point) for point in points])


def stepped(written: Written, low: float, high: float) -> BaseDistribution:
    """The multiples of q from low to high: W&B's values, less those that rounding takes outside the bounds."""
    q = Decimal(repr(written.quantum()))
    if (high - low) / float(q) > _LARGEST_COUNT:
        raise written.refuse(
            f"q must be larger, but {low:g}..{high:g} has more than {_LARGEST_COUNT:g} steps of {q}"
        )
    exact_low, exact_high = (Decimal(repr(round(bound, DIGITS))) for bound in (low, high))
    first = (exact_low / q).to_integral_value(ROUND_CEILING) * q
    last = (exact_high / q).to_integral_value(ROUND_FLOOR) * q
    if first > last:
        raise written.refuse(
            f"a multiple of q must lie between the bounds, but {low:g}..{high:g} has none of {q}"
        )
    if (first, last) != (exact_low, exact_high):
        outside = [
            f"{point:f}" for bound in (exact_low, exact_high)
            if not exact_low <= (point := (bound / q).to_integral_value(ROUND_HALF_EVEN) * q) <= exact_high
        ]  # fmt: skip
        beyond = f" (W&B also draws {' and '.join(outside)}, outside its own bounds)" if outside else ""
        written.warn(
            f"W&B draws multiples of q, not min plus multiples: the range is {first:f}..{last:f}{beyond}"
        )
    written.warn_of_default_q()
    if written.is_whole:
        return IntDistribution(int(first), int(last), step=int(q))
    return FloatDistribution(float(first), float(last), step=float(q))
