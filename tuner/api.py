"""The public functions `tuner.search` and `tuner.resume`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search_spaces import Space
from studies.leases import GRACE_SECONDS
from studies.plan import GRID_RESOLUTION
from tuner.prepared_search import ProgressCallback, Search
from tuner.preparing import check_limits, prepare_resume, prepare_search
from tuner.searching.ask_tell import Ending
from tuner.searching.objective import Task


def search(  # noqa: PLR0913 - the signature is the map (DESIGN §5.1): one keyword per concern
    space: Space | str | Path,
    task: Task,
    *,
    study: str | None = None,
    storage: str | None = None,
    trials: int = 50,
    epochs: int = 10,
    sampler: str = "tpe",
    pruner: str = "median",
    resolution: int = GRID_RESOLUTION,
    seed: int = 0,
    workers: int | None = None,
    lanes: int | None = None,
    timeout: float | None = None,
    device: str = "auto",
    metric: str = "validation_accuracy",
    direction: str | None = None,
    fixed: Mapping[str, Any] | None = None,
    model: str | Callable[..., Any] | None = None,
    enqueue: Mapping[str, Any] | None = None,
    data_dir: str | Path | None = None,
    grace: float = GRACE_SECONDS,
    on_progress: ProgressCallback = lambda _progress: None,
) -> Search:
    """Search ``space`` on ``task``, or go on with the study if it exists.

    Args:
        space: a `Space`, a preset's name, or a YAML file.
        task: a name, ``npz:FILE``, ``module:function``, or a function that returns arrays.
        study: its name; default ``<task>-<space>``.
        storage: a database URL; default ``TUNER_STORAGE``, else ``sqlite:///runs/tuner.db``.
        trials: the study's total, over all workers, nodes and resumptions.
        epochs: of each training.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        sampler: tpe, random, grid, qmc, gp, cmaes or nsga2.
        pruner: median, percentile, hyperband, asha, patient or none.
        resolution: points per continuous lever of a grid.
        seed: of the sampler's stream and of every training.
        workers: processes that work, this one among them; None takes one a core, as far as memory allows, and 1 on an
            accelerator.
        lanes: trials that a worker trains together; None takes what a short probe of this machine finds fastest.
        timeout: seconds after which no training goes on; unfinished ones are queued again.
        metric: what is tuned; see `Objective`.
        direction: ``maximize`` or ``minimize``; None takes the metric's own.
        fixed: config keys that are not searched.
        model: ``mlp``, ``cnn``, ``module:function`` or a function; the same as fixing ``model``.
        enqueue: a config to train first.
        data_dir: where the data lies.
        grace: seconds of silence after which a worker counts as dead.
        on_progress: called now and then while it runs.

    Raises:
        ConfigurationError: for a wrong name or value, and for a study that was begun differently.
        DataError: for data that cannot be had or used.
        KeyboardInterrupt: after Ctrl-C, when everything was handed back; the study can be resumed.
        RuntimeError: when the same exception ended three trials in a row.
    """
    check_limits(workers=workers, lanes=lanes, timeout=timeout, grace=grace)
    prepared = prepare_search(
        space,
        task,
        study=study,
        storage=storage,
        trials=trials,
        epochs=epochs,
        sampler=sampler,
        pruner=pruner,
        resolution=resolution,
        seed=seed,
        device=device,
        metric=metric,
        direction=direction,
        fixed=fixed,
        model=model,
        enqueue=enqueue,
        data_dir=data_dir,
    )
    found = prepared.run(workers=workers, lanes=lanes, timeout=timeout, grace=grace, on_progress=on_progress)
    return _raise_unless_ended(found)


def resume(  # noqa: PLR0913
    study: str,
    *,
    storage: str | None = None,
    trials: int | None = None,
    workers: int | None = None,
    lanes: int | None = None,
    timeout: float | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    grace: float = GRACE_SECONDS,
    on_progress: ProgressCallback = lambda _progress: None,
) -> Search:
    """Go on with a study under its recorded plan, up to ``trials`` in total (default: the total asked for last).

    Raises:
        ConfigurationError: when there is no such study, or not enough is recorded of it to go on.
        DataError: when its data cannot be had.
    """
    check_limits(workers=workers, lanes=lanes, timeout=timeout, grace=grace)
    prepared = prepare_resume(study, storage=storage, trials=trials, device=device, data_dir=data_dir)
    found = prepared.run(workers=workers, lanes=lanes, timeout=timeout, grace=grace, on_progress=on_progress)
    return _raise_unless_ended(found)


def _raise_unless_ended(found: Search) -> Search:
    if found.ending is Ending.INTERRUPTED:
        raise KeyboardInterrupt
    if found.ending is Ending.HALTED and found.error is not None:
        raise RuntimeError(
            f"The search of {found.study!r} ended early: {found.error.type}: {found.error.message}"
        )
    return found
