"""Sound trainings that looked like faults: what each rule wants to see of the harm before it speaks."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import Finding, Severity, diagnose_record
from studies.diagnosis.signs import Signs
from studies.readings import NAN, LayerProbe, StepReadings
from studies.records import TrialRecord
from tests.early_cases import with_weight_norm
from tests.made_trials import HEALTHY_LAYERS, step_zero, study_of, trial_of, with_steps

N = 8
FALLING = (1.5, 1.32, 1.16, 1.02, 0.9, 0.79, 0.695, 0.61)


def faults(trial: TrialRecord) -> dict[str, Finding]:
    found = diagnose_record(study_of(trial), trial.number)
    return {finding.symptom: finding for finding in found if finding.severity is not Severity.NOTE}


def smoothed(probe_accuracy: float) -> TrialRecord:
    """Label smoothing keeps the loss of the training data near that of validation, whatever is learned."""
    return trial_of(
        FALLING,
        (0.8,) * N,
        FALLING,
        (0.8,) * N,
        probe_loss=FALLING,
        probe_accuracy=(probe_accuracy,) * N,
        update_ratio=4e-4,  # over 3000 steps
    )


def test_a_loss_held_up_by_smoothing_is_no_poor_fit() -> None:
    """A training that gets its training data right has fitted it, whatever its loss is."""
    assert "slow_training" in faults(smoothed(0.8))
    assert "slow_training" not in faults(smoothed(0.99))


def hard_task(**changes: Any) -> TrialRecord:
    """Two in three are right on either split, and no more is to be had."""
    losses = (1.1, 1.0, 0.97, 0.96, 0.955, 0.953, 0.952, 0.952)
    level = (0.55, 0.61, 0.63, 0.64, 0.645, 0.648, 0.65, 0.65)
    return trial_of(losses, level, losses, level, **changes)


def test_a_hard_task_is_not_underfitted() -> None:
    """A low accuracy alone is a note: it may be all that the data allow."""
    trial = hard_task()
    assert faults(trial) == {}
    assert {finding.symptom for finding in diagnose_record(study_of(trial), 0)} & {"plateau", "underfitting"}


def test_a_low_accuracy_is_a_fault_where_something_holds_it_down() -> None:
    """The same curves with a mechanism at work are a fault."""
    assert set(faults(hard_task(config={"weight_decay": 0.03}))) & {"plateau", "underfitting"}


def test_a_low_accuracy_is_the_harm_of_an_earlier_anomaly() -> None:
    """Inputs out of scale are a fault when the fit that follows is poor, though that alone would be none."""
    scaled = hard_task()
    assert scaled.telemetry is not None
    assert scaled.telemetry.data is not None
    data = dataclasses.replace(scaled.telemetry.data, input_mean=100.0, input_std=50.0)
    telemetry = dataclasses.replace(scaled.telemetry, data=data)
    found = faults(dataclasses.replace(scaled, telemetry=telemetry))
    assert set(found) == {"input_scale"}
    assert set(found["input_scale"].consequences) & {"plateau", "underfitting"}


def burst(height: float, weight_norm: float) -> TrialRecord:
    trial = trial_of(
        FALLING,
        (0.8,) * N,
        FALLING,
        (0.8,) * N,
        probe=step_zero(layers=layers_of(1.0)),
        config={"optimizer": "adam"},
    )
    trial = with_weight_norm(trial, weight_norm)
    losses = (2.33, 2.33 * height, 2.4, *np.linspace(1.6, 0.55, 77))
    return with_steps(trial, losses, (0.1,) * 80, n_epochs=N)


def layers_of(weight_norm: float) -> tuple[LayerProbe, ...]:
    return tuple(
        LayerProbe(name=name, weight_norm=weight_norm, dead_fraction=0.1) for name, _ in HEALTHY_LAYERS
    )


@pytest.mark.parametrize(
    ("height", "weight_norm", "is_fault"), [(1.3, 1.05, False), (1.3, 2.0, True), (1.8, 1.05, False)]
)
def test_a_small_burst_that_leaves_no_trace_is_no_fault(
    height: float, weight_norm: float, is_fault: bool
) -> None:
    """A poor fit is what every short training has: the burst must have pushed the weights out."""
    assert ("early_instability" in faults(burst(height, weight_norm))) == is_fault


def with_epoch_steps(trial: TrialRecord, scatter: float) -> TrialRecord:
    """Each epoch's steps alternate about its train loss."""
    assert trial.telemetry is not None
    signs = np.tile([1.0, -1.0], 15).astype(np.float32)
    blocks = tuple(
        StepReadings(
            epoch=row.epoch,
            train_loss=np.float32(row.train_loss) + np.float32(scatter) * signs,
            learning_rate=np.full(30, 0.1, dtype=np.float32),
            gradient_norm=np.full(30, 0.5, dtype=np.float32),
            clipped=np.zeros(30, dtype=bool),
        )
        for row in trial.telemetry.epochs[1:]
    )
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, steps=blocks))


@pytest.mark.parametrize(("scatter", "n"), [(0.001, 2), (0.2, 0)])
def test_a_rise_within_the_scatter_of_the_minibatches_is_not_clear(scatter: float, n: int) -> None:
    """An epoch of a few small minibatches has a higher mean than the last one by chance."""
    trial = trial_of((0.9, 0.5, 0.29, 0.32, 0.2, 0.22, 0.19, 0.18))
    signs = Signs(trial=with_epoch_steps(trial, scatter))
    assert (signs.n_train_rises, signs.n_clear_rises) == (2, n)


def swollen(probe: float) -> TrialRecord:
    """Large weights and a third of the units dead, with a train loss of ``probe`` times that of validation."""
    validation = (0.5, 0.3, 0.2, 0.15, 0.12, 0.11, 0.1, 0.1)
    trial = trial_of(
        tuple(probe * loss for loss in validation), (0.95,) * N, validation, (0.94,) * N, dead=0.45,
        probe=step_zero(layers=layers_of(1.0)),
    )  # fmt: skip
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(
            row, layers=tuple(dataclasses.replace(layer, weight_norm=2.2) for layer in row.layers)
        )
        for row in trial.telemetry.epochs
    )
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))


def test_swollen_weights_that_settle_are_no_oscillation() -> None:
    """A training that fits its data ten times as well as validation has settled, large weights or not."""
    assert "oscillation" in faults(swollen(0.5))
    assert "oscillation" not in faults(swollen(0.06))


def collapsed(dead: float) -> TrialRecord:
    """The first layer stands still; the others move. It had a gradient in the first epoch."""
    trial = trial_of((2.3,) * 4, (0.1,) * 4, (2.3,) * 4, (0.1,) * 4, dead=dead)
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(
            row, layers=(dataclasses.replace(row.layers[0], update_ratio=0.0), *row.layers[1:])
        )
        if row.layers
        else row
        for row in trial.telemetry.epochs
    )
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))


def test_a_layer_behind_dead_units_is_not_called_frozen() -> None:
    """No gradient comes through a dead layer: that is what is wrong, and not the code."""
    assert "frozen_layers" in faults(collapsed(0.1))
    assert set(faults(collapsed(1.0))) == {"dead_units"}


@pytest.mark.parametrize(("n_units", "stage"), [(2, "curves"), (64, "untrained")])
def test_a_handful_of_units_is_dead_by_chance(n_units: int, stage: str) -> None:
    """Two units that are dead before any update are the luck of the draw; sixty-four are not."""
    layers = tuple(
        LayerProbe(name=name, dead_fraction=1.0, weight_gain=1.4, weight_norm=1.4 * n_units**0.5)
        for name, _ in HEALTHY_LAYERS
    )
    trial = trial_of((2.3,) * 4, (0.1,) * 4, (2.3,) * 4, (0.1,) * 4, dead=1.0, probe=step_zero(layers=layers))
    assert faults(trial)["dead_units"].stage.label == stage


def test_a_handful_of_steps_is_blamed_on_nothing() -> None:
    """After ten optimizer steps nobody has learned anything."""
    trial = trial_of((2.3,), (0.1,), (2.3,), (0.1,))
    assert "underfitting" in faults(trial)
    assert faults(with_steps(trial, (2.3,) * 10, (0.1,) * 10)) == {}


def test_a_warmup_for_most_of_the_training_is_found_on_a_shaky_curve() -> None:
    """What the second half gave promises more, even if the last epoch happens to be worse than the one before."""
    validation = (1.9, 1.0, 0.55, 0.4, 0.3, 0.32)
    trial = trial_of(
        tuple(0.8 * loss for loss in validation), (0.9,) * 6, validation, (0.9,) * 6,
        config={"warmup_fraction": 0.8},
    )  # fmt: skip
    found = faults(trial)
    assert found["slow_training"].causes[0].name == "warmup_too_long"


def test_missing_accuracies_leave_the_loss_ratio() -> None:
    """Without a probe's accuracy the losses alone tell the fit."""
    signs = Signs(trial=trial_of(tuple(0.5 * loss for loss in FALLING), None, FALLING, (NAN,) * N))
    assert signs.fit_ratio == signs.loss_ratio == pytest.approx(0.5)
