"""W&B's logarithmic distributions. Bounds of those without ``_values`` in their names are exponents of e."""

import math

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from search_spaces.exchange.imported import LARGEST_NUMBER
from search_spaces.exchange.wandb.written import Written

_LARGEST_EXPONENT = math.log(1e9)  # no hyperparameter is larger; `max: 256` was meant as a value
_TWO_DECADES = 100


def log_uniform(written: Written) -> BaseDistribution:
    return FloatDistribution(*_powers(written), log=True)


def inv_log_uniform(written: Written) -> BaseDistribution:
    return FloatDistribution(*_powers(written, sign=-1), log=True)


def log_uniform_values(written: Written) -> BaseDistribution:
    return FloatDistribution(*written.positive_bounds(), log=True)


def inv_log_uniform_values(written: Written) -> BaseDistribution:
    low, high = written.positive_bounds()
    written.warn(
        f"in spite of its name W&B draws log-uniformly from min to max, and so does this space ({low:g}..{high:g})"
    )
    return FloatDistribution(low, high, log=True)


def q_log_uniform(written: Written) -> BaseDistribution:
    return rounded_log(written, *_powers(written))


def q_log_uniform_values(written: Written) -> BaseDistribution:
    return rounded_log(written, *written.positive_bounds())


def rounded_log(written: Written, low: float, high: float) -> BaseDistribution:
    """The log range of whole numbers; Optuna has no step on a log scale, so a q other than 1 is lost."""
    q = written.quantum()
    if not written.is_whole:
        written.warn(
            f"Optuna has no steps on a log scale, so q {q:g} is lost: all numbers in {low:g}..{high:g}"
        )
        return FloatDistribution(low, high, log=True)
    written.warn_of_default_q()
    first, last = (int(q) * round(bound / q) for bound in (low, high))
    if first < 1:
        written.warn(
            f"W&B also draws {first}, which has no place on a log scale: the range begins at {int(q)}"
        )
        first = int(q)
    if q != 1:
        written.warn(
            f"Optuna has no steps on a log scale, so q {q:g} is lost: all whole numbers in {first}..{last} "
            "(write the multiples as values to keep them)"
        )
    return IntDistribution(first, max(first, last), log=True)


def _powers(written: Written, *, sign: int = 1) -> tuple[float, float]:
    """The bounds of a distribution whose min and max are exponents of e, or, if the user says so, values."""
    low, high = written.bounds()
    meant = written.choices.log_uniform_as
    ends = sorted((power(sign * low), power(sign * high)))
    said = (
        f"W&B takes min {low:g} and max {high:g} of {written.distribution} for exponents of e, "
        f"{ends[0]:g}..{ends[1]:g}"
    )
    if meant is None and _look_like_values(low, high, sign):
        raise written.refuse(
            f"{said}, but they look like the values themselves: say what you mean with `--log-uniform-as values` "
            "or `--log-uniform-as exponents`"
        )
    if meant == "values":
        low, high = written.positive_bounds()
        written.warn(f"{said}; they are read as the values themselves here, as you chose")
        return low, high
    if not 0 < ends[0] < ends[1] <= LARGEST_NUMBER:
        raise written.refuse(
            f"{said}, which no hyperparameter is: `--log-uniform-as values` reads them as values"
        )
    written.warn(f"{said}; so does this space (`{written.distribution}_values` takes values)")
    return ends[0], ends[1]


def _look_like_values(low: float, high: float, sign: int) -> bool:
    """Not negative, and at most 1, or two decades apart, or of powers that no hyperparameter reaches."""
    if low < 0:
        return False
    is_too_large = sign > 0 and high > _LARGEST_EXPONENT  # e^-high is small, as many a hyperparameter is
    return high <= 1 or (low > 0 and high / low >= _TWO_DECADES) or is_too_large


def power(exponent: float) -> float:
    """The exponential, in 12 digits: exponents are written with less, and mean 0.1, not 0.09999999999999998."""
    try:
        return float(f"{math.exp(exponent):.12g}")
    except OverflowError:
        return math.inf
