"""A leak of which the network makes nothing is a note, one that it lives by is a fault."""

import dataclasses
from typing import Any

import pytest

from studies.diagnosis import CauseName, Severity
from studies.readings import NAN
from studies.records import TrialRecord
from tests.early_cases import with_data
from tests.made_trials import LEARNING, RISING, VALIDATION_LOSS, trial_of
from tests.studies.lone_trials import the_finding

COPIES = {"overlap_fraction": 0.4}
MOVED = {"overlap_fraction": 0.0, "moved_fraction": 0.7}
FEATURE = {"leak_accuracy": 0.99, "n_leak_features": 1}


def leaking(data: dict[str, Any], **inflation: float) -> TrialRecord:
    curves = {name: (value,) * len(RISING) for name, value in inflation.items()}
    return with_data(trial_of(LEARNING, RISING, VALIDATION_LOSS, RISING, **curves), **data)


@pytest.mark.parametrize(
    ("value", "error", "severity"),
    [
        (0.037, 0.007, Severity.WARNING),  # learned by heart
        (-0.006, 0.009, Severity.NOTE),  # no better than the rest
        (-0.010, 0.030, Severity.WARNING),  # too few to know
        (0.008, 0.004, Severity.WARNING),  # little, but seen
        (0.002, 0.001, Severity.NOTE),  # next to nothing
        (NAN, NAN, Severity.WARNING),  # not read
    ],
)
def test_copies_are_a_fault_by_what_they_add(value: float, error: float, severity: Severity) -> None:
    """Unless it is surely little, they may make the validation accuracy too high."""
    finding = the_finding(leaking(COPIES, copy_inflation=value, copy_inflation_error=error))
    assert (finding.symptom, finding.severity) == ("leaking_data", severity)


@pytest.mark.parametrize(
    ("value", "error", "severity", "said"),
    [
        (0.037, 0.007, Severity.WARNING, "about 3.7 points too high."),
        (0.024, 0.010, Severity.WARNING, "about 2.4 points too high."),
        (0.022, 0.010, Severity.NOTE, "about 2.2 points too high."),  # by a 95% bound, not by a 99% one
        (0.013, 0.010, Severity.NOTE, "may make the validation accuracy about 1.3 points too high."),
        (0.002, 0.001, Severity.NOTE, "(measured: 0.2)."),  # surely something, and next to nothing
        (-0.010, 0.030, Severity.NOTE, "was not seen."),
        (NAN, NAN, Severity.NOTE, "was not seen."),
    ],
)
def test_moved_copies_are_a_fault_where_they_surely_add_something(
    value: float, error: float, severity: Severity, said: str
) -> None:
    """To a network they are other samples."""
    trial = leaking(MOVED, copy_inflation=value, copy_inflation_error=error)
    finding = the_finding(trial)
    assert (finding.symptom, finding.severity) == ("leaking_data", severity)
    assert finding.sentence.endswith(said)
    pruned = the_finding(dataclasses.replace(trial, state="pruned"))
    assert pruned.severity is Severity.NOTE
    assert pruned.sentence.endswith("was not seen.")


@pytest.mark.parametrize(
    ("value", "error", "severity"),
    [
        (0.17, 0.013, Severity.WARNING),
        (0.0045, 0.0028, Severity.NOTE),
        (0.015, 0.004, Severity.WARNING),
        (NAN, NAN, Severity.WARNING),
    ],
)
def test_a_telling_feature_is_a_fault_where_answers_hang_on_it(
    value: float, error: float, severity: Severity
) -> None:
    """Exchanged between samples it misleads who looks at it, so that a little loss says that nobody does."""
    finding = the_finding(leaking(FEATURE, telling_inflation=value, telling_inflation_error=error))
    assert (finding.symptom, finding.severity) == ("leaking_data", severity)


def test_the_sentence_says_what_was_measured() -> None:
    """In points of validation accuracy."""
    harmful = leaking(COPIES, copy_inflation=0.037, copy_inflation_error=0.007)
    assert "about 3.7 points too high" in the_finding(harmful).sentence
    harmless = leaking(MOVED, copy_inflation=-0.005, copy_inflation_error=0.01)
    assert "at most 1.1 points of validation accuracy (measured: -0.5)" in the_finding(harmless).sentence
    used = leaking(FEATURE, telling_inflation=0.17, telling_inflation_error=0.013)
    assert "loses 17.0 points" in the_finding(used).sentence


def test_the_harmful_one_of_two_leaks_comes_first() -> None:
    """Copies that add nothing beside a feature that all hangs on."""
    trial = leaking(
        {**COPIES, **FEATURE},
        copy_inflation=-0.01,
        copy_inflation_error=0.01,
        telling_inflation=0.2,
        telling_inflation_error=0.01,
    )
    finding = the_finding(trial)
    assert finding.severity is Severity.WARNING
    assert [cause.name for cause in finding.causes] == [
        CauseName.TARGET_LEAKAGE,
        CauseName.TRAIN_VALIDATION_OVERLAP,
    ]


def test_a_training_that_goes_on_may_still_gain_by_a_leak() -> None:
    """In the first epochs nothing is learned by heart."""
    trial = leaking(COPIES, copy_inflation=0.0, copy_inflation_error=0.005)
    assert the_finding(trial).severity is Severity.NOTE
    running = dataclasses.replace(trial, state="running", outcome=None)
    assert the_finding(running).severity is Severity.WARNING
    pruned = dataclasses.replace(trial, state="pruned")
    assert the_finding(pruned).severity is Severity.WARNING


def test_what_counts_is_the_epoch_that_made_the_value() -> None:
    """The copies were answered better then; that all is lost in the end excuses nothing."""
    n = len(RISING)
    best = 6
    accuracies = (*RISING[:best], 0.98, *(0.3,) * (n - best - 1))
    added = (*(0.0,) * best, 0.05, *(0.0,) * (n - best - 1))
    curves = {"copy_inflation": added, "copy_inflation_error": (0.004,) * n}
    trial = with_data(trial_of(LEARNING, RISING, VALIDATION_LOSS, accuracies, **curves), **COPIES)
    assert the_finding(trial).severity is Severity.WARNING
    assert "about 5.0 points too high" in the_finding(trial).sentence


def test_exact_values_need_no_more_than_the_usual_accuracy_in_two_classes() -> None:
    """An honest feature tells two classes apart with 97%, but not a part of the samples by values close together."""
    counts = {"train_class_counts": (500, 500), "validation_class_counts": (125, 125)}
    assert the_finding(with_data(leak_accuracy=0.97, n_leak_features=1, leak_share=0.6, **counts)).causes
