"""Workers as processes: their logs, their share of the cores, and how they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from studies.recorded import open_study
from tests.studies.plans import study
from tuner.launchers import local
from tuner.launchers.cores import available_cores
from tuner.launchers.local import WorkerExit
from tuner.launchers.standby import Standby, standing_by
from tuner.preparing import prepare_search
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
    """A second search empties no log of the first; what failed in a worker can be read in full.

    The search's own process is the first of its workers, and logs where its caller wants.
    """
    logs: list[Path] = []
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
        found = prepared.run(workers=2, timeout=None, grace=60.0, on_progress=lambda _progress: None)
        logs += [end.log for end in found.exits]
    assert len(set(logs)) == 2
    texts = [log.read_text(encoding="utf-8") for log in logs]
    assert all("Traceback" in text and "this model cannot be built" in text for text in texts)
    assert open_study("-s", sqlite_url).record().counts.failed >= 3


WELL_BEHAVED = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGINT, lambda *_: (time.sleep(0.8), sys.exit(130)))
Path(sys.argv[1]).touch()
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_after_ctrl_c_workers_end_by_themselves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """A terminal's Ctrl-C has reached them: nothing else is sent while they hand back. SIGTERM is passed on."""
    ends, running = run_interrupted(monkeypatch, tmp_path, number)
    assert [end.exit_code for end in ends] == [code, code]
    assert all(process.returncode is not None for process in running)


def test_workers_that_did_not_hear_ctrl_c_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As under `kill -INT` of the search alone."""
    monkeypatch.setattr(local, "_OWN_END_SECONDS", 0.3)
    ends, _ = run_interrupted(monkeypatch, tmp_path, signal.SIGINT, reaches_workers=False)
    assert [end.exit_code for end in ends] == [143, 143]


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
