"""What a second random draw has shown: sound trainings and faults that look like them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import CauseName, Finding, Severity, diagnose_record, thresholds
from studies.readings import LayerProbe
from studies.records import TrialRecord
from tests.made_trials import DATA, step_zero, study_of, trial_of, with_steps

RISEN = (0.6, 0.4, 0.3, 0.32, 0.34, 0.36, 0.40, 0.42)
SMOOTH = (1.1, 0.8, 0.62, 0.53, 0.49, 0.46, 0.44, 0.42)
RESTLESS = (0.9, 0.7, 0.55, 0.50, 0.56, 0.48, 0.55, 0.50)


def faults(trial: TrialRecord) -> list[Finding]:
    return [each for each in diagnose_record(study_of(trial), 0) if each.severity is not Severity.NOTE]


def causes(trial: TrialRecord) -> list[CauseName]:
    found = faults(trial)
    return [cause.name for cause in found[0].causes] if found else []


def known_by_heart(memorized: float, *, last_rate: float = 0.1, is_read: bool = True) -> TrialRecord:
    """A validation loss that rises for good at a level accuracy, after the training data is known."""
    train = (*(0.3, 0.2, 0.15, 0.12), *(memorized * loss for loss in RISEN[4:]))
    read: dict[str, Sequence[float]] = {"confidence": (0.99,) * 8} if is_read else {}
    data = dataclasses.replace(DATA, n_validation=1000)
    trial = trial_of(train, (*(0.93,) * 4, *(0.999,) * 4), RISEN, (0.93,) * 8, data=data, **read)
    rates = np.linspace(0.1, last_rate, 80).tolist()
    return with_steps(trial, np.repeat(train, 10).tolist(), rates, n_epochs=8)


@pytest.mark.parametrize(
    ("changes", "memorized", "is_found"),
    [
        ({}, 0.003, True),
        ({"last_rate": 0.001}, 0.003, False),
        ({"last_rate": 0.001}, 0.0005, True),
        ({"is_read": False}, 0.003, False),
        ({"is_read": False}, 0.0005, True),
    ],
)
def test_a_decayed_rate_or_an_unread_confidence_asks_for_more(
    changes: Mapping[str, Any], memorized: float, is_found: bool
) -> None:
    """What a schedule that ends leaves of confidence is the price of its last percents."""
    trial = known_by_heart(memorized, **changes)
    assert causes(trial) == [CauseName.OVERCONFIDENCE, CauseName.OVERFITTING] * is_found


def test_an_unread_confidence_is_not_quoted() -> None:
    (finding,) = faults(known_by_heart(0.0005, is_read=False))
    assert finding.sentence == (
        "The training data is known by heart, and the validation loss is 25% above its best."
    )
    assert {each.quantity for each in finding.evidence} == {"validation_loss_rise", "loss_ratio"}


def test_a_regression_has_no_confidence() -> None:
    """The same losses without accuracies are overfitting at most."""
    train = (*(0.3, 0.2, 0.15, 0.12), *(0.0005 * loss for loss in RISEN[4:]))
    found = diagnose_record(study_of(trial_of(train, None, RISEN, regression=True)), 0)
    assert "overconfidence" not in {each.symptom for each in found}
    assert all(CauseName.OVERCONFIDENCE not in {c.name for c in each.causes} for each in found)


def started(gains: Sequence[float], twins: float = 0.0) -> TrialRecord:
    """Outputs that grow five times at each of three hidden layers, over too large a loss."""
    layers = tuple(
        LayerProbe(name=str(i), gradient_norm=1.0, weight_gain=gain, output_std=5.0**i, twin_fraction=twins)
        for i, gain in enumerate((*gains, 1.4))
    )
    probe = dataclasses.replace(step_zero(layers=layers), train_loss=20.0)
    return trial_of(tuple(0.4 * loss for loss in SMOOTH), (0.89,) * 8, SMOOTH, (0.85,) * 8, probe=probe)


@pytest.mark.parametrize(
    ("gains", "twins", "is_gain"),
    [((7.0, 7.1, 6.9), 0.0, True), ((9.8, 6.8, 6.9), 0.0, False), ((7.0, 7.1, 6.9), 0.7, False)],
    ids=["one gain", "one deviation", "copies"],
)
def test_one_gain_that_is_too_large_in_every_layer_explodes(
    gains: Sequence[float], twins: float, is_gain: bool
) -> None:
    """Both causes are told; what the layers have in common ranks them."""
    both = [CauseName.EXPLODING_GRADIENTS, CauseName.BAD_INITIALIZATION]
    assert causes(started(gains, twins)) == (both if is_gain else both[::-1])


def with_norms(trial: TrialRecord, growth: float) -> TrialRecord:
    """Weights ``growth`` times as large at the end as before."""
    assert trial.telemetry is not None
    probe = step_zero()
    start = tuple(dataclasses.replace(layer, weight_norm=1.0) for layer in probe.layers)
    rows = tuple(
        dataclasses.replace(
            row, layers=tuple(dataclasses.replace(layer, weight_norm=growth) for layer in row.layers)
        )
        for row in trial.telemetry.epochs
    )
    telemetry = dataclasses.replace(
        trial.telemetry, epochs=rows, step_zero=dataclasses.replace(probe, layers=start)
    )
    return dataclasses.replace(trial, telemetry=telemetry)


@pytest.mark.parametrize(("update_ratio", "is_found"), [(0.011, False), (0.014, True)])
def test_swollen_weights_and_a_noisy_loss_are_large_steps_where_the_updates_are_large(
    update_ratio: float, is_found: bool
) -> None:
    train = (0.9, 0.6, 0.45, 0.40, 0.42, 0.36, 0.33, 0.30)
    trial = trial_of(train, (0.92,) * 8, RESTLESS, (0.88,) * 8, update_ratio=update_ratio)
    assert causes(with_norms(trial, 2.6)) == [CauseName.LEARNING_RATE_TOO_HIGH] * is_found


@pytest.mark.parametrize(
    ("width", "momentum", "growth", "found"),
    [
        (9, 0.99, 3.0, [CauseName.MOMENTUM_TOO_HIGH, CauseName.UNDERCAPACITY]),
        (3, 0.99, 3.0, [CauseName.UNDERCAPACITY, CauseName.MOMENTUM_TOO_HIGH]),
        (9, 0.99, 1.5, [CauseName.UNDERCAPACITY]),
        (9, 0.9, 3.0, [CauseName.UNDERCAPACITY]),
    ],
)
def test_few_units_and_a_high_momentum_are_both_told(
    width: int, momentum: float, growth: float, found: list[CauseName]
) -> None:
    """Units that are fewer than the classes may do; three of them never."""
    config = {"width": width, "momentum": momentum}
    fitted = tuple(0.8 * loss for loss in SMOOTH)
    trial = with_norms(trial_of(fitted, (0.87,) * 8, SMOOTH, (0.85,) * 8, config=config), growth)
    assert causes(trial) == found


@pytest.mark.parametrize(
    ("clipped", "accuracy", "fit", "is_found"),
    [(1.0, 0.9, 0.7, True), (0.9, 0.9, 0.7, False), (1.0, 0.96, 0.7, False), (1.0, 0.9, 0.4, False)],
    ids=["all", "most", "nothing wanting", "fitted"],
)
def test_clipping_that_sets_the_length_of_every_step_is_too_tight_where_the_fit_is_poor(
    clipped: float, accuracy: float, fit: float, is_found: bool
) -> None:
    """A training that went far enough, and still gets better at its end."""
    losses = (0.80, 0.50, 0.42, 0.39, 0.375, 0.365, 0.358, 0.352)
    data = dataclasses.replace(DATA, n_train=3200, n_validation=500)
    level = (accuracy,) * 8
    train = tuple(fit * loss for loss in losses)
    trial = trial_of(train, level, losses, level, data=data, update_ratio=8e-3, clip_fraction=clipped)
    trial = with_steps(trial, np.repeat(train, 25).tolist(), (0.1,) * 200, n_epochs=8)
    found = faults(trial)
    assert causes(trial) == [CauseName.CLIPPING_TOO_TIGHT] * is_found
    assert not found or found[0].evidence[0].threshold == thresholds.ALL_CLIPPED.value
