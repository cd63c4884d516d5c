"""Harm where no curve shows it, and the causes that telemetry cannot tell apart: each among the first three."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import Finding, Severity, diagnose_record, thresholds
from studies.readings import NAN, LayerProbe
from studies.records import TrialRecord
from tests.early_cases import layers, stuck_trial, with_class_accuracy, with_data, with_start
from tests.made_trials import study_of, trial_of, with_steps

LOSSES = (0.6, 0.4, 0.34, 0.31, 0.29, 0.28, 0.27, 0.26)
STALLED = (0.6, 0.4, 0.3, 0.27, 0.26, 0.26, 0.27, 0.27)
TENTH = (thresholds.GOOD_ENOUGH.value - 0.1,) * 8
GOOD = (thresholds.GOOD_ENOUGH.value + 0.01,) * 8


def fitted(
    accuracy: tuple[float, ...] = TENTH,
    losses: tuple[float, ...] = LOSSES,
    *,
    fit: float = 0.4,
    **changes: Any,
) -> TrialRecord:
    """A training that has come to its end without a sign of trouble, at that accuracy."""
    own = tuple(level + 0.04 for level in accuracy)
    return trial_of(tuple(fit * loss for loss in LOSSES), own, losses, accuracy, **changes)


def findings(trial: TrialRecord) -> list[Finding]:
    """All that is no note, the worst first."""
    return [f for f in diagnose_record(study_of(trial), trial.number) if f.severity is not Severity.NOTE]


def named(trial: TrialRecord) -> list[str]:
    """The causes of the worst finding."""
    found = findings(trial)
    return [cause.name.value for cause in found[0].causes] if found else []


def grown(trial: TrialRecord, growth: float, **last: Any) -> TrialRecord:
    """Its weights ``growth`` times as large as before training; ``last`` are readings of every trained layer."""
    assert trial.telemetry is not None
    assert trial.telemetry.step_zero is not None
    start = tuple(dataclasses.replace(layer, weight_norm=1.0) for layer in trial.telemetry.step_zero.layers)
    rows = tuple(
        dataclasses.replace(
            row, layers=tuple(dataclasses.replace(layer, weight_norm=growth, **last) for layer in row.layers)
        )
        for row in trial.telemetry.epochs
    )
    telemetry = dataclasses.replace(
        trial.telemetry, epochs=rows, step_zero=dataclasses.replace(trial.telemetry.step_zero, layers=start)
    )
    return dataclasses.replace(trial, telemetry=telemetry)


def bursting(trial: TrialRecord, height: float) -> TrialRecord:
    """The second of its steps is ``height`` times as high as the untrained loss."""
    losses = (2.33, 2.33 * height, *np.linspace(2.0, 0.3, 78))
    return with_steps(trial, losses, (0.1,) * 80, n_epochs=8)


def test_the_control_shows_nothing() -> None:
    """Without an anomaly beside it, an accuracy that falls short is no fault."""
    assert findings(fitted()) == []
    assert findings(fitted(GOOD)) == []


# --- an anomaly, and an accuracy that falls short


@pytest.mark.parametrize(("accuracy", "found"), [(TENTH, ["unshuffled_data"]), (GOOD, [])])
def test_half_sorted_data_harms_where_the_accuracy_falls_short(
    accuracy: tuple[float, ...], found: list[str]
) -> None:
    """Each minibatch pulls to its own labels; the loss falls as it should all the same."""
    assert named(with_data(fitted(accuracy), label_mixing=0.7)) == found


@pytest.mark.parametrize(
    ("accuracy", "gain", "loss", "found"),
    [
        (TENTH, 7.0, 25.0, ["bad_initialization"]),
        (GOOD, 7.0, 25.0, []),
        (TENTH, 1.4, 25.0, []),
        (TENTH, 7.0, 2.5, []),
    ],
)
def test_weights_and_loss_far_too_large_harm_by_themselves(
    accuracy: tuple[float, ...], gain: float, loss: float, found: list[str]
) -> None:
    """Either alone may be made up for; both leave a network that fits with the features it was given."""
    trial = with_start(fitted(accuracy), train_loss=loss, layers=layers(weight_gain=(1.4, gain, 1.4)))
    assert named(trial) == found


@pytest.mark.parametrize(
    ("distance", "ratio", "accuracy", "found"),
    [
        (1.2, 1.0, TENTH, ["frozen_layers"]),
        (1.2, 1.0, GOOD, []),
        (12.0, 1.0, TENTH, []),
        (NAN, 1.0, TENTH, []),
        (1.2, 1.6, TENTH, []),
    ],
)
def test_a_layer_that_was_never_trained_is_not_frozen_by_design(
    distance: float, ratio: float, accuracy: tuple[float, ...], found: list[str]
) -> None:
    """Its weights are as an initialization leaves them; a small or a trained layer is left in doubt."""
    frozen = layers(
        is_trainable=(False, True, True),
        spectral_ratio=(ratio, NAN, NAN),
        initialization_distance=(distance, NAN, NAN),
    )
    assert named(with_start(fitted(accuracy), layers=frozen)) == found


# --- few samples


@pytest.mark.parametrize(
    ("n_rare", "accuracy", "found"), [(3, 0.0, True), (3, 0.667, False), (1, 0.0, False), (18, 0.722, True)]
)
def test_a_few_rare_samples_are_evidence_when_all_are_wrong(
    n_rare: int, accuracy: float, found: bool
) -> None:
    """Three of three, or five of eighteen, where others are right 95 times in a hundred."""
    trial = with_data(
        train_class_counts=(4_800,) * 9 + (60,), validation_class_counts=(1_200,) * 9 + (n_rare,)
    )
    assert bool(findings(with_class_accuracy(trial, (0.95,) * 9 + (accuracy,)))) == found


# --- gradients


def steep(n: int, ratio: float) -> tuple[LayerProbe, ...]:
    """``n`` layers, each with ``ratio`` of the gradient of the one after it."""
    return tuple(LayerProbe(name=str(i), gradient_norm=0.3 * ratio ** (n - 1 - i)) for i in range(n))


@pytest.mark.parametrize(("ratio", "found"), [(0.1, True), (0.4, False)])
def test_gradients_that_fade_steeply_over_three_layers_are_the_cause(ratio: float, found: bool) -> None:
    """A tenth a layer is more than sigmoids take by themselves; less than half is left to other causes."""
    trial = with_start(stuck_trial(), layers=steep(3, ratio))
    assert (named(trial)[:1] == ["vanishing_gradients"]) == found


def test_gradients_that_fade_steeply_are_nothing_in_a_network_that_learns() -> None:
    """Not even a note: three layers of sigmoids train well."""
    found = diagnose_record(study_of(with_start(fitted(), layers=steep(3, 0.1))), 0)
    assert [f for f in found if f.symptom == "vanishing_gradients"] == []


@pytest.mark.parametrize(
    ("width", "causes"),
    [(2, ["undercapacity", "vanishing_gradients"]), (32, ["vanishing_gradients"])],
)
def test_gradients_of_a_few_units_fade_for_want_of_units(width: int, causes: list[str]) -> None:
    """Both are told; the width first."""
    fading = steep(4, 0.3)
    trial = stuck_trial(config={"width": width}, layers=[(each.name, each.gradient_norm) for each in fading])
    rows = dataclasses.replace(trial, state="pruned")
    assert named(with_start(rows, layers=fading))[:2] == causes


# --- the first updates


@pytest.mark.parametrize(("height", "found"), [(1.6, True), (1.3, False)])
def test_a_high_burst_needs_fewer_dead_units(height: float, found: bool) -> None:
    """Four in ten units that died are the trace of a burst beyond `BURST`."""
    assert bool(findings(bursting(grown(fitted(dead=0.5), 1.3), height))) == found


def test_a_burst_that_saturates_units_leaves_a_trace() -> None:
    """A saturated tanh learns no more than a dead ReLU."""
    trial = grown(fitted(), 1.3, saturated_fraction=0.6)
    assert named(bursting(trial, 1.6))[:2] == ["missing_warmup", "learning_rate_too_high"]
    assert named(bursting(grown(fitted(), 1.3, saturated_fraction=0.05), 1.6)) == []


def test_trouble_that_comes_back_is_the_rates() -> None:
    """A warmup spares the first updates; the losses of later epochs rise for another reason."""
    burst = bursting(grown(fitted(dead=0.7), 1.3), 1.6)
    assert named(burst) == ["missing_warmup", "learning_rate_too_high"]
    assert burst.telemetry is not None
    jagged = (0.3, 0.2, 0.22, 0.2, 0.22, 0.2, 0.22, 0.2)
    rows = tuple(
        dataclasses.replace(row, train_loss=jagged[row.epoch - 1]) if row.epoch else row
        for row in burst.telemetry.epochs
    )
    again = dataclasses.replace(burst, telemetry=dataclasses.replace(burst.telemetry, epochs=rows))
    assert named(again) == ["learning_rate_too_high", "missing_warmup"]


# --- causes beside the rate


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        ({"batch_size": 16}, "batch_too_small"),
        ({"batch_size": 256}, "missing_warmup"),
        ({"depth": 6}, "missing_warmup"),
    ],
)
def test_what_may_enlarge_steps_is_told_beside_the_rate(config: dict[str, Any], cause: str) -> None:
    """The rate first, for no sign speaks for the other; but a person who looks at three causes sees it."""
    trial = grown(fitted(config=config, dead=0.5), 2.5)
    assert named(trial) == ["learning_rate_too_high", cause]
    assert named(grown(fitted(config={"batch_size": 64}, dead=0.5), 2.5)) == ["learning_rate_too_high"]


def test_a_schedule_that_restarts_is_told_beside_the_rate() -> None:
    """Also where the first updates burst before the schedule had its first jump."""
    trial = grown(fitted(dead=0.7), 1.3)
    losses = (2.33, 2.33 * 1.6, *np.linspace(2.0, 0.3, 78))
    rates = tuple(np.tile(np.linspace(0.1, 0.01, 20), 4))
    assert named(with_steps(trial, losses, rates, n_epochs=8)) == [
        "learning_rate_too_high",
        "schedule_spikes",
    ]


@pytest.mark.parametrize(
    ("config", "accuracy", "losses", "fit", "found"),
    [
        ({"batch_size": 16}, TENTH, STALLED, 0.4, True),
        ({"optimizer": "sgd", "momentum": 0.9, "batch_size": 64}, TENTH, STALLED, 0.4, False),
        ({"batch_size": 16}, GOOD, STALLED, 0.4, False),
        ({"batch_size": 16}, TENTH, LOSSES, 0.4, False),
        ({"batch_size": 16}, TENTH, STALLED, 0.08, False),
    ],
)
def test_weights_that_swell_by_a_known_factor_need_no_second_sign(
    config: dict[str, Any],
    accuracy: tuple[float, ...],
    losses: tuple[float, ...],
    fit: float,
    found: bool,
) -> None:
    """A batch of sixteen makes the steps larger than the rate says; not where the training has settled."""
    told = findings(grown(fitted(accuracy, losses, fit=fit, config=config), 2.0))
    assert [finding.sentence for finding in told] == [
        "The weights are 2.0 times as large as before training, and the validation loss falls no more."
    ] * found


def test_a_poor_fit_alone_is_not_blamed_on_what_may_enlarge_steps() -> None:
    """Depth and batch size are told beside an instability, not wherever a fit is poor."""
    assert "missing_warmup" not in named(stuck_trial(config={"depth": 6, "batch_size": 256}))


def test_swollen_weights_with_saturated_units_are_an_oscillation() -> None:
    """As with dead ones."""
    (finding,) = findings(grown(fitted(), 2.0, saturated_fraction=0.4))
    assert finding.symptom == "oscillation"
    assert finding.sentence.endswith("40% of a layer's units saturated.")
    assert "saturated_rise" in {evidence.quantity for evidence in finding.evidence}
