import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest

from studies.diagnosis import diagnose_record, thresholds
from studies.diagnosis.thresholds import Threshold
from studies.readings import LayerProbe
from studies.records import Outcome, StudyRecord
from tests import cases
from tests.cases import LN10, good_trial, study_of, trial_of

Make = Callable[[float], StudyRecord]


def stuck(**changes: Any) -> StudyRecord:
    """A flat loss and a poor fit, to ask for the cause."""
    flat, poor = (1.8,) * 10, (0.35,) * 10
    return study_of(trial_of(flat, poor, flat, poor, **changes))


def diverged(**changes: Any) -> StudyRecord:
    return study_of(trial_of((0.9, math.nan), outcome=Outcome.DIVERGED, **changes))


def with_data(**changes: Any) -> StudyRecord:
    return diverged(data=dataclasses.replace(cases.DATA, **changes))


def fading(first: float, last: float) -> StudyRecord:
    norms = (("0", first), ("2", (first * last) ** 0.5), ("4", last))
    probe = cases.step_zero(layers=tuple(LayerProbe(name=name, gradient_norm=norm) for name, norm in norms))
    return study_of(good_trial(layers=norms, probe=probe))


def climbing(lowest: float, late: float) -> StudyRecord:
    return study_of(trial_of((2.1, lowest, lowest, late, late), (0.3, 0.9, 0.9, 0.9, 0.9)))


def rising(relative: float) -> StudyRecord:
    late = 0.1 * (1.0 + relative)
    return study_of(trial_of(cases.LEARNING, cases.RISING, (0.18, 0.16, 0.14, 0.12, 0.1, *(late,) * 5)))


def gapped(train: float, gap: float) -> StudyRecord:
    return study_of(trial_of(cases.LEARNING[:5], (train,) * 5, cases.VALIDATION_LOSS[:5], (train - gap,) * 5))


def behind(error: float) -> StudyRecord:
    """A peer whose validation accuracy is 0.9, and a trial with ``error`` on both splits."""
    level, poor = (0.9,) * 10, (1.0 - error,) * 10
    peer = trial_of(cases.LEARNING, level, cases.VALIDATION_LOSS, level, number=1)
    falling = cases.LEARNING
    return study_of(trial_of(falling, poor, falling, poor, outcome=Outcome.PRUNED), peer)


def jumping(deviation: float) -> StudyRecord:
    """Losses in turn above and below 1; their second differences say 1.63 times that."""
    height = deviation * math.sqrt(6.0) / 4.0
    curve = tuple(1.0 + height * (-1) ** n for n in range(10))
    return study_of(trial_of(cases.LEARNING, None, curve, regression=True))


def beside_rate(ratio: float) -> StudyRecord:
    flat, poor = (1.8,) * 10, (0.35,) * 10
    trial = trial_of(flat, poor, flat, poor, config={"learning_rate": 0.1 * ratio})
    return study_of(trial, good_trial(1))


def barely_above_chance(errors: float) -> StudyRecord:
    level = (0.1 + errors * math.sqrt(0.1 * 0.9 / cases.DATA.n_validation),)
    return study_of(trial_of((LN10,), level, (LN10,), level))


def sloping(slope: float) -> StudyRecord:
    """Three layers whose gradients change by ``slope`` in log10 at each step back, at chance."""
    norms = tuple((str(n), 0.3 * 10.0 ** (slope * (2 - n))) for n in range(3))
    flat, level = (LN10,) * 4, (0.1,) * 4
    return study_of(trial_of(flat, level, flat, level, layers=norms))


def dead_at_chance(fraction: float) -> StudyRecord:
    return study_of(trial_of((LN10,), (0.1,), (LN10,), (0.1,), dead=fraction))


BOUNDARIES: list[tuple[Threshold, Make, str, bool]] = [
    # threshold, a study made from a reading, what is found beyond it, whether beyond is above
    (thresholds.DEAD_FRACTION, lambda x: study_of(good_trial(dead=x)), "dead_units", True),
    (thresholds.UPDATE_RATIO_HIGH, lambda x: stuck(update_ratio=x), "learning_rate_too_high", True),
    (thresholds.UPDATE_RATIO_LOW, lambda x: stuck(update_ratio=x), "learning_rate_too_low", False),
    (thresholds.INPUT_MAGNITUDE, lambda x: with_data(input_max=x), "unnormalized_input", True),
    (thresholds.INPUT_OFFSET, lambda x: with_data(input_mean=x, input_std=1.0), "unnormalized_input", True),
    (
        thresholds.INITIAL_LOSS_EXCESS,
        lambda x: diverged(probe=cases.step_zero(train_loss=LN10 * (1.0 + x))),
        "bad_initialization",
        True,
    ),
    (thresholds.RATE_RATIO, beside_rate, "learning_rate_too_high", True),
    (thresholds.RATE_RATIO, lambda x: beside_rate(1.0 / x), "learning_rate_too_low", True),
    (thresholds.CHANCE_ERRORS, barely_above_chance, "underfitting", False),
    (thresholds.ALL_DEAD, dead_at_chance, "dead_units", True),
    (thresholds.FADING_SLOPE, sloping, "vanishing_gradients", True),  # above in size: it is negative
    (thresholds.VANISHING_RATIO, lambda x: fading(0.05 * x, 0.05), "vanishing_gradients", False),
    (thresholds.VANISHING_NORM, lambda x: fading(x, 1.0), "vanishing_gradients", False),
    (thresholds.EXPLOSION_RATIO, lambda x: climbing(1.5, 1.5 * x), "divergence", True),
    (thresholds.LOST_LEARNING, lambda x: climbing(0.5, LN10 * x), "divergence", True),
    (thresholds.GENERALIZATION_LOSS, rising, "overfitting", True),
    (thresholds.GAP, lambda x: gapped(0.85, x), "overfitting", True),
    (thresholds.GAP_ABOVE, lambda x: gapped(0.95, x), "overfitting", True),
    (thresholds.POOR_FIT_ERROR_RATIO, lambda x: behind(0.1 * x), "underfitting", True),
    (
        thresholds.CLIP_FRACTION,
        lambda x: stuck(clip_fraction=x, update_ratio=1e-6, config={"clip_norm": 0.1}),
        "clipping_too_tight",
        True,
    ),
    (thresholds.OSCILLATION_RELATIVE, jumping, "oscillation", True),
    (thresholds.STRONG_DROPOUT, lambda x: stuck(config={"dropout": x}), "over_regularized", True),
    (thresholds.STRONG_WEIGHT_DECAY, lambda x: stuck(config={"weight_decay": x}), "over_regularized", True),
    (thresholds.SMALL_WIDTH, lambda x: stuck(config={"width": x}), "undercapacity", False),
    (thresholds.LONG_WARMUP, lambda x: stuck(config={"warmup_fraction": x}), "warmup_too_long", True),
    (thresholds.MOMENTUM_HIGH, lambda x: stuck(config={"momentum": x}), "momentum_too_high", True),
]


@pytest.mark.parametrize(("threshold", "make", "found", "above"), BOUNDARIES)
def test_a_threshold_is_where_the_answer_changes(
    threshold: Threshold, make: Make, found: str, above: bool
) -> None:
    """A few percent this side of the threshold nothing is said, a few percent beyond it the name is."""
    less, more = threshold.value * 0.97, threshold.value * 1.03
    beyond, short = (more, less) if above else (less, more)
    assert found in _names(make(beyond))
    assert found not in _names(make(short))


def _names(record: StudyRecord) -> set[str]:
    """Symptoms of trial 0 and their causes, but those that are only the last resort."""
    findings = diagnose_record(record, 0)
    causes = {cause.name.value for f in findings for cause in f.causes if cause.confidence > 0.3}
    return {f.symptom for f in findings} | causes


def test_every_threshold_has_a_unit_and_a_source() -> None:
    """A number that decides says in what it is counted and where it comes from."""
    all_of_them = [value for value in vars(thresholds).values() if isinstance(value, Threshold)]
    assert len(all_of_them) > 40
    assert all(threshold.unit and threshold.source for threshold in all_of_them)
