"""What the figures of a report show, as plain data. Drawing is left to ``drawing``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from studies.records import HANDED_BACK, Outcome, StudyRecord, TrialRecord
from studies.reports.axes import LOSSES

N_CURVES = 5
"""Complete trials shown in the learning curves, the best first; the pruned ones stay faint behind them."""
N_FAINT_CURVES = 30
TOP_FRACTION = 0.1
MIN_TOP = 3
FAR_ABOVE = 10.0
"""Times the usual curve's highest loss: a loss of 1e30 would press all others into a line (own design)."""
KINDS = ("complete", "pruned", "diverged", "failed", "lost", "running", "waiting")


@dataclass(frozen=True, kw_only=True)
class History:
    """Values by trial number, and the best so far."""

    trials: pd.DataFrame
    """Columns number, value, kind; trials without a finite value are left out."""
    best_so_far: pd.DataFrame
    """Columns number, value; complete trials only."""


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """One trial's readings by epoch."""

    number: int
    role: str
    """best, other or pruned (which holds diverged ones too)."""
    frame: pd.DataFrame
    """Columns epoch, and the quantities that were read."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The values of complete trials against one lever."""

    lever: str
    scale: str
    """linear, log or category."""
    trials: pd.DataFrame
    """Columns number, setting, value, is_top."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where trials lie in one lever's range, 0 at its low bound and 1 at its high one."""

    lever: str
    low: str
    high: str
    trials: pd.DataFrame
    """Columns number, position, setting, is_top."""


def kind_of(trial: TrialRecord) -> str:
    """How a trial ended, in the words of ``TrialCounts``; running and waiting ones as they are."""
    if trial.outcome is Outcome.DIVERGED:
        return "diverged"
    if trial.state != "fail":
        return trial.state
    return "lost" if trial.outcome in {Outcome.LOST, *HANDED_BACK} else "failed"


def outcome_counts(record: StudyRecord) -> dict[str, int]:
    """How many trials ended in which way, in the order of ``KINDS``, without the ways that none took."""
    kinds = [kind_of(trial) for trial in record.trials]
    return {kind: kinds.count(kind) for kind in KINDS if kind in kinds}


def history(record: StudyRecord) -> History:
    rows = [
        {"number": t.number, "value": float(t.value), "kind": kind_of(t)}
        for t in record.trials
        if t.value is not None and math.isfinite(t.value)
    ]
    trials = pd.DataFrame(rows, columns=["number", "value", "kind"])
    complete = trials[trials["kind"] == "complete"].sort_values("number")
    running = complete["value"].cummax() if record.is_maximized else complete["value"].cummin()
    best = pd.DataFrame({"number": complete["number"], "value": running}).reset_index(drop=True)
    return History(trials=trials, best_so_far=best)


def without_value(record: StudyRecord) -> list[int]:
    """The diverged trials that the history has no place for."""
    return [t.number for t in record.trials if kind_of(t) == "diverged" and not _is_finite(t.value)]


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def ordered(record: StudyRecord) -> list[TrialRecord]:
    """The complete trials, the best first."""
    sign = -1.0 if record.is_maximized else 1.0
    return sorted(record.complete_trials, key=lambda t: (sign * float(t.value or 0.0), t.number))


def learning_curves(record: StudyRecord) -> list[LearningCurve]:
    """Of the pruned trials, a few others and the best, in the order of drawing: the best lies on top."""
    complete = ordered(record)[:N_CURVES]
    faint = [t for t in record.trials if kind_of(t) in {"pruned", "diverged"}][:N_FAINT_CURVES]
    roles = [(trial, "pruned") for trial in faint]
    roles += [(trial, "best" if trial is complete[0] else "other") for trial in reversed(complete)]
    curves = [
        LearningCurve(number=trial.number, role=role, frame=curve_frame(trial, record))
        for trial, role in roles
    ]
    return [curve for curve in curves if not curve.frame.empty]


def top_of(curves: Sequence[LearningCurve], quantities: Sequence[str]) -> float:
    """Where an axis of losses ends: far above the usual curve's highest reading, and never below the best trial's.

    Infinite for what cannot blow up: accuracies, and quantities with readings below 0.
    """
    readings = [(curve.role, values) for curve in curves if len(values := _readings(curve, quantities))]
    if not readings or not set(quantities) <= LOSSES or min(values.min() for _, values in readings) < 0.0:
        return math.inf
    best = [float(values.max()) for role, values in readings if role == "best"]
    return max([FAR_ABOVE * float(np.median([values.max() for _, values in readings])), *best])


def beyond(curves: Sequence[LearningCurve], quantities: Sequence[str]) -> list[int]:
    """The trials whose curves leave the axis at the top."""
    top = top_of(curves, quantities)
    return sorted(curve.number for curve in curves if np.any(_readings(curve, quantities) > top))


def _readings(curve: LearningCurve, quantities: Sequence[str]) -> npt.NDArray[np.float64]:
    """Those that are drawn: shape [any], finite."""
    shown = [name for name in quantities if name in curve.frame and is_drawn(curve, name)]
    values = np.asarray(curve.frame[shown], dtype=np.float64).ravel()
    return np.asarray(values[np.isfinite(values)])


def is_drawn(curve: LearningCurve, quantity: str) -> bool:
    """A pruned trial's train curve would only clutter."""
    return curve.role != "pruned" or not quantity.startswith("train")


def curve_frame(trial: TrialRecord, record: StudyRecord) -> pd.DataFrame:
    """The losses and accuracies that were read, or the intermediate values under the metric's name."""
    if trial.telemetry is not None and trial.telemetry.epochs:
        quantities = ["train_loss", "validation_loss", "train_accuracy", "validation_accuracy"]
        frame = trial.telemetry.frame()[["epoch", *quantities]]
        # A loss of infinity has no place in a drawing; the report names the divergence.
        return frame.replace([np.inf, -np.inf], np.nan).dropna(axis="columns", how="all")
    steps = sorted(trial.intermediate_values)
    return pd.DataFrame({"epoch": steps, record.metric: [trial.intermediate_values[s] for s in steps]})


def top_numbers(record: StudyRecord) -> frozenset[int]:
    """The best tenth of the complete trials, at least ``MIN_TOP`` of them."""
    complete = ordered(record)
    return frozenset(t.number for t in complete[: max(MIN_TOP, round(TOP_FRACTION * len(complete)))])


def levers_of(record: StudyRecord, first: Sequence[str] = ()) -> list[str]:
    """The levers with more than one setting in complete trials, those named ``first`` in that order."""
    searched = {
        name for t in record.complete_trials for name in t.params if not t.distributions[name].single()
    }
    return [name for name in first if name in searched] + sorted(searched - set(first))


def slices(record: StudyRecord, first: Sequence[str] = ()) -> list[Slice]:
    """One for each lever."""
    top = top_numbers(record)
    found = []
    for lever in levers_of(record, first):
        having = [t for t in record.complete_trials if lever in t.params]
        rows = [(t.number, t.params[lever], float(t.value or 0.0), t.number in top) for t in having]
        frame = pd.DataFrame(rows, columns=["number", "setting", "value", "is_top"])
        distribution = having[-1].distributions[lever]
        if _scale(distribution) == "category":
            choices = [str(choice) for choice in _choices(distribution)]
            frame["setting"] = pd.Categorical(frame["setting"].map(str), categories=choices, ordered=True)
        found.append(Slice(lever=lever, scale=_scale(distribution), trials=frame))
    return found


def places(record: StudyRecord, first: Sequence[str] = ()) -> list[Place]:
    """Where the complete trials lie in each lever's range, those of one lever on one line."""
    top = top_numbers(record)
    found = []
    for lever in levers_of(record, first):
        having = [t for t in record.complete_trials if lever in t.params]
        distribution = having[-1].distributions[lever]
        rows = [
            (t.number, position(t.params[lever], distribution), str(t.params[lever]), t.number in top)
            for t in having
            if t.distributions[lever] == distribution
        ]
        frame = pd.DataFrame(rows, columns=["number", "position", "setting", "is_top"])
        low, high = _bounds(distribution)
        found.append(Place(lever=lever, low=low, high=high, trials=frame))
    return found


def position(setting: object, distribution: BaseDistribution) -> float:
    """Where ``setting`` lies in its range, in 0..1: by logarithm in a log range, by rank among choices."""
    if isinstance(distribution, FloatDistribution | IntDistribution):
        low, high, value = float(distribution.low), float(distribution.high), float(str(setting))
        if distribution.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)
    choices = _choices(distribution)
    return choices.index(setting) / (len(choices) - 1)


def _scale(distribution: BaseDistribution) -> str:
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return "category"
    return "log" if distribution.log else "linear"


def _choices(distribution: BaseDistribution) -> list[object]:
    assert isinstance(distribution, CategoricalDistribution)  # noqa: S101 - Optuna has three kinds, two are numeric
    return list(distribution.choices)


def _bounds(distribution: BaseDistribution) -> tuple[str, str]:
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return f"{distribution.low:.3g}", f"{distribution.high:.3g}"
    choices = _choices(distribution)
    return str(choices[0]), str(choices[-1])


def trials_table(record: StudyRecord, limit: int) -> list[Mapping[str, object]]:
    """One row a trial, the first ``limit`` by number: number, kind, value, seconds and the params."""
    return [
        {
            "number": t.number,
            "kind": kind_of(t),
            "value": t.value,
            "seconds": t.seconds,
            "params": dict(t.params),
        }
        for t in sorted(record.trials, key=lambda t: t.number)[:limit]
    ]
