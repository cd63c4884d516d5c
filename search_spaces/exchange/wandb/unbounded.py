"""W&B's normal and beta distributions, which Optuna lacks: refused, or, if the user wants that, cut to a range."""

from optuna.distributions import BaseDistribution, FloatDistribution

from search_spaces.exchange.imported import LARGEST_NUMBER
from search_spaces.exchange.wandb.logarithmic import power, rounded_log
from search_spaces.exchange.wandb.quantized import DIGITS, stepped
from search_spaces.exchange.wandb.written import Written

_N_SIGMAS = 3  # 99.7% of a normal distribution


def normal(written: Written) -> BaseDistribution:
    low, high = _within_sigmas(written)
    return FloatDistribution(low, high)


def q_normal(written: Written) -> BaseDistribution:
    return stepped(written, *_within_sigmas(written))


def log_normal(written: Written) -> BaseDistribution:
    return FloatDistribution(*_within_sigmas(written, of_logarithm=True), log=True)


def q_log_normal(written: Written) -> BaseDistribution:
    return rounded_log(written, *_within_sigmas(written, of_logarithm=True))


def _within_sigmas(written: Written, *, of_logarithm: bool = False) -> tuple[float, float]:
    mu, sigma = written.number("mu", 0.0), written.number("sigma", 1.0, low=0)
    # Rounded, so that 0.3 - 3 * 0.1 is 0 and no binary rounding noise; `+ 0.0` makes 0 of -0.
    ends = [round(mu + sign * _N_SIGMAS * sigma, DIGITS) + 0.0 for sign in (-1, 1)]
    low, high = map(power, ends) if of_logarithm else ends
    if high > LARGEST_NUMBER or (of_logarithm and low <= 0):
        raise written.refuse(
            f"mu plus or minus {_N_SIGMAS} sigma must be below {LARGEST_NUMBER:g}, but got {low:g}..{high:g}"
        )
    _truncate(written, low, high, f"it has no bounds, and mu plus or minus {_N_SIGMAS} sigma is")
    return low, high


def beta(written: Written) -> BaseDistribution:
    return FloatDistribution(*_unit_range(written))


def q_beta(written: Written) -> BaseDistribution:
    return stepped(written, *_unit_range(written))


def _unit_range(written: Written) -> tuple[float, float]:
    written.number("a", 1.0, low=0)
    written.number("b", 1.0, low=0)
    _truncate(written, 0.0, 1.0, "its shape a, b has no counterpart, and all of it lies in")
    return 0.0, 1.0


def _truncate(written: Written, low: float, high: float, why: str) -> None:
    """Refuse a distribution that Optuna lacks, unless the user wants its range."""
    said = f"Optuna has no {written.distribution}: {why} {low:g}..{high:g}"
    if not written.choices.truncate:
        raise written.refuse(f"{said}; `--truncate` takes that range, evenly, or write min and max")
    written.warn(f"{said}; the range is taken, its shape is lost")
