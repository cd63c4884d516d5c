"""Worker processes that are started with a command, so that they load torch while it does."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.launchers.standby import Standby


def workers_standing_by(
    workers: int | None, *, device: str, n_trials: int | None
) -> "AbstractContextManager[Standby]":
    """As many as the search will want beside this process, as far as can be told before torch is loaded.

    Those too many are sent home, and those that lack are started later: `PreparedSearch.run`.
    """
    from tuner.launchers.cores import available_cores
    from tuner.launchers.standby import may_use_cuda, standing_by
    from tuner.searching.worker_count import choose_workers

    choice = choose_workers(
        device="cuda" if may_use_cuda(device) else "cpu",
        n_cores=available_cores(),
        n_trials=available_cores() if n_trials is None else n_trials,
        workers=workers,
    )
    return standing_by(max(choice.n_workers - 1, 0), n_threads=choice.n_threads)


def process_age_seconds() -> float:
    """Since this process began: all of it is a search's start-up."""
    from studies.machine import process_age_seconds as age

    return age()
