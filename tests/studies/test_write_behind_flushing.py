"""The storage that writes behind: what is still unwritten, in any order of calls, and where it cannot be had."""

import contextlib
import copy
import datetime as dt
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from studies import trial_tables, write_behind
from studies.leases import Leases
from studies.storage import open_storage
from studies.trial_tables import TrialTables, reason_against
from studies.write_behind import WriteBehindStorage
from tests.studies.plans import study
from tests.studies.write_behind_storages import OURS, X, elsewhere, facts


@pytest.fixture(params=OURS)
def ours(request: pytest.FixtureRequest) -> WriteBehindStorage:
    make, engine = OURS[request.param]
    return make(study(request.getfixturevalue(f"{engine}_url")))


class TestBehind:
    """What is only true of the storage that writes behind."""

    def test_nothing_is_written_before_the_flush_and_all_by_it(self, ours: WriteBehindStorage) -> None:
        """Another process sees the trials running from the ask on, and their news after the flush."""
        ids = ours.take(3)
        theirs = elsewhere(ours)
        for index, trial_id in enumerate(ids):
            ours.set_trial_param(trial_id, "x", index / 10, X)
            ours.set_trial_intermediate_value(trial_id, 1, float(index))
        assert [trial.params for trial in theirs.get_all_trials(1)] == [{}, {}, {}]
        assert ours.flush() == frozenset()
        assert [trial.params["x"] for trial in theirs.get_all_trials(1)] == [0.0, 0.1, 0.2]
        assert [trial.intermediate_values for trial in theirs.get_all_trials(1)] == [
            {1: 0.0},
            {1: 1.0},
            {1: 2.0},
        ]

    def test_enqueued_trials_are_taken_first_and_in_order(self, ours: WriteBehindStorage) -> None:
        """Five are wanted and two are queued: those two, then three new ones."""
        recorded_study = optuna.load_study(study_name="first", storage=elsewhere(ours))
        for x in (0.25, 0.75):
            recorded_study.enqueue_trial({"x": x})
        trials = [ours.get_trial(trial_id) for trial_id in ours.take(5)]
        assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
        fixed = [trial.system_attrs.get("fixed_params") for trial in trials]
        assert fixed == [{"x": 0.25}, {"x": 0.75}, None, None, None]
        assert {trial.state for trial in elsewhere(ours).get_all_trials(1)} == {TrialState.RUNNING}

    def test_a_trial_that_another_worker_ended_is_lost_alone(self, ours: WriteBehindStorage) -> None:
        """Its news is dropped, the others' is written, it is reported once, and what is set on it later raises."""
        first, second = ours.take(2)
        for trial_id in (first, second):
            ours.set_trial_intermediate_value(trial_id, 1, 0.5)
        theirs = elsewhere(ours)
        theirs.set_trial_state_values(first, TrialState.FAIL)
        assert ours.flush() == {first}
        assert ours.flush() == frozenset()
        assert theirs.get_trial(first).intermediate_values == {}
        assert theirs.get_trial(second).intermediate_values == {1: 0.5}
        assert not ours.is_ours(first)
        assert ours.get_trial(first).state is TrialState.FAIL
        assert [trial.state.name for trial in ours.get_all_trials(1)] == ["FAIL", "RUNNING"]
        with pytest.raises(UpdateFinishedTrialError):
            ours.set_trial_user_attr(first, "a", 1)

    def test_a_result_that_comes_too_late_raises(self, ours: WriteBehindStorage) -> None:
        """Told by itself, a trial that another worker has ended is an error, as with Optuna's own storage."""
        (trial_id,) = ours.take(1)
        elsewhere(ours).set_trial_state_values(trial_id, TrialState.FAIL)
        with pytest.raises(UpdateFinishedTrialError, match="Trial 0 was ended by another worker"):
            ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        assert ours.get_trial(trial_id).state is TrialState.FAIL

    def test_a_flush_whose_answer_was_lost_can_be_repeated(self, ours: WriteBehindStorage) -> None:
        """Nothing is doubled, and a result that was told by the first attempt is ours and not another's."""
        first, second = ours.take(2)
        for trial_id in (first, second):
            ours.set_trial_param(trial_id, "x", 0.5, X)
            ours.set_trial_intermediate_value(trial_id, 1, 0.5)
            ours.set_trial_user_attr(trial_id, "a", 1)
        with ours.holding_endings():
            ours.set_trial_state_values(first, TrialState.COMPLETE, [1.0])
        ours._store.write(copy.deepcopy(ours._ours), lambda _connection, _lost: None)
        assert ours.flush() == frozenset()
        told = elsewhere(ours).get_trial(first)
        assert (told.state, told.values, told.params) == (TrialState.COMPLETE, [1.0], {"x": 0.5})
        assert told.datetime_complete is not None
        assert abs(ours.get_trial(first).datetime_complete - told.datetime_complete) < dt.timedelta(seconds=5)

    def test_others_are_looked_for_again_after_a_while(
        self, ours: WriteBehindStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between flushes the picture of other workers' trials is at most `FRESH_SECONDS` old."""
        now = write_behind.time.monotonic()
        monkeypatch.setattr(
            write_behind.time, "monotonic", lambda: now
        )  # a slow disk is no while that passed
        ours.get_all_trials(1)
        elsewhere(ours).create_new_trial(1)
        assert ours.get_all_trials(1) == []
        now += write_behind.FRESH_SECONDS
        assert len(ours.get_all_trials(1)) == 1

    def test_it_stays_in_its_process(self, ours: WriteBehindStorage) -> None:
        """A copy elsewhere would write the same news twice."""
        with pytest.raises(TypeError, match="open the study by its URL"):
            pickle.dumps(ours)


class BehindOrNot(RuleBasedStateMachine):
    """Ours and Optuna's in-memory storage are told the same; another process ends some trials of ours."""

    trials = Bundle("trials")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.theirs = open_storage(f"sqlite:///{self.folder.name}/study.db")
        created = optuna.create_study(study_name="first", storage=self.theirs)
        tables = TrialTables(self.theirs, created._study_id, Leases(self.theirs, created))
        self.ours = WriteBehindStorage(self.theirs, created._study_id, tables)
        self.oracle = InMemoryStorage()
        self.oracle_id = self.oracle.create_new_study([StudyDirection.MINIMIZE], "first")

    def teardown(self) -> None:
        if hasattr(self, "theirs"):
            self.theirs.engine.dispose()
            self.folder.cleanup()

    @rule(target=trials, n=st.integers(1, 3))
    def take(self, n: int) -> Any:
        mirrors = [self.oracle.create_new_trial(self.oracle_id) for _ in range(n)]
        return multiple(*zip(self.ours.take(n), mirrors, strict=True))

    def both(self, pair: tuple[int, int], change: Callable[[BaseStorage, int], object]) -> None:
        mine, mirror = pair
        if self.oracle.get_trial(mirror).state.is_finished():
            return
        change(self.ours, mine)
        change(self.oracle, mirror)

    @rule(pair=trials, name=st.sampled_from("ab"), value=st.floats(0, 1))
    def suggest(self, pair: tuple[int, int], name: str, value: float) -> None:
        if name not in self.oracle.get_trial(pair[1]).params:
            self.both(pair, lambda one, trial_id: one.set_trial_param(trial_id, name, value, X))

    @rule(pair=trials, step=st.integers(0, 3), value=st.floats())
    def report(self, pair: tuple[int, int], step: int, value: float) -> None:
        self.both(pair, lambda one, trial_id: one.set_trial_intermediate_value(trial_id, step, value))

    @rule(pair=trials, key=st.sampled_from("ab"), value=st.integers() | st.text(max_size=3))
    def note(self, pair: tuple[int, int], key: str, value: object) -> None:
        self.both(pair, lambda one, trial_id: one.set_trial_user_attr(trial_id, key, value))
        self.both(pair, lambda one, trial_id: one.set_trial_system_attr(trial_id, key, value))

    @rule(pair=trials, is_held=st.booleans(), value=st.floats(allow_nan=False))
    def tell(self, pair: tuple[int, int], is_held: bool, value: float) -> None:
        with self.ours.holding_endings() if is_held else contextlib.nullcontext():
            self.both(pair, lambda one, key: one.set_trial_state_values(key, TrialState.COMPLETE, [value]))

    @rule(pair=trials)
    def take_away(self, pair: tuple[int, int]) -> None:
        """Another process ends a trial that was written up to here: its news since then are what may be lost."""
        mine, mirror = pair
        if self.ours.is_ours(mine) and not self.oracle.get_trial(mirror).state.is_finished():
            self.ours.flush()
            self.theirs.set_trial_state_values(mine, TrialState.FAIL)
            self.oracle.set_trial_state_values(mirror, TrialState.FAIL)
            self.ours.set_trial_user_attr(mine, "too late", 1)
            assert self.ours.flush() == {mine}

    @rule()
    def flush(self) -> None:
        assert self.ours.flush() == frozenset()
        written = [facts(trial) for trial in self.theirs.get_all_trials(self.ours._study_id)]
        assert [unordered(one) for one in written] == [unordered(one) for one in self.expected()]

    @invariant()
    def nobody_can_tell_them_apart(self) -> None:
        if hasattr(self, "ours"):
            seen = [facts(trial) for trial in self.ours.get_all_trials(self.ours._study_id)]
            assert [unordered(one) for one in seen] == [unordered(one) for one in self.expected()]

    def expected(self) -> list[dict[str, Any]]:
        return [facts(trial) for trial in self.oracle.get_all_trials(self.oracle_id)]


def unordered(trial: dict[str, Any]) -> dict[str, Any]:
    """Readings in the order of their steps: the order in which they came is nobody's business."""
    return trial | {"intermediate_values": sorted(trial["intermediate_values"].items())}


TestBehindOrNot = BehindOrNot.TestCase

TestBehindOrNot.settings = settings(
    deadline=None, max_examples=10, stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow]
)


class TestReasons:
    """Where the tables may be written directly."""

    def test_the_installed_optuna_is_known(self, storage_url: str) -> None:
        """On SQLite and PostgreSQL nothing speaks against it; an upgrade of Optuna's schema fails here first."""
        assert reason_against(open_storage(storage_url)) is None

    def test_an_unknown_schema_is_named(self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The log says which version was found and which is known."""
        monkeypatch.setattr(trial_tables, "KNOWN_SCHEMA", "v9")
        reason = reason_against(open_storage(sqlite_url))
        assert reason == "Optuna's tables have version v3.2.0.a, and v9 is the one that is known"

    def test_an_engine_without_the_words_is_named(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """MySQL, for one."""
        storage = open_storage(sqlite_url)
        monkeypatch.setattr(storage.engine.dialect, "name", "mysql")
        assert reason_against(storage) == "mysql has no INSERT that returns ids and replaces rows"
