"""A fault of the incumbent sends one remedy through a proof, where the budget allows it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from studies.diagnosis import Finding
from studies.recorded import open_study
from tests.tuner.guide.scripted import ScriptedSession, scripted
from tests.tuner.proving.made_findings import finding, fixing
from tests.tuner.user_code import blob_arrays
from tuner.guide import remedying
from tuner.guide.checklist import ItemState, Notes
from tuner.guide.remedying import advised_for, try_remedy
from tuner.guide.rounds import Candidate, Round
from tuner.listed import search_listed
from tuner.proving import judging


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the diagnosis says of a round; replicates show nothing."""
    found: list[Finding] = []
    monkeypatch.setattr(remedying, "diagnose_record", lambda _record: found)
    monkeypatch.setattr(judging, "diagnose_record", lambda _record, _trial, **_chosen: [])
    return found


def a_round(session: ScriptedSession, notes: Notes) -> Round:
    """A round in which the incumbent stays, in a study that exists."""
    round_ = session.round(notes, "rate.around", [Candidate(label="other", changes={"learning_rate": 2e-3})])
    assert round_ is not None
    search_listed(
        [{"learning_rate": 0.1, "width": 8}], blob_arrays, study=round_.study, storage=session.storage,
        epochs=1, workers=1,
    )  # fmt: skip
    return round_


def session_of(folder: Path, *, budget: str = "200trials", **changes: Any) -> ScriptedSession:
    """A guide on blobs, whose baseline has a rate at which nothing is learned."""
    session = scripted(folder, epochs=2, budget=budget, **changes)
    object.__setattr__(session.asked, "task", blob_arrays)
    session.incumbent = {**session.incumbent, "learning_rate": 1e-6, "width": 8, "batch_size": 16}
    return session


def test_a_proven_remedy_is_adopted_and_kept_with_the_round(tmp_path: Path, faults: list[Finding]) -> None:
    """It becomes a change of the guide, so the ladder has a rung for it; the same again trains nothing."""
    faults.append(finding(fixing("epochs", 50), fixing("learning_rate", 0.01)))
    session, notes = session_of(tmp_path), Notes(step="rate")
    round_ = a_round(session, notes)
    try_remedy(session, notes, "rate.around", round_)
    item = notes.items[-1]
    assert item.name == "adopt learning_rate=0.01"
    assert item.why.startswith("The incumbent shows divergence. It gains ")
    assert session.incumbent["learning_rate"] == 0.01
    assert session.changes[-1].keys == {"learning_rate": 0.01}
    proof = notes.proofs[0]
    assert len(proof.seeds) == 5
    assert (
        open_study(round_.study, session.storage).record(telemetry=False).proofs[0].study == proof.replicates
    )
    assert session.ledger.read("rate.around.remedy")["n_trials"] == 10

    session.incumbent = {**session.incumbent, "learning_rate": 1e-6}
    again = Notes(step="rate")
    try_remedy(session, again, "rate.around", round_)
    assert again.items == [item]
    assert open_study(proof.replicates, session.storage).record(telemetry=False).counts.counted == 10


def test_what_is_not_proven_is_said_and_changes_nothing(tmp_path: Path, faults: list[Finding]) -> None:
    """A remedy without effect is a warning on the checklist."""
    faults.append(finding(fixing("weight_decay", 1e-9)))
    session, notes = session_of(tmp_path), Notes(step="rate")
    try_remedy(session, notes, "rate.around", a_round(session, notes))
    assert notes.items[-1].state is ItemState.WARNING
    assert "that can be noise" in notes.items[-1].why
    assert session.changes == []


def test_without_room_it_is_skipped_with_the_reason(tmp_path: Path, faults: list[Finding]) -> None:
    """Three seeds of two configs are the least."""
    faults.append(finding(fixing("learning_rate", 0.01)))
    session, notes = session_of(tmp_path, budget="20trials"), Notes(step="rate")
    try_remedy(session, notes, "rate.around", a_round(session, notes))
    assert notes.items[-1].state is ItemState.SKIPPED
    assert "The budget has no room for 2 configs on 3 seeds" in notes.items[-1].why
    assert notes.proofs == []


def test_only_what_the_guide_may_change_is_tried(tmp_path: Path, faults: list[Finding]) -> None:
    """No other trial's fault, no fixed lever, not the length that all are compared at."""
    session, notes = session_of(tmp_path, fixed={"dropout": 0.0}), Notes(step="rate")
    round_ = a_round(session, notes)
    cases: Mapping[str, Finding] = {
        "other trial": finding(fixing("learning_rate", 0.01), trial=99),
        "fixed": finding(fixing("dropout", 0.5)),
        "length": finding(fixing("epochs", 50)),
    }
    for each in cases.values():
        faults[:] = [each]
        assert advised_for(session, round_) is None
    faults[:] = [finding(fixing("dropout", 0.5), fixing("learning_rate", 0.01))]
    advised = advised_for(session, round_)
    assert advised is not None
    assert advised.changes == {"learning_rate": 0.01}
