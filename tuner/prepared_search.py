"""A search that is checked and ready: it runs in this process or in workers, and says how it ended."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search_spaces.errors import ConfigurationError
from studies.recorded import RecordedStudy, open_study
from studies.records import StudyRecord, TrialCounts, TrialError, TrialRecord
from studies.storage import shown_url
from tuner.launchers.cores import available_cores
from tuner.launchers.local import LocalLauncher, WorkerExit
from tuner.searching.ask_tell import STORAGE_ERRORS, Ending, WorkerEnd, repeated_error
from tuner.searching.names import is_importable, task_name
from tuner.searching.objective import Objective
from tuner.worker import Interruption, WorkerSettings, listening_for_signals, run_worker

MAX_DEFAULT_WORKERS = 4
"""Each worker holds its own copy of the data; more are started only if someone asks for them."""
_PROGRESS_SECONDS = 0.3
_CLEAN_EXITS = {0, 3}
"""Of a worker: all is done, or time was up before any trial completed."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A study after a search, and how the search ended."""

    study: str
    storage: str
    ending: Ending
    seconds: float
    exits: tuple[WorkerExit, ...] = ()
    """Of the worker processes; empty when the search ran in this process."""
    error: TrialError | None = None
    """The exception that halted the search."""
    interrupted_by: int | None = None
    """The exit code that the signal stands for."""

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
        }


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a search is, for whoever shows it."""

    record: StudyRecord
    """Without telemetry."""
    n_trials: int
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
        self, *, workers: int | None, timeout: float | None, grace: float, on_progress: ProgressCallback
    ) -> Search:
        """Work until the budget is spent, time is up, or someone interrupts."""
        n_workers = self._n_workers(workers)
        settings = WorkerSettings(
            n_trials=self.n_trials,
            timeout_seconds=timeout,
            grace_seconds=grace,
            device=self.device,
            data_dir=self.data_dir,
        )
        n_before = len(self.recorded.study.get_trials(deepcopy=False))
        teller = _ProgressTeller(self.recorded, self.n_trials, on_progress)
        exits: list[WorkerExit] = []
        with listening_for_signals() as interruption:
            if n_workers == 1:
                end = self._run_here(settings, interruption, teller)
            else:
                launcher = LocalLauncher(self.recorded, settings, n_workers=n_workers)
                exits = launcher.run(interruption=interruption, on_poll=teller.tell)
                end = self._end_of(exits, interruption, n_before)
        teller.tell(now=True)
        return Search(
            study=self.recorded.name,
            storage=self.recorded.url,
            ending=end.ending,
            error=end.error,
            seconds=teller.seconds,
            exits=tuple(exits),
            interrupted_by=interruption.exit_code if interruption.is_requested() else None,
        )

    def _run_here(
        self, settings: WorkerSettings, interruption: Interruption, teller: "_ProgressTeller"
    ) -> WorkerEnd:
        return run_worker(
            self.recorded,
            settings,
            interruption=interruption,
            objective=self.objective,
            on_epoch=lambda _number, _readings: teller.tell(),
            on_trial=lambda _number: teller.tell(),
        )

    def _n_workers(self, workers: int | None) -> int:
        importable = all(is_importable(part) for part in (self.objective.task, self.objective.model or ""))
        if workers is None:
            return _default_workers(self.device) if importable else 1
        if workers > 1 and not importable:
            raise ConfigurationError(
                f"{task_name(self.objective.task)!r} is a function of a script, a notebook or another function, "
                f"which worker processes cannot import; move it to a module, or use workers=1."
            )
        return workers

    def _end_of(self, exits: list[WorkerExit], interruption: Interruption, n_before: int) -> WorkerEnd:
        """What the worker processes' exit codes add up to."""
        if interruption.is_requested():
            return WorkerEnd(ending=Ending.INTERRUPTED)
        counts = self.recorded.record(telemetry=False).counts
        if counts.counted >= self.n_trials:
            return WorkerEnd(ending=Ending.BUDGET_SPENT)
        failed = [end for end in exits if end.exit_code not in _CLEAN_EXITS]
        if not failed:
            return WorkerEnd(ending=Ending.OUT_OF_TIME)
        repeated = repeated_error(self.recorded.study, since=n_before)
        if repeated is not None:
            return WorkerEnd(ending=Ending.HALTED, error=repeated)
        error = TrialError(
            type=f"a worker ended with exit code {failed[0].exit_code}",
            message=f"{failed[0].last_words} (log: {failed[0].log})",
        )
        return WorkerEnd(ending=Ending.HALTED, error=error)


class _ProgressTeller:
    """Calls back at most every `_PROGRESS_SECONDS`: reading a study costs more than drawing a bar."""

    def __init__(self, recorded: RecordedStudy, n_trials: int, on_progress: ProgressCallback) -> None:
        # A plain reader: the writers' storage would queue for SQLite's write lock at every look.
        self._reader = open_study(recorded.name, recorded.url)
        self._n_trials = n_trials
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._told_at = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def tell(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = time.monotonic()
        try:
            record = self._reader.record(telemetry=False)
        except STORAGE_ERRORS as error:  # a bar that stands still for a moment harms nobody
            _log.info("Progress could not be read (%s).", error)
            return
        self._on_progress(Progress(record=record, n_trials=self._n_trials, seconds=self.seconds))


def _default_workers(device: str) -> int:
    from tuner.training.devices import resolve_device

    if resolve_device(device).type != "cpu":
        return 1
    return min(available_cores(), MAX_DEFAULT_WORKERS)
