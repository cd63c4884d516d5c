"""A search that is checked and ready: it runs in this process or in workers, and says how it ended."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search_spaces.errors import ConfigurationError
from studies.leases import Leases
from studies.overhead import total
from studies.recorded import RecordedStudy, open_study
from studies.records import StudyRecord, TrialCounts, TrialError, TrialRecord, WorkerSeconds
from studies.storage import shown_url
from tuner.launchers.cores import available_cores
from tuner.launchers.local import LocalLauncher, WorkerExit
from tuner.launchers.standby import Standby, standing_by
from tuner.searching.ask_tell import Ending, WorkerEnd
from tuner.searching.desk import STORAGE_ERRORS
from tuner.searching.metering import OverheadMeter
from tuner.searching.names import is_importable, task_name
from tuner.searching.objective import Objective
from tuner.searching.parallelism import data_bytes, threads_of
from tuner.searching.worker_count import WorkerChoice, choose_workers, counted
from tuner.training.batching.memory import memory_meter
from tuner.training.devices import resolve_device
from tuner.training.stopwatch import Stopwatch
from tuner.worker import Interruption, WorkerSettings, listening_for_signals, run_worker

_PROGRESS_SECONDS = 0.5
_CLEAN_EXITS = {0, 3}
"""Of a worker: all is done, or time was up before any trial completed."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Over what a search was spread on this machine."""

    workers: int
    lanes: int
    """Of this process' cohorts. The other workers probe for themselves, and may have found another number."""

    @property
    def sentence(self) -> str:
        """``2 workers x 8 lanes``."""
        return f"{counted(self.workers, 'worker')} x {counted(self.lanes, 'lane')}"


@dataclass(frozen=True, kw_only=True)
class Search:
    """A study after a search, and how the search ended."""

    study: str
    storage: str
    ending: Ending
    seconds: float
    exits: tuple[WorkerExit, ...] = ()
    """Of the worker processes beside this one."""
    error: TrialError | None = None
    """The exception that halted the search."""
    interrupted_by: int | None = None
    """The exit code that the signal stands for."""
    overhead: WorkerSeconds | None = None
    """Where the time of this search's workers went, this process among them."""
    spread: Spread | None = None
    """None where nothing was left to do."""

    def record(self, *, steps: bool = False) -> StudyRecord:
        """Everything the study remembers."""
        return open_study(self.study, self.storage).record(steps=steps)

    @property
    def n_trials(self) -> TrialCounts:
        return self._outline.counts

    @property
    def best(self) -> TrialRecord | None:
        """The best complete trial; None when none completed."""
        return self._outline.best

    @cached_property
    def _outline(self) -> StudyRecord:
        return open_study(self.study, self.storage).record(telemetry=False)

    def to_json(self) -> dict[str, Any]:
        """As `tuner search --json` prints it (DESIGN §3)."""
        best = self.best
        return {
            "study": self.study,
            "storage": shown_url(self.storage),
            "n_trials": self.n_trials,
            "best": None
            if best is None
            else {"number": best.number, "value": best.value, "config": best.config},
            "seconds": self.seconds,
            "overhead": None
            if self.overhead is None
            else {
                "wall_seconds": self.overhead.wall_seconds,
                "seconds": self.overhead.seconds,
                "shares": self.overhead.shares(),
            },
            "spread": None if self.spread is None else asdict(self.spread),
        }


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a search is, for whoever shows it."""

    record: StudyRecord
    """Without telemetry."""
    n_trials: int
    n_before: int
    """Of the counted trials, those that were there when the search began."""
    seconds: float


_log = logging.getLogger(__name__)

ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class PreparedSearch:
    """A study that is created and checked, and the objective to run on it."""

    recorded: RecordedStudy
    objective: Objective
    n_trials: int
    device: str
    data_dir: Path | None

    def run(
        self,
        *,
        workers: int | None,
        timeout: float | None,
        grace: float,
        on_progress: ProgressCallback,
        lanes: int | None = None,
        workers_in_all: int | None = None,
        standby: Standby | None = None,
        before_seconds: float = 0.0,
    ) -> Search:
        """Work until the budget is spent, time is up, or someone interrupts.

        This process is one of the workers: a process that only waits would take memory and a core's time for nothing.

        Args:
            workers: processes that work, this one among them; None lets the machine decide.
            timeout: seconds after which no training goes on.
            grace: seconds of silence after which a worker counts as dead.
            on_progress: called now and then.
            lanes: of each worker's cohorts; None lets a probe decide.
            workers_in_all: of the search, where others were started elsewhere; None takes ``workers``.
            standby: worker processes that were started before, if there are any.
            before_seconds: of this process that count as its start-up.
        """
        n_before = Leases(self.recorded.storage, self.recorded.study).n_counted()
        n_left = max(self.n_trials - n_before, 0)
        choice = self._workers(workers, n_left=n_left)
        n_workers = workers_in_all or choice.n_workers
        settings = self._settings(timeout=timeout, grace=grace, lanes=lanes, n_workers=n_workers)
        known = self.recorded.overhead.read().keys()
        stopwatch = Stopwatch()
        meter = OverheadMeter(self.recorded.overhead, stopwatch, before_seconds=before_seconds)
        teller = _ProgressTeller(self.recorded, self.n_trials, n_before, on_progress, stopwatch)
        with (
            listening_for_signals() as interruption,
            threads_of(choice),
            self._beside(choice, settings, standby) as launcher,
        ):
            end = self._run_here(settings, interruption, teller, meter, stopwatch)
            with stopwatch.on("idle"):
                if end.ending is Ending.HALTED:
                    launcher.end()  # the same exception awaits the others
                exits = launcher.see_through(interruption=interruption, on_poll=teller.tell)
        if not interruption.is_requested() and end.ending is not Ending.HALTED:
            _warn_of_unclean(exits)
        if n_left > 0:
            meter.keep()
        teller.tell(now=True)
        spent = self.recorded.overhead.read().items()
        return Search(
            study=self.recorded.name,
            storage=self.recorded.url,
            ending=Ending.INTERRUPTED if interruption.is_requested() else end.ending,
            error=end.error,
            seconds=teller.seconds,
            exits=tuple(exits),
            interrupted_by=interruption.exit_code if interruption.is_requested() else None,
            overhead=total(each for session, each in spent if session not in known),
            spread=None if end.n_lanes is None else Spread(workers=choice.n_workers, lanes=end.n_lanes),
        )

    def _settings(
        self, *, timeout: float | None, grace: float, lanes: int | None, n_workers: int
    ) -> WorkerSettings:
        return WorkerSettings(
            n_trials=self.n_trials,
            timeout_seconds=timeout,
            grace_seconds=grace,
            device=self.device,
            data_dir=self.data_dir,
            lanes=lanes,
            n_workers=n_workers,
        )

    @contextlib.contextmanager
    def _beside(
        self, choice: WorkerChoice, settings: WorkerSettings, standby: Standby | None
    ) -> Iterator[LocalLauncher]:
        """The other workers, which work while the body runs; if it ends early, they are ended, too."""
        n_others = choice.n_workers - 1
        n_ready = 0 if standby is None else len(standby)
        with standing_by(max(n_others - n_ready, 0), n_threads=choice.n_threads) as late:
            launcher = LocalLauncher(self.recorded, settings)
            try:
                if standby is not None:
                    launcher.start(min(n_others, n_ready), standby)
                    standby.dismiss()
                launcher.start(len(late), late)
                yield launcher
            finally:
                launcher.end()

    def _run_here(
        self,
        settings: WorkerSettings,
        interruption: Interruption,
        teller: "_ProgressTeller",
        meter: OverheadMeter,
        stopwatch: Stopwatch,
    ) -> WorkerEnd:
        def tell(_: object) -> None:
            teller.tell()
            meter.keep_now_and_then()

        return run_worker(
            self.recorded,
            settings,
            interruption=interruption,
            objective=self.objective,
            on_epoch=lambda _number, readings: tell(readings),
            on_trial=tell,
            stopwatch=stopwatch,
        )

    def _workers(self, workers: int | None, *, n_left: int) -> WorkerChoice:
        """How many processes and threads; only this one where others could not import what is searched."""
        importable = all(is_importable(part) for part in (self.objective.task, self.objective.model or ""))
        if workers is not None and workers > 1 and not importable:
            raise ConfigurationError(
                f"{task_name(self.objective.task)!r} is a function of a script, a notebook or another function, "
                f"which worker processes cannot import; move it to a module, or use workers=1."
            )
        device = resolve_device(self.device)
        return choose_workers(
            device=device.type,
            n_cores=available_cores(),
            n_trials=n_left,
            data_bytes=data_bytes(self.objective),
            available_bytes=memory_meter(device).available_bytes(),
            workers=(None if workers is None else max(1, min(workers, n_left))) if importable else 1,
        )


def _warn_of_unclean(exits: Sequence[WorkerExit]) -> None:
    for worker in exits:
        if worker.exit_code not in _CLEAN_EXITS:
            _log.warning(
                "A worker ended with exit code %d: %s (log: %s)",
                worker.exit_code,
                worker.last_words,
                worker.log,
            )


class _ProgressTeller:
    """Calls back at most every `_PROGRESS_SECONDS`: reading a study costs more than drawing a bar."""

    def __init__(
        self,
        recorded: RecordedStudy,
        n_trials: int,
        n_before: int,
        on_progress: ProgressCallback,
        stopwatch: Stopwatch,
    ) -> None:
        # A plain reader: the writers' storage would queue for SQLite's write lock at every look.
        self._reader = open_study(recorded.name, recorded.url)
        self._n_trials = n_trials
        self._n_before = n_before
        self._on_progress = on_progress
        self._stopwatch = stopwatch
        self._started = time.monotonic()
        self._told_at = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def tell(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = time.monotonic()
        with self._stopwatch.on("storage"):
            try:
                record = self._reader.record(telemetry=False)
            except STORAGE_ERRORS as error:  # a bar that stands still for a moment harms nobody
                _log.info("Progress could not be read (%s).", error)
                return
            self._on_progress(
                Progress(
                    record=record, n_trials=self._n_trials, n_before=self._n_before, seconds=self.seconds
                )
            )
