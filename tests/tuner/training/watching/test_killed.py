"""A watched loop that was killed is told as lost, and no other tool sees its study changed by looking."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

import studies
from studies import tables, watches
from studies.machine import Process
from studies.recorded import open_study
from studies.records import Outcome
from studies.storage import open_storage
from studies.watches import Watches
from tests.tuner.training.watching.loops import Loop, watched

ROOT = Path(__file__).parents[4]
SCRIPT = """
import sys, time
import torch, tuner
from tests.tuner.training.watching.loops import digits, network

x, y = digits()
model = network()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with tuner.watch(model, optimizer, study="mine", storage=sys.argv[1]) as watch:
    while True:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        watch.step(loss, x, y)
        watch.epoch()
        print("epoch", flush=True)
        time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the database that a loop left which was killed after two epochs."""
    folder = tmp_path_factory.mktemp("killed")
    url = f"sqlite:///{folder / 'tuner.db'}"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, url], stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as loop:  # fmt: skip
        assert loop.stdout is not None
        assert [loop.stdout.readline() for _ in range(2)] == ["epoch\n"] * 2
        (running,) = open_study("mine", url).record().trials
        assert (running.state, running.outcome) == ("running", None)
        loop.kill()
        loop.wait()
    return folder


def _states(url: str) -> list[TrialState]:
    """As any other tool sees them."""
    study = optuna.load_study(study_name="mine", storage=url)
    return [trial.state for trial in study.get_trials(deepcopy=False)]


def _rows(url: str) -> list[str]:
    with open_storage(url).engine.connect() as connection:
        return list(connection.scalars(sa.select(tables.leases.c.status)))


def _copied(killed: Path, folder: Path) -> str:
    shutil.copytree(killed, folder, dirs_exist_ok=True)
    return f"sqlite:///{folder / 'tuner.db'}"


def test_a_killed_loops_trial_is_told_as_lost(killed: Path, tmp_path: Path) -> None:
    """By whatever reads the study next; with the epochs that it had."""
    url = _copied(killed, tmp_path)
    (trial,) = open_study("mine", url).record().trials
    assert (trial.state, trial.outcome) == ("fail", Outcome.LOST)
    assert trial.telemetry is not None
    assert len(trial.telemetry.epochs) >= 2
    assert studies.open_study("mine", url).record(telemetry=False).counts.lost == 1


def test_reading_writes_nothing(killed: Path, tmp_path: Path) -> None:
    """Optuna's own state is as the loop left it."""
    url = _copied(killed, tmp_path)
    open_study("mine", url).record()
    assert _states(url) == [TrialState.RUNNING]
    assert _rows(url) == [watches.WATCHED]


def test_the_next_watch_ends_the_lost_trial(killed: Path, tmp_path: Path) -> None:
    """As failed, for all tools; and its own is ended by itself, and held by nobody any more."""
    url = _copied(killed, tmp_path)
    watched(Loop(epochs=1), study="mine", storage=url)
    assert _states(url) == [TrialState.FAIL, TrialState.COMPLETE]
    assert _rows(url) == [watches.ENDED] * 2
    assert [trial.outcome for trial in open_study("mine", url).record().trials] == [
        Outcome.LOST,
        Outcome.COMPLETED,
    ]


def _held(url: str, me: Process) -> tuple[optuna.Study, int, watches.Hold]:
    study = optuna.create_study(storage=open_storage(url), study_name="mine")
    trial_id = study.ask()._trial_id
    return study, trial_id, Watches(open_storage(url), study._study_id, me=me).hold(trial_id)


def test_another_machines_loop_is_lost_after_a_day_of_silence(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can know from here: it is told, and never written. A beat says that it lives."""
    elsewhere = Process(machine="elsewhere", process_id=1, process_started=1.0)
    study, trial_id, hold = _held(sqlite_url, elsewhere)
    here = Watches(open_storage(sqlite_url), study._study_id)
    assert here.lost() == frozenset()
    _set_beat(sqlite_url, -watches.SILENT_SECONDS - 60.0)
    assert here.lost() == {trial_id}
    here.end_lost(study)
    assert study.trials[0].state is TrialState.RUNNING
    hold.beat()  # within a minute of the hold: nothing is written
    assert here.lost() == {trial_id}
    monkeypatch.setattr(watches, "BEAT_SECONDS", 0.0)
    hold.beat()
    assert here.lost() == frozenset()
    hold.release()
    _set_beat(sqlite_url, -watches.SILENT_SECONDS - 60.0)
    assert here.lost() == frozenset()


def _set_beat(url: str, seconds: float) -> None:
    with open_storage(url).engine.begin() as connection:
        connection.execute(sa.update(tables.leases).values(beat_at=tables.leases.c.beat_at + seconds))


def test_a_trial_that_was_told_by_hand_stays_told(sqlite_url: str) -> None:
    """Somebody failed it in Optuna: the row is closed, and no outcome is made up."""
    gone = Process(machine=Process.current().machine, process_id=2**22 + 1, process_started=1.0)
    study, trial_id, _ = _held(sqlite_url, gone)
    assert Watches(open_storage(sqlite_url), study._study_id).lost() == {trial_id}
    study.tell(0, state=TrialState.FAIL)
    Watches(open_storage(sqlite_url), study._study_id).end_lost(study)
    assert "outcome" not in study.trials[0].user_attrs
    assert _rows(sqlite_url) == [watches.ENDED]
