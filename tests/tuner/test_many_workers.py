"""Many workers on one study, some of them killed: the total is exact and nothing is lost or run twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from studies.recorded import RecordedStudy, open_study
from studies.records import Outcome, StudyRecord
from tuner import prepared_search, preparing

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")

START_SECONDS = 90
"""Four processes that import torch at once on two cores."""


def tuner_command(*arguments: str, url: str) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"TUNER_STORAGE": url, "OMP_NUM_THREADS": "1"}
    with Path("tuner.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tuner", *arguments], env=environment, stdout=log, stderr=log
        )


def wait_for(condition: Callable[[], bool], *, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, Path("tuner.log").read_text()[-3000:]
        time.sleep(0.02)


def running_on(recorded: RecordedStudy, pid: int) -> int | None:
    """The number of the trial that this process trains now, if its first epoch is recorded."""
    query = "select trial_id from tuner_leases where process_id = :pid and status = 'held'"
    import sqlalchemy as sa

    with recorded.storage.engine.connect() as connection:
        trial_id = connection.scalar(sa.text(query), {"pid": pid})
    if trial_id is None:
        return None
    trial = recorded.storage.get_trial(trial_id)
    return trial.number if trial.state.name == "RUNNING" and trial.intermediate_values else None


def check_exactly(record: StudyRecord, n_wanted: int) -> None:
    """The wanted number counted, no other state left over, each lost config finished under one new number."""
    assert record.counts.counted == n_wanted
    assert {trial.state for trial in record.trials} <= {"complete", "pruned", "fail"}
    assert [trial.number for trial in record.trials] == list(range(len(record.trials)))
    replaced = Counter(trial.replaces for trial in record.trials if trial.replaces is not None)
    lost = [trial for trial in record.trials if trial.outcome in {Outcome.LOST, Outcome.INTERRUPTED}]
    assert replaced == Counter(trial.number for trial in lost)
    by_number = {trial.number: trial for trial in record.trials}
    for trial in record.trials:
        if trial.replaces is not None and by_number[trial.replaces].params:
            before = by_number[trial.replaces].params
            assert {name: trial.params[name] for name in before} == before


def prepared(url: str, n_trials: int, **more: Any) -> prepared_search.PreparedSearch:
    return preparing.prepare_search(
        "quick",
        "digits",
        study="shared",
        storage=url,
        trials=n_trials,
        epochs=60,  # a cohort of some seconds: shorter ones are done between two looks at the study
        fixed={"batch_size": 32},
        **more,
    )


def test_four_workers_one_killed_in_mid_trial(storage_url: str) -> None:
    """40 counted trials, none RUNNING, the killed one's are lost and their configs finished by others."""
    recorded = prepared(storage_url, 40).recorded
    workers = [
        tuner_command("worker", "shared", "--quiet", "--grace", "6", url=storage_url) for _ in range(4)
    ]
    victim = workers[0]
    killed: list[int] = []

    def caught_in_mid_trial() -> bool:
        if running_on(recorded, victim.pid) is None:
            return False
        victim.send_signal(signal.SIGSTOP)  # else its trial may end before the next signal arrives
        number = running_on(recorded, victim.pid)
        if number is None:
            victim.send_signal(signal.SIGCONT)
            return False
        killed.append(number)
        return True

    wait_for(caught_in_mid_trial)
    victim.send_signal(signal.SIGKILL)
    for worker in workers:
        worker.wait(timeout=240)
    assert [worker.returncode for worker in workers] == [-signal.SIGKILL, 0, 0, 0], Path(
        "tuner.log"
    ).read_text()
    record = open_study("shared", storage_url).record()
    check_exactly(record, 40)
    lost = {trial.number for trial in record.trials if trial.outcome is Outcome.LOST}
    assert set(killed) <= lost
    heirs = [trial for trial in record.trials if trial.replaces in lost]
    assert len(heirs) == len(lost)
    assert {heir.state for heir in heirs} <= {"complete", "pruned"}


def test_killing_everything_and_running_the_same_command_again(sqlite_url: str) -> None:
    """`tuner search` and its workers are SIGKILLed in mid-run; the same command ends with the exact total."""
    command = ("search", "--task", "digits", "--space", "quick", "--study", "shared", "--trials", "16")
    # Trials of a second or two: shorter ones are all done between two looks at the study.
    command += ("--epochs", "40", "--pruner", "none", "--workers", "2", "--lanes", "2")
    command += ("--set", "batch_size=32")
    parent = tuner_command(*command, url=sqlite_url)

    def has_begun() -> bool:
        if not Path(sqlite_url.removeprefix("sqlite:///")).exists():
            return False
        try:
            record = open_study("shared", sqlite_url).record(telemetry=False)
        except ValueError:  # the database or the study is still being made
            return False
        return record.counts.counted >= 3 and any(trial.state == "running" for trial in record.trials)

    wait_for(has_begun)
    family = [*psutil.Process(parent.pid).children(recursive=True), psutil.Process(parent.pid)]
    assert len(family) >= 2  # the parent is a worker, too
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=20)
    parent.wait()
    assert any(trial.state == "running" for trial in open_study("shared", sqlite_url).record().trials)
    again = tuner_command(*command, url=sqlite_url)
    assert again.wait(timeout=240) == 0, Path("tuner.log").read_text()[-3000:]
    record = open_study("shared", sqlite_url).record()
    check_exactly(record, 16)
    assert record.counts.lost >= 1


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(sqlite_url: str) -> None:
    """Exit code 130, no RUNNING trial, and the command to resume with."""
    arguments = ("search", "--task", "digits", "--study", "shared", "--trials", "60", "--epochs", "60")
    # Trials of seconds: cohorts of shorter ones are done between two looks at the study.
    arguments += ("--pruner", "none", "--set", "batch_size=32", "--lanes", "2")
    parent = tuner_command(*arguments, "--workers", "2", url=sqlite_url)

    def is_training() -> bool:
        try:
            trials = open_study("shared", sqlite_url).record(telemetry=False).trials
        except ValueError:
            return False
        return any(trial.state == "running" and trial.intermediate_values for trial in trials)

    wait_for(is_training)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=60) == 130
    said = Path("tuner.log").read_text()
    assert "tuner resume shared" in said
    assert "Traceback" not in said
    record = open_study("shared", sqlite_url).record()
    assert {trial.state for trial in record.trials} <= {"complete", "pruned", "fail", "waiting"}
    assert any(trial.state == "waiting" for trial in record.trials)
    n_handed_back = record.n_handed_back
    assert n_handed_back == record.counts.lost > 0
    assert f"{n_handed_back} handed back" in said
    assert f"{n_handed_back} lost" not in said
