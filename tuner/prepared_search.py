"""A search that is checked and ready: its study created or joined, its objective built, its workers to be started."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search_spaces import Space
from search_spaces.errors import ConfigurationError
from studies.recorded import RecordedStudy, create_study, open_study
from studies.records import StudyPlan, StudyRecord, TrialCounts, TrialError, TrialRecord
from studies.storage import shown_url
from tuner.launchers.cores import available_cores
from tuner.launchers.local import LocalLauncher, WorkerExit
from tuner.searching.ask_tell import STORAGE_ERRORS, Ending, WorkerEnd, repeated_error
from tuner.searching.objective import Objective, Task
from tuner.searching.planning import is_importable, objective_of, plan_of, task_name
from tuner.searching.strategy import check_strategy, n_possible_trials
from tuner.training.config import TrainingConfig
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


def prepare_search(  # noqa: PLR0913 - as `search`
    space: Space | str | Path,
    task: Task,
    *,
    study: str | None = None,
    storage: str | None = None,
    trials: int = 50,
    sampler: str = "tpe",
    pruner: str = "median",
    device: str = "auto",
    enqueue: Mapping[str, Any] | None = None,
    data_dir: str | Path | None = None,
    **training: Any,
) -> PreparedSearch:
    """Check everything a user asked for, then create or join the study. Nothing is written before all is checked.

    Args are those of `search`; ``training`` are its epochs, seed, metric, direction, fixed, model, and announce,
    which takes what a person should know of the data.
    """
    objective, plan = _plan(
        space,
        task,
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        device=device,
        data_dir=data_dir,
        **training,
    )
    enqueued = None if enqueue is None else objective.space.params(_typed(enqueue))
    recorded = create_study(study or f"{_plain(plan.task)}-{objective.searched_space.name}", plan, storage)
    if enqueued is not None:
        _enqueue(recorded, enqueued, n_trials=trials)
    trials = n_possible_trials(trials, sampler=sampler, space=objective.space)
    recorded.want_trials(trials)
    return PreparedSearch(
        recorded=recorded, objective=objective, n_trials=trials, device=device, data_dir=_path(data_dir)
    )


def _enqueue(recorded: RecordedStudy, params: Mapping[str, Any], *, n_trials: int) -> None:
    """Queue a config, unless the study has had it.

    Raises:
        ConfigurationError: when the study is full: the config would wait for ever.
    """
    trials = recorded.study.get_trials(deepcopy=False)
    has_had_it = any(
        trial.system_attrs.get("fixed_params", trial.params) == params or trial.params == params
        for trial in trials
    )
    if has_had_it:
        return
    n_counted = recorded.record(telemetry=False).counts.counted
    if n_counted >= n_trials:
        raise ConfigurationError(
            f"A config can be enqueued only while trials are left to do, but {recorded.name!r} has all its "
            f"{n_trials}; raise --trials."
        )
    recorded.study.enqueue_trial(dict(params))


def plan_search(
    space: Space | str | Path, task: Task, *, enqueue: Mapping[str, Any] | None = None, **asked: Any
) -> StudyPlan:
    """The plan that `prepare_search` would create a study under; checks the same and writes nothing."""
    ignored = {"study", "storage"}
    objective, plan = _plan(space, task, **{key: value for key, value in asked.items() if key not in ignored})
    if enqueue is not None:
        objective.space.params(_typed(enqueue))
    return plan


def _plan(  # noqa: PLR0913 - as `search`
    space: Space | str | Path,
    task: Task,
    *,
    trials: int,
    sampler: str = "tpe",
    pruner: str = "median",
    device: str = "auto",
    data_dir: str | Path | None = None,
    epochs: int = 10,
    seed: int = 0,
    metric: str = "validation_accuracy",
    direction: str | None = None,
    fixed: Mapping[str, Any] | None = None,
    model: str | Callable[..., Any] | None = None,
    announce: Callable[[str], None] | None = None,
) -> tuple[Objective, StudyPlan]:
    check_strategy(sampler, pruner)
    check_limits(trials=trials, epochs=epochs, seed=seed)
    for key in ("epochs", "seed"):
        if key in (fixed or {}):
            raise ConfigurationError(
                f"{key} is said by --{key} and cannot be fixed too, but got --set {key}={(fixed or {})[key]}."
            )
    objective = Objective(
        space,
        task,
        epochs=epochs,
        metric=metric,
        direction=direction,
        fixed=dict(fixed or {}) | ({"model": model} if isinstance(model, str) else {}),
        model=None if isinstance(model, str) else model,
        seed=seed,
        device=device,
        data_dir=_path(data_dir),
        announce=announce,
    )
    if not objective.space.levers:
        raise ConfigurationError(
            "A search must have at least one lever that is not fixed, but got none; `tuner train` trains one config."
        )
    return objective, plan_of(objective, sampler=sampler, pruner=pruner)


def prepare_resume(
    study: str,
    *,
    storage: str | None = None,
    trials: int | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    announce: Callable[[str], None] | None = None,
) -> PreparedSearch:
    """Open a study and rebuild its objective from the plan."""
    recorded = open_study(study, storage, writable=True)
    if recorded.plan is None:
        raise ConfigurationError(
            f"Study {study!r} was not made by symptune, so its task and space are unknown; "
            f"go on with it in the code that made it."
        )
    total = trials if trials is not None else recorded.n_trials_wanted()
    if total is None:
        raise ConfigurationError(f"No total was recorded for {study!r}; say --trials N.")
    check_limits(trials=total)
    objective = objective_of(recorded.plan, device=device, data_dir=_path(data_dir), announce=announce)
    total = n_possible_trials(total, sampler=recorded.plan.sampler, space=objective.space)
    if trials is not None:
        recorded.want_trials(total)
    return PreparedSearch(
        recorded=recorded, objective=objective, n_trials=total, device=device, data_dir=_path(data_dir)
    )


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


def check_limits(**limits: float | None) -> None:
    """Raise a ConfigurationError for a limit that makes no sense; each is given as the command line calls it."""
    lowest = {"trials": 1, "epochs": 1, "workers": 1, "seed": 0}
    for name, value in limits.items():
        if value is None:
            continue
        if name in lowest and value < lowest[name]:
            raise ConfigurationError(f"{name} must be at least {lowest[name]}, but got {value}.")
        if name not in lowest and value <= 0:
            raise ConfigurationError(f"{name} must be more than 0 seconds, but got {value}.")


def _typed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that ``config`` names, read as the config reads them: "1e-4" in a file is a number."""
    whole = TrainingConfig.from_mapping(config)
    return {key: getattr(whole, key) for key in config}


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)


def _plain(name: str) -> str:
    """A task's name as part of a study's: ``npz:data/mine.npz`` is ``mine``, ``module:function`` is ``function``.

    Raises:
        ConfigurationError: for a function that has no name.
    """
    stem = Path(name.rsplit(":", maxsplit=1)[-1]).stem
    if "lambda>" in stem or stem.startswith("<"):
        raise ConfigurationError(
            f"A study must have a name, but {name} has none to give it; say --study NAME."
        )
    return stem
