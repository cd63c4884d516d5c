"""Starts that harm unseen: gains that explode or saturate, gradients that go on fading, and a bottleneck among them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from studies.diagnosis import CauseName, Finding, Severity, diagnose_record, thresholds
from studies.readings import NAN, LayerProbe, LayerReadings
from studies.records import TrialRecord
from tests.early_cases import layers, stuck_trial, with_start
from tests.made_trials import HEALTHY_LAYERS, LN10, good_trial, step_zero, study_of, trial_of

LOSSES = (0.9, 0.7, 0.6, 0.55, 0.52, 0.5, 0.49, 0.48)
BOTH = [CauseName.EXPLODING_GRADIENTS, CauseName.BAD_INITIALIZATION]
TANH = (1.2, 2.5, 3.3, 3.4)
"""Outputs of hidden layers that magnify four times and pass through tanh, as they were read."""
RELU = (0.9, 2.5, 6.1, 8.8)
"""The same behind ReLU: they grow on."""


def faults(trial: TrialRecord) -> list[Finding]:
    found = diagnose_record(study_of(trial), trial.number)
    return [finding for finding in found if finding.severity is not Severity.NOTE]


def causes(trial: TrialRecord) -> list[CauseName]:
    return [cause.name for finding in faults(trial)[:1] for cause in finding.causes]


def fitted(accuracy: float, fit: float = 0.6, **changes: Any) -> TrialRecord:
    """A training without a sign of trouble, at that accuracy."""
    own = tuple(fit * loss for loss in LOSSES)
    return trial_of(own, (accuracy + 0.02,) * 8, LOSSES, (accuracy,) * 8, **changes)


def magnified(
    gains: Sequence[float],
    stds: Sequence[float],
    *,
    excess: float = 0.4,
    output: float = 1.3,
    accuracy: float = 0.9,
    fit: float = 0.6,
) -> TrialRecord:
    """A network of hidden layers with these gains and outputs, and an output layer."""
    layers = tuple(
        LayerProbe(name=str(i), gradient_norm=1.0, weight_gain=gain, output_std=std)
        for i, (gain, std) in enumerate(zip((*gains, output), (*stds, 1.2), strict=True))
    )
    return fitted(
        accuracy, fit, probe=dataclasses.replace(step_zero(layers=layers), train_loss=(1.0 + excess) * LN10)
    )


# --- weights that are too large at every layer


@pytest.mark.parametrize(("accuracy", "named"), [(0.9, BOTH), (0.96, [])])
def test_weights_that_saturate_every_layer_explode_unseen(accuracy: float, named: list[CauseName]) -> None:
    """Bounds hide the growth and the loss; an accuracy that falls short tells."""
    assert causes(magnified((3.9,) * 4, TANH, accuracy=accuracy)) == named


@pytest.mark.parametrize(("factor", "named"), [(1.03, BOTH), (0.97, [])])
def test_a_network_that_learned_all_the_same_has_come_out_of_saturation(
    factor: float, named: list[CauseName]
) -> None:
    """Its training data is learned nearly by heart, so nothing holds it down."""
    fit = factor * thresholds.SETTLED.value
    assert causes(magnified((3.9,) * 4, TANH, fit=fit)) == named


@pytest.mark.parametrize(("factor", "named"), [(1.03, BOTH), (0.97, [])])
def test_far_too_large_weights_memorize_in_saturation(factor: float, named: list[CauseName]) -> None:
    """Who knows the training data by heart has come out of a mild saturation only."""
    gain = factor * thresholds.WEIGHT_GAIN_HIGH.value
    assert causes(magnified((gain,) * 4, TANH, fit=0.05)) == named


def test_the_gains_of_a_usual_initialization_saturate_nothing() -> None:
    """Just below the threshold every layer is as it may be, just above it the same outputs are an explosion."""
    limit = thresholds.MAGNIFYING_GAIN.value
    stds = (0.8, 1.2, 1.4, 1.5)
    assert causes(magnified((limit * 1.03,) * 4, stds)) == BOTH
    assert causes(magnified((limit * 0.97,) * 4, stds)) == []
    assert causes(magnified((limit * 1.03, limit * 1.03, NAN, limit * 1.03), stds)) == []


@pytest.mark.parametrize(("factor", "named"), [(1.03, BOTH), (0.97, [])])
def test_where_outputs_grow_on_the_loss_tells(factor: float, named: list[CauseName]) -> None:
    """Without bounds a few layers that magnify may be made up for; not a loss beyond ten times that of guessing."""
    excess = factor * thresholds.MAGNIFIED_LOSS_EXCESS.value
    assert causes(magnified((3.5,) * 4, RELU, excess=excess)) == named


@pytest.mark.parametrize(
    ("gains", "output", "named"),
    [
        ((10.4, 8.2, 8.2), 1.3, BOTH),
        ((13.0, 8.2, 8.2), 1.3, BOTH[::-1]),
        ((7.0, 6.9, 7.0), 6.9, BOTH[::-1]),
        ((7.0, 6.9), 1.3, BOTH[1:]),
    ],
    ids=["after Glorot", "one deviation", "with the output layer", "two layers"],
)
def test_an_output_layer_out_of_scale_is_an_initialization(
    gains: tuple[float, ...], output: float, named: list[CauseName]
) -> None:
    """One gain for all hidden layers explodes, a wrong distribution for all weights is a bad initialization."""
    stds = tuple(4.0**n for n in range(1, len(gains) + 1))
    assert causes(magnified(gains, stds, excess=100.0, output=output)) == named


@pytest.mark.parametrize(
    ("gains", "output", "accuracy", "named"),
    [
        ((0.036, 0.02), 0.02, 0.9, BOTH[1:]),
        ((0.036, 0.02), 0.02, 0.96, []),
        ((0.6, 0.02), 0.02, 0.9, []),
        ((1.0, 1.0), 0.01, 0.9, []),
    ],
    ids=["all", "good", "one", "the output layer"],
)
def test_hidden_layers_that_pass_no_signal_on_harm_unseen(
    gains: tuple[float, ...], output: float, accuracy: float, named: list[CauseName]
) -> None:
    """A small output layer is sound practice, and one layer of many is made up for."""
    assert causes(magnified(gains, (0.01, 0.001), excess=0.0, output=output, accuracy=accuracy)) == named


@pytest.mark.parametrize(
    ("factor", "weight_norm", "is_frozen"),
    [(0.97, 5.0, False), (1.03, 5.0, True), (0.97, NAN, True)],
    ids=["lost", "kept", "not read"],
)
def test_updates_that_rounding_takes_away_are_not_frozen(
    factor: float, weight_norm: float, is_frozen: bool
) -> None:
    """Of a layer that never changes the gradient must be one that would change it."""
    gradient = 0.1 * factor * thresholds.ROUNDED_UPDATE.value / 1e-3
    rows = [
        LayerReadings(name="0", gradient_norm=gradient, update_ratio=0.0, weight_norm=weight_norm),
        LayerReadings(name="1", gradient_norm=0.1, update_ratio=1e-3, weight_norm=5.0),
    ]
    trial = stuck_trial()
    assert trial.telemetry is not None
    epochs = tuple(dataclasses.replace(row, layers=tuple(rows)) for row in trial.telemetry.epochs)
    read = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=epochs))
    assert (CauseName.FROZEN_LAYERS in causes(read)) == is_frozen


# --- gradients that go on fading


def fading(per_layer: float, first_epoch: float, accuracy: float = 0.85, n_layers: int = 4) -> TrialRecord:
    """Gradients that fade by this log10 per layer before any update, and by that one in the first epoch."""
    norms = [0.5 * 10.0 ** (per_layer * n) for n in reversed(range(n_layers))]
    later = [(str(i), 0.5 * 10.0 ** (first_epoch * n)) for i, n in enumerate(reversed(range(n_layers)))]
    layers = tuple(LayerProbe(name=str(i), gradient_norm=norm) for i, norm in enumerate(norms))
    return with_start(fitted(accuracy, 0.9, layers=later), layers=layers)


@pytest.mark.parametrize(
    ("per_layer", "factor", "found"),
    [(-0.5, 1.03, True), (-0.5, 0.97, False), (-0.65, 0.3, True), (-0.5, NAN, False)],
    ids=["lasting", "mended", "steep", "not read"],
)
def test_gradients_that_the_first_epoch_mends_fade_in_sound_networks(
    per_layer: float, factor: float, found: bool
) -> None:
    """What fades by a quarter a layer needs more; what fades less and lasts is a fault where the fit is poor."""
    trial = fading(per_layer, factor * thresholds.FADING_LASTING.value)
    assert causes(trial) == [CauseName.VANISHING_GRADIENTS] * found
    noted = diagnose_record(study_of(trial), trial.number)
    assert any(finding.symptom == "vanishing_gradients" for finding in noted) == found


# --- a bottleneck


def squeezed(units: float, at: int, share: float = 0.9) -> TrialRecord:
    """Five layers that lose eight powers of ten of the gradient, most of them behind layer ``at`` of few units."""
    lost = [8.0 * (share if i == at else (1.0 - share) / 3.0) for i in range(4)]
    norms = [0.1 * 10.0 ** -sum(lost[i:]) for i in range(5)]
    names = [str(i) for i in range(5)]
    layers = tuple(
        LayerProbe(
            name=name,
            gradient_norm=norm,
            weight_gain=1.4,
            weight_norm=1.4 * (units if i == at else 32.0) ** 0.5,
        )
        for i, (name, norm) in enumerate(zip(names, norms, strict=True))
    )
    return with_start(stuck_trial(layers=list(zip(names, norms, strict=True))), layers=layers)


@pytest.mark.parametrize(
    ("units", "at", "share", "first"),
    [
        (2.0, 3, 0.9, CauseName.UNDERCAPACITY),
        (2.0, 1, 0.9, CauseName.UNDERCAPACITY),
        (16.0, 3, 0.9, CauseName.VANISHING_GRADIENTS),
        (2.0, 3, 1.03 * thresholds.BOTTLENECK_SHARE.value, CauseName.UNDERCAPACITY),
        (2.0, 3, 0.97 * thresholds.BOTTLENECK_SHARE.value, CauseName.VANISHING_GRADIENTS),
        (NAN, 3, 0.9, CauseName.VANISHING_GRADIENTS),
    ],
    ids=["last", "inner", "wide", "most", "not most", "not read"],
)
def test_gradients_that_are_lost_at_a_layer_of_two_units_want_units(
    units: float, at: int, share: float, first: CauseName
) -> None:
    """Depth takes its share at every layer; both are told."""
    named = causes(squeezed(units, at, share))
    assert named[0] is first
    assert CauseName.VANISHING_GRADIENTS in named


def test_a_gate_of_one_unit_takes_no_gradient_from_the_others() -> None:
    """It loses its own alone: the layers before it have theirs from elsewhere."""
    trial = squeezed(16.0, 3)
    assert trial.telemetry is not None
    probe = trial.telemetry.step_zero
    assert probe is not None
    gate = dataclasses.replace(probe.layers[1], weight_norm=1.4)
    layers = (probe.layers[0], gate, *probe.layers[2:])
    assert causes(with_start(trial, layers=layers)) == [CauseName.VANISHING_GRADIENTS]


@pytest.mark.parametrize(
    ("at_start", "at_end", "is_told"),
    [
        (0.55, thresholds.STILL_DEAD.value + 0.01, True),
        (0.55, thresholds.STILL_DEAD.value - 0.01, False),
        (0.45, thresholds.STILL_DEAD.value + 0.01, False),
        (0.45, thresholds.DEAD_FRACTION.value + 0.01, True),
    ],
)
def test_of_units_that_were_dead_before_the_first_update_fewer_are_a_fault(
    at_start: float, at_end: float, is_told: bool
) -> None:
    """A layer that began dead, and woke up in part."""
    trial = with_start(
        good_trial(dead=at_end), layers=layers(dead_fraction=(0.1, at_start, 0.1), weight_norm=(5.0,) * 3)
    )
    found = [f for f in diagnose_record(study_of(trial), 0) if f.symptom == "dead_units"]
    assert bool(found) is is_told
    if is_told and at_start > thresholds.DEAD_FRACTION.value:
        assert found[0].causes[0].name is CauseName.DYING_RELU
        assert found[0].severity is Severity.WARNING
        assert found[0].evidence[0].threshold == thresholds.STILL_DEAD.value
        assert "already before the first update" in found[0].sentence


def test_a_layer_that_woke_up_is_not_blamed_for_another() -> None:
    """One began dead and lives, another lost a third of its units on the way."""
    (one, two, *_), n = [name for name, _ in HEALTHY_LAYERS], 8
    trial = with_start(
        good_trial(dead=0.35), layers=layers(dead_fraction=(0.6, 0.1, 0.1), weight_norm=(5.0,) * 3)
    )
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(
            row,
            layers=tuple(
                dataclasses.replace(x, dead_fraction=0.02 if x.name == one else 0.35) for x in row.layers
            ),
        )
        for row in trial.telemetry.epochs
    )
    assert len(rows) > n
    woken = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    assert [f for f in diagnose_record(study_of(woken), 0) if f.symptom == "dead_units"] == []
    (told,) = (f for f in diagnose_record(study_of(trial), 0) if f.symptom == "dead_units")
    assert one in told.sentence or two in told.sentence
