"""What shows steps that are too large, or a fit that is held down, in networks that no threshold was first set on."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import Finding, Severity, diagnose_record, thresholds
from studies.readings import LayerProbe
from studies.records import TrialRecord
from tests import made_trials
from tests.early_cases import with_weight_norm
from tests.made_trials import step_zero, study_of, trial_of, with_steps

RESTLESS = (0.6, 0.4, 0.3, 0.26, 0.29, 0.24, 0.28, 0.22)
SMOOTH = (0.6, 0.4, 0.34, 0.31, 0.29, 0.28, 0.27, 0.26)


def findings(trial: TrialRecord) -> list[Finding]:
    return [f for f in diagnose_record(study_of(trial), trial.number) if f.severity is not Severity.NOTE]


def names(trial: TrialRecord) -> list[str]:
    """The causes of the worst fault."""
    found = findings(trial)
    return [cause.name.value for cause in found[0].causes] if found else []


def trained(
    growth: float,
    *,
    accuracy: float = 0.85,
    losses: tuple[float, ...] = SMOOTH,
    fit: float = 0.4,
    **changes: Any,
) -> TrialRecord:
    """A training at its end, with weights ``growth`` times as large as before."""
    probe = step_zero()
    start = tuple(dataclasses.replace(layer, weight_norm=1.0) for layer in probe.layers)
    trial = trial_of(
        tuple(fit * loss for loss in losses),
        (accuracy + 0.04,) * 8,
        losses,
        (accuracy,) * 8,
        probe=dataclasses.replace(probe, layers=start),
        **changes,
    )
    return with_weight_norm(trial, growth)


@pytest.mark.parametrize(
    ("growth", "accuracy", "losses", "fit", "found"),
    [
        (2.2, 0.85, RESTLESS, 0.4, True),
        (1.9, 0.85, RESTLESS, 0.4, False),
        (2.2, 0.97, RESTLESS, 0.4, False),
        (2.2, 0.85, SMOOTH, 0.4, False),
        (2.2, 0.85, RESTLESS, 0.08, False),
    ],
    ids=["restless", "grown less", "nothing wanting", "calm", "settled"],
)
def test_swollen_weights_in_a_restless_training_are_a_rate_that_is_too_high(
    growth: float, accuracy: float, losses: tuple[float, ...], fit: float, found: bool
) -> None:
    """Twice their size, a train loss that rises now and then, a validation loss that goes up and down."""
    trial = trained(growth, accuracy=accuracy, losses=losses, fit=fit, update_ratio=0.02)
    assert names(trial) == ["learning_rate_too_high"] * found


@pytest.mark.parametrize(
    ("config", "cause", "said"),
    [
        ({"batch_size": 8}, "batch_too_small", "updates of 8 samples"),
        ({"optimizer": "sgd", "momentum": 0.98}, "momentum_too_high", "a momentum of 0.98"),
    ],
)
def test_a_tiny_batch_or_a_high_momentum_swells_weights_for_a_known_reason(
    config: dict[str, Any], cause: str, said: str
) -> None:
    """It is the first cause, and needs no curve that shows it: an accuracy that falls short is enough."""
    trial = trained(2.0, fit=0.5, config=config)
    assert names(trial) == [cause, "learning_rate_too_high"]
    assert said in findings(trial)[0].sentence
    assert findings(trained(2.0, fit=0.5, accuracy=0.97, config=config)) == []
    assert findings(trained(1.7, fit=0.5, config=config)) == []


@pytest.mark.parametrize(("above", "found"), [(-0.01, False), (0.01, True)])
def test_a_tiny_batch_that_fits_its_training_data_was_not_too_small(above: float, found: bool) -> None:
    """Far better than validation: its steps were small enough, however far they carried the weights."""
    fit = thresholds.FIT_RATIO_TINY_BATCH.value + above
    assert bool(findings(trained(2.0, fit=fit, config={"batch_size": 3}))) == found


@pytest.mark.parametrize(("growth", "found"), [(0.5, True), (0.9, False)])
def test_weights_that_shrink_are_decayed_whatever_the_optimizer_makes_of_it(
    growth: float, found: bool
) -> None:
    """The share of decay in an update is unknown for adaptive optimizers; half of the weights is seen."""
    trial = trained(growth, config={"optimizer": "adam", "weight_decay": 0.1, "learning_rate": 1e-3})
    assert ("over_regularized" in names(trial)) == found
    if found:
        assert findings(trained(growth, config={"weight_decay": 0.0})) == []
        assert findings(trained(growth, accuracy=0.97, config={"weight_decay": 1e-4})) == []


def test_decay_is_no_cause_where_the_weights_have_not_shrunk() -> None:
    """Where nothing else moves them any more, the little that decay does is all of the update."""
    config = {"optimizer": "sgd", "weight_decay": 1e-2, "learning_rate": 0.1}
    held, dead = (trained(growth, fit=0.9, update_ratio=1e-3, config=config) for growth in (0.6, 0.98))
    assert names(held)[:1] == ["over_regularized"]
    assert "over_regularized" not in names(dead)


def test_fewer_units_than_classes_are_a_bottleneck() -> None:
    """Nine for ten classes, or for three."""
    ten = trained(1.2, fit=0.6, config={"width": 9}, data=made_trials.DATA)
    three = dataclasses.replace(
        made_trials.DATA,
        train_class_counts=(10_000,) * 3,
        validation_class_counts=(2_000,) * 3,
    )
    assert names(ten) == ["undercapacity"]
    assert names(trained(1.2, fit=0.6, config={"width": 9}, data=three)) == []


def burst(growth: float, accuracy: float = 0.85, fit: float = 0.4, times: float = 1.4) -> TrialRecord:
    losses = (2.33, 2.33 * times, 2.4, *np.linspace(1.6, 0.3, 77))
    trial = trained(growth, accuracy=accuracy, fit=fit, config={"optimizer": "adam"})
    return with_steps(trial, losses, (0.1,) * 80, n_epochs=8)


@pytest.mark.parametrize(
    ("growth", "accuracy", "fit", "found"),
    [
        (2.0, 0.85, 0.2, True),
        (1.8, 0.85, 0.2, False),
        (2.0, 0.97, 0.2, False),
        (1.5, 0.85, 0.9, True),
    ],
)
def test_an_early_burst_is_a_fault_where_it_pushed_the_weights_out(
    growth: float, accuracy: float, fit: float, found: bool
) -> None:
    """And where something is left to gain, less if much of the loss is left; a warmup is named, whatever the depth."""
    trial = burst(growth, accuracy, fit)
    assert [finding.symptom for finding in findings(trial)] == ["early_instability"] * found
    assert not found or "missing_warmup" in names(trial)


@pytest.mark.parametrize(
    ("growth", "times", "found"), [(1.35, 7.0, True), (1.22, 7.0, False), (1.35, 5.5, False)]
)
def test_a_burst_beyond_all_measure_need_not_push_the_weights_far(
    growth: float, times: float, found: bool
) -> None:
    """Adam goes on with the averages of its gradients."""
    told = findings(burst(growth, fit=0.2, times=times))
    assert [finding.symptom for finding in told] == ["early_instability"] * found


def test_outputs_that_grow_from_an_excessive_loss_need_no_later_symptom() -> None:
    """Six hidden layers, each with twice the deviation of the one before: fitted, but answered worse."""
    layers = tuple(
        LayerProbe(name=str(i), gradient_norm=1.0, weight_norm=1.0, weight_gain=2.4, output_std=2.0**i)
        for i in range(7)
    )
    probe = dataclasses.replace(step_zero(layers=layers), train_loss=20.0)
    short, good = (
        trial_of(tuple(0.4 * loss for loss in SMOOTH), (a + 0.04,) * 8, SMOOTH, (a,) * 8, probe=probe)
        for a in (0.85, 0.955)
    )
    assert names(short) == ["exploding_gradients", "bad_initialization"]
    assert findings(good) == []


@pytest.mark.parametrize(("growth", "found"), [(1.1, False), (1.6, True)])
def test_a_small_batch_is_blamed_for_a_poor_fit_only_where_weights_swelled(
    growth: float, found: bool
) -> None:
    """A hard task is answered poorly with any batch."""
    trial = trained(growth, accuracy=0.5, fit=0.97, config={"batch_size": 8})
    assert ("batch_too_small" in names(trial)) == found


def test_a_train_loss_that_never_rises_is_not_said_to() -> None:
    """Swollen weights and units that died, in a train loss that falls all along."""
    trial = trained(4.0, losses=SMOOTH, dead=0.4)
    (found,) = [finding for finding in findings(trial) if finding.symptom == "oscillation"]
    assert (
        found.sentence
        == "The weights are 4.0 times as large as before training, and 30% of a layer's units died."
    )
