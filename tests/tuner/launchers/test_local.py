"""Workers as processes: their logs, their share of the cores, and how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studies.recorded import open_study
from tests.studies.plans import study
from tuner.launchers import local
from tuner.launchers.cores import available_cores
from tuner.launchers.local import WorkerExit
from tuner.launchers.standby import Standby, standing_by
from tuner.prepared_search import Search
from tuner.preparing import prepare_search
from tuner.searching.ask_tell import Ending
from tuner.searching.parallelism import LaneChoice
from tuner.worker import Interruption, WorkerSettings


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which cores a process may use")
def test_the_cores_are_those_the_process_may_use() -> None:
    """One of them, on a node that has more: as under Slurm or taskset."""
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    script += "from tuner.launchers.cores import available_cores; print(available_cores())"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "1\n"
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_each_search_has_logs_of_its_own_with_tracebacks(sqlite_url: str) -> None:
    """A second search empties no log of the first; what failed in a worker can be read in full."""
    ends: list[WorkerExit] = []
    for trials in (20, 40):
        prepared = prepare_search(
            "quick",
            "digits",
            model="tests.tuner.user_code:always_raises",
            study="-s",  # a name that is no option either
            storage=sqlite_url,
            trials=trials,
            epochs=1,
        )
        launcher = local.LocalLauncher(prepared.recorded, WorkerSettings(n_trials=trials))
        with standing_by(1) as worker:
            launcher.start(1, worker)
        ends += launcher.see_through(interruption=Interruption(), on_poll=lambda: None)
    assert [end.exit_code for end in ends] == [1, 1]
    assert len({end.log for end in ends}) == 2
    texts = [end.log.read_text(encoding="utf-8") for end in ends]
    assert all("Traceback" in text and "this model cannot be built" in text for text in texts)
    assert open_study("-s", sqlite_url).record().counts.failed >= 3


WELL_BEHAVED = """
import signal, sys, time
from pathlib import Path
heard = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _frame: heard.append(number))
Path(sys.argv[1]).touch()
while not heard:
    time.sleep(0.01)
time.sleep(0.4)  # hands back
sys.exit(128 + heard[0])
"""


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_after_ctrl_c_workers_end_by_themselves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """A terminal's Ctrl-C has reached them before; SIGTERM is passed on. Each hands back in peace."""
    ends, running = run_interrupted(monkeypatch, tmp_path, number)
    assert [end.exit_code for end in ends] == [code, code]
    assert all(process.returncode is not None for process in running)


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_workers_that_did_not_hear_ctrl_c_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As under `kill -INT` of the search alone: left to themselves they would train what it hands back."""
    began = time.monotonic()
    ends, _ = run_interrupted(monkeypatch, tmp_path, signal.SIGINT, reaches_workers=False)
    assert [end.exit_code for end in ends] == [143, 143]
    assert time.monotonic() - began < 4


def test_the_first_signal_counts_and_a_second_ctrl_c_waits_no_longer() -> None:
    """A terminal's Ctrl-C reaches a worker, and then what the search sends it: that is no second wish."""
    interruption = Interruption()
    interruption.notice(signal.SIGINT, None)
    interruption.notice(signal.SIGTERM, None)
    assert interruption.exit_code == 130
    with pytest.raises(KeyboardInterrupt):
        interruption.notice(signal.SIGINT, None)


def test_a_search_that_is_halted_ends_its_other_workers(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would go on to fail; their end is no fault of theirs, and nothing of the study stays in hand."""
    monkeypatch.setenv("SECONDS_A_MODEL_TAKES_ELSEWHERE", "60")
    monkeypatch.setenv("WHERE_MODELS_CANNOT_BE_BUILT", str(os.getpid()))
    prepared = prepare_search(
        "quick", "digits", model="tests.tuner.user_code:raises_in_one_process",
        study="halted", storage=sqlite_url, trials=40, epochs=1,
    )  # fmt: skip
    found = prepared.run(workers=2, lanes=1, timeout=None, grace=60.0, on_progress=lambda _progress: None)
    assert found.ending is Ending.HALTED
    (other,) = found.exits
    assert other.exit_code in {143, -signal.SIGTERM}
    assert {trial.state for trial in found.record().trials} <= {"fail", "waiting"}


def test_a_search_with_nothing_left_to_do_probes_and_starts_nothing(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command again tells what there is; a larger total starts no more workers than trials."""
    asked = {"study": "done", "storage": sqlite_url, "epochs": 1, "fixed": {"width": 4}}

    def run(trials: int) -> Search:
        prepared = prepare_search("quick", "digits", trials=trials, **asked)  # type: ignore[arg-type]
        return prepared.run(workers=2, timeout=None, grace=60.0, on_progress=lambda _progress: None)

    def refused(*_: object, **__: object) -> LaneChoice:
        raise AssertionError("nothing is to be probed")

    assert run(1).exits == ()
    monkeypatch.setattr("tuner.worker.choose_lanes", refused)
    again = run(1)
    assert (again.exits, again.ending, again.overhead) == ((), Ending.BUDGET_SPENT, None)
    assert again.n_trials.counted == 1
    assert len(open_study("done", sqlite_url).overhead.read()) == 1


def run_interrupted(
    monkeypatch: pytest.MonkeyPatch, folder: Path, number: signal.Signals, *, reaches_workers: bool = True
) -> tuple[list[WorkerExit], list[subprocess.Popen[bytes]]]:
    """Two processes in the place of workers, and a signal when both run."""
    interruption = Interruption()
    running: list[subprocess.Popen[bytes]] = []

    def start(_launcher: local.LocalLauncher, _log: Path, _standby: Standby) -> subprocess.Popen[bytes]:
        ready = folder / f"ready-{len(running)}"
        running.append(subprocess.Popen([sys.executable, "-c", WELL_BEHAVED, str(ready)]))
        return running[-1]

    def interrupt() -> None:
        if all((folder / f"ready-{index}").exists() for index in range(2)):
            if number == signal.SIGINT and reaches_workers:
                for process in running:
                    process.send_signal(number)
            interruption.notice(number, None)

    monkeypatch.setattr(local.LocalLauncher, "_start", start)
    recorded = study(f"sqlite:///{folder / 'tuner.db'}")
    launcher = local.LocalLauncher(recorded, WorkerSettings(n_trials=None))
    with standing_by(0) as nobody:
        launcher.start(2, nobody)
    return launcher.see_through(interruption=interruption, on_poll=interrupt), running
