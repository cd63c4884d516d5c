"""The made-up study of benchmarks/diagnose_speed.py is what a search leaves, and is judged once a trial."""

from collections import Counter

import pytest

from studies.diagnosis import diagnose_record, order, others, showing
from studies.readings import Telemetry
from studies.records import StudyRecord, TrialRecord


@pytest.fixture
def big(sqlite_url: str) -> StudyRecord:
    from diagnose_speed import build_study

    return build_study(sqlite_url, n_trials=24, n_epochs=6).record()


def test_the_study_has_telemetry_of_all_kinds_and_faults(big: StudyRecord) -> None:
    """Complete, pruned and diverged trials of three to five layers, and findings that name their causes."""
    assert (big.counts.complete, big.counts.pruned, big.counts.diverged) == (18, 3, 3)
    telemetry = [trial.telemetry or Telemetry() for trial in big.trials]
    assert {len(each.epochs[1].layers) for each in telemetry} == {3, 4, 5}
    assert all(each.step_zero and each.data for each in telemetry)
    assert {finding.symptom for finding in diagnose_record(big)} >= {"divergence"}


def test_each_trial_is_judged_once(big: StudyRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the trials are ten times the work: one pass over the rules for each, and one more over the best's.

    That one is for the trials that end worse, of which only those blame the best's symptoms on themselves.
    """
    judged: Counter[int] = Counter()
    find = showing.shown_by

    def counting(trial: TrialRecord, record: StudyRecord) -> object:
        judged[trial.number] += 1
        return find(trial, record)

    for module in (order, others):
        monkeypatch.setattr(module, "shown_by", counting)
    diagnose_record(big)
    assert big.best is not None
    assert judged == Counter({**dict.fromkeys(range(24), 1), big.best.number: 2})


def test_the_answer_comes_without_torch(sqlite_url: str) -> None:
    """As a process of its own; the benchmark refuses a figure that was taken otherwise."""
    from diagnose_speed import build_study, seconds_to_answer

    build_study(sqlite_url, n_trials=8, n_epochs=3)
    assert seconds_to_answer(sqlite_url) > 0.0


def test_the_best_trial_is_looked_for_once(big: StudyRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule asks for it on every trial; each search for it would go over all trials again."""
    n_looks = 0
    is_complete = TrialRecord.is_complete

    def counting(trial: TrialRecord) -> bool:
        nonlocal n_looks
        n_looks += 1
        return bool(is_complete.fget(trial))  # type: ignore[attr-defined]  # a property

    monkeypatch.setattr(TrialRecord, "is_complete", property(counting))
    diagnose_record(big)
    assert n_looks <= 3 * 24
