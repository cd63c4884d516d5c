"""Workers that wait for their orders: what they become, and that none is left behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tuner.launchers import standby
from tuner.launchers.standby import Standby, may_use_cuda, standing_by
from tuner.version import __version__


def test_a_worker_that_stands_by_becomes_the_command_it_is_told(tmp_path: Path) -> None:
    """What it writes goes to its log; the environment that came through the pipe rules."""
    log = tmp_path / "logs" / "worker.log"
    with standing_by(1) as waiting:
        process = waiting.order(["list"], environment={"TUNER_STORAGE": "sqlite:///not-there.db"}, log=log)
        assert len(waiting) == 0
    assert process.wait(timeout=60) == 2
    assert "not-there.db" in log.read_text(encoding="utf-8")


def test_who_is_not_needed_is_sent_home() -> None:
    """Also when the search was refused by an exception, and while libraries are still being loaded."""
    pids: list[int] = []

    def refused_search() -> None:
        with standing_by(2) as waiting:
            pids.extend(process.pid for process in waiting._waiting)
            raise ZeroDivisionError("refused")

    with pytest.raises(ZeroDivisionError, match="refused"):
        refused_search()
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_workers_whose_search_was_killed_go_home_by_themselves() -> None:
    """The system closes the pipe."""
    script = """
import time
from tuner.launchers.standby import Standby
print(Standby(1, n_threads=1)._waiting[0].pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as search:
        assert search.stdout is not None
        worker = psutil.Process(int(search.stdout.readline()))
        search.kill()
    deadline = time.monotonic() + 60
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_one_that_has_died_is_found_by_its_exit_code(tmp_path: Path) -> None:
    """Orders to a closed pipe end no search."""
    waiting = Standby(1, n_threads=1)
    waiting._waiting[0].kill()
    waiting._waiting[0].wait()
    process = waiting.order(["list"], environment={}, log=tmp_path / "log")
    assert process.wait(timeout=10) != 0


def test_starting_workers_loads_neither_torch_nor_optuna() -> None:
    """They are started before anything else, so that they load them meanwhile."""
    script = "import sys, tuner.launchers.standby, tuner.searching.worker_count\n"
    script += "print([name for name in ('torch', 'optuna', 'sqlalchemy') if name in sys.modules], tuner.__version__)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == f"[] {__version__}\n"


def test_cuda_is_expected_where_the_system_shows_a_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without torch: a wrong guess costs some processes that are sent home, and no result."""
    monkeypatch.setattr(standby, "_CUDA_SIGNS", (str(tmp_path / "driver"),))
    assert not may_use_cuda("auto")
    (tmp_path / "driver").touch()
    assert may_use_cuda("auto")
    assert may_use_cuda("cuda:1")
    assert not may_use_cuda("cpu")
