"""Workers as processes of this machine: each is a ``tuner worker`` of its own, never a thread or a fork."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studies.recorded import RecordedStudy
from tuner.launchers.standby import Standby
from tuner.worker import Interruption, WorkerSettings

_POLL_SECONDS = 0.05
"""How soon it is seen that the last worker has ended."""
_CLEAN_END_SECONDS = 30.0
"""How long workers get to hand their trials back after a signal. A step takes milliseconds; a database may be slow."""
_OWN_END_SECONDS = 0.0 if os.name == "posix" else _CLEAN_END_SECONDS
"""How long after Ctrl-C workers are left alone. Windows knows no gentle second call: there `terminate` kills. Elsewhere
they are told at once, since a signal may have reached the search alone, and they would take on what it hands back;
one that a terminal's Ctrl-C has reached ends as if it had been told once."""


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
    """Start worker processes beside this one, and see them through.

    Args:
        recorded: the study they work on.
        settings: of the search; ``settings.n_workers`` counts this process, too.
    """

    def __init__(self, recorded: RecordedStudy, settings: WorkerSettings) -> None:
        self._recorded = recorded
        self._settings = settings
        self._run = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs: list[Path] = []

    def start(self, n_workers: int, standby: Standby) -> None:
        """Give ``n_workers`` of the processes that stand by their orders. Whoever does must call `end`."""
        for _ in range(n_workers):
            log = self._recorded.paths.worker_log(self._run, len(self._logs))
            self._processes.append(self._start(log, standby))
            self._logs.append(log)

    def see_through(self, *, interruption: Interruption, on_poll: Callable[[], None]) -> list[WorkerExit]:
        """Wait for the workers' ends; on a signal, let them hand their trials back first."""
        while any(process.poll() is None for process in self._processes):
            if interruption.is_requested():
                break
            time.sleep(_POLL_SECONDS)
            on_poll()
        if interruption.signal_number == signal.SIGINT:
            _wait(self._processes, seconds=_OWN_END_SECONDS)
        self.end()
        return [
            WorkerExit(exit_code=process.returncode, log=log)
            for process, log in zip(self._processes, self._logs, strict=True)
        ]

    def end(self) -> None:
        """Ask what still runs to end; kill what does not within `_CLEAN_END_SECONDS`."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        try:
            _wait(self._processes, seconds=_CLEAN_END_SECONDS)
        finally:  # a second Ctrl-C waits no longer
            for process in self._processes:
                if process.poll() is None:
                    process.kill()
                process.wait()

    def _start(self, log: Path, standby: Standby) -> subprocess.Popen[bytes]:
        settings = self._settings
        arguments = ["worker", "--quiet", "--log-file", str(log.resolve())]
        arguments += ["--grace", str(settings.grace_seconds), "--device", settings.device]
        arguments += ["--workers", str(settings.n_workers)]
        if settings.lanes is not None:
            arguments += ["--lanes", str(settings.lanes)]
        if settings.n_trials is not None:
            arguments += ["--trials", str(settings.n_trials)]
        if settings.timeout_seconds is not None:
            arguments += ["--timeout", str(settings.timeout_seconds)]
        if settings.data_dir is not None:
            arguments += ["--data-dir", str(settings.data_dir)]
        arguments += ["--", self._recorded.name]  # which may begin with a dash
        # The URL may hold a password: it travels through the pipe, which other users cannot read.
        return standby.order(arguments, environment={"TUNER_STORAGE": self._recorded.url}, log=log)


def _wait(processes: Sequence[subprocess.Popen[bytes]], *, seconds: float) -> None:
    """Until all have ended, or for so long."""
    deadline = time.monotonic() + seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
