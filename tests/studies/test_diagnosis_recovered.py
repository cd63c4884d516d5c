"""Who recovered from a rough or a slow start, and who did not: the traces, not the start itself, are the fault."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import Finding, Severity, diagnose_record, thresholds
from studies.diagnosis.instability import burst_share
from studies.diagnosis.signs import Signs
from studies.records import TrialRecord
from tests.made_trials import DATA, step_zero, study_of, trial_of, with_steps

N_EPOCHS = 8
N_STEPS = 80
LOSSES = (0.6, 0.4, 0.34, 0.31, 0.29, 0.28, 0.27, 0.26)
START = 2.33
"""Of the made untrained network."""


def findings(trial: TrialRecord) -> list[Finding]:
    return [f for f in diagnose_record(study_of(trial), trial.number) if f.severity is not Severity.NOTE]


def symptoms(trial: TrialRecord) -> list[str]:
    return [finding.symptom for finding in findings(trial)]


def bursting(
    height: float, growth: float, *, fit: float = 0.4, dead: float = 0.0, **config: Any
) -> TrialRecord:
    """A training whose loss jumps to ``height`` times its start and comes back; its weights grow ``growth`` times."""
    probe = step_zero()
    start = tuple(dataclasses.replace(layer, weight_norm=1.0) for layer in probe.layers)
    trial = trial_of(
        tuple(fit * loss for loss in LOSSES),
        (1.0 - 0.1 * fit,) * N_EPOCHS,
        LOSSES,
        (0.9,) * N_EPOCHS,
        dead=(dead,) * N_EPOCHS,
        probe=dataclasses.replace(probe, layers=start),
        config=config,
    )
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(
            row, layers=tuple(dataclasses.replace(layer, weight_norm=growth) for layer in row.layers)
        )
        for row in trial.telemetry.epochs
    )
    trial = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    losses = (START, START * height, *np.linspace(2.0, 0.3, N_STEPS - 2))
    return with_steps(trial, losses, (0.01,) * N_STEPS, n_epochs=N_EPOCHS)


@pytest.mark.parametrize(
    ("height", "growth", "fit", "normalization", "found"),
    [
        (1.7, 2.0, 0.4, "none", True),
        (1.7, 2.0, 0.4, "batch", False),
        (3.0, 2.0, 0.4, "batch", True),
        (1.7, 2.0, 0.02, "none", False),
        (8.0, 1.05, 0.8, "none", True),
        (4.0, 1.05, 0.8, "none", False),
        (8.0, 1.05, 0.15, "none", False),
    ],
    ids=[
        "pushed out",
        "free to grow",
        "free, but violently thrown",
        "known by heart",
        "beyond all measure",
        "not beyond",
        "beyond, but fitted",
    ],
)
def test_an_early_burst_is_a_fault_by_its_traces(
    height: float, growth: float, fit: float, normalization: str, found: bool
) -> None:
    """Weights that it pushed out, or a poor fit after a burst beyond all measure; not in who has recovered."""
    trial = bursting(height, growth, fit=fit, normalization=normalization, optimizer="adam")
    assert ("early_instability" in symptoms(trial)) == found


@pytest.mark.parametrize(
    ("optimizer", "found"), [("rmsprop", True), ("NAdam", True), ("", True), ("sgd", False)]
)
@pytest.mark.parametrize(("height", "growth"), [(1.7, 2.0), (8.0, 1.05)], ids=["pushed out", "thrown"])
def test_plain_steps_leave_nothing_of_a_burst_that_has_passed(
    height: float, growth: float, optimizer: str, found: bool
) -> None:
    """Past gradients that are divided by remember it; an optimizer that nobody told may do so, too."""
    trial = bursting(height, growth, fit=0.8, optimizer=optimizer)
    assert ("early_instability" in symptoms(trial)) == found


@pytest.mark.parametrize(("n_above", "fit", "found"), [(20, 0.4, True), (12, 0.4, False), (20, 0.02, False)])
def test_a_loss_that_long_stays_above_its_start_has_not_recovered(
    n_above: int, fit: float, found: bool
) -> None:
    """A quarter of 80 steps, whatever the optimizer; not 12 of them, nor who knows the training data by heart."""
    losses = (*(1.5 * START,) * n_above, *np.linspace(2.0, 0.3, N_STEPS - n_above))
    trial = with_steps(
        bursting(1.7, 1.05, fit=fit, optimizer="sgd"), losses, (0.01,) * N_STEPS, n_epochs=N_EPOCHS
    )
    assert burst_share(Signs(trial=trial)) == n_above / N_STEPS
    assert ("early_instability" in symptoms(trial)) == found


def test_a_single_update_above_the_start_ends_no_recovery() -> None:
    """The running median passes over it; a loss that was never above its start has a share of 0, an unread one none."""
    quiet = np.linspace(2.0, 0.3, N_STEPS)
    spiked = quiet.copy()
    spiked[60] = 2.0 * START
    signs = [
        Signs(trial=with_steps(bursting(1.7, 1.05), losses, (0.01,) * N_STEPS, n_epochs=N_EPOCHS))
        for losses in (quiet, spiked)
    ]
    assert [burst_share(each) for each in signs] == [0.0, 0.0]
    unread = trial_of(LOSSES, (0.9,) * N_EPOCHS, LOSSES, (0.9,) * N_EPOCHS)
    assert np.isnan(burst_share(Signs(trial=unread)))


@pytest.mark.parametrize(("fit", "found"), [(0.8, True), (0.6, False)])
def test_who_has_little_loss_left_was_not_thrown(fit: float, found: bool) -> None:
    """Ten times less than guessing is a fit, though validation has not much more: 0.09 and 0.07 of the start."""
    trial = bursting(8.0, 1.05, fit=fit, optimizer="adam")
    assert Signs(trial=trial).fit_ratio > thresholds.FIT_RATIO_THROWN.value
    assert ("early_instability" in symptoms(trial)) == found


@pytest.mark.parametrize(
    ("config", "growth", "dead", "late", "found"),
    [
        ({"optimizer": "sgd"}, 1.5, 0.0, 0.0, False),
        ({"optimizer": "adam"}, 1.5, 0.0, 0.0, True),
        ({"optimizer": "sgd"}, 3.0, 0.0, 0.0, True),
        ({"optimizer": "sgd"}, 1.5, 0.4, 0.0, True),
        ({"optimizer": "sgd"}, 1.5, 0.0, 4.5, True),
    ],
    ids=["passed", "remembered", "swollen", "units lost", "comes back"],
)
def test_a_high_loss_after_a_burst_that_has_passed_is_no_divergence(
    config: dict[str, Any], growth: float, dead: float, late: float, found: bool
) -> None:
    """A hard task or wrong labels keep the loss up: the burst is to blame where it left a trace."""
    trial = bursting(1.7, growth, fit=6.0, dead=dead, **config)
    losses = np.array([START, START * 1.7, *np.linspace(2.0, 1.6, N_STEPS - 2)])
    losses[60:63] = np.maximum(losses[60:63], late)
    trial = with_steps(trial, losses, (0.01,) * N_STEPS, n_epochs=N_EPOCHS)
    assert Signs(trial=trial).explained < 1.0 - thresholds.MOST_IS_LEFT.value
    assert ("divergence" in symptoms(trial)) == found


@pytest.mark.parametrize(("above", "found"), [(-0.01, False), (0.01, True)])
def test_who_fits_the_training_data_has_come_back_from_a_burst(above: float, found: bool) -> None:
    """However much of the untrained loss is left, on noisy single samples or hard ones."""
    trial = bursting(1.7, 3.0, fit=6.0, optimizer="sgd")
    losses = np.array([START, START * 1.7, *np.linspace(2.0, 1.6, N_STEPS - 2)])
    trial = with_steps(trial, losses, (0.01,) * N_STEPS, n_epochs=N_EPOCHS)
    assert trial.telemetry is not None
    # Of the errors, because the losses are beyond those of validation here.
    right = 1.0 - 0.1 * (thresholds.FIT_RATIO_AFTER_BURST.value + above)
    rows = tuple(dataclasses.replace(row, probe_accuracy=right) for row in trial.telemetry.epochs)
    trial = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    assert ("divergence" in symptoms(trial)) == found


@pytest.mark.parametrize(("growth", "found"), [(1.35, True), (1.1, False), (float("nan"), True)])
def test_units_that_died_in_weights_that_stayed_died_of_something_else(growth: float, found: bool) -> None:
    """What kills units in the first updates moves the weights; of weights that were not read nobody knows."""
    assert ("early_instability" in symptoms(bursting(1.7, growth, dead=0.49))) == found


@pytest.mark.parametrize(
    ("fit", "accuracy", "found"),
    [(0.8, 0.85, ["slow_training"]), (0.3, 0.85, []), (0.8, 0.96, [])],
    ids=["poor fit", "fitted", "good"],
)
def test_a_long_warmup_is_no_fault_where_the_fit_is_there(
    fit: float, accuracy: float, found: list[str]
) -> None:
    """However much it promises: what is left on validation is not for want of steps at the peak rate."""
    losses = (1.4, 0.9, 0.7, 0.6, 0.5, 0.42, 0.36, 0.3)
    error = 1.0 - accuracy
    trial = trial_of(
        tuple(fit * loss for loss in losses),
        (1.0 - fit * error,) * N_EPOCHS,
        losses,
        (accuracy,) * N_EPOCHS,
    )
    rates = tuple(np.linspace(0.001, 0.1, N_STEPS))
    falling = tuple(np.linspace(2.2, 0.3, N_STEPS))
    assert symptoms(with_steps(trial, falling, rates, n_epochs=N_EPOCHS)) == found


@pytest.mark.parametrize(("end", "found"), [(0.005, True), (0.1, False)], ids=["decayed", "constant"])
def test_two_epochs_that_a_schedule_ended_promise_more_by_their_rates(end: float, found: bool) -> None:
    """What the second epoch brought at next to no rate says more of a third than the same at the full one."""
    data = dataclasses.replace(DATA, n_validation=1000)
    trial = trial_of((0.55, 0.5), (0.92, 0.93), (0.62, 0.55), (0.92, 0.92), update_ratio=0.03, data=data)
    rates = (0.1,) * 40 + (end,) * 40
    shown = symptoms(with_steps(trial, tuple(np.linspace(2.2, 0.5, N_STEPS)), rates, n_epochs=2))
    assert ("slow_training" in shown) == found
