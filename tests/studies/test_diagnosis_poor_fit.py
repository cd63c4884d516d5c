"""Why a fit is poor, flat, jumping or a gap: the lever that is at work comes first."""

import dataclasses
from typing import Any

import pytest

from studies.diagnosis import (
    CauseName,
    diagnose_record,
)
from tests.cases import CASES
from tests.made_trials import DATA, good_trial, study_of, trial_of


@pytest.mark.parametrize(
    ("config", "changes", "cause", "lever", "value"),
    [
        ({"learning_rate": 1e-3}, {"update_ratio": 1e-6}, "learning_rate_too_low", "learning_rate", 0.5),
        ({"learning_rate": 1.0}, {"update_ratio": 0.5}, "learning_rate_too_high", "learning_rate", 0.1),
        ({"weight_decay": 0.1}, {}, "over_regularized", "weight_decay", 0.002),
        (
            {"dropout": 0.6},
            {"probe_accuracy": (0.6,) * 6, "probe_loss": (1.6,) * 6},
            "over_regularized",
            "dropout",
            0.3,
        ),
        ({"width": 4}, {}, "undercapacity", "width", 64),
        ({"depth": 0}, {}, "undercapacity", "depth", 1),
        ({"momentum": 0.99}, {}, "momentum_too_high", "momentum", 0.9),
        ({"batch_size": 2}, {}, "batch_too_small", "batch_size", 32),
    ],
)
def test_a_poor_fit_is_traced_to_its_lever(
    config: dict[str, float], changes: dict[str, Any], cause: str, lever: str, value: float
) -> None:
    """A flat loss with one lever at work names that lever and moves it the right way."""
    flat = (1.8, 1.79, 1.80, 1.79, 1.80, 1.79)
    poor = (0.35,) * 6
    trial = trial_of(flat, poor, flat, poor, config=config, **{"probe_loss": flat, **changes})
    (finding,) = diagnose_record(study_of(trial))
    assert finding.symptom == "plateau"
    assert finding.causes[0].name == cause
    assert [(e.lever, e.value) for e in finding.remedies[0].edits] == [(lever, value)]


def test_clipping_that_cuts_everything_is_loosened() -> None:
    """Every step clipped at 0.001 and tiny updates: raise the limit to the gradients' size."""
    poor = (0.3,) * 5
    trial = trial_of(
        (2.0,) * 5, poor, (2.0,) * 5, poor, config={"clip_norm": 1e-3}, update_ratio=1e-6, clip_fraction=1.0
    )
    (finding,) = diagnose_record(study_of(trial))
    assert finding.causes[0].name is CauseName.CLIPPING_TOO_TIGHT
    assert finding.remedies[0].edits[0].value == 0.5


@pytest.mark.parametrize(
    ("rate", "cause"), [(1e-3, "learning_rate_too_low"), (5.0, "learning_rate_too_high")]
)
def test_a_rate_far_from_the_best_trials_is_suspected(rate: float, cause: str) -> None:
    """Without other signs, ten times below or above the best trial's rate is the cause."""
    flat, poor = (1.8,) * 10, (0.35,) * 10
    trial = trial_of(flat, poor, flat, poor, number=1, config={"learning_rate": rate})
    (finding,) = diagnose_record(study_of(good_trial(0), trial), 1)
    assert finding.causes[0].name == cause


def test_rates_of_different_optimizers_are_not_compared() -> None:
    """Adam at 0.001 beside SGD at 0.1 is no low rate."""
    flat, poor = (1.8,) * 10, (0.35,) * 10
    trial = trial_of(flat, poor, flat, poor, number=1, config={"learning_rate": 1e-3, "optimizer": "adam"})
    (finding,) = diagnose_record(study_of(good_trial(0), trial), 1)
    assert finding.causes[0].confidence == 0.3


def test_a_rise_without_a_price_is_not_overfitting() -> None:
    """The validation loss rises while accuracy stays: overconfidence, and only in a network that is too sure."""
    (finding,) = diagnose_record(CASES["overconfidence"]())
    assert finding.causes[0].name is CauseName.OVERCONFIDENCE
    assert [remedy.edits[0].lever for remedy in finding.remedies][:2] == ["patience", "label_smoothing"]
    trial = CASES["overconfidence"]().trials[0]
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(row, confidence=row.validation_accuracy) for row in trial.telemetry.epochs
    )
    modest = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    assert diagnose_record(study_of(modest)) == []


def test_a_gap_from_the_first_epoch_on_is_a_shift_before_it_is_overfitting() -> None:
    """Memorizing takes time: validation that lags at once may hold another kind of data."""
    (opening,) = diagnose_record(CASES["overfitting"]())
    assert [cause.name for cause in opening.causes] == [CauseName.OVERFITTING]
    n = 8
    fitted, lagging = (0.70, 0.85, 0.92, 0.95, 0.97, 0.98, 0.99, 0.99), (0.30,) * n
    trial = trial_of(
        (0.9, 0.5, 0.3, 0.2, 0.1, 0.08, 0.05, 0.03), fitted, (2.0, 2.2, 2.5, 2.8, 3.0, 3.3, 3.6, 4.0), lagging
    )
    (finding,) = diagnose_record(study_of(trial))
    assert [cause.name for cause in finding.causes] == [CauseName.AUGMENTATION_DRIFT, CauseName.OVERFITTING]
    assert finding.evidence[-1].value == pytest.approx(0.40)
    assert finding.alternatives


def test_oscillation_of_a_regression_is_read_from_the_loss() -> None:
    """Without accuracies a validation loss that jumps by half its level is an oscillation."""
    jumps = (1.0, 0.6, 0.3, 0.6, 0.25, 0.6, 0.25, 0.6)
    trial = trial_of((0.5, 0.4, 0.35, 0.33, 0.32, 0.31, 0.3, 0.3), None, jumps, regression=True)
    (finding,) = diagnose_record(study_of(trial))
    assert finding.symptom == "oscillation"
    assert finding.evidence[0].quantity == "validation_loss_jitter"


@pytest.mark.parametrize(
    ("config", "cause"), [({"batch_size": 2}, "batch_too_small"), ({"momentum": 0.99}, "momentum_too_high")]
)
def test_oscillation_has_other_causes_than_the_rate(config: dict[str, float], cause: str) -> None:
    """Minibatches of two, or momentum 0.99, are the likelier cause of jumping."""
    trial = CASES["oscillation"]().trials[0]
    (finding,) = diagnose_record(study_of(dataclasses.replace(trial, config={**trial.config, **config})))
    assert finding.causes[0].name == cause


def test_a_rate_that_moves_nothing_comes_before_dropout_and_decay() -> None:
    """The answers of a network that has hardly learned flip at any noise: its loss does not mind dropout of 0.1."""
    config = {"learning_rate": 2.1e-4, "dropout": 0.098, "weight_decay": 3.8e-6}
    flat = (2.29, 2.288, 2.286, 2.284, 2.282, 2.28)
    trial = trial_of(
        flat,
        (0.11,) * 6,
        flat,
        (0.20,) * 6,
        config=config,
        update_ratio=2e-5,
        probe_loss=tuple(loss - 0.01 for loss in flat),
        probe_accuracy=(0.20,) * 6,
    )
    (finding,) = diagnose_record(study_of(trial))
    assert finding.causes[0].name is CauseName.LEARNING_RATE_TOO_LOW
    assert CauseName.OVER_REGULARIZED not in {cause.name for cause in finding.causes}
    assert {edit.lever for remedy in finding.remedies for edit in remedy.edits}.isdisjoint(
        {"dropout", "weight_decay"}
    )


def test_a_poor_fit_is_told_by_its_two_numbers() -> None:
    """The losses on both splits, and no ratio."""
    poor = (0.75,) * 6
    trial = trial_of((0.8,) * 6, poor, (0.82,) * 6, poor, config={"width": 4}, probe_loss=(0.8,) * 6)
    (finding,) = diagnose_record(study_of(trial))
    assert "its late loss is 0.8 on the training data and 0.82 on validation" in finding.sentence


def test_dead_units_quote_one_number() -> None:
    """The sentence and the evidence give the last epoch's share."""
    (finding,) = diagnose_record(CASES["dead_units"]())
    assert finding.sentence.startswith("83%")
    assert finding.evidence[0].value == 0.83


def test_few_samples_known_by_heart_are_overfitting_without_a_rise() -> None:
    """A train loss of a hundredth of the validation loss and a gap of 0.13 is a fault, one of 0.11 is usual."""
    train = (0.8, 0.3, 0.1, 0.02, 0.008, 0.004, 0.003, 0.003)
    level = (0.8, 0.9, 0.95, *(1.0,) * 5)
    flat = (0.8, 0.5, 0.42, 0.40, 0.40, 0.40, 0.40, 0.40)
    (finding,) = diagnose_record(study_of(trial_of(train, level, flat, (0.87,) * 8)))
    assert (finding.symptom, finding.causes[0].name) == ("overfitting", CauseName.OVERFITTING)
    assert diagnose_record(study_of(trial_of(train, level, flat, (0.89,) * 8))) == []


@pytest.mark.parametrize(
    ("per_class", "gap", "counts", "found"),
    [(60, 0.085, 10, True), (112, 0.085, 10, False), (60, 0.07, 10, False), (60, 0.085, 0, False)],
    ids=["few", "more", "close", "not counted"],
)
def test_of_few_samples_a_class_a_smaller_gap_is_overfitting(
    per_class: int, gap: float, counts: int, found: bool
) -> None:
    """Sixty of each class, known by heart: what validation lacks is what they do not show."""
    train = (0.8, 0.3, 0.1, 0.02, 0.008, 0.004, 0.003, 0.003)
    flat = (0.8, 0.5, 0.42, 0.40, 0.40, 0.40, 0.40, 0.40)
    data = dataclasses.replace(DATA, n_train=10 * per_class, train_class_counts=(per_class,) * counts)
    trial = trial_of(train, (1.0,) * 8, flat, (1.0 - gap,) * 8, data=data)
    assert ("overfitting" in {finding.symptom for finding in diagnose_record(study_of(trial))}) == found


@pytest.mark.parametrize(
    ("error", "gap", "found"), [(0.001, 0.18, True), (0.004, 0.18, False), (0.001, 0.14, False)]
)
def test_training_answers_without_an_error_are_known_by_heart_as_well(
    error: float, gap: float, found: bool
) -> None:
    """A loss of a twentieth is not enough of it, but errors that are gone are, before a gap of more than 0.15."""
    train = (0.8, 0.3, 0.1, 0.05, 0.03, 0.02, 0.02, 0.02)
    flat = (0.8, 0.5, 0.42, 0.40, 0.40, 0.40, 0.40, 0.40)
    probed = {"probe_loss": train, "probe_accuracy": (1.0 - error,) * 8}
    trial = trial_of(train, (0.97,) * 8, flat, (1.0 - error - gap,) * 8, **probed)
    assert ("overfitting" in {finding.symptom for finding in diagnose_record(study_of(trial))}) == found
