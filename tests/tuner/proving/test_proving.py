"""Real small trainings on the digits: a rate of 3 breaks them, a tenth of it mends them."""

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

import tuner
from search_spaces.errors import ConfigurationError
from studies.diagnosis import Finding, Severity
from studies.proofs import proofs_in
from studies.recorded import RecordedStudy, open_study
from studies.records import StudyRecord
from tests.tuner.proving.made_findings import ACTION, finding, fixing
from tuner.listed import search_listed
from tuner.proving import (
    InterruptedProofError,
    Proof,
    Verdict,
    choosing,
    judging,
    prove,
    prove_in_memory,
    stepping,
)
from tuner.proving import fixing as fixing_module
from tuner.proving.contest import IS_AN_ACTION
from tuner.proving.fixing import PreparedFix, new_seeds, prepare_fix
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import split_dataset

FAULTY: dict[str, Any] = {"learning_rate": 3.0, "momentum": 0.9, "width": 16, "epochs": 3}
FAULT = finding(fixing("learning_rate", 0.3), fixing("dropout", 0.1))
HEALTHY: dict[str, Any] = {**FAULTY, "learning_rate": 0.1}


def study_of(*configs: dict[str, Any], name: str = "s") -> RecordedStudy:
    """A study of these configs, each trained."""
    search_listed(configs, "digits", study=name, epochs=3, workers=1, lanes=4)
    return open_study(name)


def diagnosed(record: StudyRecord, trial: int | None = None, **_: bool) -> list[Finding]:
    """A diagnosis that is known: what guesses is at fault."""
    return [
        dataclasses.replace(FAULT, trial=each.number)
        for each in record.trials
        if trial in {None, each.number} and (each.value or 0.0) < 0.5
    ]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> RecordedStudy:
    """Trial 0 has a rate of 3 and guesses, trial 1 is healthy."""
    for module in (choosing, judging, stepping):
        monkeypatch.setattr(module, "diagnose_record", diagnosed)
    return study_of(FAULTY, HEALTHY)


def fixed(**changes: Any) -> Proof:
    return tuner.fix("s", **{"seeds": 3, "workers": 1, "lanes": 4, **changes})


def test_a_proof_in_memory_and_one_in_a_study_are_the_same() -> None:
    """One judging function, the same seeds, split and numbers; the database only makes it resumable."""
    splits = split_dataset(load_dataset("digits"), seed=0)
    memory = prove_in_memory(FAULT, FAULTY, splits, seeds=3, reference=HEALTHY)
    stored = prove(FAULT, FAULTY, "digits", study="p", seeds=3, reference=HEALTHY, workers=1, lanes=4)
    assert memory.seeds == stored.seeds == (1000, 1001, 1002)
    assert memory.baseline == pytest.approx(stored.baseline, abs=0.02)
    for one, other in zip(memory.remedies, stored.remedies, strict=True):
        assert one.values == pytest.approx(other.values, abs=0.02)
        assert one.verdict is other.verdict
    assert memory.best is not None
    assert memory.best.label == "learning_rate=0.3"
    assert stored.replicates == "p"
    assert stored.remedies[1].verdict is not Verdict.PROVEN


def test_a_rate_a_thousand_times_too_high_is_mended_in_three_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step a tenth of the one before, in a study of its own or in memory alike; read back without training."""

    def tenth(record: StudyRecord, number: int, **_: bool) -> list[Finding]:
        rate = next(trial for trial in record.trials if trial.number == number).config["learning_rate"]
        return [finding(fixing("learning_rate", round(rate / 10, 3)), trial=number)] if rate > 0.2 else []

    for module in (judging, stepping):
        monkeypatch.setattr(module, "diagnose_record", tenth)
    config = {**FAULTY, "learning_rate": 100.0, "epochs": 2}
    found = finding(fixing("learning_rate", 10.0))
    splits = split_dataset(load_dataset("digits"), seed=0)
    memory = prove_in_memory(found, config, splits, seeds=3)
    assert memory.best is not None
    assert (memory.best.label, list(memory.best.steps)) == (
        "learning_rate=0.1",
        ["learning_rate=10", "learning_rate=1"],
    )
    stored, again = (prove(found, config, "digits", study="p", seeds=3, workers=1, lanes=6) for _ in range(2))
    assert again == stored
    assert [each.verdict for each in stored.remedies] == [each.verdict for each in memory.remedies]
    assert stored.changes == memory.changes == {"learning_rate": 0.1}
    n_trials = [len(open_study(name).record(telemetry=False).trials) for name in ("p", "p-step2", "p-step3")]
    assert n_trials == [6, 3, 3]
    once = prove(found, config, "digits", study="p", seeds=3, workers=1, lanes=6, max_steps=1)
    assert [each.label for each in once.remedies] == ["learning_rate=10"]


def test_fix_keeps_its_verdict_and_the_config_with_the_study(faulty: RecordedStudy) -> None:
    """Replicates in a study of their own, the healthy trial as reference, YAML that trains."""
    proof = fixed()
    assert proof.best is not None
    assert proof.best.recovered is not None
    assert proof.best.recovered > 0.8
    assert (proof.replicates, proof.seeds) == ("s-fix-0", (1000, 1001, 1002))
    assert len(open_study("s-fix-0").record(telemetry=False).trials) == 12
    kept = open_study("s").record(telemetry=False).proofs
    assert [(each.trial, each.study) for each in kept] == [(0, "s-fix-0")]
    assert kept == (proof.record(),)
    config = yaml.safe_load(Path(faulty.paths.fixed_config(0)).read_text(encoding="utf-8"))
    assert config == {**FAULTY, "learning_rate": 0.3}


def test_an_interrupted_fix_goes_on(faulty: RecordedStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle by a signal, the same call trains what is left, and ends as it would have."""
    stopped_at: list[int] = []

    def stop_in_the_middle(progress: Any) -> None:
        n = progress.record.counts.counted
        if n and not stopped_at:
            stopped_at.append(n)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("tuner.prepared_search._PROGRESS_SECONDS", 0.0)
    with pytest.raises(InterruptedProofError) as stopped:
        fixed(on_progress=stop_in_the_middle, lanes=1)
    assert stopped.value.exit_code == 143
    done = open_study("s-fix-0").record(telemetry=False)
    assert 0 < done.counts.complete < 12
    assert faulty.record(telemetry=False).proofs == ()
    ended = {trial.number for trial in done.trials if trial.is_complete}
    proof = fixed(lanes=1)
    assert proof.is_proven
    again = open_study("s-fix-0").record(telemetry=False)
    assert again.counts.counted == 12
    assert {trial.number for trial in again.trials if trial.is_complete} >= ended


def test_the_same_call_trains_nothing_and_another_one_gets_a_name_of_its_own(faulty: RecordedStudy) -> None:
    """Verdicts are read back; other seeds are another proof, which replaces the first in the notes."""
    first, again = fixed(), fixed()
    assert again == first
    assert len(open_study("s-fix-0").record(telemetry=False).trials) == 12
    other = fixed(seeds=4)
    assert other.replicates == "s-fix-0-b"
    assert len(other.seeds) == 4
    assert [each.study for each in proofs_in(open_study("s").study.user_attrs)] == ["s-fix-0-b"]
    assert faulty.name == "s"


def test_a_config_that_is_no_longer_proven_goes(
    faulty: RecordedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says what the last verdict says: nothing, where nothing was proven."""
    path = faulty.paths.fixed_config(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("learning_rate: 0.3\n", encoding="utf-8")
    idle = finding(fixing("dropout", 0.1))
    monkeypatch.setattr(
        choosing, "diagnose_record", lambda _record, trial: [idle] if trial in {None, 0} else []
    )
    assert not fixed().is_proven
    assert not path.exists()


def test_what_it_costs_is_known_before(faulty: RecordedStudy) -> None:
    """Trainings, and seconds by the faulty trial's own pace; nothing is written."""
    prepared = prepare_fix("s", seeds=5)
    assert isinstance(prepared, PreparedFix)
    assert prepared.n_trainings == 4 * 5
    rows = prepared.faulty.telemetry.epochs[1:]  # type: ignore[union-attr]
    assert prepared.seconds == pytest.approx(20 * sum(row.seconds for row in rows))
    assert prepared.reference is not None
    assert prepared.reference.number == 1
    assert not open_study("s").study.user_attrs
    assert faulty.plan is not None


def test_nothing_wrong_is_an_answer_and_trains_nothing(faulty: RecordedStudy) -> None:
    """A healthy trial has nothing to mend."""
    proof = tuner.fix(faulty.name, trial=1)
    assert proof.finding is None
    assert proof.sentence == "Nothing is wrong: trial 1 of 's' has no fault to mend."
    assert proof.to_json()["config"] is None


def test_a_sound_study_says_where_its_notes_are(
    faulty: RecordedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one of many trials shows is a note of the study; who means that trial can say so."""
    noted = dataclasses.replace(FAULT, severity=Severity.NOTE)
    monkeypatch.setattr(choosing, "diagnose_record", lambda _record, _trial: [noted])
    monkeypatch.setattr(fixing_module, "diagnose_record", lambda _record: [noted])
    proof = tuner.fix(faulty.name)
    assert proof.finding is None
    assert proof.sentence.endswith("begin with divergence in trial 0; --trial 0 looks at that one by itself.")


def test_an_action_is_told_and_nothing_is_trained(
    faulty: RecordedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lever mends it; so of a fault of the study as a whole."""
    monkeypatch.setattr(choosing, "diagnose_record", lambda _record, _trial: [finding(ACTION)])
    proof = fixed()
    assert proof.remedies == ()
    assert proof.left_out[0].why == IS_AN_ACTION
    assert "Nothing was trained" in proof.sentence
    whole = finding(fixing("learning_rate", 0.1), trial=None)
    monkeypatch.setattr(choosing, "diagnose_record", lambda _record, _trial: [whole])
    assert "of the study as a whole" in fixed().sentence
    assert faulty.record(telemetry=False).proofs == ()


def test_a_study_of_someone_elses_loop_is_told_what_to_try_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Task and model are unknown, so nothing can be trained again: one sentence with the edits and the comparison."""
    Path("runs").mkdir()
    study = optuna.create_study(study_name="mine", storage="sqlite:///runs/tuner.db", direction="maximize")
    study.optimize(lambda _trial: 0.5, n_trials=1)
    monkeypatch.setattr(choosing, "diagnose_record", lambda _record, _trial: [FAULT])
    with pytest.raises(
        ConfigurationError, match=r"^Only a study that symptune planned .* got 'mine'\."
    ) as refused:
        tuner.fix("mine")
    how = refused.value.__notes__
    assert how[0] == "train trial 0's config yourself, as it is and with learning_rate=0.3 or dropout=0.1"
    assert "same seeds, 3 or more" in how[1]
    assert "compare" in how[2]


def test_the_worst_trial_is_the_one_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """By severity, then by value, a diverged one before all; who was taken and how to take another is said."""
    study_of({**FAULTY, "learning_rate": 1.0}, FAULTY, {**FAULTY, "learning_rate": 1e30}, HEALTHY)
    mild = dataclasses.replace(FAULT, severity=Severity.WARNING)

    def all_but_the_healthy(_record: StudyRecord, trial: int | None = None) -> list[Finding]:
        named = [0] if trial is None else [trial] if trial < 3 else []
        return [dataclasses.replace(mild, trial=number) for number in named]

    monkeypatch.setattr(choosing, "diagnose_record", all_but_the_healthy)
    prepared = prepare_fix("s")
    assert isinstance(prepared, PreparedFix)
    assert prepared.faulty.number == 2
    assert prepared.chosen == (
        "Trial 2 is the worst of 3 with a fault that a lever may mend (warning, it diverged); "
        "--trial N takes another one (1, 0)."
    )
    named = prepare_fix("s", trial=0)
    assert isinstance(named, PreparedFix)
    assert (named.faulty.number, named.chosen) == (0, "")


def test_seeds_are_fresh_and_at_least_three(faulty: RecordedStudy) -> None:
    """None that any trial of the study has had."""
    with pytest.raises(ConfigurationError, match="A proof needs at least 3 seeds, but got 2"):
        fixed(seeds=2)
    study_of({**HEALTHY, "seed": 1000}, {**HEALTHY, "seed": 1004}, name="r")
    assert new_seeds(open_study("r").record(telemetry=False), 3, split_seed=0) == (1005, 1006, 1007)
    assert new_seeds(faulty.record(telemetry=False), 2, split_seed=0) == (1000, 1001)


def test_a_single_training_is_fixed_on_its_own_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tuner train --study` keeps each training's own seed and epochs; those of the split are the trial's."""
    monkeypatch.setattr(choosing, "diagnose_record", diagnosed)
    tuner.train({**FAULTY, "seed": 5}, "digits", study="one")
    proof = tuner.fix("one", trial=0, seeds=3, workers=1, lanes=4)
    assert proof.finding is not None
    assert proof.seeds == (1005, 1006, 1007)
    plan = open_study("one-fix-0").plan
    assert plan is not None
    assert (plan.split["seed"], plan.epochs) == (5, 3)
    assert proof.config is None or proof.config["seed"] == 5
