"""Ride out a database server's restart: storage calls are repeated until it answers, and what was done is not redone.

Only for servers. SQLite's "database is locked" has its busy time-out, and a full local disk does not mend itself.
"""

import functools
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

RIDE_OUT_SECONDS = 45.0
"""How long a call waits for a server that went away: less than `leases.GRACE_SECONDS`, so that a worker that gets
through still holds its trial."""
CONNECT_SECONDS = 10
"""How long one attempt to connect may take. libpq's own limit is the system's, two minutes on Linux."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


def storage_failure(error: BaseException) -> str | None:
    """The database's own reason in one line when a storage failed; None for an error of another kind."""
    if not isinstance(error, (sa.exc.SQLAlchemyError, StorageInternalError)):
        return None
    cause = _database_error(error) or error
    text = str(getattr(cause, "orig", None) or cause).strip() or type(cause).__name__
    return text.splitlines()[0]


def is_transient(error: BaseException) -> bool:
    """Whether the server or the way to it is at fault, not the statement."""
    cause = _database_error(error)
    return cause is not None and (
        isinstance(cause, (sa.exc.OperationalError, sa.exc.InterfaceError)) or cause.connection_invalidated
    )


def _database_error(error: BaseException | None) -> sa.exc.DBAPIError | None:
    # Optuna hides it behind a StorageInternalError, and behind SQLAlchemy's complaint that a broken session is used on.
    while error is not None and not isinstance(error, sa.exc.DBAPIError):
        error = error.__cause__ or error.__context__
    return error


class _Outage:
    """What one process knows of one server's outage; its threads share it, so that each outage is told once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: float | None = None

    def notice(self, error: BaseException) -> None:
        with self._lock:
            if self._began is not None:
                return
            self._began = time.monotonic()
        _log.warning(
            "The study's database does not answer (%s); trying again for up to %.0f s.",
            storage_failure(error),
            RIDE_OUT_SECONDS,
        )

    def end(self) -> None:
        if self._began is None:  # nearly always, and then without the lock
            return
        with self._lock:
            began, self._began = self._began, None
        if began is not None:
            _log.warning("The study's database answers again, after %.1f s.", time.monotonic() - began)


class ServerStorage(RDBStorage):
    """Optuna's storage on a database server whose restart harms nobody: see `_RETRIED` for the calls."""

    def __init__(self, url: str, **options: Any) -> None:
        engine_kwargs: dict[str, Any] = {"pool_pre_ping": True}
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "postgresql" and "connect_timeout" not in parsed.query:
            engine_kwargs["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
        # Not retried: a server that is away at the start is more likely a mistyped URL than an outage.
        self._outage = _Outage()
        super().__init__(url, engine_kwargs=engine_kwargs, **options)

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        del state["_outage"]  # locks are not pickled, and another process sees its own outages
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        self._outage = _Outage()
        super().__setstate__(state)

    def ride_out(self, call: Callable[[], T]) -> T:
        """The result of ``call``, which is repeated while the server is away.

        Args:
            call: safe to repeat: its commit may have been made although the answer was lost.

        Raises:
            sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError: the last error, when the server is
                still away after `RIDE_OUT_SECONDS`, or is not at fault.
        """
        deadline = time.monotonic() + RIDE_OUT_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                result = call()
            except (sa.exc.SQLAlchemyError, StorageInternalError) as error:
                if not is_transient(error) or time.monotonic() > deadline:
                    raise
                self._outage.notice(error)
            else:
                self._outage.end()
                return result
            # Outside the handler: the next error must not carry this one as its context.
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, or all workers come at once
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's, except that a result whose commit was made but whose answer was lost counts as told.

        Taking a queued trial (``state`` RUNNING) stays as Optuna has it: whether the one that took it was us or
        another worker cannot be told, and to leave a trial to the reclaimers is better than to train it twice.
        """
        n_attempts = itertools.count(1)

        def tell() -> bool:
            is_repeated = next(n_attempts) > 1
            try:
                return super(ServerStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if is_repeated and self._is_told(trial_id, state, values):
                    return True
                raise

        return self.ride_out(tell)

    def _is_told(self, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
        trial = self.get_trial(trial_id)
        return trial.state is state and (values is None or trial.values == list(values))


_RETRIED = (
    "create_new_study",
    "delete_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "_create_new_trial",
    "_set_trial_param",
    "get_trial_param",
    "get_trial_id_from_study_id_trial_number",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "get_trial_user_attrs",
    "get_trial_system_attrs",
    "_get_trials",
    "_get_best_trial_id",
    "record_heartbeat",
    "_get_stale_trial_ids",
)
"""The calls of Optuna 5's storage that make a transaction, as Optuna's cache or its other calls make them."""


def _retried(name: str) -> Callable[..., Any]:
    original = getattr(RDBStorage, name)

    @functools.wraps(original)
    def call(self: ServerStorage, *arguments: Any, **keywords: Any) -> Any:
        return self.ride_out(lambda: original(self, *arguments, **keywords))

    return call


for _name in _RETRIED:
    setattr(ServerStorage, _name, _retried(_name))


def ride_out(storage: RDBStorage, call: Callable[[], T]) -> T:
    """The result of ``call``, repeated while ``storage``'s server is away; called once where there is no server.

    Args:
        storage: what ``call`` talks to.
        call: safe to repeat.
    """
    return storage.ride_out(call) if isinstance(storage, ServerStorage) else call()


def in_transaction(storage: RDBStorage, body: Callable[[sa.Connection], T]) -> T:
    """The result of ``body`` inside one transaction; both again from the start while the server is away.

    Args:
        storage: where the tables are.
        body: safe to repeat after its own commit, whose answer may be lost: make ids outside, and insert only what
            is not there yet.
    """

    def transaction() -> T:
        with storage.engine.begin() as connection:
            return body(connection)

    return ride_out(storage, transaction)
