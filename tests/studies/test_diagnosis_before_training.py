"""What is wrong before training, and what is only odd: every case and cause, and whose fault the harm is."""

import dataclasses
import json
from typing import Any

import pytest

from search_spaces.edits import EditKind
from studies.diagnosis import CauseName, Severity, diagnose_record, missing_evidence
from studies.diagnosis.actions import ACTIONS
from studies.diagnosis.alternatives import DISCRIMINATIONS
from studies.diagnosis.remedies import REMEDIES
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptoms import TRIAL_SYMPTOMS
from studies.readings import NAN
from studies.records import Outcome, TrialRecord
from tests import cases, made_trials
from tests.early_cases import (
    CONTROLS,
    EARLY_CASES,
    stuck_trial,
    with_code,
    with_data,
)
from tests.made_trials import good_trial, study_of, trial_of
from tests.studies.lone_trials import faults, the_finding


@pytest.mark.parametrize("symptom", EARLY_CASES)
def test_each_case_shows_exactly_its_symptom(symptom: str) -> None:
    """A study made to show one early symptom gets that finding, of its stage, and no other."""
    (finding,) = diagnose_record(EARLY_CASES[symptom]())
    stages = {known.name: known.stage for known in TRIAL_SYMPTOMS}
    assert (finding.symptom, finding.stage) == (symptom, stages[symptom])
    assert finding.severity is not Severity.NOTE
    assert finding.stage in {Stage.CODE, Stage.DATA, Stage.UNTRAINED}


@pytest.mark.parametrize("symptom", EARLY_CASES)
def test_each_finding_is_complete(symptom: str) -> None:
    """It has a cause, evidence beyond its threshold with a source, a remedy, and strict JSON."""
    (finding,) = diagnose_record(EARLY_CASES[symptom]())
    assert finding.causes
    assert finding.evidence
    assert all(row.source and row.value != row.threshold for row in finding.evidence)
    assert finding.remedies
    assert all(remedy.sentence.endswith(".") for remedy in finding.remedies)
    assert finding.sentence.endswith(".")
    shown = json.loads(json.dumps(finding.to_json(), allow_nan=False))
    assert shown["stage"] == finding.stage.label


@pytest.mark.parametrize("control", CONTROLS)
def test_an_anomaly_without_harm_is_no_fault(control: str) -> None:
    """Odd trainings that are as good as any get notes at most."""
    assert {f.severity for f in diagnose_record(CONTROLS[control]())} <= {Severity.NOTE}


@pytest.mark.parametrize("cause", CauseName)
def test_every_cause_has_something_to_do_and_to_tell_it_by(cause: CauseName) -> None:
    """Each public cause has a line in the tables of remedies (or of actions) and of discriminations."""
    assert REMEDIES[cause] or cause is CauseName.SEED_NOISE
    assert cause in DISCRIMINATIONS


@pytest.mark.parametrize("name", [name for name in ACTIONS if name is not CauseName.DYING_RELU])
def test_a_loop_of_ones_own_gets_the_line_to_write(name: CauseName) -> None:
    """Where the config names no lever at all, the remedy is an action, in which code is marked as such."""
    from studies.diagnosis.situation import Situation

    foreign = Situation(trial=dataclasses.replace(good_trial(), config={}))
    found = [remedy for rule in ACTIONS[name] if (remedy := rule(foreign)) is not None]
    assert found
    assert all(remedy.action and not remedy.edits for remedy in found)


@pytest.mark.parametrize(
    ("case", "config", "lever", "value"),
    [
        ("skewed_classes", {"class_weights": "none"}, "class_weights", "balanced"),
        ("input_scale", {"input_scaling": "none"}, "input_scaling", "standardize"),
        ("input_shift", {"augmentation": 0.8}, "augmentation", 0.2),
    ],
)
def test_where_a_lever_mends_it_the_remedy_is_an_edit(
    case: str, config: dict[str, Any], lever: str, value: object
) -> None:
    """The toolkit's own levers are set, not talked about."""
    trial = EARLY_CASES[case]().trials[0]
    finding = the_finding(dataclasses.replace(trial, config={**trial.config, **config}))
    edit = finding.remedies[0].edits[0]
    assert (edit.kind, edit.lever, edit.value) == (EditKind.FIX, lever, value)


def test_the_earliest_stage_is_the_cause_and_takes_the_worst_severity() -> None:
    """NaN in the data explains the divergence: one finding, which blocks."""
    diverged = trial_of((0.9, NAN), outcome=Outcome.DIVERGED)
    finding = the_finding(with_data(diverged, n_non_finite=3))
    assert (finding.symptom, finding.severity) == ("non_finite_data", Severity.BLOCKER)
    assert finding.consequences == ("divergence",)
    assert finding.remedies[0].action


def test_an_anomaly_becomes_the_cause_of_the_harm_it_can_do() -> None:
    """Raw pixels are a note in a good training, and the cause of one that diverges."""
    raw = {"input_max": 255.0, "input_mean": 33.0, "input_std": 78.0}
    assert the_finding(with_data(good_trial(), **raw)).severity is Severity.NOTE
    finding = the_finding(with_data(trial_of((0.9, NAN), outcome=Outcome.DIVERGED), **raw))
    assert (finding.symptom, finding.consequences) == ("input_scale", ("divergence",))
    assert finding.causes[0].name is CauseName.UNNORMALIZED_INPUT
    assert finding.remedies[0].edits[0].lever == "input_scaling"


def test_an_anomaly_is_not_blamed_for_other_harm() -> None:
    """Raw pixels do not make a network overfit."""
    overfitted = cases.CASES["overfitting"]().trials[0]
    raw = with_data(overfitted, input_max=255.0, input_mean=33.0, input_std=78.0)
    assert faults(raw) == ["overfitting"]


def test_an_anomaly_is_not_blamed_where_an_earlier_fault_explains_the_harm() -> None:
    """A missing zero_grad explains a loss that is stuck; raw pixels beside it stay a note."""
    raw = with_data(stuck_trial(), input_max=255.0, input_mean=33.0, input_std=78.0)
    assert faults(with_code(raw, stale_gradient_share=1.0)) == ["stale_gradients"]


@pytest.mark.parametrize(
    ("case", "severity"),
    [
        ("leaking_data", Severity.WARNING),
        ("evaluation_mode", Severity.WARNING),
        ("stale_gradients", Severity.BLOCKER),
    ],
)
def test_a_good_value_excuses_what_is_the_trials_own(case: str, severity: Severity) -> None:
    """Behind the healthy gate an error in the code or the data stays a fault: the study's best shares it."""
    odd = EARLY_CASES[case]().trials[0]
    peers = [good_trial(n) for n in range(1, 4)]
    (finding,) = diagnose_record(study_of(odd, *peers), 0)
    assert (finding.symptom, finding.severity) == (case, severity)


def _without(**parts: object) -> TrialRecord:
    trial = good_trial()
    assert trial.telemetry is not None
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, **parts))


def test_what_was_not_probed_is_said() -> None:
    """Data, validation samples and the untrained network: one sentence each, with the way to get it."""
    assert missing_evidence(study_of(good_trial())) == []
    assert ["watch.step" in text for text in missing_evidence(study_of(_without(data=None)))] == [True]
    unseen = dataclasses.replace(
        made_trials.DATA, validation_class_counts=()
    )  # as a loop that validates by itself
    (text,) = missing_evidence(study_of(_without(data=unseen)))
    assert all(said in text for said in ("copies", "shifted inputs", "validation=(x, y)"))
    assert ["first step" in text for text in missing_evidence(study_of(_without(step_zero=None)))] == [True]
