"""Workers as processes of this machine: each is a ``tuner worker`` of its own, never a thread or a fork."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studies.recorded import RecordedStudy
from tuner.launchers.cores import available_cores
from tuner.worker import Interruption, WorkerSettings

_POLL_SECONDS = 0.25
_CLEAN_END_SECONDS = 30.0
"""How long workers get to hand their trials back after a signal. A step takes milliseconds; a database may be slow."""
_OWN_END_SECONDS = 5.0 if os.name == "posix" else _CLEAN_END_SECONDS
"""How long after Ctrl-C workers are left alone: a terminal sends it to them too, and Windows knows no gentle second
call, for there `terminate` kills."""


@dataclass(frozen=True, kw_only=True)
class WorkerExit:
    """How a worker process ended."""

    exit_code: int
    log: Path
    """What the worker wrote to stdout and stderr."""

    @property
    def last_words(self) -> str:
        lines = (
            self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if self.log.exists()
            else []
        )
        return lines[-1] if lines else "it wrote nothing"


class LocalLauncher:
    """Start ``n_workers`` worker processes and see them through."""

    def __init__(self, recorded: RecordedStudy, settings: WorkerSettings, *, n_workers: int) -> None:
        self._recorded = recorded
        self._settings = settings
        self._n_workers = n_workers

    def run(self, *, interruption: Interruption, on_poll: Callable[[], None]) -> list[WorkerExit]:
        """Run the workers to their ends; on a signal, let them hand their trials back first."""
        run = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        logs = [self._recorded.paths.worker_log(run, index) for index in range(self._n_workers)]
        processes: list[subprocess.Popen[bytes]] = []
        try:
            processes.extend(self._start(log) for log in logs)
            while any(process.poll() is None for process in processes):
                time.sleep(_POLL_SECONDS)
                on_poll()
                if interruption.is_requested():
                    break
            if interruption.signal_number == signal.SIGINT:
                _wait(processes, seconds=_OWN_END_SECONDS)
        finally:
            _end(processes)
        return [
            WorkerExit(exit_code=process.returncode, log=log)
            for process, log in zip(processes, logs, strict=True)
        ]

    def _start(self, log: Path) -> subprocess.Popen[bytes]:
        settings = self._settings
        command = [sys.executable, "-m", "tuner", "worker", "--quiet", "--log-file", str(log)]
        command += ["--grace", str(settings.grace_seconds), "--device", settings.device]
        if settings.n_trials is not None:
            command += ["--trials", str(settings.n_trials)]
        if settings.timeout_seconds is not None:
            command += ["--timeout", str(settings.timeout_seconds)]
        if settings.data_dir is not None:
            command += ["--data-dir", str(settings.data_dir)]
        command += ["--", self._recorded.name]  # which may begin with a dash
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:  # what it logs and what it prints append to one file
            # The URL may hold a password: it travels in the environment, which other users cannot list.
            return subprocess.Popen(  # noqa: S603 - our own command, no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment()
            )

    def _environment(self) -> dict[str, str]:
        threads = max(1, available_cores() // self._n_workers)
        return os.environ | {
            "TUNER_STORAGE": self._recorded.url,
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
            "PYTHONIOENCODING": "utf-8",
            # A user's module:function is found where this process finds it.
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        }


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask what still runs to end; kill what does not within `_CLEAN_END_SECONDS`."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    try:
        _wait(processes, seconds=_CLEAN_END_SECONDS)
    finally:  # a second Ctrl-C waits no longer
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _wait(processes: Sequence[subprocess.Popen[bytes]], *, seconds: float) -> None:
    """Until all have ended, or for so long."""
    deadline = time.monotonic() + seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
