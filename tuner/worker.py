"""One process that works on a study: open it, rebuild its objective, run the ask/tell loop, end cleanly on a signal."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from studies.leases import GRACE_SECONDS, Leases
from studies.readings import EpochReadings
from studies.recorded import RecordedStudy
from tuner.searching.ask_tell import AskTellLoop, Ending, Limits, WorkerEnd
from tuner.searching.objective import Objective
from tuner.searching.parallelism import choose_lanes
from tuner.searching.planning import objective_of
from tuner.training.stopwatch import Stopwatch

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """How a worker works, as far as it is no part of the study's plan."""

    n_trials: int | None
    timeout_seconds: float | None = None
    grace_seconds: float = GRACE_SECONDS
    device: str = "auto"
    data_dir: Path | None = None
    lanes: int | None = None
    """Trials trained together; None lets a probe of the machine decide."""
    n_workers: int = 1
    """That work on the study at once, as far as is known: each takes its fair share of what is left."""


class Interruption:
    """Whether a signal has asked this process to end, and which."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells count: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.signal_number or 0)

    def is_requested(self) -> bool:
        return self.signal_number is not None

    def notice(self, number: int, _frame: FrameType | None) -> None:
        """Remember the first signal; a second Ctrl-C no longer waits for a clean end."""
        if self.signal_number is None:
            self.signal_number = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt


@contextlib.contextmanager
def listening_for_signals() -> Iterator[Interruption]:
    """Turn Ctrl-C and SIGTERM into an `Interruption` while the body runs. Outside the main thread: never one."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    former = [signal.signal(number, interruption.notice) for number in numbers]
    try:
        yield interruption
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)


def run_worker(
    recorded: RecordedStudy,
    settings: WorkerSettings,
    *,
    interruption: Interruption,
    objective: Objective | None = None,
    on_epoch: Callable[[int, EpochReadings], None] = lambda _number, _readings: None,
    on_trial: Callable[[int], None] = lambda _number: None,
    stopwatch: Stopwatch | None = None,
) -> WorkerEnd:
    """Work on a study until nothing is left to do.

    Args:
        recorded: the study, opened for writing.
        settings: limits and the machine's part.
        interruption: asked every few optimizer steps.
        objective: where the caller has it already; else it is rebuilt from the plan.
        on_epoch: called after each epoch with the trial's number.
        on_trial: called after each trial.
        stopwatch: counts the seconds by activity, for the overhead meter of whoever calls.
    """
    if recorded.plan is None:
        raise ValueError("Only a study with a plan can be worked on.")
    started = time.monotonic()
    objective = objective or objective_of(recorded.plan, device=settings.device, data_dir=settings.data_dir)
    limits = Limits(
        n_trials=settings.n_trials,
        deadline=None if settings.timeout_seconds is None else started + settings.timeout_seconds,
        n_workers=settings.n_workers,
        is_interrupted=interruption.is_requested,
    )
    stopwatch = stopwatch or Stopwatch()
    n_left = None if settings.n_trials is None else n_trials_left(recorded, settings.n_trials)
    if n_left == 0:
        return WorkerEnd(ending=Ending.BUDGET_SPENT)
    with stopwatch.on("startup"):
        choice = choose_lanes(
            objective,
            n_trials=n_left,
            n_workers=settings.n_workers,
            lanes=settings.lanes,
            sampler=recorded.plan.sampler,
            pruner=recorded.plan.pruner,
        )
    _log.info("%s", choice.reason)
    loop = AskTellLoop(
        recorded,
        objective,
        limits,
        grace_seconds=settings.grace_seconds,
        lanes=choice,
        stopwatch=stopwatch,
        on_epoch=on_epoch,
        on_trial=on_trial,
    )
    return loop.run()


def n_trials_left(recorded: RecordedStudy, n_trials: int) -> int:
    """Of a total of ``n_trials``, whoever holds them now."""
    return max(n_trials - Leases(recorded.storage, recorded.study).n_counted(), 0)
