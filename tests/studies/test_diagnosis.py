"""Every symptom and its case: exactly that finding, whose sentences, remedies and JSON are whole."""

import dataclasses
import json
import math

import pytest

from studies.diagnosis import (
    CauseName,
    Evidence,
    Finding,
    Remedy,
    Severity,
    diagnose_record,
)
from studies.diagnosis.finding import Cause
from studies.diagnosis.signs import signs_of
from studies.diagnosis.symptoms import SYMPTOMS, TRIAL_SYMPTOMS
from studies.readings import NAN
from tests.cases import CASES
from tests.early_cases import EARLY_CASES
from tests.healthy_cases import HEALTHY
from tests.made_trials import good_trial, study_of
from tests.study_cases import STUDY_CASES


@pytest.mark.parametrize("symptom", CASES)
def test_each_case_shows_exactly_its_symptom(symptom: str) -> None:
    """A study made to show one symptom gets that finding and no other."""
    assert [finding.symptom for finding in diagnose_record(CASES[symptom]())] == [symptom]


@pytest.mark.parametrize("control", HEALTHY)
def test_healthy_controls_raise_nothing(control: str) -> None:
    """What trips the rules of other tools is no finding here, not even a note."""
    record = HEALTHY[control]()
    assert diagnose_record(record) == []
    assert all(diagnose_record(record, trial.number) == [] for trial in record.trials)


def test_symptoms_and_cases_are_the_same() -> None:
    """Every symptom in the list has a case, and every case is a symptom in the list."""
    assert {*CASES, *EARLY_CASES, *STUDY_CASES} == set(SYMPTOMS)


def test_consequences_are_symptoms_and_come_later() -> None:
    """A symptom leads only to symptoms in the list, and never in a circle of two."""
    leads_to = {symptom.name: set(symptom.leads_to) for symptom in TRIAL_SYMPTOMS}
    assert set().union(*leads_to.values()) <= set(leads_to)
    assert not [(a, b) for a in leads_to for b in leads_to[a] if a in leads_to[b]]


@pytest.mark.parametrize("symptom", CASES)
def test_json_has_the_public_shape(symptom: str) -> None:
    """A finding's JSON has the documented keys, at every level, and is strict JSON."""
    finding = json.loads(json.dumps(diagnose_record(CASES[symptom]())[0].to_json(), allow_nan=False))
    named = ["trial", "symptom", "severity", "causes", "evidence", "consequences", "remedies"]
    assert list(finding) == [*named, "alternatives", "stage"]
    assert finding["severity"] in {"note", "warning", "blocker"}
    assert all(set(cause) == {"name", "confidence"} for cause in finding["causes"])
    shape = {"quantity", "first_step", "last_step", "value", "threshold", "source"}
    assert finding["evidence"]
    assert all(set(row) == shape for row in finding["evidence"])
    assert finding["remedies"]
    for remedy in finding["remedies"]:
        assert set(remedy) == {"sentence", "edits", "action", "benchmark"}
        assert remedy["action"] or all({"kind", "lever"} < set(edit) for edit in remedy["edits"])


@pytest.mark.parametrize("symptom", CASES)
def test_every_finding_speaks_plainly(symptom: str) -> None:
    """Sentences begin with a capital or a digit, end with one full stop and hold no NaN."""
    for finding in diagnose_record(CASES[symptom]()):
        for sentence in (finding.sentence, *(remedy.sentence for remedy in finding.remedies)):
            assert sentence[0].isupper() or sentence[0].isdigit()
            assert sentence.endswith(".")
            assert not sentence.endswith("..")
            assert "nan" not in sentence.replace("dominant", "")


@pytest.mark.parametrize("symptom", [s.name for s in TRIAL_SYMPTOMS if s.name in CASES])
def test_remedies_change_one_lever_and_change_it(symptom: str) -> None:
    """A remedy has one edit, of a lever whose present value is another; no two remedies share a lever."""
    record = CASES[symptom]()
    (finding,) = diagnose_record(record)
    edits = [remedy.edits for remedy in finding.remedies if remedy.edits]
    assert all(len(edit) == 1 for edit in edits)
    levers = [edit[0].lever for edit in edits]
    assert len(levers) == len(set(levers))
    assert all(record.trials[0].config.get(edit[0].lever) != edit[0].value for edit in edits)


def test_the_earliest_symptom_explains_the_later_ones() -> None:
    """Vanishing gradients make the loss stay flat: one finding, as bad as the flatness that it explains."""
    (finding,) = diagnose_record(CASES["vanishing_gradients"]())
    assert finding.consequences == ("plateau", "underfitting")
    assert finding.severity is Severity.BLOCKER


def test_a_remedy_never_proposes_what_is_there() -> None:
    """With warmup, clipping and cosine in place, only the rate is left to lower."""
    trial = CASES["divergence"]().trials[0]
    config = {
        **trial.config,
        "warmup_fraction": 0.1,
        "clip_norm": 1.0,
        "schedule": "cosine",
        "batch_size": 512,
    }
    (finding,) = diagnose_record(study_of(dataclasses.replace(trial, config=config)))
    assert [remedy.edits[0].lever for remedy in finding.remedies] == ["learning_rate"]


def test_findings_are_sorted_worst_first() -> None:
    """Blockers, warnings, notes."""
    record = study_of(
        good_trial(0),
        *(
            dataclasses.replace(CASES[name]().trials[0], number=n)
            for n, name in enumerate(("oscillation", "divergence"), 1)
        ),
    )
    ranks = [finding.severity.rank for finding in diagnose_record(record)]
    assert len(ranks) == 2
    assert ranks == sorted(ranks, reverse=True)


def test_parts_are_checked_where_they_are_made() -> None:
    """A confidence outside 0..1 and a remedy that changes nothing are refused."""
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1"):
        Cause(name=CauseName.OVERFITTING, confidence=1.5)
    with pytest.raises(ValueError, match="has neither"):
        Remedy(sentence="Try harder.")


def test_infinite_evidence_is_null_in_json() -> None:
    """JSON knows neither NaN nor infinity."""
    row = Evidence(quantity="q", first_step=None, last_step=None, value=NAN, threshold=math.inf, source="s")
    finding = Finding(trial=None, symptom="s", severity=Severity.NOTE, sentence="A.", evidence=(row,))
    assert finding.to_json()["evidence"][0]["value"] is None
    assert finding.to_json()["evidence"][0]["threshold"] is None


def test_the_signs_of_a_trial_are_worked_out_once() -> None:
    """Of the very two that were asked for last, a trial and the best beside it; an equal one is another."""
    one = good_trial()
    assert signs_of(one) is signs_of(one)
    other = dataclasses.replace(one)
    assert signs_of(other) is not signs_of(one)
    assert signs_of(one).trial is one
    assert signs_of(other).trial is other
    best = signs_of(one)
    for _ in range(3):
        signs_of(dataclasses.replace(one))
        assert signs_of(one) is best
    signs_of(dataclasses.replace(one))
    signs_of(dataclasses.replace(one))
    assert signs_of(one) is not best
