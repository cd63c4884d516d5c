"""What the Deep Learning Tuning Playbook asks after every round, and the edits that answer it. Pure functions.

Source: Godbole et al. 2023, "Deep Learning Tuning Playbook", on bad search space boundaries, on not enough points
near the best, and on what else to look at after a round of trainings.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.edits import Edit, EditKind
from search_spaces.lever import is_number
from studies.diagnosis import thresholds
from studies.diagnosis.symptoms.edge_of_range import NATURAL_HIGH, NATURAL_LOW
from studies.records import TrialRecord
from tuner.guide.checklist import Item, ItemState
from tuner.guide.rounds import Round, Tried

EDGE = "Is the best at the edge of a range?"
NEAR = "Are there enough points near the best?"
LEAST_VALUES = 3
"""Of a lever, below which each is an edge."""
N_BEYOND = 2
"""Values that a widened round tries beyond the edge."""
NEAR_FLOORS = 2.0
"""Noise floors within which a config counts as near the best."""
LAST_EPOCHS = 0.2
"""Share of the epochs, the last, in which the best one lies where a training was still improving."""
MORE_EPOCHS = 1.5
_RELATIVE_GAIN = 0.02
"""Of the validation loss over those epochs: less is a training that has arrived."""
_LINEAR = frozenset({"dropout", "label_smoothing", "augmentation", "warmup_fraction"})
"""Levers whose values lie evenly; all others are spaced by factors."""
_WHOLE = frozenset({"batch_size", "depth", "width", "accumulation_steps", "warmup_steps"})
_LOWEST = {**NATURAL_LOW, "augmentation": 0.0, "batch_size": 1, "warmup_fraction": 0.0}
_HIGHEST = {**NATURAL_HIGH, "augmentation": 1.0, "warmup_fraction": 0.1, "weight_decay": 1.0}


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The best config lies at the end of what a round tried of one lever."""

    key: str
    at_high: bool
    best: float
    beyond: tuple[float, ...]
    """What to try next, the nearest first."""

    @property
    def edit(self) -> Edit:
        """The range that holds what is tried next."""
        end = self.beyond[-1]
        low, high = (None, end) if self.at_high else (end, None)
        return Edit(kind=EditKind.WIDEN, lever=self.key, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class NoEdge:
    """The best config lies at no edge that one could go beyond, or nobody can tell."""

    is_known: bool
    why: str
    """A clause."""


def edge_of(round_: Round, keys: Sequence[str]) -> Edge | NoEdge:
    """The first of the levers whose best tried value is its smallest or largest, with room beyond it."""
    best = round_.tried[round_.best]
    if best.value is None:
        return NoEdge(is_known=False, why="every config diverged")
    inside, unknown = [], []
    for key in keys:
        values, value = _tried_values(round_, key), best.config[key]
        if len(values) < LEAST_VALUES:
            if len(values) > 1:
                unknown.append(f"{len(values)} values of {key}")
            continue
        at_high = value == values[-1]
        if not (at_high or value == values[0]):
            inside.append(f"{key} = {value:.4g} lies inside of what was tried")
        elif beyond := _beyond(key, values, at_high=at_high):
            return Edge(key=key, at_high=at_high, best=float(value), beyond=beyond)
        else:
            inside.append(f"{key} = {value:.4g} is at its natural bound")
    if unknown:
        why = f"only {' and '.join(unknown)} were tried, and {LEAST_VALUES} have an inside"
        return NoEdge(is_known=False, why="; ".join([why, *inside]))
    if not inside:
        return NoEdge(is_known=False, why=f"{' and '.join(keys)} had one value only")
    return NoEdge(is_known=True, why=" and ".join(inside))


def edge_item(edge: Edge | NoEdge, *, is_widened: bool = False, why_not: str = "") -> Item:
    """The answer to: does the best lie at the edge of what was tried?"""
    if isinstance(edge, NoEdge):
        if not edge.is_known:
            return no_edge_item(f"It cannot be told: {edge.why}")
        return Item(name=EDGE, state=ItemState.DONE, why=f"No: {edge.why}.")
    side = "largest" if edge.at_high else "smallest"
    seen = f"Yes: {edge.key} = {edge.best:.4g} is the {side} that was tried"
    if is_widened:
        beyond = " and ".join(f"{value:.4g}" for value in edge.beyond)
        return Item(
            name=EDGE, state=ItemState.DONE, why=f"{seen}, so {beyond} come next.", edits=(edge.edit,)
        )
    return Item(
        name=EDGE, state=ItemState.SKIPPED, why=f"{seen}; not widened: {why_not}.", edits=(edge.edit,)
    )


def no_edge_item(why: str) -> Item:
    """The question was not asked, or has no answer."""
    return Item(name=EDGE, state=ItemState.SKIPPED, why=f"{why}.")


def between(tried: Sequence[Tried], key: str, best: Any) -> tuple[float, ...]:
    """The points halfway from the best value to its neighbors among those that were tried."""
    values = _values_of(tried, key)
    if not values:
        return ()
    place = values.index(best)
    neighbors = [values[other] for other in (place - 1, place + 1) if 0 <= other < len(values)]
    found = []
    for other in neighbors:
        is_linear = key in _LINEAR or min(best, other) <= 0
        value = (best + other) / 2 if is_linear else math.sqrt(best * other)
        value = round(value) if key in _WHOLE else float(f"{value:.3g}")
        if value not in values and value not in found:
            found.append(value)
    return tuple(found)


def of_one_config(round_: Round, why: str) -> tuple[Item, ...]:
    """The four questions of a round without rivals: only the curve has an answer."""
    return (
        no_edge_item(why),
        Item(name=NEAR, state=ItemState.SKIPPED, why=f"{why}."),
        still_improving(round_),
        infeasible_share(round_),
    )


def near_the_best(round_: Round, *, noise_floor: float) -> Item:
    """The answer to: are there enough points near the best, or did one of them win by luck?"""
    scores = round_.scores
    least = max(scores) - NEAR_FLOORS * noise_floor / math.sqrt(round_.n_seeds)
    n_near = sum(score >= least for score in scores) if math.isfinite(least) else 0
    wanted = min(int(thresholds.NEAR_BEST.value), len(scores))
    numbers = {"n_near": n_near, "n_wanted": wanted, "within": max(scores) - least if n_near else None}
    if n_near >= wanted:
        return Item(
            name=NEAR,
            state=ItemState.DONE,
            why=f"Yes: {n_near} of {len(scores)} configs are within {NEAR_FLOORS:g} noise floors of it.",
            numbers=numbers,
        )
    return Item(
        name=NEAR,
        state=ItemState.WARNING,
        why=f"Only {n_near} of {len(scores)} configs are within {NEAR_FLOORS:g} noise floors of it: it may be luck, "
        f"or a narrow ridge.",
        numbers=numbers,
    )


def still_improving(round_: Round) -> Item:
    """The answer to: was the best training still becoming better when it ended?"""
    name = "Was the best still improving at the end?"
    trials = round_.tried[round_.best].trials
    n_epochs = max((row.epoch for trial in trials for row in _rows(trial)), default=0)
    window = max(1, round(LAST_EPOCHS * n_epochs))
    gains = [gain for trial in trials if (gain := _late_gain(trial, window)) is not None]
    if n_epochs < 3 or not gains:
        return Item(name=name, state=ItemState.SKIPPED, why="Fewer than 3 epochs are too few to tell.")
    gain, last = statistics.fmean(gains), "epoch" if window == 1 else f"{window} epochs"
    numbers = {"relative_gain": gain, "last_epochs": window}
    if gain <= _RELATIVE_GAIN:
        why = f"No: its validation loss fell by {max(gain, 0.0):.1%} in the last {last}."
        return Item(name=name, state=ItemState.DONE, why=why, numbers=numbers)
    longer = math.ceil(n_epochs * MORE_EPOCHS)
    return Item(
        name=name,
        state=ItemState.WARNING,
        why=f"Yes: its validation loss fell by {gain:.1%} in the last {last}. That is a proposal that the guide "
        f"does not take: epochs={longer} may gain more, and changes what every config is compared with.",
        edits=(Edit(kind=EditKind.FIX, lever="epochs", value=longer),),
        numbers=numbers,
    )


def infeasible_share(round_: Round) -> Item:
    """The answer to: how many configs could not be trained at all, and what keeps clear of them?"""
    name = "How many configs were infeasible?"
    diverged = [each for each in round_.tried if each.value is None]
    share = len(diverged) / len(round_.tried)
    numbers = {"share": share, "n_diverged": len(diverged)}
    if share < thresholds.INFEASIBLE_SHARE.value:
        why = f"{len(diverged)} of {len(round_.tried)} diverged."
        return Item(name=name, state=ItemState.DONE, why=why, numbers=numbers)
    rates = sorted(each.config["learning_rate"] for each in round_.tried if each.value is not None)
    edits = (Edit(kind=EditKind.NARROW, lever="learning_rate", high=rates[-1]),) if rates else ()
    advice = f"stay at or below a learning_rate of {rates[-1]:.4g}" if rates else "nothing trained"
    return Item(
        name=name,
        state=ItemState.WARNING,
        why=f"{len(diverged)} of {len(round_.tried)} diverged: {advice}.",
        edits=edits,
        numbers=numbers,
    )


def _tried_values(round_: Round, key: str) -> list[float]:
    return _values_of(round_.tried, key)


def _values_of(tried: Sequence[Tried], key: str) -> list[float]:
    """The distinct values that were tried of a lever, rising; none for what is no number in all configs."""
    values = {each.config[key] for each in tried}
    return sorted(values) if all(map(is_number, values)) else []


def _beyond(key: str, values: Sequence[float], *, at_high: bool) -> tuple[float, ...]:
    """`N_BEYOND` values after the last one, spaced as the last two are, as far as the lever means something."""
    end, before = (values[-1], values[-2]) if at_high else (values[0], values[1])
    is_linear = key in _LINEAR or min(end, before) <= 0
    found = []
    for place in range(1, N_BEYOND + 1):
        value = end + place * (end - before) if is_linear else end * (end / before) ** place
        value = min(max(value, _LOWEST.get(key, 0.0)), _HIGHEST.get(key, math.inf))
        value = round(value) if key in _WHOLE else float(f"{value:.4g}")
        is_beyond = value > end if at_high else value < end
        if is_beyond and value not in found:
            found.append(value)
    return tuple(found)


def _rows(trial: TrialRecord) -> tuple[Any, ...]:
    return () if trial.telemetry is None else trial.telemetry.epochs


def _late_gain(trial: TrialRecord, window: int) -> float | None:
    """By how much, relatively, the best validation loss of the last epochs is below the best before them."""
    losses: Mapping[int, float] = {row.epoch: row.validation_loss for row in _rows(trial) if row.epoch > 0}
    early = [loss for epoch, loss in losses.items() if epoch <= max(losses) - window and math.isfinite(loss)]
    late = [loss for epoch, loss in losses.items() if epoch > max(losses) - window and math.isfinite(loss)]
    return (min(early) - min(late)) / min(early) if early and late and min(early) > 0 else None
