"""Is A better than B, given the noise between replicates - and is the best of several really the best.

All configs are trained with the same seeds, so each seed makes a pair: what the seed does to both falls out of the
difference. Of two configs the verdict is Student's paired t. Of several, the one that leads was selected by the same
numbers; it is named the winner only if it beats *every* other one at the full level. That needs no further correction:
the chance of a false winner is largest when just two configs are tied at the top, and is that of one test then (Gutmann
and Maymin 1987, Annals of Statistics 15: 456-461; Hung and Fithian 2019, Annals of Statistics 47: 758-782). Holm's
correction would only cost power.

With three or more configs each keeps its own variance, and the correlation that pairing brings is taken as the smaller
of the pair's own and the mean over all pairs, never below zero: seven degrees of freedom become up to fourteen, and
eight seeds then show a difference of two noise floors among five configs in 88% of studies instead of 78%. One variance
for all would show a little more, but errs far too often where configs differ in noise: docs/comparison.md.

A replicate that diverged has no number and is worse than every one that has. It is never left out of a verdict: the
comparison then goes by signed ranks, in which it takes the worst rank. So do differences that are all the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """None where the leader cannot be told from some other config."""
    comparisons: tuple[Comparison, ...]
    """The leader against each other config."""
    direction: str
    confidence: float
    n_seeds: int
    sentence: str

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
    values = _checked({names[0]: a, names[1]: b}, direction)
    gains = _gains(*values.values())
    return _comparison(names, values, gains, _gain_interval(gains, confidence))


def confirm(
    values: Mapping[str, Sequence[float | None]],
    *,
    direction: str = "maximize",
    searched: Mapping[str, float] | None = None,
    confidence: float = 0.95,
) -> Confirmation:
    """Which config is the best, or that none can be told to be.

    Args:
        values: by config, one for each seed, in the same order of seeds; see `compare` for diverged ones.
        direction: ``maximize`` or ``minimize``.
        searched: the values that the search found the configs with.
        confidence: 1 - the chance of a false winner where two or more configs are equally good.
    """
    check_confidence(confidence)
    arrays = _checked(values, direction)
    sign = 1.0 if direction == "maximize" else -1.0
    ranked = sorted(
        (_ranked(label, sign * own, sign, searched, confidence) for label, own in arrays.items()),
        key=lambda row: (row.n_diverged, -sign * _or_worst(row.confirmed.mean, sign)),
    )
    leader = ranked[0].label
    shared = _mean_correlation(list(arrays.values())) if len(arrays) > 2 else None
    comparisons = tuple(
        _against(leader, row.label, arrays, shared=shared, confidence=confidence) for row in ranked[1:]
    )
    is_won = bool(comparisons) and all(each.verdict is Verdict.BETTER for each in comparisons)
    return Confirmation(
        ranked=tuple(ranked),
        winner=leader if is_won else None,
        comparisons=comparisons,
        direction=direction,
        confidence=confidence,
        n_seeds=len(arrays[leader]),
        sentence=" ".join(_said(ranked, comparisons, len(arrays[leader]))),
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


def _gain_interval(gains: Values, confidence: float) -> Interval:
    if len(gains) < 2:
        return interval(gains.tolist(), confidence=confidence)
    if not np.isfinite(gains).all() or are_same(gains):
        return signed_rank_interval(gains, confidence=confidence)
    return interval(gains.tolist(), confidence=confidence)


def _against(
    leader: str, other: str, arrays: Mapping[str, Values], *, shared: float | None, confidence: float
) -> Comparison:
    """The leader against one other config; ``shared`` is the mean correlation between configs, of three or more."""
    values = {leader: arrays[leader], other: arrays[other]}
    gains = _gains(*values.values())
    plain = _gain_interval(gains, confidence)
    if shared is not None and plain.method == "t":
        plain = _with_common_correlation(arrays[leader], arrays[other], plain, shared)
    return _comparison((leader, other), values, gains, plain)


def _with_common_correlation(a: Values, b: Values, plain: Interval, shared: float) -> Interval:
    """The interval of a mean difference from each config's own variance (Welch) and a cautious correlation."""
    n = len(a)
    sd_a, sd_b = float(a.std(ddof=1)), float(b.std(ddof=1))
    variances = sd_a**2 + sd_b**2
    correlation = (
        max(0.0, min(shared, (variances - plain.sd**2) / (2.0 * sd_a * sd_b))) if sd_a * sd_b else 0.0
    )
    error = math.sqrt((variances - 2.0 * correlation * sd_a * sd_b) / n)
    df = (n - 1) * variances**2 / (sd_a**4 + sd_b**4)  # Welch-Satterthwaite
    low, high = t_bounds(plain.mean, error, df=df, confidence=plain.confidence)
    return Interval(
        mean=plain.mean,
        low=low,
        high=high,
        n=n,
        sd=plain.sd,
        method="t with a common correlation",
        confidence=plain.confidence,
    )


def _mean_correlation(arrays: Sequence[Values]) -> float:
    """Over all pairs of those that never diverged and do vary; 0 where there is no such pair."""
    usable = [own for own in arrays if len(own) > 1 and np.isfinite(own).all() and not are_same(own)]
    if len(usable) < 2:
        return 0.0
    matrix: Values = np.asarray(np.corrcoef(np.stack(usable)))
    return float(matrix[np.triu_indices(len(usable), 1)].mean())


def _comparison(
    names: tuple[str, str], values: Mapping[str, Values], gains: Values, gain: Interval
) -> Comparison:
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
    return Interval(
        mean=-gain.mean,
        low=-gain.high,
        high=-gain.low,
        n=gain.n,
        sd=gain.sd,
        method=gain.method,
        confidence=gain.confidence,
    )


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
    leader = ranked[0]
    rivals = [each.b for each in comparisons if each.verdict is not Verdict.BETTER]
    if not comparisons:
        said = [f"{leader.label} was confirmed alone, so there is no winner."]
    elif rivals:
        said = [
            f"No winner: {leader.label} leads but cannot be told from {_listed(rivals)} over {n_seeds} seeds."
        ]
    else:
        nearest = min(comparisons, key=lambda each: each.difference.low)
        said = [f"The winner is {leader.label}. {nearest.sentence}"]
    said.append(
        f"{leader.label} has {leader.confirmed.text} over its {leader.confirmed.n} finite replicates."
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


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
