"""A trial's findings among the others of its study: who is healthy, which share shows it, which one is told."""

import dataclasses
import math

import pytest

from studies.diagnosis import (
    CauseName,
    Severity,
    diagnose_record,
)
from studies.diagnosis.standing import end_accuracy
from studies.records import Outcome, TrialRecord
from tests import made_trials
from tests.cases import CASES
from tests.made_trials import good_trial, study_of, trial_of


def test_the_healthy_gate_turns_alarms_into_notes() -> None:
    """A trial as good as the best gets at most notes, in a study whose best has clearly learned."""
    bad = CASES["oscillation"]().trials[0]
    accuracy = float(bad.value or 0.0)
    peers = [dataclasses.replace(bad, number=n, value=accuracy) for n in range(3)]
    assert {f.severity for f in diagnose_record(study_of(*peers), 1)} == {Severity.NOTE}
    assert {f.severity for f in diagnose_record(study_of(peers[0]), 0)} == {Severity.WARNING}, (
        "alone, no gate"
    )


@pytest.mark.parametrize(("behind", "severity"), [(1.5, Severity.NOTE), (3.0, Severity.WARNING)])
def test_the_gate_is_two_noise_floors_wide(behind: float, severity: Severity) -> None:
    """To end one and a half standard errors behind the best is healthy, three are not."""
    bad = CASES["oscillation"]().trials[0]
    reached = end_accuracy(bad)
    best = reached + behind * math.sqrt(reached * (1.0 - reached) / made_trials.DATA.n_validation)
    accuracy = (*made_trials.VALIDATION_ACCURACY[:9], best)
    level = tuple(min(a, best) for a in accuracy)
    peers = [
        trial_of(made_trials.LEARNING, made_trials.RISING, made_trials.VALIDATION_LOSS, level, number=n)
        for n in range(1, 4)
    ]
    (finding,) = diagnose_record(study_of(bad, *peers), 0)
    assert (finding.symptom, finding.severity) == ("oscillation", severity)


def test_no_one_is_healthy_where_all_fail() -> None:
    """Three trials at chance are near the best of them, and still blocked."""
    stuck = CASES["plateau"]().trials[0]
    peers = [dataclasses.replace(stuck, number=n) for n in range(3)]
    assert diagnose_record(study_of(*peers), 2)[0].severity is Severity.BLOCKER


def test_symptoms_of_few_trials_are_notes_with_their_share() -> None:
    """Of ten trials one diverged: a note on that trial, which says that it is a tenth."""
    lost = dataclasses.replace(CASES["divergence"]().trials[0], number=9)
    record = study_of(*(good_trial(n) for n in range(9)), lost)
    (finding,) = (finding for finding in diagnose_record(record) if finding.trial is not None)
    assert (finding.trial, finding.symptom, finding.severity) == (9, "divergence", Severity.NOTE)
    assert [(row.value, row.threshold) for row in finding.evidence if row.quantity == "share_of_trials"] == [
        (0.1, 0.25)
    ]
    assert diagnose_record(record, 9)[0].severity is Severity.BLOCKER, "asked for by number, it is itself"


def test_symptoms_of_many_trials_keep_their_severity_and_are_told_once() -> None:
    """Four of ten trials diverged: one warning, on the earliest of them."""
    lost = [dataclasses.replace(CASES["divergence"]().trials[0], number=n) for n in range(6, 10)]
    findings = diagnose_record(study_of(*(good_trial(n) for n in range(6)), *lost))
    told = [(f.symptom, f.trial, f.severity) for f in findings if f.trial is not None]
    assert told == [("divergence", 6, Severity.WARNING)]


def test_a_pruned_trial_is_compared_at_the_epoch_it_reached() -> None:
    """Worse than the best's first three epochs is underfitting, level with them is not."""
    behind = trial_of(
        (2.2, 2.0, 1.8), (0.2, 0.3, 0.4), (2.1, 1.9, 1.7), (0.3, 0.4, 0.45), number=1, outcome=Outcome.PRUNED
    )
    level = trial_of(
        made_trials.LEARNING[:3],
        made_trials.RISING[:3],
        made_trials.VALIDATION_LOSS[:3],
        tuple(a - 0.01 for a in made_trials.VALIDATION_ACCURACY[:3]),
        number=2,
        outcome=Outcome.PRUNED,
    )
    record = study_of(good_trial(0), behind, level)
    (finding,) = diagnose_record(record, 1)
    assert finding.symptom == "underfitting"
    assert CauseName.TOO_FEW_EPOCHS not in {cause.name for cause in finding.causes}
    assert diagnose_record(record, 2) == []


def _flat(number: int, accuracy: float) -> TrialRecord:
    """A plateau at an accuracy; the lower, the farther from what is possible."""
    flat, poor = (1.8,) * 10, (accuracy,) * 10
    return trial_of(flat, poor, flat, poor, number=number)


def test_the_clearest_case_is_the_worst_one() -> None:
    """Not the first one: trial 2 is farther below what is possible than trials 1 and 3, equally surely."""
    record = study_of(good_trial(0), _flat(1, 0.40), _flat(2, 0.30), _flat(3, 0.35))
    (finding,) = diagnose_record(record)
    assert (finding.symptom, finding.trial) == ("plateau", 2)


def test_equal_evidence_is_told_apart_by_value() -> None:
    """Two losses that are NaN: the one whose trial has the worse value, and none is the worst."""
    nan = (0.9, math.nan, math.nan)
    dead = [trial_of(nan, number=n, outcome=Outcome.DIVERGED) for n in (1, 2, 3)]
    values = [0.5, 0.2, 0.4]
    trials = [dataclasses.replace(t, value=v) for t, v in zip(dead, values, strict=True)]
    (finding,) = diagnose_record(study_of(good_trial(0), *trials))
    assert finding.trial == 2


def test_a_blocker_of_a_trial_says_why_it_is_less_in_its_study() -> None:
    """With --trial it is a blocker; in a study with a best trial a warning, and where it is rare a note."""
    nan = (0.9, math.nan, math.nan)
    dead = [trial_of(nan, number=n, outcome=Outcome.DIVERGED) for n in (1, 7, 8)]
    good = [good_trial(n) for n in (0, 2, 3, 4, 5, 6)]
    common = study_of(*good, *dead)
    (alone,) = diagnose_record(common, 1)
    assert (alone.severity, "of the study" in alone.sentence) == (Severity.BLOCKER, False)
    among = next(finding for finding in diagnose_record(common) if finding.trial == 1)
    assert among.severity is Severity.WARNING
    assert "A blocker of trial 1, a warning of the study: the study has a best trial" in among.sentence
    rare = study_of(*good, dead[0])
    noted = next(finding for finding in diagnose_record(rare) if finding.trial == 1)
    assert noted.severity is Severity.NOTE
    assert noted.sentence.endswith("A blocker of trial 1, a note of the study: only 1 of 7 trials show it.")


def test_dead_units_harm_where_the_fit_is_poor_or_others_do_better() -> None:
    """A lone training that fits well gets a note; one that is behind its peers gets a warning."""
    dead = good_trial(dead=(0.4, 0.7, 0.8, 0.8, 0.82, 0.83, 0.83, 0.83, 0.83, 0.83))
    (alone,) = diagnose_record(study_of(dead))
    assert alone.severity is Severity.NOTE
    others = [good_trial(n) for n in range(1, 4)]
    worse = trial_of(
        made_trials.LEARNING,
        made_trials.RISING,
        made_trials.VALIDATION_LOSS,
        tuple(a - 0.03 for a in made_trials.VALIDATION_ACCURACY),
        dead=0.8,
    )
    (behind,) = diagnose_record(study_of(worse, *others), 0)
    assert (behind.symptom, behind.severity) == ("dead_units", Severity.WARNING)
