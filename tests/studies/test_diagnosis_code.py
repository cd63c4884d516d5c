"""What is wrong with a loop's code: frozen layers, a double softmax, evaluation, stale gradients."""

import dataclasses
import math

import numpy as np
import pytest

from studies.diagnosis import Severity, diagnose_record
from studies.diagnosis.symptoms.saturating_loss import lowest_of_probabilities
from studies.readings import NAN, CodeProbe
from studies.records import TrialRecord
from tests import made_trials
from tests.early_cases import (
    layers,
    stuck_trial,
    with_code,
    with_start,
)
from tests.made_trials import LN10, RISING, VALIDATION_LOSS, good_trial, study_of, trial_of
from tests.studies.lone_trials import faults, the_finding


@pytest.mark.parametrize(
    "changes", [{"n_layers_without_gradient": 2}, {"n_layers_not_optimized": 1, "n_layers_not_required": 1}]
)
def test_layers_that_the_loop_forgets_are_a_fault_by_themselves(changes: dict[str, int]) -> None:
    """However good the training is: nobody leaves a layer out of the optimizer by design."""
    assert faults(with_code(**changes)) == ["frozen_layers"]


def test_random_layers_that_cannot_change_are_a_fault_where_harm_shows() -> None:
    """Frozen at their random start: a note in a good training, the cause of a poor one."""
    frozen = layers(is_trainable=(False, True, True), spectral_ratio=(1.0, NAN, NAN))
    assert faults(with_start(layers=frozen)) == []
    finding = the_finding(with_start(stuck_trial(), layers=frozen))
    assert (finding.symptom, finding.severity) == ("frozen_layers", Severity.BLOCKER)


def test_layers_trained_before_are_never_the_cause() -> None:
    """A poor training on top of a pretrained layer has another cause."""
    pretrained = layers(is_trainable=(False, True, True), spectral_ratio=(3.4, NAN, NAN))
    assert "frozen_layers" not in faults(with_start(stuck_trial(), layers=pretrained))


def _with_updates(trial: TrialRecord, ratios: tuple[float, ...], norm: float = 0.1) -> TrialRecord:
    assert trial.telemetry is not None
    rows = [
        dataclasses.replace(
            row,
            layers=tuple(
                dataclasses.replace(
                    layer, update_ratio=ratio, gradient_norm=layer.gradient_norm if ratio else norm
                )
                for layer, ratio in zip(row.layers, ratios, strict=True)
            ),
        )
        if row.epoch
        else row
        for row in trial.telemetry.epochs
    ]
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=tuple(rows)))


def test_a_layer_that_stands_still_while_others_move_is_frozen() -> None:
    """Updates of exactly zero with gradients; without gradients it is dead, and a rate of zero moves none."""
    assert faults(_with_updates(good_trial(), (0.0, 1e-3, 1e-3))) == ["frozen_layers"]
    assert faults(_with_updates(good_trial(), (0.0, 1e-3, 1e-3), norm=0.0)) == []
    assert faults(_with_updates(good_trial(), (0.0, 0.0, 0.0))) == []
    assert faults(_with_updates(good_trial(), (1e-9, 1e-3, 1e-3))) == []


def test_the_floor_of_a_double_softmax() -> None:
    """1.4612 for ten classes: the loss of being sure and right, computed by hand."""
    logits = np.zeros(10)
    logits[3] = 1.0
    assert lowest_of_probabilities(LN10) == pytest.approx(-math.log(math.e / np.exp(logits).sum()))
    assert lowest_of_probabilities(LN10) == pytest.approx(1.4612, abs=5e-5)


def test_a_double_softmax_that_the_loop_shows_needs_no_curve() -> None:
    """Seen in the loop it is named, whatever the losses are."""
    assert faults(with_code(loss_of_probabilities=True)) == ["saturating_loss"]


def test_an_evaluation_that_cannot_be_repeated_is_a_bug() -> None:
    """Two eval-mode passes that differ; rounding does not count."""
    assert faults(with_start(repeat_difference=0.3)) == ["evaluation_mode"]
    assert faults(with_start(repeat_difference=1e-5)) == []
    assert "F.dropout" in (the_finding(with_start(repeat_difference=0.3)).remedies[0].action or "")


def test_a_loop_that_never_returns_to_train_mode_is_told_so() -> None:
    """The remedy names the call that is missing."""
    finding = the_finding(with_code(training_in_eval_mode_share=0.9))
    assert "model.train()" in (finding.remedies[0].action or "")


def test_training_in_eval_mode_is_a_fault_where_harm_shows() -> None:
    """Most networks of a good fit lose nothing without their dropout."""
    noted = the_finding(with_code(training_in_eval_mode_share=0.9))
    assert (noted.symptom, noted.severity) == ("evaluation_mode", Severity.NOTE)
    assert noted.sentence.endswith("No harm shows that it alone explains.")
    assert faults(with_code(stuck_trial(), training_in_eval_mode_share=0.9))[0] == "evaluation_mode"


@pytest.mark.parametrize(("fit", "severity"), [(0.2, Severity.NOTE), (0.8, Severity.BLOCKER)])
def test_gradients_that_nobody_zeroes_are_a_note_where_the_fit_is_good(
    fit: float, severity: Severity
) -> None:
    """A momentum of one is no fault by itself: the rate may be small enough for it."""
    probe = tuple(fit * loss for loss in VALIDATION_LOSS)
    trial = trial_of(VALIDATION_LOSS, RISING, VALIDATION_LOSS, RISING, probe_loss=probe)
    finding = the_finding(with_code(trial, stale_gradient_share=1.0))
    assert (finding.symptom, finding.severity) == ("stale_gradients", severity)


def test_an_optimizer_of_another_model_is_a_blocker() -> None:
    """None of the layers is in it: nothing is trained, and the advice names the loop's own optimizer."""
    start = made_trials.step_zero()
    stuck = tuple(dataclasses.replace(layer, is_trainable=False) for layer in start.layers)
    trial = good_trial(probe=dataclasses.replace(start, layers=stuck), config={"optimizer": "NAdam"})
    assert trial.telemetry is not None
    code = CodeProbe(n_layers_not_optimized=len(stuck))
    (finding,) = diagnose_record(
        study_of(dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, code=code)))
    )
    assert (finding.symptom, finding.severity) == ("frozen_layers", Severity.BLOCKER)
    assert "none of the model's weights" in finding.sentence
    assert "torch.optim.NAdam(model.parameters(), ...)" in finding.remedies[0].sentence


@pytest.mark.parametrize("n_epochs", [4, 12])
def test_a_missing_zero_grad_is_a_blocker_however_long_it_trains(n_epochs: int) -> None:
    """By itself, and not by what follows from it in so many epochs."""
    losses = tuple(0.9**n for n in range(n_epochs))
    trial = trial_of(losses, losses, losses, losses)
    assert trial.telemetry is not None
    code = CodeProbe(stale_gradient_share=1.0)
    record = study_of(dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, code=code)))
    first = diagnose_record(record)[0]
    assert (first.symptom, first.severity) == ("stale_gradients", Severity.BLOCKER)
