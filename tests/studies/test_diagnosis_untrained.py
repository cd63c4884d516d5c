"""What is wrong with a network before its first step: growth, a bad start, twins and dead units."""

import math
from typing import Any

import pytest

from studies.diagnosis import CauseName, Severity
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptoms.abnormal_start import growth_per_layer
from studies.readings import NAN, LayerProbe
from studies.records import Outcome, TrialRecord
from tests.early_cases import (
    layers,
    stuck_trial,
    with_data,
    with_start,
)
from tests.made_trials import LEARNING, RISING, VALIDATION_LOSS, step_zero, trial_of
from tests.studies.lone_trials import faults, the_finding


def _deep(stds: list[float], **changes: Any) -> tuple[LayerProbe, ...]:
    return tuple(
        LayerProbe(name=str(n), gradient_norm=0.1, output_std=std, **changes) for n, std in enumerate(stds)
    )


def test_growth_per_layer_is_the_ratio_of_a_geometric_series() -> None:
    """Twofold at each of six hidden layers; the output layer does not count, four are too few."""
    assert growth_per_layer(_deep([2.0**n for n in range(6)] + [1e9])) == pytest.approx(2.0)
    assert math.isnan(growth_per_layer(_deep([2.0**n for n in range(4)] + [1e9])))


def test_outputs_that_grow_at_every_layer_are_exploding_gradients() -> None:
    """Named before the initialization, which is the other name of the same thing."""
    finding = the_finding(with_start(train_loss=500.0, layers=_deep([2.0**n for n in range(9)])))
    assert [cause.name for cause in finding.causes] == [
        CauseName.EXPLODING_GRADIENTS,
        CauseName.BAD_INITIALIZATION,
    ]


@pytest.mark.parametrize(("n_hidden", "are_listed"), [(4, True), (3, True), (2, False)])
def test_growth_over_few_layers_is_an_alternative(n_hidden: int, are_listed: bool) -> None:
    """The initialization comes first there, and growing gradients second; over two layers nothing tells them."""
    start = with_start(train_loss=500.0, layers=_deep([2.0**n for n in range(n_hidden + 1)]))
    expected = [CauseName.BAD_INITIALIZATION, *[CauseName.EXPLODING_GRADIENTS] * are_listed]
    assert [cause.name for cause in the_finding(start).causes] == expected


def test_a_loss_far_from_guessing_before_any_update_is_a_bad_initialization() -> None:
    """A step-0 loss of 40 where 2.3 is due names the initialization; what follows is its consequence."""
    diverged = trial_of((0.9, NAN), outcome=Outcome.DIVERGED, probe=step_zero(train_loss=40.0))
    finding = the_finding(diverged)
    assert finding.causes[0].name is CauseName.BAD_INITIALIZATION
    assert finding.consequences == ("divergence",)


def test_a_bad_start_that_training_makes_up_for_is_a_note() -> None:
    """An anomaly that does no harm is no fault."""
    assert faults(with_start(train_loss=60.0)) == []
    assert the_finding(with_start(train_loss=60.0)).severity is Severity.NOTE


def test_twins_in_a_hidden_layer_harm_where_little_is_learned() -> None:
    """All weights alike: the units of a layer never part. In the output layer alone they do."""
    assert faults(with_start(stuck_trial(), layers=layers(twin_fraction=(1.0, 1.0, 1.0)))) == [
        "abnormal_start"
    ]
    assert "abnormal_start" not in faults(
        with_start(stuck_trial(), layers=layers(twin_fraction=(0.0, 0.0, 1.0)))
    )


def test_a_layer_of_copies_alone_harms_where_the_accuracy_falls_short() -> None:
    """They part by dropout, after a while; a good training has made up for it, and zeros are a usual start."""
    n = len(RISING)
    short = trial_of(LEARNING, RISING, VALIDATION_LOSS, (0.85,) * n)
    copies = {"twin_fraction": (1.0, 0.0, 0.0)}
    assert faults(with_start(short, layers=layers(weight_gain=(1.4,) * 3, **copies))) == ["abnormal_start"]
    assert faults(with_start(layers=layers(weight_gain=(1.4,) * 3, **copies))) == []
    assert faults(with_start(short, layers=layers(weight_gain=(0.0, 1.4, 1.4), **copies))) == []


def _dead(trial: TrialRecord, fraction: float) -> TrialRecord:
    dead = (fraction,) * 3
    return with_start(trial, layers=layers(dead_fraction=dead))


def test_units_dead_before_training_are_no_fault_of_the_rate() -> None:
    """Biases far below zero: the cause is the units' own, and it is found at the start."""
    trial = trial_of(*((2.303,) * 8, (0.11,) * 8) * 2, dead=1.0)
    finding = the_finding(_dead(trial, 1.0))
    assert (finding.symptom, finding.stage) == ("dead_units", Stage.UNTRAINED)
    assert [cause.name for cause in finding.causes] == [CauseName.DYING_RELU, CauseName.BAD_INITIALIZATION]
    assert "zeros_" in " ".join(remedy.sentence for remedy in finding.remedies)


def test_units_killed_by_raw_inputs_are_mended_at_the_input() -> None:
    """Pixels of 0 to 255 are named before the learning rate that they make too high."""
    trial = trial_of(*((2.303,) * 8, (0.11,) * 8) * 2, dead=1.0)
    finding = the_finding(with_data(trial, input_max=255.0, input_mean=33.0, input_std=78.0))
    assert finding.causes[0].name is CauseName.UNNORMALIZED_INPUT
    assert "dead_units" in finding.consequences


def test_gradients_that_fade_before_training_are_a_note_where_all_is_learned() -> None:
    """Seven layers with a fifth of the gradient at each: normalization or patience may make up for it."""
    fading = tuple(LayerProbe(name=str(n), gradient_norm=0.5 * 10.0 ** (0.7 * (n - 6))) for n in range(7))
    assert the_finding(with_start(layers=fading)).severity is Severity.NOTE
    finding = the_finding(with_start(stuck_trial(), layers=fading))
    assert (finding.symptom, finding.stage) == ("vanishing_gradients", Stage.UNTRAINED)
