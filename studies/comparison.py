"""Is A better than B, given the noise between replicates - and is the best of several really the best.

All configs are trained with the same seeds, so each seed makes a pair: what the seed does to both falls out of the
difference. Of two configs the verdict is Student's paired t. Of several, the one that leads was selected by the same
numbers; it is named the winner only if it beats *every* other one at the full level. That needs no further correction:
the chance of a false winner is largest when just two configs are tied at the top, and is that of one test then (Gutmann
and Maymin 1987, Annals of Statistics 15: 456-461; Hung and Fithian 2019, Annals of Statistics 47: 758-782). Holm's
correction would only cost power.

With three or more configs each keeps its own variance, and of the pair's correlation only that share is believed which
a few seeds can show: a small one, of either sign, is mostly chance. That gives up to fourteen degrees of freedom
instead of seven: eight seeds then show a difference of two noise floors among four configs in 88% of studies instead of
82%. A correlation of zero for all negative ones would show more, but errs in 8 to 15% of studies where there are such;
so does one variance for all where configs differ in noise: docs/comparison.md.

A replicate that diverged has no number and is worse than every one that has. It is never left out of a verdict: the
comparison then goes by signed ranks, in which it takes the worst rank. So do differences that are all the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from search_spaces.errors import ConfigurationError, unknown_name
from studies.encoding import jsonable
from studies.intervals import (
    NAN,
    Interval,
    Values,
    are_same,
    as_array,
    check_confidence,
    interval,
    signed_rank_interval,
    t_bounds,
)

__all__ = ["Comparison", "Confirmation", "Interval", "Ranked", "Verdict", "compare", "confirm", "interval"]

DIRECTIONS = ("maximize", "minimize")
N_SEEDS_PER_CONFIG = 2
"""Fewer, and a lead of two noise floors is missed too often: 8 seeds find it in 88% of studies of four configs."""
BELIEVED_BELOW_ZERO = 1.2
"""Times its size, at most all of it, of a negative correlation: calibrated by benchmarks/confirmation.py."""


class Verdict(StrEnum):
    """Of the first config against the second."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no winner"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Config ``a`` against config ``b`` over paired seeds."""

    a: str
    b: str
    difference: Interval
    """What ``a`` gains over ``b``, in the metric's unit; positive is better, whatever the direction."""
    p_better: float
    """The chance that a new seed favors ``a``: (wins + ties / 2 + 1) / (pairs + 2), Laplace's rule of succession."""
    verdict: Verdict
    sentence: str
    n_pairs: int
    n_diverged: tuple[int, int] = (0, 0)
    """Replicates of ``a`` and of ``b`` that have no finite value."""

    def to_json(self) -> dict[str, Any]:
        json: dict[str, Any] = jsonable(self)
        return json


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One config of a confirmation."""

    label: str
    confirmed: Interval
    """Over its finite replicates."""
    n_diverged: int
    searched: float | None
    """The value that the search found it with."""
    selection_bias: float | None
    """By how much the search's value was too good (positive), had it been a fair sample: the winner's curse."""


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """Configs trained again with fresh seeds, and which of them is the best."""

    ranked: tuple[Ranked, ...]
    """The best first: by how few replicates diverged, then by mean."""
    winner: str | None
    """None where the leader cannot be told from some other config, and as long as trainings are missing."""
    comparisons: tuple[Comparison, ...]
    """The leader against each other config."""
    direction: str
    confidence: float
    n_seeds: int
    sentence: str
    n_missing: int = 0
    """Trainings that have not ended yet."""

    @property
    def leader(self) -> Ranked:
        return self.ranked[0]

    @property
    def selection_bias(self) -> float | None:
        """Of the leader."""
        return self.leader.selection_bias

    def to_json(self) -> dict[str, Any]:
        json: dict[str, Any] = jsonable(self)
        return json


def compare(
    a: Sequence[float | None],
    b: Sequence[float | None],
    *,
    direction: str = "maximize",
    names: tuple[str, str] = ("A", "B"),
    confidence: float = 0.95,
) -> Comparison:
    """Whether ``a`` is better than ``b``, whose values are paired by position: one seed, one position.

    None, NaN and infinity stand for a replicate that diverged, which is worse than any that did not.
    """
    check_confidence(confidence)
    if names[0] == names[1]:
        raise ConfigurationError(f"Two configs need two names, but got {names[0]!r} for both.")
    values = _checked({names[0]: a, names[1]: b}, direction)
    first, second = values.values()
    return _comparison(names, values, _gain_interval(first, second, confidence))


def confirm(
    values: Mapping[str, Sequence[float | None]],
    *,
    direction: str = "maximize",
    searched: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    n_missing: int = 0,
    n_trainings: int | None = None,
) -> Confirmation:
    """Which config is the best, or that none can be told to be.

    Args:
        values: by config, one for each seed, in the same order of seeds; see `compare` for diverged ones.
        direction: ``maximize`` or ``minimize``.
        searched: the values that the search found the configs with.
        confidence: 1 - the chance of a false winner where two or more configs are equally good.
        n_missing: trainings that have not ended, whose seeds are not among ``values``: no winner is named before.
        n_trainings: all of them; default one for each value and each missing one.
    """
    check_confidence(confidence)
    arrays = _checked(values, direction)
    sign = 1.0 if direction == "maximize" else -1.0
    ranked = sorted(
        (_ranked(label, sign * own, sign, searched, confidence) for label, own in arrays.items()),
        key=lambda row: (row.n_diverged, -sign * _or_worst(row.confirmed.mean, sign)),
    )
    leader = ranked[0].label
    n_seeds = len(arrays[leader])
    comparisons = tuple(_against(leader, row.label, arrays, confidence) for row in ranked[1:])
    is_won = bool(comparisons) and all(each.verdict is Verdict.BETTER for each in comparisons)
    return Confirmation(
        ranked=tuple(ranked),
        winner=leader if is_won and not n_missing else None,
        comparisons=comparisons,
        direction=direction,
        confidence=confidence,
        n_seeds=n_seeds,
        sentence=(
            f"No winner yet: {n_missing} of {n_trainings or len(ranked) * n_seeds + n_missing} trainings are missing."
            if n_missing
            else " ".join(_said(ranked, comparisons, n_seeds))
        ),
        n_missing=n_missing,
    )


def _checked(values: Mapping[str, Sequence[float | None]], direction: str) -> dict[str, Values]:
    """By config, as arrays in which more is better and NaN is diverged."""
    if direction not in DIRECTIONS:
        raise unknown_name("direction", direction, DIRECTIONS)
    if not values:
        raise ConfigurationError("A confirmation needs at least one config, but got none.")
    lengths = {label: len(own) for label, own in values.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{n} of {label}" for label, n in lengths.items())
        raise ConfigurationError(
            f"Paired seeds need one value of each config for every seed, but got {said}."
        )
    sign = 1.0 if direction == "maximize" else -1.0
    arrays = {label: sign * as_array(own) for label, own in values.items()}
    return {label: np.where(np.isfinite(own), own, NAN) for label, own in arrays.items()}


def _gains(a: Values, b: Values) -> Values:
    """What each seed gains by ``a``: infinite where one of the two diverged, 0 where both did."""
    lost_a, lost_b = np.isnan(a), np.isnan(b)
    gains = np.where(lost_a, -math.inf, np.where(lost_b, math.inf, a - b))
    return np.where(lost_a & lost_b, 0.0, gains)


def _gain_interval(a: Values, b: Values, confidence: float) -> Interval:
    """Of the mean gain; by signed ranks where a replicate diverged, or all gains are the same."""
    gains = _gains(a, b)
    plain = interval((a - b).tolist(), confidence=confidence)
    if len(gains) > 1 and (np.isnan(a - b).any() or are_same(gains)):
        ranks = signed_rank_interval(gains, confidence=confidence)
        return replace(
            ranks, mean=plain.mean, sd=plain.sd, n=plain.n
        )  # a seed that neither survived has no gain
    return plain


def _against(leader: str, other: str, arrays: Mapping[str, Values], confidence: float) -> Comparison:
    """The leader against one other config of ``arrays``."""
    a, b = arrays[leader], arrays[other]
    gain = _gain_interval(a, b, confidence)
    if len(arrays) > 2 and gain.method == "t":
        gain = _with_shrunken_correlation(a, b, gain)
    return _comparison((leader, other), {leader: a, other: b}, gain)


def _with_shrunken_correlation(a: Values, b: Values, plain: Interval) -> Interval:
    """The interval of a mean difference from each config's own variance and the believed share of the correlation.

    All of it is the paired t, none of it is Welch's; the degrees of freedom are Satterthwaite's in between.
    """
    n = len(a)
    sd_a, sd_b = float(a.std(ddof=1)), float(b.std(ddof=1))
    product, variances = sd_a * sd_b, sd_a**2 + sd_b**2
    correlation = (variances - plain.sd**2) / (2.0 * product) if product else 0.0
    share = _believed(correlation)
    error = math.sqrt((variances - 2.0 * share * correlation * product) / n)
    df = (n - 1) * variances**2 / (sd_a**4 + sd_b**4 + 2.0 * (share * product) ** 2)
    low, high = t_bounds(plain.mean, error, df=df, confidence=plain.confidence)
    return replace(plain, low=low, high=high, method="t with a shrunken correlation")


def _believed(correlation: float) -> float:
    """The share of a pair's correlation that counts: more of a negative one, which widens the interval."""
    size = min(abs(correlation), 1.0)
    return math.sqrt(size) if correlation > 0.0 else min(1.0, BELIEVED_BELOW_ZERO * size)


def _comparison(names: tuple[str, str], values: Mapping[str, Values], gain: Interval) -> Comparison:
    gains = _gains(*values.values())
    wins, ties, n = int((gains > 0.0).sum()), int((gains == 0.0).sum()), len(gains)
    verdict = Verdict.NO_DIFFERENCE
    if gain.excludes_zero:
        verdict = Verdict.BETTER if gain.low > 0.0 else Verdict.WORSE
    n_diverged = tuple(int(np.isnan(values[name]).sum()) for name in names)
    p_better = (wins + ties / 2 + 1) / (n + 2)
    return Comparison(
        a=names[0],
        b=names[1],
        difference=gain,
        p_better=p_better,
        verdict=verdict,
        sentence=_sentence(names, gain, verdict, p_better, n) + _diverged(names, n_diverged, n),
        n_pairs=n,
        n_diverged=(n_diverged[0], n_diverged[1]),
    )


def _sentence(names: tuple[str, str], gain: Interval, verdict: Verdict, p_better: float, n: int) -> str:
    a, b = names
    if n < 2:
        return f"No winner between {a} and {b}: a verdict needs at least 2 paired seeds, but there is {n or 'none'}."
    seeds = f"over {n} paired seeds"
    if verdict is Verdict.NO_DIFFERENCE:
        if gain.mean == gain.sd == 0.0:
            return f"No winner between {a} and {b}: they are equal {seeds}."
        return f"No winner between {a} and {b} {seeds}: the difference, {gain.text}, can be noise."
    first, second, chance = (a, b, p_better) if verdict is Verdict.BETTER else (b, a, 1.0 - p_better)
    shown = gain if verdict is Verdict.BETTER else _turned(gain)
    by = f" by {shown.text}" if math.isfinite(shown.mean) else ""
    return f"{first} beats {second}{by} {seeds}; a new seed would favor it with a chance of {chance:.0%}."


def _turned(gain: Interval) -> Interval:
    return replace(gain, mean=-gain.mean, low=-gain.high, high=-gain.low)


def _diverged(names: Sequence[str], counts: Sequence[int], n: int) -> str:
    said = [f"{name} diverged in {count} of {n}" for name, count in zip(names, counts, strict=True) if count]
    return f" {' and '.join(said)}, which counts as worst." if said else ""


def _or_worst(mean: float, sign: float) -> float:
    return -sign * math.inf if math.isnan(mean) else mean


def _ranked(
    label: str, values: Values, sign: float, searched: Mapping[str, float] | None, confidence: float
) -> Ranked:
    """``values`` are in the metric's own sense here."""
    confirmed = interval(values.tolist(), confidence=confidence)
    found = (searched or {}).get(label)
    bias = None if found is None or math.isnan(confirmed.mean) else sign * (found - confirmed.mean)
    return Ranked(
        label=label,
        confirmed=confirmed,
        n_diverged=int(np.isnan(values).sum()),
        searched=found,
        selection_bias=bias,
    )


def _said(ranked: Sequence[Ranked], comparisons: Sequence[Comparison], n_seeds: int) -> list[str]:
    """The verdict, then what the search had promised."""
    said, leader = [_verdict(ranked, comparisons, n_seeds)], ranked[0]
    if not leader.confirmed.n:
        return said
    said.append(
        f"{leader.label} has {leader.confirmed.text} over its "
        f"{leader.confirmed.n} finite replicate{'s' if leader.confirmed.n > 1 else ''}."
        if leader.n_diverged
        else f"{leader.label} has {leader.confirmed.text}."
    )
    if leader.searched is not None and leader.selection_bias is not None:
        sense = "better" if leader.selection_bias > 0 else "worse"
        said.append(
            f"Its search had found {leader.searched:.4g}, {abs(leader.selection_bias):.2g} {sense} "
            f"than fresh seeds confirm."
        )
    return said


def _verdict(ranked: Sequence[Ranked], comparisons: Sequence[Comparison], n_seeds: int) -> str:
    leader, seeds = ranked[0], f"{n_seeds} seed{'s' if n_seeds > 1 else ''}"
    if not n_seeds:
        return "No winner: no seed has a value of every config."
    if not leader.confirmed.n:
        whose = "every config" if comparisons else leader.label
        return f"No winner: {whose} diverged with every seed."
    if not comparisons:
        return f"{leader.label} was confirmed alone, so there is no winner."
    rivals = [each.b for each in comparisons if each.verdict is not Verdict.BETTER]
    if not rivals:
        nearest = min(comparisons, key=lambda each: each.difference.low)
        return f"The winner is {leader.label}. {nearest.sentence}"
    said = f"No winner: {leader.label} leads but cannot be told from {_listed(rivals)} over {seeds}."
    if n_seeds < N_SEEDS_PER_CONFIG * len(ranked):
        said += f" That is few for {len(ranked)} configs: confirm fewer, or add seeds."
    return said


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
