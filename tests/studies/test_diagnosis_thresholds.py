import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import diagnose_record, thresholds
from studies.diagnosis.thresholds import Threshold
from studies.readings import LayerProbe
from studies.records import Outcome, StudyRecord
from tests import cases, made_trials
from tests.made_trials import LN10, good_trial, study_of, trial_of, with_steps

Make = Callable[[float], StudyRecord]


def stuck(**changes: Any) -> StudyRecord:
    """A flat loss and a poor fit, to ask for the cause."""
    flat, poor = (1.8,) * 10, (0.35,) * 10
    return study_of(trial_of(flat, poor, flat, poor, **changes))


def diverged(**changes: Any) -> StudyRecord:
    return study_of(trial_of((0.9, math.nan), outcome=Outcome.DIVERGED, **changes))


def with_data(**changes: Any) -> StudyRecord:
    return diverged(data=dataclasses.replace(made_trials.DATA, **changes))


def fading(first: float, last: float) -> StudyRecord:
    norms = (("0", first), ("2", (first * last) ** 0.5), ("4", last))
    probe = made_trials.step_zero(
        layers=tuple(LayerProbe(name=name, gradient_norm=norm) for name, norm in norms)
    )
    return study_of(good_trial(layers=norms, probe=probe))


def climbing(lowest: float, late: float) -> StudyRecord:
    return study_of(trial_of((2.1, lowest, lowest, late, late), (0.3, 0.9, 0.9, 0.9, 0.9)))


def rising(relative: float) -> StudyRecord:
    late = 0.1 * (1.0 + relative)
    return study_of(
        trial_of(made_trials.LEARNING, made_trials.RISING, (0.18, 0.16, 0.14, 0.12, 0.1, *(late,) * 5))
    )


def gapped(train: float, gap: float) -> StudyRecord:
    risen = (0.3, 0.2, 0.26, 0.27, 0.28, 0.29, 0.30, 0.31)
    return study_of(trial_of(made_trials.LEARNING[:8], (train,) * 8, risen, (train - gap,) * 8))


def bursting(height: float) -> StudyRecord:
    """One step of the second half is as high as said; nothing was learned before or after."""
    (trial,) = stuck().trials
    losses = [1.8] * 100
    losses[60] = 2.33 * height
    return study_of(with_steps(trial, losses, (0.1,) * 100, n_epochs=10))


def starting_with(height: float) -> StudyRecord:
    """The first steps are as high as said, and the fit stays poor."""
    (trial,) = cases.early_instability().trials
    losses = (2.33, 2.33 * height, *np.linspace(2.0, 0.55, 78))
    return study_of(with_steps(trial, losses, (0.1,) * 80, n_epochs=8))


def swelling(growth: float, *, dead: float = 0.1, restless: bool = False) -> StudyRecord:
    """Weights that grow, from a norm of 1 in each layer; 0.1 of the units are dead before training."""
    up_and_down = (0.5, 0.3, 0.25, 0.30, 0.22, 0.28, 0.20, 0.25, 0.20, 0.19)
    probe = made_trials.step_zero()
    probe = dataclasses.replace(
        probe, layers=tuple(dataclasses.replace(layer, weight_norm=1.0) for layer in probe.layers)
    )
    level = (*made_trials.LEARNING[:5], *(0.09,) * 5)
    trial = trial_of(up_and_down if restless else level, probe=probe, dead=dead)
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(
            row, layers=tuple(dataclasses.replace(layer, weight_norm=growth) for layer in row.layers)
        )
        for row in trial.telemetry.epochs
    )
    return study_of(dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows)))


FEW_SAMPLES = dataclasses.replace(made_trials.DATA, n_train=6_144, n_validation=200)
"""The weights go not far in 8 epochs of 48 steps, nor so short a way that it shows beyond the noise."""


def slow(*, fit: float = 0.9, accuracy: float = 0.7, **changes: Any) -> StudyRecord:
    """A validation loss that falls steadily, and a train loss that is a part of it."""
    losses = (1.5, 1.32, 1.16, 1.02, 0.9, 0.79, 0.695, 0.61)
    level = (accuracy,) * 8
    changes = {"data": FEW_SAMPLES} | changes
    return study_of(trial_of(tuple(fit * loss for loss in losses), level, losses, level, **changes))


def decayed(area: float) -> StudyRecord:
    """The rate is high for a part of the steps, and next to nothing after it."""
    (trial,) = stuck().trials
    n_high = round(1000 * area)
    return study_of(
        with_steps(trial, (1.8,) * 1000, (0.1,) * n_high + (1e-6,) * (1000 - n_high), n_epochs=10)
    )


def warming(share: float) -> StudyRecord:
    (trial,) = slow().trials
    n_rising = round(1000 * share)
    rates = (*np.linspace(0.0, 0.1, n_rising), *(0.1,) * (1000 - n_rising))
    return study_of(with_steps(trial, (1.0,) * 1000, rates, n_epochs=8))


def sure(*, errors: float = 10.0, rise: float = 0.5, memorized: float = 0.005) -> StudyRecord:
    """A network that is too sure by so many standard errors, with the late validation loss and train loss as said."""
    accuracy = 0.978
    confidence = accuracy + errors * math.sqrt(accuracy * (1.0 - accuracy) / made_trials.DATA.n_validation)
    late = 0.08 * (1.0 + rise)
    validation = (0.15, 0.10, 0.08, 0.08, 0.08, 0.08, late, late)
    train = (0.3, 0.15, 0.08, 0.05, 0.04, 0.03, memorized * late, memorized * late)
    return study_of(trial_of(train, (0.99,) * 8, validation, (accuracy,) * 8, confidence=(confidence,) * 8))


def behind(error: float) -> StudyRecord:
    """A peer whose validation accuracy is 0.9, and a trial with ``error`` on both splits."""
    level, poor = (0.9,) * 10, (1.0 - error,) * 10
    peer = trial_of(made_trials.LEARNING, level, made_trials.VALIDATION_LOSS, level, number=1)
    falling = made_trials.LEARNING
    return study_of(trial_of(falling, poor, falling, poor, outcome=Outcome.PRUNED), peer)


def jumping(deviation: float) -> StudyRecord:
    """Losses in turn above and below 1; their second differences say 1.63 times that."""
    height = deviation * math.sqrt(6.0) / 4.0
    curve = tuple(1.0 + height * (-1) ** n for n in range(10))
    return study_of(trial_of(made_trials.LEARNING, None, curve, regression=True))


def beside_rate(ratio: float) -> StudyRecord:
    flat, poor = (1.8,) * 10, (0.35,) * 10
    trial = trial_of(flat, poor, flat, poor, config={"learning_rate": 0.1 * ratio})
    return study_of(trial, good_trial(1))


def barely_above_chance(errors: float) -> StudyRecord:
    level = (0.1 + errors * math.sqrt(0.1 * 0.9 / made_trials.DATA.n_validation),)
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
    (thresholds.INPUT_SIZE, lambda x: with_data(input_mean=0.0, input_std=x), "unnormalized_input", True),
    (
        thresholds.INPUT_OFFSET,
        lambda x: with_data(input_mean=x / 3, input_std=1 / 3),
        "unnormalized_input",
        True,
    ),
    (
        thresholds.INITIAL_LOSS_EXCESS,
        lambda x: diverged(probe=made_trials.step_zero(train_loss=LN10 * (1.0 + x))),
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
    (thresholds.GAP_UNLEARNED, lambda x: gapped(0.85, x), "overfitting", True),
    (thresholds.POOR_FIT_ERROR_RATIO, lambda x: behind(0.1 * x), "underfitting", True),
    (
        thresholds.CLIP_FRACTION,
        lambda x: stuck(clip_fraction=x, update_ratio=1e-6, config={"clip_norm": 0.1}),
        "clipping_too_tight",
        True,
    ),
    (thresholds.OSCILLATION_RELATIVE, jumping, "oscillation", True),
    (
        thresholds.SMALL_WIDTH,
        lambda x: stuck(config={"width": x}, data=None),  # without classes, of which there may be more
        "undercapacity",
        False,
    ),
    (thresholds.LONG_WARMUP, warming, "warmup_too_long", True),
    (thresholds.SMALL_BATCH, lambda x: stuck(config={"batch_size": x}), "batch_too_small", False),
    (thresholds.BURST, bursting, "divergence", True),
    (thresholds.EARLY_BURST, starting_with, "early_instability", True),
    (thresholds.WEIGHT_GROWTH, lambda x: swelling(x, restless=True), "oscillation", True),
    (thresholds.WEIGHT_GROWTH_DEAD, lambda x: swelling(x, dead=0.45), "oscillation", True),
    (thresholds.DEAD_RISE, lambda x: swelling(2.5, dead=0.1 + x), "oscillation", True),
    (thresholds.FIT_RATIO_UNFINISHED, lambda x: slow(fit=x, update_ratio=2.3e-3), "slow_training", True),
    (thresholds.UPDATE_RATIO_SLOW, lambda x: slow(update_ratio=x), "learning_rate_too_low", False),
    (
        thresholds.GOOD_ENOUGH,
        lambda x: slow(accuracy=x, data=made_trials.DATA, update_ratio=5e-4),
        "too_few_epochs",
        False,
    ),
    (thresholds.RATE_AREA, decayed, "premature_decay", False),
    (thresholds.DECAY_SHARE, lambda x: stuck(config={"weight_decay": 0.04 * x}), "over_regularized", True),
    (
        thresholds.TRAIN_MODE_COST,
        lambda x: stuck(probe_loss=(1.6,) * 10, probe_accuracy=(0.35 + x,) * 10, config={"dropout": 0.3}),
        "over_regularized",
        True,
    ),
    (
        thresholds.TRAIN_MODE_LOSS,
        lambda x: stuck(
            probe_loss=(1.8 * (1.0 - x),) * 10, probe_accuracy=(0.6,) * 10, config={"dropout": 0.3}
        ),
        "over_regularized",
        True,
    ),
    (thresholds.OVERCONFIDENT, lambda x: sure(errors=x), "overconfidence", True),
    (thresholds.CONFIDENT_NOTED, lambda x: sure(rise=x), "overconfidence", True),
    (thresholds.MEMORIZED, lambda x: sure(memorized=x), "overconfidence", False),
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
