"""Does an injected fault really hurt? What does not is no fault, and counts as healthy.

Against the healthy twin, paired by seed, on samples that nothing was trained on: one-sided p < 0.05 and an effect of at
least half a deviation (DeepCrime, Humbatova et al. 2021, with five seeds instead of twenty). Five seeds that
are all worse have p = 1/32 by exchanging twins.

Five seeds miss most faults of a standard error or two, and what was missed would count as harmless. So a fault that
looks harmful and is not admitted by them gets ten more; by all fifteen it needs p < 0.01, which keeps the chance that
a harmless one is admitted at one look or the other at about 0.06.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.diagnosis.case import Case, Metric
from benchmarks.diagnosis.runs import Run

P_VALUE = 0.05
P_VALUE_OF_ALL = 0.01
"""At the second look, by all seeds."""
EFFECT = 0.5
"""Cohen's d: the difference of the means over the pooled deviation."""
MISREPORT_ERRORS = 2.0
"""Standard errors of a validation accuracy."""
HEALTHY_MARGIN = 0.04
"""Test accuracy that a config of the healthy list may lack against the base of its network, or its seeds on average
against what it reached when it was listed as sound: beyond, it is left out."""
WORST_LOSS = 1e3
"""In place of a test loss that is not finite."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """The verdict on one case."""

    case: str
    is_faulty: bool
    """It hurts."""
    is_contested: bool = False
    """Listed as healthy, yet far worse than the base, or a fault whose healthy twin is not what it was when it was
    listed, so that nothing shows what the fault costs: scored as neither."""
    gap: float
    """How much worse than the healthy twin, in the metric's unit: a mean over seeds."""
    p_value: float
    effect: float
    n_seeds: int


_VALUES: Mapping[Metric, Callable[[Run], float]] = {
    "accuracy": lambda run: run.balanced_accuracy,
    "loss": lambda run: -run.test_loss if math.isfinite(run.test_loss) else -WORST_LOSS,
    "inflation": lambda run: run.test_accuracy - run.validation_accuracy,
    "misreport": lambda run: run.balanced_accuracy,
}
"""Larger is better."""


def value_of(metric: Metric, run: Run) -> float:
    """What a run is worth by a case's metric; larger is better."""
    return _VALUES[metric](run)


def is_undecided(verdict: Admission) -> bool:
    """Whether a planted fault looks harmful, but may do so by chance."""
    return not (verdict.is_faulty or verdict.is_contested) and verdict.gap > 0.0


def admitted(
    case: Case, runs: Sequence[Run], references: Sequence[Run], *, p_value: float = P_VALUE
) -> Admission:
    """``runs`` of the case against ``references`` of its healthy twin, both in the order of the same seeds."""
    values, twins = ([value_of(case.metric, run) for run in each] for each in (runs, references))
    gaps = np.array(twins) - np.array(values)
    seen, effect = _p_value(gaps), _effect(values, twins)
    hurts = seen < p_value and effect >= EFFECT
    misreports = case.metric == "misreport" and _misreports(runs)
    is_healthy = case.cause is None
    sound, of_sound = (case, runs) if is_healthy else (case.reference, references)
    is_contested = _has_fallen(sound, of_sound) or (is_healthy and float(gaps.mean()) > HEALTHY_MARGIN)
    return Admission(
        case=case.name,
        is_faulty=not (is_healthy or is_contested) and (hurts or misreports),
        is_contested=is_contested,
        gap=float(gaps.mean()),
        p_value=seen,
        effect=effect,
        n_seeds=len(gaps),
    )


def _has_fallen(case: Case, runs: Sequence[Run]) -> bool:
    """Whether what was listed as sound after a look at one seed or two is not so on others."""
    return case.reached - float(np.mean([run.test_accuracy for run in runs])) > HEALTHY_MARGIN


def _p_value(gaps: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    """That the gap is not above 0: the smaller of a paired t test's and of an exact test by exchanging twins.

    A fault that ruins some seeds and only harms the others has a spread that hides it from t, not from the other.
    """
    n, mean = len(gaps), float(gaps.mean())
    error = float(gaps.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    if error == 0:
        return 0.0 if mean > 0 else 1.0
    by_t = float(stats.t.sf(mean / error, n - 1)) if n > 1 else 1.0
    flipped = [np.dot(signs, gaps) / n for signs in itertools.product((1.0, -1.0), repeat=n)]
    return min(by_t, sum(bool(other >= mean - 1e-12) for other in flipped) / len(flipped))


def _effect(values: Sequence[float], twins: Sequence[float]) -> float:
    gap = float(np.mean(twins) - np.mean(values))
    pooled = math.sqrt((np.var(values, ddof=1) + np.var(twins, ddof=1)) / 2) if len(values) > 1 else 0.0
    return gap / pooled if pooled > 0 else math.copysign(math.inf, gap) if gap else 0.0


def _misreports(runs: Sequence[Run]) -> bool:
    """Whether most of the trainings said an accuracy that is wrong beyond noise."""
    wrong = 0
    for run in runs:
        error = math.sqrt(run.validation_accuracy * (1 - run.validation_accuracy) / run.n_validation)
        wrong += abs(run.reported_accuracy - run.validation_accuracy) > MISREPORT_ERRORS * error
    return 2 * wrong > len(runs)
