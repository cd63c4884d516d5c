import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution

from search_spaces.edits import EditKind
from search_spaces.errors import ConfigurationError
from studies.diagnosis import (
    CauseName,
    Evidence,
    Finding,
    Remedy,
    Severity,
    diagnose_record,
    missing_evidence,
)
from studies.diagnosis.causes import causes_of_poor_fit
from studies.diagnosis.finding import Cause
from studies.diagnosis.order import trial_findings
from studies.diagnosis.symptoms import SYMPTOMS, TRIAL_SYMPTOMS
from studies.readings import NAN, DataProbe, StepReadings, Telemetry
from studies.records import Outcome, StudyRecord, TrialRecord
from tests import cases
from tests.cases import CASES, HEALTHY, good_trial, study_of, trial_of
from tests.early_cases import EARLY_CASES
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
        assert set(remedy) == {"sentence", "edits", "action"}
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


def test_the_earliest_symptom_explains_the_later_ones() -> None:
    """Vanishing gradients make the loss stay flat: one finding, as bad as the flatness that it explains."""
    (finding,) = diagnose_record(CASES["vanishing_gradients"]())
    assert finding.consequences == ("plateau", "underfitting")
    assert finding.severity is Severity.BLOCKER


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
    """One and a half standard errors behind the best is healthy, three are not."""
    bad = CASES["oscillation"]().trials[0]
    reached = float(bad.value or 0.0)
    best = reached + behind * math.sqrt(reached * (1.0 - reached) / cases.DATA.n_validation)
    accuracy = (*cases.VALIDATION_ACCURACY[:9], best)
    level = tuple(min(a, best) for a in accuracy)
    peers = [
        trial_of(cases.LEARNING, cases.RISING, cases.VALIDATION_LOSS, level, number=n) for n in range(1, 4)
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
        cases.LEARNING[:3],
        cases.RISING[:3],
        cases.VALIDATION_LOSS[:3],
        tuple(a - 0.01 for a in cases.VALIDATION_ACCURACY[:3]),
        number=2,
        outcome=Outcome.PRUNED,
    )
    record = study_of(good_trial(0), behind, level)
    (finding,) = diagnose_record(record, 1)
    assert finding.symptom == "underfitting"
    assert CauseName.TOO_FEW_EPOCHS not in {cause.name for cause in finding.causes}
    assert diagnose_record(record, 2) == []


@pytest.mark.parametrize(
    ("config", "changes", "cause", "lever", "value"),
    [
        ({"learning_rate": 1e-3}, {"update_ratio": 1e-6}, "learning_rate_too_low", "learning_rate", 0.5),
        ({"learning_rate": 1.0}, {"update_ratio": 0.5}, "learning_rate_too_high", "learning_rate", 0.1),
        ({"weight_decay": 0.1}, {}, "over_regularized", "weight_decay", 0.002),
        (
            {"dropout": 0.6},
            {"probe_accuracy": (0.45,) * 6, "probe_loss": (1.6,) * 6},
            "over_regularized",
            "dropout",
            0.3,
        ),
        ({"width": 4}, {}, "undercapacity", "width", 64),
        ({"depth": 0}, {}, "undercapacity", "depth", 1),
        ({"momentum": 0.99}, {}, "momentum_too_high", "momentum", 0.9),
        ({"batch_size": 2}, {}, "batch_too_small", "batch_size", 32),
    ],
)
def test_a_poor_fit_is_traced_to_its_lever(
    config: dict[str, float], changes: dict[str, Any], cause: str, lever: str, value: float
) -> None:
    """A flat loss with one lever at work names that lever and moves it the right way."""
    flat = (1.8, 1.79, 1.80, 1.79, 1.80, 1.79)
    poor = (0.35,) * 6
    trial = trial_of(flat, poor, flat, poor, config=config, **{"probe_loss": flat, **changes})
    (finding,) = diagnose_record(study_of(trial))
    assert finding.symptom == "plateau"
    assert finding.causes[0].name == cause
    assert [(e.lever, e.value) for e in finding.remedies[0].edits] == [(lever, value)]


def test_clipping_that_cuts_everything_is_loosened() -> None:
    """Every step clipped at 0.001 and tiny updates: raise the limit to the gradients' size."""
    poor = (0.3,) * 5
    trial = trial_of(
        (2.0,) * 5, poor, (2.0,) * 5, poor, config={"clip_norm": 1e-3}, update_ratio=1e-6, clip_fraction=1.0
    )
    (finding,) = diagnose_record(study_of(trial))
    assert finding.causes[0].name is CauseName.CLIPPING_TOO_TIGHT
    assert finding.remedies[0].edits[0].value == 0.5


@pytest.mark.parametrize(
    ("rate", "cause"), [(1e-3, "learning_rate_too_low"), (5.0, "learning_rate_too_high")]
)
def test_a_rate_far_from_the_best_trials_is_suspected(rate: float, cause: str) -> None:
    """Without other signs, ten times below or above the best trial's rate is the cause."""
    flat, poor = (1.8,) * 10, (0.35,) * 10
    trial = trial_of(flat, poor, flat, poor, number=1, config={"learning_rate": rate})
    (finding,) = diagnose_record(study_of(good_trial(0), trial), 1)
    assert finding.causes[0].name == cause


def test_rates_of_different_optimizers_are_not_compared() -> None:
    """Adam at 0.001 beside SGD at 0.1 is no low rate."""
    flat, poor = (1.8,) * 10, (0.35,) * 10
    trial = trial_of(flat, poor, flat, poor, number=1, config={"learning_rate": 1e-3, "optimizer": "adam"})
    (finding,) = diagnose_record(study_of(good_trial(0), trial), 1)
    assert finding.causes[0].confidence == 0.3


def test_a_rise_without_a_price_is_not_overfitting() -> None:
    """The validation loss rises while accuracy stays: overconfidence, and only in a network that is too sure."""
    (finding,) = diagnose_record(CASES["overconfidence"]())
    assert finding.causes[0].name is CauseName.OVERCONFIDENCE
    assert [remedy.edits[0].lever for remedy in finding.remedies][:2] == ["patience", "label_smoothing"]
    trial = CASES["overconfidence"]().trials[0]
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(row, confidence=row.validation_accuracy) for row in trial.telemetry.epochs
    )
    modest = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    assert diagnose_record(study_of(modest)) == []


def test_a_gap_from_the_first_epoch_on_is_a_shift_before_it_is_overfitting() -> None:
    """Memorizing takes time: validation that lags at once may hold another kind of data."""
    (opening,) = diagnose_record(CASES["overfitting"]())
    assert [cause.name for cause in opening.causes] == [CauseName.OVERFITTING]
    n = 8
    fitted, lagging = (0.70, 0.85, 0.92, 0.95, 0.97, 0.98, 0.99, 0.99), (0.30,) * n
    trial = trial_of(
        (0.9, 0.5, 0.3, 0.2, 0.1, 0.08, 0.05, 0.03), fitted, (2.0, 2.2, 2.5, 2.8, 3.0, 3.3, 3.6, 4.0), lagging
    )
    (finding,) = diagnose_record(study_of(trial))
    assert [cause.name for cause in finding.causes] == [CauseName.AUGMENTATION_DRIFT, CauseName.OVERFITTING]
    assert finding.evidence[-1].value == pytest.approx(0.40)
    assert finding.alternatives


def test_oscillation_of_a_regression_is_read_from_the_loss() -> None:
    """Without accuracies a validation loss that jumps by half its level is an oscillation."""
    jumps = (1.0, 0.6, 0.3, 0.6, 0.25, 0.6, 0.25, 0.6)
    trial = trial_of((0.5, 0.4, 0.35, 0.33, 0.32, 0.31, 0.3, 0.3), None, jumps, regression=True)
    (finding,) = diagnose_record(study_of(trial))
    assert finding.symptom == "oscillation"
    assert finding.evidence[0].quantity == "validation_loss_jitter"


@pytest.mark.parametrize(
    ("config", "cause"), [({"batch_size": 2}, "batch_too_small"), ({"momentum": 0.99}, "momentum_too_high")]
)
def test_oscillation_has_other_causes_than_the_rate(config: dict[str, float], cause: str) -> None:
    """Minibatches of two, or momentum 0.99, are the likelier cause of jumping."""
    trial = CASES["oscillation"]().trials[0]
    (finding,) = diagnose_record(study_of(dataclasses.replace(trial, config={**trial.config, **config})))
    assert finding.causes[0].name == cause


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


def test_a_rate_that_moves_nothing_comes_before_dropout_and_decay() -> None:
    """The answers of a network that has hardly learned flip at any noise: its loss does not mind dropout of 0.1."""
    config = {"learning_rate": 2.1e-4, "dropout": 0.098, "weight_decay": 3.8e-6}
    flat = (2.29, 2.288, 2.286, 2.284, 2.282, 2.28)
    trial = trial_of(
        flat,
        (0.11,) * 6,
        flat,
        (0.20,) * 6,
        config=config,
        update_ratio=2e-5,
        probe_loss=tuple(loss - 0.01 for loss in flat),
        probe_accuracy=(0.20,) * 6,
    )
    (finding,) = diagnose_record(study_of(trial))
    assert finding.causes[0].name is CauseName.LEARNING_RATE_TOO_LOW
    assert CauseName.OVER_REGULARIZED not in {cause.name for cause in finding.causes}
    assert {edit.lever for remedy in finding.remedies for edit in remedy.edits}.isdisjoint(
        {"dropout", "weight_decay"}
    )


def test_a_poor_fit_is_told_by_its_two_numbers() -> None:
    """The losses on both splits, and no ratio."""
    poor = (0.75,) * 6
    trial = trial_of((0.8,) * 6, poor, (0.82,) * 6, poor, config={"width": 4}, probe_loss=(0.8,) * 6)
    (finding,) = diagnose_record(study_of(trial))
    assert "its late loss is 0.8 on the training data and 0.82 on validation" in finding.sentence


def test_dead_units_harm_where_the_fit_is_poor_or_others_do_better() -> None:
    """A lone training that fits well gets a note; one that is behind its peers gets a warning."""
    dead = good_trial(dead=(0.4, 0.7, 0.8, 0.8, 0.82, 0.83, 0.83, 0.83, 0.83, 0.83))
    (alone,) = diagnose_record(study_of(dead))
    assert alone.severity is Severity.NOTE
    others = [good_trial(n) for n in range(1, 4)]
    worse = trial_of(
        cases.LEARNING,
        cases.RISING,
        cases.VALIDATION_LOSS,
        tuple(a - 0.03 for a in cases.VALIDATION_ACCURACY),
        dead=0.8,
    )
    (behind,) = diagnose_record(study_of(worse, *others), 0)
    assert (behind.symptom, behind.severity) == ("dead_units", Severity.WARNING)


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


def test_narrow_the_rates_when_all_above_a_line_diverge() -> None:
    """Half of the trials diverged, all above 0.2: search below it."""
    rates = (0.001, 0.002, 0.004, 0.2, 0.4, 0.5, 0.9)
    record = study_of(*(_searched_rate(n, rate, diverges=rate >= 0.2) for n, rate in enumerate(rates)))
    finding = diagnose_record(record)[0]
    assert finding.symptom == "many_failures"
    assert finding.remedies[0].edits[0].to_json() == {"kind": "narrow", "lever": "learning_rate", "high": 0.2}


def test_make_large_rates_stable_when_the_best_one_is_near_the_line() -> None:
    """The best rate, 0.15, lies at the edge of stability: warm up instead of narrowing."""
    rates = (0.001, 0.15, 0.2, 0.4, 0.5, 0.9)
    record = study_of(*(_searched_rate(n, rate, diverges=rate >= 0.2) for n, rate in enumerate(rates)))
    levers = [remedy.edits[0].lever for remedy in diagnose_record(record)[0].remedies]
    assert levers == ["warmup_fraction", "clip_norm"]


def _searched_rate(number: int, rate: float, *, diverges: bool) -> TrialRecord:
    trial = cases.searched(0.9 + rate / 100, number, {"learning_rate": rate})
    return (
        dataclasses.replace(trial, state="pruned", outcome=Outcome.DIVERGED, value=None)
        if diverges
        else trial
    )


def test_failures_tell_the_commonest_error_and_where() -> None:
    """The exception's text is in the sentence, its line in the remedy; without any result it blocks."""
    record = study_of(cases.failed_trial(0), cases.failed_trial(1), cases.failed_trial(2, "other"))
    (finding,) = diagnose_record(record)
    assert "mat1 and mat2 shapes" in finding.sentence
    assert "model.py:12" in (finding.remedies[0].action or "")
    assert finding.severity is Severity.BLOCKER


def test_failed_trials_of_a_foreign_study_count() -> None:
    """A FAIL without an outcome is a failure, though nobody recorded its text."""
    failed = [TrialRecord(number=n, state="fail", outcome=None, value=None) for n in range(3)]
    (finding,) = diagnose_record(study_of(*failed, plan=False))
    assert finding.sentence == "Of 3 trials 3 ended by an exception."


def test_a_low_edge_is_widened_downwards_and_a_natural_one_is_not() -> None:
    """Rates best at the low bound widen it tenfold; a dropout of 0 is as low as it gets."""
    record = CASES["edge_of_range"]()
    flipped = dataclasses.replace(record, direction="minimize")
    (finding,) = diagnose_record(flipped)
    assert finding.remedies[0].edits[0].to_json() == {"kind": "widen", "lever": "learning_rate", "low": 1e-5}
    for lever, distribution in (("dropout", FloatDistribution(0.0, 0.6)), ("depth", IntDistribution(1, 30))):
        n = 30
        low, high = distribution.low, distribution.high
        values = [
            low + (high - low) * i // (n - 1) if lever == "depth" else high * i / (n - 1) for i in range(n)
        ]
        trials = [
            cases.searched(1.0 - i / n, i, {lever: v}, {lever: distribution}) for i, v in enumerate(values)
        ]
        assert diagnose_record(study_of(*trials, plan=False)) == []
        (up,) = diagnose_record(dataclasses.replace(study_of(*trials, plan=False), direction="minimize"))
        assert up.remedies[0].edits[0].high == (0.9 if lever == "dropout" else 45)


def test_an_equal_inside_the_range_means_no_edge() -> None:
    """When a trial far from the bound is within the noise of the best, there is nothing to find beyond it."""
    rates = (0.01, *np.geomspace(0.6, 1.0, 11))
    trials = [cases.searched(0.97, n, {"learning_rate": float(r)}) for n, r in enumerate(rates)]
    telemetry = Telemetry(data=cases.DATA)
    best_last = [
        dataclasses.replace(t, value=0.9701 if t.number else 0.97, telemetry=telemetry) for t in trials
    ]
    assert not [f for f in diagnose_record(study_of(*best_last)) if f.symptom == "edge_of_range"]
    far = [dataclasses.replace(t, value=0.9 if t.number == 0 else t.value) for t in best_last]
    assert [f for f in diagnose_record(study_of(*far)) if f.symptom == "edge_of_range"]


def test_enough_trials_near_the_best_are_enough() -> None:
    """Three trials within the noise of the best: the search has found its top, however few there are."""
    record = CASES["too_few_trials"]()
    telemetry = Telemetry(data=cases.DATA)
    level = tuple(dataclasses.replace(t, value=0.97, telemetry=telemetry) for t in record.trials)
    assert diagnose_record(dataclasses.replace(record, trials=level)) == []


def test_a_study_of_given_configs_has_all_that_it_was_made_for() -> None:
    """Few trials are too few for a search, and just right for a list."""
    record = CASES["too_few_trials"]()
    assert record.plan is not None
    listed = dataclasses.replace(record.plan, configs=({"seed": 1}, {"seed": 2}))
    assert diagnose_record(dataclasses.replace(record, plan=listed)) == []


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
    no_validation = study_of(trial_of(cases.LEARNING, cases.RISING))
    assert ["validation split" in text for text in missing_evidence(no_validation)] == [True]
    short = missing_evidence(cases.short(2)())
    assert len(short) == 2
    assert "oscillation" in short[0]
    assert "learning curves" in short[1]
    assert "No trial completed" in missing_evidence(CASES["divergence"]())[0]


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
    trial = trial_of(*columns[:4], dead=columns[4], data=cases.DATA if data else None, outcome=outcome)
    record = study_of(*([good_trial(1)] if peer else []), trial)
    for finding in (*diagnose_record(record), *diagnose_record(record, 0)):
        assert json.loads(json.dumps(finding.to_json(), allow_nan=False))["symptom"] == finding.symptom


GUESSING = 0.0992
SIGMOID_NORMS = tuple(
    (f"hidden{n}", norm) for n, norm in enumerate((0.00057, 0.0022, 0.0084, 0.036, 0.16, 0.48), 1)
)


def guessing(*losses: float, **changes: Any) -> TrialRecord:
    """A training that ends as it began: accuracies of chance in every epoch."""
    level = (GUESSING,) * len(losses)
    return trial_of(losses, level, losses, level, **changes)


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
    good = trial_of(cases.LEARNING[:n], cases.RISING[:n], None, cases.VALIDATION_ACCURACY[:n], dead=1.0)
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
    data = dataclasses.replace(cases.DATA, validation_class_counts=(11_000, 1_000))
    level = (11 / 12,) * 2
    (finding,) = diagnose_record(study_of(trial_of((0.4, 0.3), level, (0.35, 0.3), level, data=data)))
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


def test_dead_units_quote_one_number() -> None:
    """The sentence and the evidence give the last epoch's share."""
    (finding,) = diagnose_record(CASES["dead_units"]())
    assert finding.sentence.startswith("83%")
    assert finding.evidence[0].value == 0.83


def test_a_trial_without_an_epoch_has_no_findings() -> None:
    """Telemetry of the untrained network alone is no training."""
    record: StudyRecord = study_of(trial_of(()))
    assert trial_findings(record.trials[0], record) == []


def test_an_unknown_validation_size_makes_the_rules_more_careful() -> None:
    """With 12,000 validation samples these jumps are an oscillation, with an unknown number maybe noise."""
    jumps = (0.94, 0.96, 0.965, 0.970, 0.960, 0.970, 0.960, 0.970, 0.960, 0.970)
    trial = trial_of(cases.LEARNING, cases.RISING, cases.VALIDATION_LOSS, jumps)
    unknown = trial_of(cases.LEARNING, cases.RISING, cases.VALIDATION_LOSS, jumps, data=None)
    assert [f.symptom for f in diagnose_record(study_of(trial))] == ["oscillation"]
    assert diagnose_record(study_of(unknown)) == []


def test_a_data_probe_of_a_regression_has_no_classes() -> None:
    """Empty class counts are no chance level and no error."""
    data = DataProbe(
        n_train=80, n_validation=20, n_test=0, input_min=-1.0, input_max=1.0, input_mean=0.0, input_std=1.0
    )
    assert diagnose_record(study_of(good_trial(data=data))) == []


def test_few_samples_known_by_heart_are_overfitting_without_a_rise() -> None:
    """A train loss of a hundredth of the validation loss and a gap of 0.09 is a fault, one of 0.06 is usual."""
    train, level = (0.8, 0.3, 0.1, 0.02, 0.008, 0.004, 0.003, 0.003), (1.0,) * 8
    flat = (0.8, 0.5, 0.42, 0.40, 0.40, 0.40, 0.40, 0.40)
    (finding,) = diagnose_record(study_of(trial_of(train, level, flat, (0.91,) * 8)))
    assert (finding.symptom, finding.causes[0].name) == ("overfitting", CauseName.OVERFITTING)
    assert diagnose_record(study_of(trial_of(train, level, flat, (0.94,) * 8))) == []
