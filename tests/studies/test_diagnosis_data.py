"""What is wrong with data: classes that drift, leaks and copies."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from studies.diagnosis import CauseName, Severity, diagnose_record
from studies.diagnosis.symptoms.skewed_classes import class_drift
from studies.readings import NAN
from tests import made_trials
from tests.early_cases import (
    with_class_accuracy,
    with_data,
)
from tests.made_trials import good_trial, study_of
from tests.studies.lone_trials import faults, the_finding


@pytest.mark.parametrize(
    ("train", "validation"),
    [((30, 40, 50), (10, 12, 18)), ((100, 0, 40), (10, 20, 30)), ((5, 5, 0), (3, 2, 0))],
)
def test_class_drift_is_the_textbooks(train: tuple[int, ...], validation: tuple[int, ...]) -> None:
    """The chi-square test of scipy, and V as the root of its statistic over the total."""
    table = np.array([train, validation])
    table = table[:, table.sum(axis=0) > 0]
    expected = chi2_contingency(table, correction=False)
    p_value, drift = class_drift(train, validation)
    assert p_value == pytest.approx(expected.pvalue)
    assert drift == pytest.approx(math.sqrt(expected.statistic / table.sum()))


def test_one_class_cannot_drift() -> None:
    """Nor can an empty split."""
    assert class_drift((5, 0), (3, 0)) == (1.0, 0.0)
    assert class_drift((5, 3), (0, 0)) == (1.0, 0.0)


def test_classes_that_train_lacks_are_an_unstratified_split() -> None:
    """Sorted by label and split at the end: validation asks for what nobody taught."""
    trial = with_data(
        good_trial(config={"split": "last"}),
        train_class_counts=(100,) * 7 + (0,) * 3,
        validation_class_counts=(0,) * 7 + (70,) * 3,
    )
    finding = the_finding(trial)
    assert (finding.symptom, finding.causes[0].name) == ("skewed_classes", CauseName.UNSTRATIFIED_SPLIT)
    assert finding.evidence[0].quantity == "unseen_class_share"
    edit = finding.remedies[0].edits[0]
    assert (edit.lever, edit.value) == ("split", "stratified")


def test_a_random_split_is_not_called_unstratified() -> None:
    """Twenty random splits of 4,000 samples in ten classes."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.integers(0, 10, 4000)
        train, validation = np.bincount(labels[:3000]), np.bincount(labels[3000:])
        trial = with_data(train_class_counts=tuple(train), validation_class_counts=tuple(validation))
        assert faults(trial) == []


def test_rare_classes_nobody_can_judge_are_a_note() -> None:
    """With one validation sample of the rare class no accuracy can be read; 80 samples may do to learn it."""
    trial = with_data(train_class_counts=(4_800,) * 9 + (80,), validation_class_counts=(1_200,) * 9 + (1,))
    assert the_finding(with_class_accuracy(trial, (0.97,) * 9 + (0.0,))).severity is Severity.NOTE


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"leak_accuracy": 0.999, "n_leak_features": 1}, True),
        ({"leak_accuracy": 0.97, "n_leak_features": 10}, True),
        ({"leak_accuracy": 0.7, "n_leak_features": 10}, False),
        ({"leak_accuracy": NAN}, False),
    ],
)
def test_features_that_tell_the_class_are_a_leak(changes: dict[str, Any], found: bool) -> None:
    """One pixel or ten that give the answer away; ten that help are none."""
    assert faults(with_data(**changes)) == (["leaking_data"] if found else [])


def test_copies_and_a_leak_are_told_together() -> None:
    """One finding with both causes, and what tells them apart."""
    finding = the_finding(with_data(overlap_fraction=0.3, leak_accuracy=1.0, n_leak_features=1))
    assert {cause.name for cause in finding.causes} == {
        CauseName.TRAIN_VALIDATION_OVERLAP,
        CauseName.TARGET_LEAKAGE,
    }
    assert finding.alternatives.startswith("It is train_validation_overlap if ")
    assert len(finding.evidence) == 2


@pytest.mark.parametrize(("share", "said"), [(1.0, "100% of"), (0.123, "12.3% of"), (0.005, "0.5% of")])
def test_copies_are_told_as_a_percentage(share: float, said: str) -> None:
    """1.0 of the samples would read as one of them."""
    trial = good_trial(data=dataclasses.replace(made_trials.DATA, overlap_fraction=share))
    (finding,) = diagnose_record(study_of(trial))
    assert finding.sentence == f"{said} the validation samples are in the train split too, value for value."
