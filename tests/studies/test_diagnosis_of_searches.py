"""What a whole search shows: failures, edges of its ranges, and too few trials."""

import dataclasses

import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution

from studies.diagnosis import (
    Severity,
    diagnose_record,
)
from studies.readings import Telemetry
from studies.records import Outcome, TrialRecord
from tests import made_trials
from tests.cases import CASES
from tests.made_trials import study_of


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
    trial = made_trials.searched(0.9 + rate / 100, number, {"learning_rate": rate})
    return (
        dataclasses.replace(trial, state="pruned", outcome=Outcome.DIVERGED, value=None)
        if diverges
        else trial
    )


def test_failures_tell_the_commonest_error_and_where() -> None:
    """The exception's text is in the sentence, its line in the remedy; without any result it blocks."""
    record = study_of(
        made_trials.failed_trial(0), made_trials.failed_trial(1), made_trials.failed_trial(2, "other")
    )
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
            made_trials.searched(1.0 - i / n, i, {lever: v}, {lever: distribution})
            for i, v in enumerate(values)
        ]
        assert diagnose_record(study_of(*trials, plan=False)) == []
        (up,) = diagnose_record(dataclasses.replace(study_of(*trials, plan=False), direction="minimize"))
        assert up.remedies[0].edits[0].high == (0.9 if lever == "dropout" else 45)


def test_an_equal_inside_the_range_means_no_edge() -> None:
    """When a trial far from the bound is within the noise of the best, there is nothing to find beyond it."""
    rates = (0.01, *np.geomspace(0.6, 1.0, 11))
    trials = [made_trials.searched(0.97, n, {"learning_rate": float(r)}) for n, r in enumerate(rates)]
    telemetry = Telemetry(data=made_trials.DATA)
    best_last = [
        dataclasses.replace(t, value=0.9701 if t.number else 0.97, telemetry=telemetry) for t in trials
    ]
    assert not [f for f in diagnose_record(study_of(*best_last)) if f.symptom == "edge_of_range"]
    far = [dataclasses.replace(t, value=0.9 if t.number == 0 else t.value) for t in best_last]
    assert [f for f in diagnose_record(study_of(*far)) if f.symptom == "edge_of_range"]


def test_enough_trials_near_the_best_are_enough() -> None:
    """Three trials within the noise of the best: the search has found its top, however few there are."""
    record = CASES["too_few_trials"]()
    telemetry = Telemetry(data=made_trials.DATA)
    level = tuple(dataclasses.replace(t, value=0.97, telemetry=telemetry) for t in record.trials)
    assert diagnose_record(dataclasses.replace(record, trials=level)) == []


def test_a_study_of_given_configs_has_all_that_it_was_made_for() -> None:
    """Few trials are too few for a search, and just right for a list."""
    record = CASES["too_few_trials"]()
    assert record.plan is not None
    listed = dataclasses.replace(record.plan, configs=({"seed": 1}, {"seed": 2}))
    assert diagnose_record(dataclasses.replace(record, plan=listed)) == []
