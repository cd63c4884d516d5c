"""Slowness where no single reading tells it: several agree; beside sound trainings that lack one of them."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import CauseName, Finding, Severity, diagnose_record, thresholds
from studies.diagnosis.progress import gain_of_peak, hardly_left, path_length
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import Signs
from studies.diagnosis.slowness import warmup_cost
from studies.records import TrialRecord
from tests.made_trials import DATA, LN10, study_of, trial_of, with_steps

DONE = (1.2, 0.7, 0.55, 0.48, 0.46, 0.455, 0.452, 0.45)
"""A validation loss that has come to rest."""


def faults(trial: TrialRecord) -> list[Finding]:
    return [each for each in diagnose_record(study_of(trial), 0) if each.severity is not Severity.NOTE]


def causes(trial: TrialRecord) -> list[CauseName]:
    found = faults(trial)
    return [cause.name for cause in found[0].causes] if found else []


def trained_at(
    rates: Sequence[float],
    *,
    losses: Sequence[float] = DONE,
    fit: float = 0.7,
    accuracy: float = 0.88,
    update_ratio: float = 1e-2,
    n_validation: int = 500,
) -> TrialRecord:
    """Epochs that share the steps of these rates, and whose train loss is a part of that on validation."""
    n, level = len(losses), (accuracy,) * len(losses)
    data = dataclasses.replace(DATA, n_train=len(rates) // n * 128, n_validation=n_validation)
    train = tuple(fit * loss for loss in losses)
    trial = trial_of(train, level, losses, level, update_ratio=update_ratio, data=data)
    return with_steps(trial, np.repeat(train, len(rates) // n).tolist(), list(rates), n_epochs=n)


# --- a warmup that takes most of the training


def warmed_for(share: float, **changes: Any) -> TrialRecord:
    n_rising = round(160 * share)
    return trained_at((*np.linspace(0.001, 0.1, n_rising), *(0.1,) * (160 - n_rising)), **changes)


def test_a_rate_that_rose_for_most_of_a_poor_training_is_to_blame() -> None:
    """Although the loss is at rest: what the steps at lower rates cost cannot be seen in its end."""
    trial = warmed_for(0.75)
    assert warmup_cost(Signs(trial=trial)) < thresholds.WARMUP_COST_POOR_FIT.value
    assert causes(trial) == [CauseName.WARMUP_TOO_LONG]


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param({"share": 0.5}, id="a triangle of rates"),
        pytest.param({"fit": 0.45}, id="fits its training data"),
        pytest.param({"accuracy": 0.96}, id="good enough"),
    ],
)
def test_a_long_warmup_alone_is_no_fault(sound: dict[str, float]) -> None:
    """The same training but for one thing."""
    assert causes(warmed_for(**({"share": 0.75} | sound))) == []


def test_a_training_that_was_cut_off_in_its_warmup_has_none_that_is_too_long() -> None:
    """Nobody knows how long it would have trained."""
    cut = dataclasses.replace(warmed_for(0.75), state="pruned")
    assert CauseName.WARMUP_TOO_LONG not in causes(cut)


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        pytest.param((2.2, 2.0, 1.6, 1.1, 0.7, 0.45, 0.3, 0.21), [CauseName.WARMUP_TOO_LONG], id="most"),
        pytest.param((1.6, 1.0, 0.7, 0.55, 0.45, 0.38, 0.32, 0.27), [], id="some"),
    ],
)
def test_a_good_end_is_no_excuse_for_a_warmup_that_most_of_the_errors_left_are_due_to(
    losses: Sequence[float], found: list[CauseName]
) -> None:
    """Both cost more than is noise, as validation is large."""
    trial = warmed_for(0.95, losses=losses, accuracy=0.955, fit=0.9, n_validation=4000)
    signs = Signs(trial=trial)
    assert warmup_cost(signs) > thresholds.NOISE_FLOORS.value
    share = warmup_cost(signs) * signs.accuracy_noise / signs.late_error
    assert (share > thresholds.WARMUP_COST_SHARE.value) == bool(found)
    assert causes(trial)[:1] == found


# --- tiny updates, a short way, and much that it promises


COSINE = np.repeat(np.linspace(0.1, 0.001, 8), 50)
NEAR: dict[str, Any] = {
    "rates": COSINE.tolist(),
    "losses": (1.6, 1.0, 0.7, 0.55, 0.47, 0.43, 0.40, 0.39),
    "fit": 0.4,
    "accuracy": 0.9,
    "update_ratio": 4e-4,
    "n_validation": 350,
}


def test_who_hardly_left_the_start_has_too_low_a_rate() -> None:
    """The fit is not poor enough to tell it, but step, way and promise agree; the evidence quotes all three."""
    trial = trained_at(**NEAR)
    assert path_length(Signs(trial=trial)) == pytest.approx(400 * 4e-4)
    (finding,) = faults(trial)
    assert [cause.name for cause in finding.causes] == [CauseName.LEARNING_RATE_TOO_LOW]
    assert {each.quantity for each in finding.evidence} == {
        "update_ratio",
        "path_length",
        "gain_of_path",
        "loss_ratio",
    }


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param({"update_ratio": 5.2e-4}, id="larger updates"),
        pytest.param({"rates": np.repeat(COSINE, 2).tolist()}, id="a longer way"),
        pytest.param({"fit": 0.25}, id="fits its training data"),
        pytest.param({"accuracy": 0.96}, id="good enough"),
        pytest.param({"n_validation": 100}, id="a gain within the noise"),
    ],
)
def test_each_of_the_signs_alone_keeps_the_rule_silent(sound: dict[str, Any]) -> None:
    """The same training but for one thing."""
    assert hardly_left(Signs(trial=trained_at(**NEAR)))
    assert not hardly_left(Signs(trial=trained_at(**(NEAR | sound))))
    assert faults(trained_at(**(NEAR | sound))) == []


# --- a rate that was gone


@pytest.mark.parametrize(("n_validation", "is_found"), [(2000, True), (300, False)])
def test_a_rate_that_was_gone_needs_no_poor_fit_where_it_would_have_brought_much(
    n_validation: int, is_found: bool
) -> None:
    """Both promise what is enough for a poor fit; only one promises what is enough for any."""
    rates = np.repeat((0.1, *(0.004,) * 7), 20).tolist()
    trial = trained_at(rates, fit=0.42, n_validation=n_validation, losses=(0.9, *np.linspace(0.62, 0.5, 7)))
    gain = gain_of_peak(Signs(trial=trial))
    assert gain > thresholds.GAIN_OF_PATH.value
    assert (gain > thresholds.GAIN_CLEAR.value) == is_found
    assert (CauseName.PREMATURE_DECAY in causes(trial)) == is_found


# --- few epochs


@pytest.mark.parametrize(("left", "is_found"), [(0.93, True), (0.8, False)])
def test_a_handful_of_steps_that_have_hardly_begun_are_too_few(left: float, is_found: bool) -> None:
    """One epoch of 24 steps, after which the loss is nearly that of the start; few samples promise nothing."""
    losses = (left * LN10,)
    trial = trained_at((0.1,) * 24, losses=losses, fit=1.0, accuracy=0.45, update_ratio=9e-2, n_validation=30)
    assert (CauseName.TOO_FEW_EPOCHS in causes(trial)) == is_found


@pytest.mark.parametrize(("update_ratio", "is_found"), [(2e-2, True), (8e-2, False)])
def test_few_epochs_that_went_very_far_do_not_lack_more_of_them(update_ratio: float, is_found: bool) -> None:
    """Three epochs of 40 steps: something else is wrong where the weights went ten times their norm."""
    trial = trained_at((0.1,) * 120, losses=(0.9, 0.62, 0.5), fit=0.7, update_ratio=update_ratio)
    assert (CauseName.TOO_FEW_EPOCHS in causes(trial)) == is_found


# --- what holds a fit down


@pytest.mark.parametrize(
    ("dropout", "cost", "is_found"), [(0.85, 0.18, True), (0.4, 0.18, False), (0.85, 0.08, False)]
)
def test_half_the_cost_tells_of_a_dropout_beyond_all_use(dropout: float, cost: float, is_found: bool) -> None:
    """A usual dropout costs as much in sound trainings."""
    trial = trial_of(
        (1.3, 1.0, 0.9, 0.85, 0.82, 0.8, 0.79, 0.78),
        (0.9 - cost,) * 8,
        (0.6, 0.45, 0.38, 0.34, 0.32, 0.31, 0.3, 0.3),
        (0.9,) * 8,
        config={"dropout": dropout},
        update_ratio=2e-2,
        probe_loss=(0.25,) * 8,
        probe_accuracy=(0.9,) * 8,
    )
    held = [each.name for each in restraint(Signs(trial=trial))]
    assert held == ([CauseName.OVER_REGULARIZED] if is_found else [])


@pytest.mark.parametrize(
    ("model", "width", "is_found"),
    [("mlp", 9, True), ("nets:convolutional", 9, False), ("nets:convolutional", 4, True)],
)
def test_the_width_of_a_model_of_ones_own_may_count_channels(model: str, width: int, is_found: bool) -> None:
    """Fewer units than classes are a bottleneck, as many channels are none."""
    losses, level = (1.5, 1.0, 0.8, 0.75, 0.74, 0.74, 0.74, 0.74), (0.8,) * 8
    trial = trial_of(losses, level, losses, level, config={"model": model, "width": width, "depth": 2})
    held = [each.name for each in restraint(Signs(trial=trial))]
    assert held == ([CauseName.UNDERCAPACITY] if is_found else [])


def test_what_was_not_read_fires_no_rule() -> None:
    """NaN compares with nothing."""
    signs = Signs(trial=trial_of((math.nan,) * 4))
    assert not hardly_left(signs)
    assert restraint(signs) == ()
