"""A database server that goes away for a moment ends no worker, and nothing is told twice or lost."""

import inspect
import logging
import pickle
import re
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, _cached_storage
from optuna.trial import TrialState

from studies import outages
from studies.leases import GRACE_SECONDS
from studies.outages import ServerStorage, in_transaction, is_transient, ride_out, storage_failure
from studies.storage import open_storage
from tests.servers import postgresql_binaries, running_postgresql

NOTES = sa.Table("notes", sa.MetaData(), sa.Column("name", sa.String(32), primary_key=True))


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(outages, "time", fake)
    return fake


@pytest.fixture
def server_storage(sqlite_url: str) -> Iterator[ServerStorage]:
    """The class for servers on a file: what it does about errors does not depend on the engine."""
    storage = ServerStorage(sqlite_url)
    yield storage
    storage.engine.dispose()


@pytest.fixture
def own_server() -> Iterator[str]:
    """The URL of a database on a server that this test alone may restart."""
    with running_postgresql() as url:
        yield f"{url}/postgres"


def gone() -> sa.exc.OperationalError:
    return sa.exc.OperationalError(
        "select 1", {}, ConnectionError("server closed the connection\nunexpectedly")
    )


def failing(times: int, then: Any, error: Callable[[], Exception] = gone) -> Callable[[], Any]:
    """A call that fails so many times before it returns ``then``."""
    left = [times]

    def call() -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise error()
        return then

    return call


def restart(url: str) -> None:
    """Kill every connection as a crash does, and come back."""
    binaries = postgresql_binaries()
    assert binaries is not None
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        data = Path(connection.scalar(sa.text("show data_directory")) or "")
    subprocess.run(
        [binaries / "pg_ctl", "-D", data, "-w", "-l", data.parent / "log", "-m", "immediate", "restart"],
        check=True, cwd=data.parent, user=data.stat().st_uid, stdout=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip


class Worker(threading.Thread):
    """Ask, suggest, report, note and tell until stopped; what it did, and what killed it."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.stopped = url, threading.Event()
        self.told: dict[int, float] = {}
        self.notes: list[str] = []
        self.death: BaseException | None = None

    def run(self) -> None:
        try:
            storage = open_storage(self.url)
            study = optuna.load_study(
                study_name="outage", storage=storage, sampler=optuna.samplers.RandomSampler()
            )
            while not self.stopped.is_set():
                trial = study.ask()
                x = trial.suggest_float("x", 0, 1)
                trial.report(x / 2, 1)
                trial.set_user_attr("half", x / 2)
                name = uuid.uuid4().hex
                in_transaction(storage, lambda connection, name=name: note(connection, name))
                self.notes.append(name)
                study.tell(trial, x)
                self.told[trial.number] = x
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.death = error


def note(connection: sa.Connection, name: str) -> None:
    if connection.scalar(sa.select(NOTES.c.name).where(NOTES.c.name == name)) is None:
        connection.execute(sa.insert(NOTES).values(name=name))


def test_workers_outlive_a_server_that_is_restarted_under_them(
    own_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Three crashes of a real PostgreSQL in mid-run: nobody dies, and every result and row is there once."""
    storage = open_storage(own_server)
    study = optuna.create_study(study_name="outage", storage=storage)
    NOTES.create(storage.engine)
    workers = [Worker(own_server) for _ in range(2)]
    with caplog.at_level(logging.WARNING, logger="studies.outages"):
        for worker in workers:
            worker.start()
        for crash in range(3):
            wait_until_told(workers, n_more=5)
            restart(own_server)
            assert any(worker.is_alive() for worker in workers), crash
        wait_until_told(workers, n_more=5)
        for worker in workers:
            worker.stopped.set()
            worker.join(60)
    assert [worker.death for worker in workers] == [None, None]
    trials = {trial.number: trial for trial in study.trials}
    told = workers[0].told | workers[1].told
    assert len(told) == len(workers[0].told) + len(workers[1].told)
    assert all(trials[number].state is TrialState.COMPLETE for number in told)
    assert {number: trials[number].value for number in told} == told
    with storage.engine.connect() as connection:
        kept = sorted(connection.scalars(sa.select(NOTES.c.name)))
    assert kept == sorted(workers[0].notes + workers[1].notes)
    away = [record.message for record in caplog.records if "does not answer" in record.message]
    back = [record.message for record in caplog.records if "answers again" in record.message]
    assert len(away) == len(back) >= 3
    assert len(away) <= 6  # one for each crash and storage


def wait_until_told(workers: list[Worker], *, n_more: int) -> None:
    """Every worker told so many more results, or is dead."""
    wanted = [len(worker.told) + n_more for worker in workers]
    pause = threading.Event()
    for _ in range(1200):
        if all(len(w.told) >= n or w.death for w, n in zip(workers, wanted, strict=True)):
            return
        pause.wait(0.05)
    pytest.fail("The workers stand still.")


def test_every_call_that_optuna_makes_rides_an_outage_out() -> None:
    """Those that its cache makes, and those of the storage's interface; a new one of a later Optuna shows here."""
    source = inspect.getsource(_cached_storage)
    asked = set(re.findall(r"self\._backend\.(\w+)\(", source)) | BaseStorage.__abstractmethods__
    built_of_others = {
        "create_new_trial": "_create_new_trial",
        "set_trial_param": "_set_trial_param",
        "get_all_trials": "_get_trials",
    }
    not_asked_of_the_server = {
        "get_heartbeat_interval",
        "get_heartbeat_stale_trial_callback",
        "remove_session",
    }
    for name, inner in built_of_others.items():
        assert f"self.{inner}(" in inspect.getsource(getattr(RDBStorage, name))
    rest = asked - built_of_others.keys() - not_asked_of_the_server
    assert {name for name in rest if getattr(ServerStorage, name) is getattr(RDBStorage, name)} == set()


def test_an_outage_is_told_once_and_its_end_too(
    server_storage: ServerStorage, fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """Not once for each attempt or thread."""
    assert server_storage.ride_out(failing(5, "done")) == "done"
    messages = [record.message for record in caplog.records]
    assert len(messages) == 2
    assert "does not answer (server closed the connection); trying again for up to 45 s" in messages[0]
    assert messages[1] == f"The study's database answers again, after {fake_time.now:.1f} s."


def test_a_server_that_stays_away_is_given_up_within_the_grace_time(
    server_storage: ServerStorage, fake_time: FakeTime
) -> None:
    """Later, another worker would have the trial."""
    with pytest.raises(sa.exc.OperationalError, match="server closed"):
        server_storage.ride_out(failing(10**6, "never"))
    assert outages.RIDE_OUT_SECONDS < fake_time.now < GRACE_SECONDS


def test_only_the_servers_faults_are_ridden_out(server_storage: ServerStorage, fake_time: FakeTime) -> None:
    """A wrong statement stays wrong."""
    for error in (
        sa.exc.ProgrammingError("selct", {}, Exception("syntax")),
        StorageInternalError("too long"),
    ):
        with pytest.raises(type(error)):
            server_storage.ride_out(failing(1, "never", lambda error=error: error))
    assert fake_time.now == 0.0


def test_a_fault_is_seen_behind_optunas_and_sqlalchemys_own() -> None:
    """Optuna goes on with a broken session: what it then raises hides the server's error in its context."""
    try:
        try:
            raise gone()
        except sa.exc.OperationalError:
            raise sa.exc.PendingRollbackError("the session is broken")  # noqa: B904 - as SQLAlchemy does
    except sa.exc.PendingRollbackError as pending:
        hidden = StorageInternalError("during the commit")
        hidden.__cause__ = pending
    assert is_transient(hidden)
    assert storage_failure(hidden) == "server closed the connection"
    assert storage_failure(ValueError("mine")) is None
    invalidated = sa.exc.DBAPIError("x", {}, Exception(), connection_invalidated=True)
    assert is_transient(invalidated)
    assert not is_transient(sa.exc.DBAPIError("x", {}, Exception()))


def test_sqlite_is_not_retried(sqlite_url: str) -> None:
    """It has waited for its busy time-out already, and a full disk does not mend itself."""
    storage = open_storage(sqlite_url)
    with pytest.raises(sa.exc.OperationalError, match="server closed"):
        ride_out(storage, failing(1, "never"))
    with pytest.raises(sa.exc.OperationalError, match="no such table"):
        in_transaction(storage, lambda connection: connection.exec_driver_sql("select * from absent"))


def test_a_transaction_is_repeated_as_a_whole(server_storage: ServerStorage, fake_time: FakeTime) -> None:
    """What its first attempt wrote is rolled back."""
    NOTES.create(server_storage.engine)
    names = iter(["first", "second"])
    fails = failing(1, None)

    def body(connection: sa.Connection) -> str:
        name = next(names)
        connection.execute(sa.insert(NOTES).values(name=name))
        fails()
        return name

    assert in_transaction(server_storage, body) == "second"
    with server_storage.engine.connect() as connection:
        assert list(connection.scalars(sa.select(NOTES.c.name))) == ["second"]
    assert fake_time.now > 0


@pytest.mark.usefixtures("fake_time")
@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.FAIL])
def test_a_result_whose_answer_was_lost_counts_as_told(
    server_storage: ServerStorage, monkeypatch: pytest.MonkeyPatch, state: TrialState
) -> None:
    """The commit was made; the second attempt finds our own result, and not somebody else's end of the trial."""
    study_id = server_storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "lost")
    ours, theirs = (server_storage.create_new_trial(study_id) for _ in range(2))
    values = [0.25] if state is TrialState.COMPLETE else None
    tell = RDBStorage.set_trial_state_values

    def losing_the_answer(self: RDBStorage, trial_id: int, *arguments: Any) -> bool:
        tell(self, trial_id, *(arguments if trial_id == ours else (TrialState.PRUNED,)))
        raise gone()

    monkeypatch.setattr(RDBStorage, "set_trial_state_values", losing_the_answer)
    assert server_storage.set_trial_state_values(ours, state, values)
    assert (server_storage.get_trial(ours).state, server_storage.get_trial(ours).values) == (state, values)
    with pytest.raises(UpdateFinishedTrialError):
        server_storage.set_trial_state_values(theirs, state, values)
    monkeypatch.undo()
    with pytest.raises(UpdateFinishedTrialError):  # told twice by ourselves is our mistake, as ever
        server_storage.set_trial_state_values(ours, state, values)


def test_a_server_storage_travels_to_another_process(postgresql_url: str) -> None:
    """Optuna pickles storages for worker processes."""
    storage = open_storage(postgresql_url)
    again = pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own bytes
    assert isinstance(again, ServerStorage)
    assert in_transaction(again, lambda connection: connection.scalar(sa.text("select 1"))) == 1
    again.engine.dispose()


def test_readers_of_a_server_ride_an_outage_out_too(postgresql_url: str) -> None:
    """The parent's progress line only reads, and must not die either."""
    open_storage(postgresql_url)
    assert isinstance(open_storage(postgresql_url, writable=False), ServerStorage)
