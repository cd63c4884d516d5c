"""Keeps what a worker's stopwatch counts with the study: every few seconds, and at the end."""

import logging
import os
import time
from collections.abc import Callable

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from studies.machine import machine_name
from studies.overhead import OverheadTable, Session
from tuner.training.stopwatch import Stopwatch

KEPT_EVERY_SECONDS = 10.0
"""A worker that is killed has left what it counted until then; a note costs some milliseconds."""

_log = logging.getLogger(__name__)


class OverheadMeter:
    """One worker's wall time beside what its stopwatch counts of it.

    Args:
        table: of the study.
        stopwatch: that the worker's parts count on; it belongs to the thread that calls `keep`.
        before_seconds: of this worker's life that have passed already: its imports, the preparation of its search.
    """

    def __init__(
        self,
        table: OverheadTable,
        stopwatch: Stopwatch,
        *,
        before_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._table = table
        self._stopwatch = stopwatch
        self._clock = clock
        self._began = clock() - before_seconds
        self._kept_at = clock()
        self.session = Session.of(f"{machine_name().split('/')[0]}:{os.getpid()}")
        stopwatch.add("startup", before_seconds)

    def keep_now_and_then(self) -> None:
        """`keep`, if the last time is `KEPT_EVERY_SECONDS` ago."""
        if self._clock() - self._kept_at >= KEPT_EVERY_SECONDS:
            self.keep()

    def keep(self) -> None:
        """Note the seconds so far. A database that is away now is told of them the next time."""
        self._kept_at = self._clock()
        with self._stopwatch.on("storage"):
            try:
                self._table.keep(
                    self.session, wall_seconds=self._clock() - self._began, seconds=self._stopwatch.seconds
                )
            except (StorageInternalError, SQLAlchemyError) as error:  # a lost note harms no trial
                _log.info("The overhead could not be noted (%s).", error)
