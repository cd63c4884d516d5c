"""Losses that leave the numbers or climb back, and trainings that never left chance."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from search_spaces.edits import EditKind
from studies.diagnosis import (
    CauseName,
    Severity,
    diagnose_record,
    missing_evidence,
)
from studies.diagnosis.causes import causes_of_poor_fit
from studies.readings import NAN, StepReadings
from studies.records import Outcome, TrialRecord
from tests import made_trials
from tests.cases import CASES
from tests.made_trials import good_trial, study_of, trial_of

GUESSING = 0.0992
SIGMOID_NORMS = tuple(
    (f"hidden{n}", norm) for n, norm in enumerate((0.00057, 0.0022, 0.0084, 0.036, 0.16, 0.48), 1)
)


def guessing(*losses: float, **changes: Any) -> TrialRecord:
    """A training that ends as it began: accuracies of chance in every epoch."""
    level = (GUESSING,) * len(losses)
    return trial_of(losses, level, losses, level, **changes)


def test_divergence_at_a_high_rate_proposes_a_tenth_of_it() -> None:
    """Learning rate 3 diverged: the first remedy is 0.3, the cause the rate, the place the epoch."""
    (finding,) = diagnose_record(CASES["divergence"]())
    edit = finding.remedies[0].edits[0]
    assert (edit.kind, edit.lever, edit.value) == (EditKind.FIX, "learning_rate", 0.3)
    assert finding.causes[0].name is CauseName.LEARNING_RATE_TOO_HIGH
    assert finding.severity is Severity.BLOCKER
    assert finding.evidence[0].first_step == 3


def test_divergence_names_the_optimizer_step_where_it_is_known() -> None:
    """With the step cadence at hand the evidence is the first step whose loss is not finite."""
    trial = CASES["divergence"]().trials[0]
    assert trial.telemetry is not None
    losses = np.array([1.0, 2.0, np.inf, np.nan], dtype=np.float32)
    block = StepReadings(
        epoch=1,
        train_loss=losses,
        learning_rate=losses,
        gradient_norm=losses,
        clipped=np.zeros(4, dtype=bool),
    )
    stepped = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, steps=(block,)))
    (finding,) = diagnose_record(study_of(stepped))
    assert (finding.evidence[0].quantity, finding.evidence[0].first_step) == ("step_train_loss", 2)


def test_divergence_without_telemetry_is_still_found() -> None:
    """The outcome alone says that a trial diverged."""
    lost = TrialRecord(
        number=0, state="pruned", outcome=Outcome.DIVERGED, value=None, config={"learning_rate": 3.0}
    )
    (finding,) = diagnose_record(study_of(lost, plan=False))
    assert finding.symptom == "divergence"
    assert [r.edits[0].lever for r in finding.remedies] == ["learning_rate"], "unknown levers are not guessed"


def test_a_loss_that_climbs_back_has_diverged() -> None:
    """A finite loss that had fallen and ends above where nothing is learned is a divergence."""
    trial = trial_of((1.0, 0.5, 0.6, 5.0, 9.0), (0.7, 0.8, 0.8, 0.2, 0.1))
    assert [f.symptom for f in diagnose_record(study_of(trial))] == ["divergence"]


def test_a_loss_that_was_never_told_has_not_diverged() -> None:
    """NaN losses in rows without a learning rate are readings that nobody took; with one they are losses."""
    trial = trial_of((math.nan,) * 4)
    assert trial.telemetry is not None
    told = diagnose_record(study_of(trial))
    assert [finding.symptom for finding in told] == ["divergence"]
    rows = tuple(
        dataclasses.replace(row, learning_rate=math.nan) if row.epoch else row
        for row in trial.telemetry.epochs
    )
    never = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    assert diagnose_record(study_of(never)) == []
    assert any("`watch.step(loss, inputs, targets)`" in text for text in missing_evidence(study_of(never)))


def test_a_rate_that_explodes_at_once_has_diverged() -> None:
    """Learning rate 30 for two epochs, dead and at chance: divergence, and the rate is what to lower."""
    trial = guessing(74.9, 4.6, config={"learning_rate": 30.0}, dead=1.0, update_ratio=0.0)
    (finding,) = diagnose_record(study_of(trial))
    assert (finding.symptom, finding.severity) == ("divergence", Severity.BLOCKER)
    assert finding.consequences == ("dead_units", "underfitting")
    assert [(e.lever, e.value) for e in finding.remedies[0].edits] == [("learning_rate", 3.0)]
    assert finding.evidence[0].value == 74.9
    recovers = trial_of((74.9, 0.4), (0.2, 0.9), (0.5, 0.4), (0.88, 0.9))
    assert diagnose_record(study_of(recovers)) == []


@pytest.mark.parametrize("n", [1, 2])
def test_a_layer_that_is_dead_as_a_whole_needs_no_third_epoch(n: int) -> None:
    """Nothing passes it, and the accuracy is one of guessing; with a better accuracy it is no finding yet."""
    (finding,) = diagnose_record(study_of(guessing(*(2.303,) * n, dead=1.0)))
    assert (finding.symptom, finding.severity) == ("dead_units", Severity.BLOCKER)
    assert finding.evidence[0].value == 1.0
    good = trial_of(
        made_trials.LEARNING[:n], made_trials.RISING[:n], None, made_trials.VALIDATION_ACCURACY[:n], dead=1.0
    )
    assert diagnose_record(study_of(good)) == []


@pytest.mark.parametrize("n", [1, 2])
def test_a_short_training_that_learned_nothing_is_blocked(n: int) -> None:
    """No accuracy above chance and no loss below guessing is a blocker from epoch 1 on; a pruned one is not."""
    (finding,) = diagnose_record(study_of(guessing(*(2.303,) * n, update_ratio=1e-6)))
    assert (finding.symptom, finding.severity) == ("underfitting", Severity.BLOCKER)
    assert finding.causes[0].name is CauseName.LEARNING_RATE_TOO_LOW
    assert "nothing was learned" in finding.sentence
    assert diagnose_record(study_of(guessing(*(2.303,) * n, outcome=Outcome.PRUNED)), 0) == []


def test_an_accuracy_of_the_commonest_class_with_a_falling_loss_is_learning() -> None:
    """Always right on the common class, ever surer of it: a rare class takes longer than two epochs."""
    data = dataclasses.replace(made_trials.DATA, validation_class_counts=(11_000, 1_000))
    level = (11 / 12,) * 2
    trial = trial_of((0.4, 0.3), level, (0.35, 0.3), level, data=data, update_ratio=1e-3)
    (finding,) = diagnose_record(study_of(trial))
    assert finding.causes[0].name is CauseName.TOO_FEW_EPOCHS


@pytest.mark.parametrize("n", [2, 8])
def test_a_deep_sigmoid_network_that_learns_nothing_has_vanishing_gradients(n: int) -> None:
    """A norm that shrinks fourfold a layer is named although the ratio 1.2e-3 is above its threshold."""
    changes: dict[str, Any] = {"dead": NAN, "layers": SIGMOID_NORMS}
    changes["config"] = {"activation": "sigmoid", "depth": 5}
    record = study_of(guessing(*(2.303,) * n, **changes))
    (finding,) = diagnose_record(record)
    assert (finding.symptom, finding.severity) == ("vanishing_gradients", Severity.BLOCKER)
    assert "underfitting" in finding.consequences
    assert (finding.remedies[0].edits[0].lever, finding.remedies[0].edits[0].value) == ("activation", "relu")
    levers = {remedy.edits[0].lever for remedy in finding.remedies}
    assert levers == {"activation", "normalization", "depth"}
    causes = [cause.name for cause in causes_of_poor_fit(record.trials[0], record)]
    assert causes[0] is CauseName.VANISHING_GRADIENTS
    assert CauseName.LEARNING_RATE_TOO_HIGH not in causes
    assert diagnose_record(study_of(good_trial(layers=SIGMOID_NORMS, dead=NAN))) == []


def test_tiny_updates_are_never_a_rate_too_high() -> None:
    """Neither a loss that starts badly nor a better trial's lower rate makes tiny updates too large."""
    trial = guessing(*(3.6,) * 6, update_ratio=1e-6, number=1, config={"learning_rate": 5.0})
    names = {cause.name for cause in causes_of_poor_fit(trial, study_of(good_trial(0), trial))}
    assert CauseName.LEARNING_RATE_TOO_LOW in names
    assert CauseName.LEARNING_RATE_TOO_HIGH not in names
