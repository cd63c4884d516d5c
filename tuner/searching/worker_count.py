"""How many worker processes a search starts here, and the threads of each. Known before torch is loaded."""

from dataclasses import dataclass

MAX_DEFAULT_WORKERS = 16
"""More are started only if someone asks for them: further nobody has measured what SQLite's one write lock allows."""
WORKER_BYTES = 450 * 2**20
"""What a worker takes before it has data: torch, Optuna and SQLAlchemy loaded (370 MiB here), and room for lanes."""
COPIES_OF_DATA = 2.5
"""A worker holds the data set, its splits, and now and then a part of them as float."""
HEADROOM = 0.8
"""Share of the available memory that workers may take; others live there, too."""


@dataclass(frozen=True, kw_only=True)
class WorkerChoice:
    """How many processes, and threads in each."""

    n_workers: int
    n_threads: int
    reason: str


def choose_workers(
    *,
    device: str,
    n_cores: int,
    n_trials: int,
    data_bytes: int = 0,
    available_bytes: int | None = None,
    workers: int | None = None,
) -> WorkerChoice:
    """How many worker processes, and threads in each, on a machine of ``n_cores``.

    Args:
        device: its type, such as ``cpu`` or ``cuda``.
        n_cores: that this process may use.
        n_trials: no more workers than trials.
        data_bytes: of the data set, of which each worker has copies of its own.
        available_bytes: of memory; None asks nothing of it.
        workers: what a person asked for.
    """
    if workers is not None:
        return WorkerChoice(
            n_workers=workers,
            n_threads=max(1, n_cores // workers),
            reason=f"{counted(workers, 'worker')} as asked for.",
        )
    if device != "cpu":
        return WorkerChoice(
            n_workers=1, n_threads=n_cores, reason=f"One worker, since all share the {device} device."
        )
    limits = {
        f"one for each of {counted(n_cores, 'core')}": n_cores,
        f"one for each of {counted(n_trials, 'trial')}": n_trials,
        "no more than that unless asked for": MAX_DEFAULT_WORKERS,
    }
    if available_bytes is not None:
        of_each = WORKER_BYTES + COPIES_OF_DATA * data_bytes
        fitting = max(1, int(HEADROOM * available_bytes / of_each))
        limits[f"the memory has room for so many at {of_each / 2**20:,.0f} MiB each"] = fitting
    why, fewest = min(limits.items(), key=lambda limit: limit[1])
    n_workers = max(fewest, 1)  # a total of 0 trials is refused later, in words
    n_threads = max(1, n_cores // n_workers)
    return WorkerChoice(
        n_workers=n_workers,
        n_threads=n_threads,
        reason=f"{counted(n_workers, 'worker')} of {counted(n_threads, 'thread')}: {why}.",
    )


def counted(n: int, word: str) -> str:
    """``1 lane``, ``2 lanes``."""
    return f"{n} {word}{'' if n == 1 else 's'}"
