"""A guide that is called again: finished, killed, interrupted, from a step on, or beside another."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest

from search_spaces import Space, catalog
from search_spaces.errors import ConfigurationError
from studies.recorded import open_study
from tests.tuner.workflow.guides import FEW, TASK, StoppedError, decisions, seeds_in, stopped, told, tuned
from tuner.guide.ledger import Ledger
from tuner.workflow import InterruptedGuideError, Tuning, plan_tune


def test_a_finished_guide_is_read_back_and_trains_nothing(whole: tuple[Tuning, str]) -> None:
    """The same call again says the same."""
    tuning, url = whole
    before = decisions(url)
    lines: list[str] = []
    assert told(tuned(url, budget=None, announce=lines.append)) == told(tuning)
    assert decisions(url) == before
    assert lines == []


def test_a_guide_killed_before_and_after_every_decision_ends_as_if_it_had_not_been(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run dies at its first new entry in the ledger: one just before it is written, the next just after."""
    space = Space(name="one", levers=(catalog.lever("learning_rate"),))
    slow = {"optimizer": "adam", "learning_rate": 1e-6, "width": 16, "depth": 1}
    asked = {"space": space, "present": slow, "budget": "25trials"}
    monkeypatch.setattr("tuner.guide.baseline.noise_floor_of", lambda _values, *, least: least)
    other_url = f"sqlite:///{tmp_path / 'other.db'}"
    uninterrupted = tuned(other_url, **asked)
    assert uninterrupted.best["learning_rate"] > 1e-3
    write, stops = Ledger._write_attribute, []

    def dying(ledger: Ledger, attribute: str, text: str) -> None:
        if attribute not in stops:
            stops.append(attribute)
            raise StoppedError
        write(ledger, attribute, text)
        raise StoppedError

    monkeypatch.setattr(Ledger, "_write_attribute", dying)
    n_runs, found = 0, None
    while found is None:
        n_runs += 1
        with contextlib.suppress(StoppedError):
            found = tuned(sqlite_url, **asked)
    assert {"guide:rate.around.ended", "guide:seeds.round", "guide:seeds.ended"} <= set(stops)
    assert n_runs == 2 * len(stops) + 1
    assert told(found) == told(uninterrupted)
    assert decisions(sqlite_url) == decisions(other_url)


def test_a_signal_in_the_middle_of_a_round_hands_back_and_goes_on(
    sqlite_url: str, short: tuple[Tuning, str]
) -> None:
    """The training that was under way is repeated, in the last step too, and the end is the same."""
    for study in ("g-2-rate", "g-6-seeds"):
        sent: list[int] = []

        def interrupt(progress: Any, study: str = study, sent: list[int] = sent) -> None:
            if progress.record.name == study and not sent:
                sent.append(progress.n_trials)
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(InterruptedGuideError) as ended:
            tuned(sqlite_url, space=FEW, on_progress=interrupt)
        assert ended.value.exit_code == 130
        assert open_study(study, sqlite_url).record(telemetry=False).counts.complete < sent[0]
    assert told(tuned(sqlite_url, space=FEW)) == told(short[0])


def test_from_a_step_on_everything_is_done_again_in_new_studies(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier steps are read back; nothing is deleted; without --from the new ones are gone on with.

    A --from that was killed just before or after its one write is not done, or done. The seeds are new ones.
    """
    asked = {"space": FEW, "budget": "30trials"}
    first = tuned(sqlite_url, **asked)
    before = decisions(sqlite_url)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_write_attribute", stopped)
        with pytest.raises(StoppedError):
            tuned(sqlite_url, start_from="regularization", **asked)
        assert decisions(sqlite_url) == before
        assert told(tuned(sqlite_url, **asked)) == told(first)
    same = {"space": FEW, "study": "g", "storage": sqlite_url, "epochs": 1, "workers": 1, "device": "cpu"}
    assert plan_tune(TASK, **same).n_trials == 0
    planned = plan_tune(TASK, start_from="regularization", **same)
    assert planned.budget == "30 trials"
    assert [each.step for each in planned.rounds if each.skipped == "already done"] == ["baseline", "rate"]
    assert planned.rounds[-1].n_trials >= 16
    assert decisions(sqlite_url) == before
    again = tuned(sqlite_url, start_from="regularization", **asked)
    assert not seeds_in(sqlite_url, "g-6-seeds") & seeds_in(sqlite_url, "g-6-seeds-b")
    weights = [
        step.studies[0] for run in (first, again) for step in run.steps if step.name == "regularization"
    ]
    assert not seeds_in(sqlite_url, weights[0]) & seeds_in(sqlite_url, weights[1])
    assert [step.studies for step in again.steps[:3]] == [step.studies for step in first.steps[:3]]
    old, new = ({study for step in run.steps[3:] for study in step.studies} for run in (first, again))
    assert not old & new
    assert "g-6-seeds-b" in new
    assert old | new <= set(optuna.get_all_study_names(sqlite_url))
    assert told(tuned(sqlite_url, **asked)) == told(again)


def test_two_guides_at_once_on_one_study_are_refused(sqlite_url: str) -> None:
    """In one sentence; when the first has ended, however it did, the second may go on."""
    refused: list[str] = []

    def another(_plan: Any) -> None:
        with pytest.raises(ConfigurationError, match="One guide at a time") as found:
            tuned(sqlite_url, space=FEW)
        refused.append(str(found.value))
        raise StoppedError

    for _ in range(2):
        with pytest.raises(StoppedError):
            tuned(sqlite_url, space=FEW, on_plan=another)
    assert len(refused) == 2
