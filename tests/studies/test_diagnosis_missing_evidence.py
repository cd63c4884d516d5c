"""What a diagnosis does where readings or trials are missing or odd, and what it says about that."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import ConfigurationError
from studies.diagnosis import (
    diagnose_record,
    missing_evidence,
)
from studies.readings import NAN, DataProbe
from studies.records import Outcome, StudyRecord
from tests import healthy_cases, made_trials
from tests.cases import CASES
from tests.healthy_cases import HEALTHY
from tests.made_trials import good_trial, study_of, trial_of


def test_unknown_trial_is_refused() -> None:
    """A number that no trial has is a user's mistake, answered with the numbers there are."""
    with pytest.raises(ConfigurationError, match=r"must be one of study 'case' \(0 to 0\), but got 7"):
        diagnose_record(study_of(good_trial()), 7)
    with pytest.raises(ConfigurationError, match="the study has no trials"):
        diagnose_record(study_of(), 0)


def test_missing_evidence_says_what_and_how() -> None:
    """Each kind of missing evidence has its sentence; a full study has none."""
    assert missing_evidence(study_of(good_trial())) == []
    assert "no trials yet" in missing_evidence(study_of())[0]
    assert "no telemetry" in missing_evidence(HEALTHY["no_telemetry"]())[0]
    no_validation = study_of(trial_of(made_trials.LEARNING, made_trials.RISING))
    assert ["validation split" in text for text in missing_evidence(no_validation)] == [True]
    short = missing_evidence(healthy_cases.short(2)())
    assert len(short) == 2
    assert "oscillation" in short[0]
    assert "learning curves" in short[1]
    assert "No trial completed" in missing_evidence(CASES["divergence"]())[0]


readings = st.one_of(st.floats(0.0, 10.0), st.just(NAN), st.just(math.inf))


fractions = st.one_of(st.floats(0.0, 1.0), st.just(NAN))


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(readings, fractions, readings, fractions, fractions), max_size=12),
    peer=st.booleans(),
    data=st.booleans(),
    outcome=st.sampled_from([Outcome.COMPLETED, Outcome.PRUNED, Outcome.DIVERGED]),
)
def test_any_telemetry_is_judged_without_an_error(
    rows: list[tuple[float, ...]], peer: bool, data: bool, outcome: Outcome
) -> None:
    """Whatever was read, a diagnosis ends in findings whose JSON is strict."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], [], []]
    trial = trial_of(*columns[:4], dead=columns[4], data=made_trials.DATA if data else None, outcome=outcome)
    record = study_of(*([good_trial(1)] if peer else []), trial)
    for finding in (*diagnose_record(record), *diagnose_record(record, 0)):
        assert json.loads(json.dumps(finding.to_json(), allow_nan=False))["symptom"] == finding.symptom


def test_a_trial_without_an_epoch_has_no_findings() -> None:
    """Telemetry of the untrained network alone is no training."""
    record: StudyRecord = study_of(trial_of(()))
    assert diagnose_record(record, record.trials[0].number) == []


def test_an_unknown_validation_size_makes_the_rules_more_careful() -> None:
    """With 12,000 validation samples these jumps are an oscillation, with an unknown number maybe noise."""
    jumps = (0.94, 0.96, 0.965, 0.970, 0.960, 0.970, 0.960, 0.970, 0.960, 0.970)
    trial = trial_of(made_trials.LEARNING, made_trials.RISING, made_trials.VALIDATION_LOSS, jumps)
    unknown = trial_of(
        made_trials.LEARNING, made_trials.RISING, made_trials.VALIDATION_LOSS, jumps, data=None
    )
    assert [f.symptom for f in diagnose_record(study_of(trial))] == ["oscillation"]
    assert diagnose_record(study_of(unknown)) == []


def test_a_data_probe_of_a_regression_has_no_classes() -> None:
    """Empty class counts are no chance level and no error."""
    data = DataProbe(
        n_train=80, n_validation=20, n_test=0, input_min=-1.0, input_max=1.0, input_mean=0.0, input_std=1.0
    )
    assert diagnose_record(study_of(good_trial(data=data))) == []
