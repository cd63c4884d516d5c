"""What the first transfer set missed: labels that no neighborhood tells, rates that hide, widths that nobody told."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from studies.diagnosis import CauseName, Finding, Severity, diagnose_record, thresholds
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import Signs
from studies.diagnosis.slowness import expected_gain, gain_by_rates
from studies.diagnosis.symptoms.inconsistent_labels import surprise
from studies.diagnosis.thresholds import Threshold
from studies.readings import NAN, LayerProbe
from studies.records import TrialRecord
from tests.early_cases import with_data, with_start
from tests.made_trials import DEFAULTS, step_zero, study_of, trial_of, with_steps

ERROR = 0.36
BOUND = -ERROR * math.log(ERROR) - (1 - ERROR) * math.log(1 - ERROR) + ERROR * math.log(9)
"""The entropy of a label that is one of nine others with a chance of 36%."""


def noisy(
    *,
    surprised: float = 1.02,
    late_fall: float = 0.04,
    validation_fall: float = 0.0,
    fit: float = 0.85,
    doubt: float = 0.05,
    error: float = ERROR,
) -> TrialRecord:
    """A third of wrong labels: validation ends early, and the train loss falls on by learning single labels."""
    end, n = surprised * BOUND, 8
    before = end / (1.0 - validation_fall)
    validation = (1.4 * end, 1.25 * end, 1.2 * end, before * 1.02, before, before, end, end)
    train = (2.1, 1.9, 1.75, 1.6, *(fit * end / (1.0 - late_fall),) * 2, *(fit * end,) * 2)
    trial = trial_of(train, (0.62,) * n, validation, (1.0 - error,) * n)
    return with_confidence(trial, 1.0 - error - doubt)


def with_confidence(trial: TrialRecord, confidence: float) -> TrialRecord:
    telemetry = trial.telemetry
    assert telemetry is not None
    rows = tuple(dataclasses.replace(row, confidence=confidence) for row in telemetry.epochs)
    return dataclasses.replace(trial, telemetry=dataclasses.replace(telemetry, epochs=rows))


def faults(trial: TrialRecord) -> dict[str, Finding]:
    found = diagnose_record(study_of(trial), trial.number)
    return {finding.symptom: finding for finding in found if finding.severity is not Severity.NOTE}


# --- labels


def test_wrong_labels_are_seen_without_neighborhoods() -> None:
    """The network doubts every sample alike, and learns on what is of no use."""
    finding = faults(noisy())["inconsistent_labels"]
    assert [cause.name for cause in finding.causes] == [CauseName.LABEL_NOISE]
    assert finding.sentence.startswith("Validation errors surprise 102% as much as so many can")
    assert {each.quantity for each in finding.evidence} == {"error_surprise", "loss_ratio"}


def test_the_bound_is_that_of_labels_drawn_anew() -> None:
    """A network that knows the rate of wrong labels, and nothing of which, pays exactly the bound."""
    random = np.random.default_rng(0)
    n, n_classes, rate = 200_000, 10, 0.3
    is_wrong = random.random(n) < rate
    loss = np.where(is_wrong, -math.log(rate / (n_classes - 1)), -math.log(1 - rate)).mean()
    level = (float(loss),) * 8
    trial = trial_of(level, (0.7,) * 8, level, (float(1 - is_wrong.mean()),) * 8)
    assert surprise(Signs(trial=trial)) == pytest.approx(1.0, abs=0.01)


def test_hard_samples_surprise_little() -> None:
    """A fifth of the samples is a toss-up between two classes, the others are sure: the same bound is far away."""
    level = (0.2 * math.log(2),) * 8
    trial = trial_of(level, (0.9,) * 8, level, (0.9,) * 8)
    assert surprise(Signs(trial=trial)) < 0.3
    assert "inconsistent_labels" not in faults(trial)


@pytest.mark.parametrize(
    ("threshold", "make", "above"),
    [
        (thresholds.SURPRISE, lambda x: noisy(surprised=x), True),
        (thresholds.SURPRISE_OF_DOUBT, lambda x: noisy(surprised=x), False),
        (thresholds.LEARNED_BY_ROTE, lambda x: noisy(fit=x), False),
        (thresholds.UNDERCONFIDENT, lambda x: noisy(doubt=x), False),
        (thresholds.DECAYED_FALL, lambda x: noisy(late_fall=x), True),
        (thresholds.DECAYED_FALL, lambda x: noisy(validation_fall=x), False),
        (thresholds.SETTLED, lambda x: noisy(fit=x), True),
    ],
    ids=[
        "surprise",
        "sure of them",
        "by rote",
        "underconfident",
        "train falls",
        "validation falls",
        "settled",
    ],
)
def test_each_condition_is_where_the_answer_changes(
    threshold: Threshold, make: Callable[[float], TrialRecord], above: bool
) -> None:
    """Two percent beyond it is a fault, two percent before it is none."""
    outcomes = ["inconsistent_labels" in faults(make(threshold.value * factor)) for factor in (0.98, 1.02)]
    assert outcomes == [not above, above]


def test_two_classes_are_not_judged_by_their_doubts() -> None:
    """All that a weak signal leaves is a doubt between the two, the same for every sample."""
    entropy = -ERROR * math.log(ERROR) - (1 - ERROR) * math.log(1 - ERROR)
    counts = {"train_class_counts": (24_000,) * 2, "validation_class_counts": (6_000,) * 2}
    trial = with_data(noisy(surprised=entropy / BOUND), **counts)
    assert math.isnan(surprise(Signs(trial=trial)))
    assert "inconsistent_labels" not in faults(trial)


def test_a_network_that_only_guesses_has_learned_no_labels() -> None:
    """At chance every error surprises as it can, whatever the labels are."""
    trial = noisy(error=0.9)
    assert "inconsistent_labels" not in faults(trial)


def test_unread_confidence_blames_nothing() -> None:
    """A loop that tells its own validation has none."""
    assert "inconsistent_labels" not in faults(with_confidence(noisy(), NAN))


# --- rates


def creeping(*, update_ratio: float = 3e-4, n_high: int = 450) -> TrialRecord:
    """A rate so low that the loss has hardly begun to fall when its schedule ends at nothing."""
    losses = (2.25, 2.15, 2.05, 1.97, 1.91, 1.87, 1.85, 1.84)
    level = (0.72,) * 8
    trial = trial_of(losses, level, losses, level, update_ratio=update_ratio)
    rates = (0.1,) * n_high + (0.015,) * (800 - n_high)
    return with_data(with_steps(trial, (2.0,) * 800, rates, n_epochs=8), n_validation=360)


def test_a_schedule_that_ends_at_nothing_does_not_hide_a_low_rate() -> None:
    """The epochs promise little because they had little of the rate; the rates promise more."""
    signs = Signs(trial=creeping())
    assert expected_gain(signs) < thresholds.EXPECTED_GAIN.value
    assert gain_by_rates(signs) > thresholds.EXPECTED_GAIN_SHORT.value
    finding = faults(creeping())["slow_training"]
    assert finding.causes[0].name is CauseName.LEARNING_RATE_TOO_LOW
    assert finding.evidence[0].threshold == thresholds.UPDATE_RATIO_CREEPING.value


def test_larger_updates_are_not_blamed_for_what_a_schedule_ends() -> None:
    """Two percent above the threshold the same curves say nothing of the rate."""
    limit = thresholds.UPDATE_RATIO_CREEPING.value
    assert "slow_training" in faults(creeping(update_ratio=0.98 * limit))
    assert "slow_training" not in faults(creeping(update_ratio=1.02 * limit))


def test_at_a_constant_rate_both_gains_are_the_same() -> None:
    """The second half of the epochs then has half of the rates."""
    signs = Signs(trial=creeping(n_high=800))
    assert gain_by_rates(signs) == pytest.approx(expected_gain(signs), rel=1e-3)
    assert math.isnan(gain_by_rates(Signs(trial=trial_of(()))))


# --- widths


def narrow(*units: float, width: float | None = None) -> TrialRecord:
    """A watched network of layers with so many units, which fits train and validation as poorly."""
    losses, level = (2.0, 1.6, 1.5, 1.45, 1.44, 1.43, 1.43, 1.43), (0.5,) * 8
    config = {key: value for key, value in DEFAULTS.items() if key not in ("width", "depth")}
    told = {} if width is None else {"width": width}
    trial = dataclasses.replace(trial_of(losses, level, losses, level), config={**config, **told})
    layers = tuple(
        LayerProbe(name=str(i), gradient_norm=0.1, weight_norm=math.sqrt(n), weight_gain=1.0)
        for i, n in enumerate(units)
    )
    return with_start(trial, layers=layers)


def restrained(trial: TrialRecord) -> list[str]:
    return [str(each.name) for each in restraint(Signs(trial=trial))]


def test_few_units_are_seen_in_the_untrained_weights() -> None:
    """Of the hidden layers, as far as nobody told the width; how many outputs there are says nothing."""
    assert restrained(narrow(2.0, 4.0, 2.0, 10.0)) == ["undercapacity"]
    limit = thresholds.NARROW_LAYERS.value
    assert restrained(narrow(0.98 * limit, 3.0)) == ["undercapacity"]
    assert restrained(narrow(1.02 * limit, 3.0)) == []
    assert restrained(narrow(2.0, 4.0, 2.0, 10.0, width=64)) == []


def test_a_gate_of_one_unit_is_no_bottleneck() -> None:
    """Beside wider layers; nor is a network without hidden layers, of which the weights say no width."""
    assert restrained(narrow(64.0, 1.0, 64.0, 3.0)) == []
    assert restrained(narrow(3.0)) == []


def test_a_last_hidden_layer_of_fewer_units_than_classes_is_a_bottleneck() -> None:
    """However wide the layers before it are; two classes need no more than two."""
    bottle = narrow(16.0, 32.0, 2.0, 10.0)
    assert restrained(with_data(bottle, train_class_counts=(100,) * 10)) == ["undercapacity"]
    assert restrained(with_data(bottle, train_class_counts=(500,) * 2)) == []
    assert restrained(with_data(narrow(16.0, 32.0, 1.0, 10.0), train_class_counts=(100,) * 10)) == []


def test_unread_weights_blame_no_width() -> None:
    """A layer whose weights were not read may be wide."""
    trial = with_start(narrow(2.0, 3.0), layers=(*step_zero().layers,))
    assert restrained(trial) == []
