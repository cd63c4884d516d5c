"""What does no harm is a note: the same anomaly is a fault or none by what the training itself shows of its price."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import Finding, Severity, diagnose_record
from studies.diagnosis.reference import shortfall
from studies.diagnosis.signs import Signs
from studies.diagnosis.slowness import warmup_cost
from studies.readings import NAN
from studies.records import TrialRecord
from tests.early_cases import with_code
from tests.made_trials import DATA, LEARNING, good_trial, step_zero, study_of, trial_of, with_steps

FAULT, NOTE = Severity.WARNING, Severity.NOTE
THOUSAND = dataclasses.replace(DATA, n_validation=1000)
"""At an accuracy of 0.9 the standard error is 0.0095."""


def found(trial: TrialRecord, symptom: str) -> Finding:
    (finding,) = (each for each in diagnose_record(study_of(trial), 0) if each.symptom == symptom)
    return finding


# --- the shared measure


def test_the_shortfall_is_counted_in_standard_errors_of_the_best() -> None:
    """0.9 of 1,000 samples has one of 0.0095; without accuracies nothing is known."""
    ends = {last: trial_of((1.0,) * 3, None, None, (0.8, 0.9, last), data=THOUSAND) for last in (0.9, 0.8715)}
    assert shortfall(ends[0.9]) == 0.0
    assert shortfall(ends[0.8715]) == pytest.approx(3.0, abs=0.01)
    assert np.isnan(shortfall(trial_of((1.0,) * 3)))


# --- schedules that lift the rate


def restarted(last: float, *, growth: float = NAN, dead: float = 0.1, is_read: bool = True) -> TrialRecord:
    """Every second epoch the schedule starts again; the best validation accuracy is 0.9, the last as said."""
    up_and_down = (0.7, 0.35, 0.7, 0.34, 0.68, 0.33, 0.68, 0.33, 0.67, 0.33)
    accuracies = (0.85, 0.9, 0.86, 0.9, 0.86, 0.9, 0.87, 0.9, 0.87, last) if is_read else None
    losses = tuple(loss + 0.05 for loss in up_and_down)
    probe = step_zero()
    probe = dataclasses.replace(
        probe, layers=tuple(dataclasses.replace(layer, weight_norm=1.0) for layer in probe.layers)
    )
    trial = trial_of(up_and_down, None, losses, accuracies, data=THOUSAND, dead=dead, probe=probe)
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(
            row, layers=tuple(dataclasses.replace(layer, weight_norm=growth) for layer in row.layers)
        )
        for row in trial.telemetry.epochs
    )
    trial = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    falling = np.concatenate([np.linspace(0.9, 0.2, 20) for _ in range(5)])
    return with_steps(trial, falling, np.tile(np.linspace(0.5, 0.01, 20), 5), n_epochs=10)


@pytest.mark.parametrize(
    ("trial", "severity"),
    [
        (restarted(0.9), NOTE),
        (restarted(0.885), NOTE),
        (restarted(0.875), FAULT),
        (restarted(0.9, growth=2.5, dead=0.5), FAULT),
        (restarted(0.9, growth=1.9, dead=0.1), NOTE),
        (restarted(0.9, is_read=False), FAULT),
    ],
    ids=["recovered", "within noise", "short of its best", "damaged", "grown alone", "nothing known"],
)
def test_restarts_are_a_fault_where_the_training_does_not_recover(
    trial: TrialRecord, severity: Severity
) -> None:
    """Below its own best by more than noise, or with swollen weights and dead units; where nobody knows, too."""
    assert found(trial, "loss_spikes").severity is severity


@pytest.mark.parametrize(("last", "severity"), [(0.9, NOTE), (0.87, FAULT)])
def test_a_rate_that_ends_higher_than_it_began_needs_no_rising_epochs(
    last: float, severity: Severity
) -> None:
    """An end below the training's best is enough: nothing that is still to come would mend it."""
    losses = (1.0, 0.6, 0.5, 0.45, 0.44, 0.43, 0.42, 0.41, 0.4)
    accuracies = (0.6, 0.8, 0.85, 0.9, 0.88, 0.89, 0.88, 0.88, last)
    lifted = np.repeat((0.05, 0.12, 0.3), 30)
    steps = np.concatenate([np.linspace(high, low, 30) for high, low in ((1.5, 0.4), (0.8, 0.4), (0.8, 0.4))])
    trial = trial_of(losses, None, losses, accuracies, data=THOUSAND)
    assert found(with_steps(trial, steps, lifted, n_epochs=9), "loss_spikes").severity is severity


# --- warmups


def warming(share: float, *, error: float = 0.1, accuracy_known: bool = True) -> TrialRecord:
    """The rate rises for a share of the steps, and the loss halves over the second half of the epochs."""
    losses = (1.9, 1.0, 0.55, 0.45, 0.36, 0.28)
    accuracies = (1.0 - error,) * 6 if accuracy_known else None
    trial = trial_of(tuple(0.6 * loss for loss in losses), None, losses, accuracies, data=THOUSAND)
    n_rising = round(600 * share)
    rates = (*np.linspace(0.0, 0.1, n_rising), *(0.1,) * (600 - n_rising))
    return with_steps(trial, (1.0,) * 600, rates, n_epochs=6)


def test_a_warmup_costs_what_its_steps_would_have_brought() -> None:
    """By hand: half of all steps at half the peak are a third more rates; the loss fell as the rates trebled."""
    signs = Signs(trial=warming(0.5))
    n_halves = np.log(4.0 / 3.0) / np.log(3.0)
    expected = 0.1 * (1.0 - (0.28 / 0.55) ** n_halves) / 0.0095
    assert warmup_cost(signs) == pytest.approx(expected, rel=0.02)


def test_a_warmup_that_no_rate_shows_costs_nobody_knows_what() -> None:
    """As where only the last rate of each epoch was read."""
    assert np.isnan(warmup_cost(Signs(trial=trial_of(LEARNING, None, LEARNING, LEARNING))))


@pytest.mark.parametrize(
    ("trial", "severity"),
    [
        (warming(0.9), FAULT),
        (warming(0.5, error=0.055), NOTE),
        (warming(0.9, accuracy_known=False), FAULT),
    ],
    ids=["dear", "cheap", "nothing known"],
)
def test_a_long_warmup_is_a_fault_where_it_costs_accuracy(trial: TrialRecord, severity: Severity) -> None:
    """More than two standard errors of it."""
    finding = found(trial, "slow_training")
    assert finding.causes[0].name == "warmup_too_long"
    assert finding.severity is severity


# --- evaluations in train mode


def misread(cost: float, **changes: Any) -> TrialRecord:
    """Validation says 0.9; on the probe units dropped out cost as much as said."""
    n = 8
    trial = trial_of(
        LEARNING[:n], (0.95,) * n, LEARNING[:n], (0.9,) * n, data=THOUSAND,
        probe_accuracy=(0.96,) * n, train_mode_probe_accuracy=(0.96 - cost,) * n,
    )  # fmt: skip
    return with_code(trial, evaluation_in_train_mode_share=1.0, **changes)


@pytest.mark.parametrize(
    ("trial", "severity"),
    [
        (misread(0.011), NOTE),
        (misread(-0.011), NOTE),
        (misread(0.014), FAULT),
        (misread(-0.014), FAULT),
        (misread(NAN), FAULT),
        (misread(0.0, training_in_eval_mode_share=0.9), NOTE),
        (misread(0.014, training_in_eval_mode_share=0.9), FAULT),
    ],
    ids=[
        "small",
        "small, better",
        "large",
        "large, better",
        "not read",
        "both modes, small",
        "both modes, large",
    ],
)
def test_evaluating_in_train_mode_is_a_fault_where_it_misleads(
    trial: TrialRecord, severity: Severity
) -> None:
    """By more than its standard error on validation, either way; what was not read counts as misleading."""
    assert found(trial, "evaluation_mode").severity is severity


def test_what_evaluating_in_train_mode_costs_is_read_over_half_of_the_epochs() -> None:
    """A few hundred samples tell another cost each time; the first epochs', when all is learned, are none."""
    trial = misread(0.0)
    assert trial.telemetry is not None

    def costing(costs: Sequence[float]) -> TrialRecord:
        rows = tuple(
            dataclasses.replace(row, train_mode_probe_accuracy=0.96 - costs[row.epoch - 1])
            if row.epoch
            else row
            for row in trial.telemetry.epochs
        )
        return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))

    assert found(costing([0.0] * 4 + [0.03, 0.03, 0.01, 0.01]), "evaluation_mode").severity is FAULT
    assert found(costing([0.1] * 4 + [0.0, 0.0, 0.015, 0.015]), "evaluation_mode").severity is NOTE


def test_a_loop_without_code_readings_has_no_evaluation_mode() -> None:
    """The toolkit's own loop is known to be right."""
    assert not any(f.symptom == "evaluation_mode" for f in diagnose_record(study_of(good_trial()), 0))
