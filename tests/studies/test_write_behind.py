"""The storage that writes behind: one contract for Optuna's own storage and for ours, and what ours adds to it."""

import contextlib
import copy
import datetime as dt
import math
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies import trial_tables, write_behind
from studies.leases import Leases
from studies.recorded import RecordedStudy
from studies.storage import open_storage
from studies.trial_calls import TrialCalls
from studies.trial_tables import TrialTables, reason_against
from studies.write_behind import WriteBehindStorage
from tests.studies.plans import study

X = FloatDistribution(0.0, 1.0)


def by_tables(recorded: RecordedStudy) -> WriteBehindStorage:
    leases = Leases(recorded.storage, recorded.study)
    store = TrialTables(recorded.storage, recorded.study_id, leases)
    return WriteBehindStorage(recorded.storage, recorded.study_id, store)


def by_calls(recorded: RecordedStudy) -> WriteBehindStorage:
    leases = Leases(recorded.storage, recorded.study)
    store = TrialCalls(recorded.storage, recorded.study, leases)
    return WriteBehindStorage(recorded.storage, recorded.study_id, store)


def plain(recorded: RecordedStudy) -> RDBStorage:
    return recorded.storage


def flushed(storage: BaseStorage) -> frozenset[int]:
    return storage.flush() if isinstance(storage, WriteBehindStorage) else frozenset()


def facts(trial: FrozenTrial) -> dict[str, Any]:
    """What a trial says, without its times; NaN as text, which equals itself."""
    return {
        "number": trial.number,
        "state": trial.state,
        "values": trial.values,
        "params": trial.params,
        "order": list(trial.params),
        "distributions": trial.distributions,
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
        "intermediate_values": {step: repr(value) for step, value in trial.intermediate_values.items()},
    }


OURS = {"tables": (by_tables, "sqlite"), "calls": (by_calls, "sqlite"), "server": (by_tables, "postgresql")}


@pytest.fixture(params=["optuna", *OURS])
def storage(request: pytest.FixtureRequest) -> BaseStorage:
    """Every storage that keeps the contract: Optuna's own is the oracle."""
    make, engine = OURS.get(request.param, (plain, "sqlite"))
    return make(study(request.getfixturevalue(f"{engine}_url")))


@pytest.fixture
def study_id(storage: BaseStorage) -> int:
    return int(storage.get_study_id_from_name("first"))


class TestEveryStorage:
    """What Optuna's storage promises, and ours keeps."""

    def test_all_that_is_set_on_a_trial_is_read_back(self, storage: BaseStorage, study_id: int) -> None:
        """Before a flush by this process, after it by another: parameters in order, attributes, any reading, values."""
        trial_id = storage.create_new_trial(study_id)
        choice = CategoricalDistribution(["a", None, 3, 0.5, True])
        storage.set_trial_param(trial_id, "z", 0.25, X)
        storage.set_trial_param(trial_id, "b", 4, IntDistribution(1, 9))
        storage.set_trial_param(trial_id, "a", 1, choice)
        storage.set_trial_user_attr(trial_id, "tuple", (1, {"two": None}))
        storage.set_trial_user_attr(trial_id, "tuple", (1, {"two": 2}))
        storage.set_trial_system_attr(trial_id, "long", "x" * 3000)
        for step, value in enumerate((0.5, math.nan, math.inf, -math.inf)):
            storage.set_trial_intermediate_value(trial_id, step, value)
        storage.set_trial_intermediate_value(trial_id, 0, 0.75)
        here = facts(storage.get_trial(trial_id))
        flushed(storage)
        assert storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [math.inf])
        assert here == {
            "number": 0,
            "state": TrialState.RUNNING,
            "values": None,
            "params": {"z": 0.25, "b": 4, "a": None},
            "order": ["z", "b", "a"],
            "distributions": {"z": X, "b": IntDistribution(1, 9), "a": choice},
            "user_attrs": {"tuple": [1, {"two": 2}]},
            "system_attrs": {"long": "x" * 3000},
            "intermediate_values": {0: "0.75", 1: "nan", 2: "inf", 3: "-inf"},
        }
        ended = here | {"state": TrialState.COMPLETE, "values": [math.inf]}
        assert facts(storage.get_trial(trial_id)) == ended
        assert [facts(trial) for trial in storage.get_all_trials(study_id)] == [ended]
        assert [facts(trial) for trial in elsewhere(storage).get_all_trials(study_id)] == [ended]

    def test_numbers_are_dense_and_states_filter(self, storage: BaseStorage, study_id: int) -> None:
        """Trials are numbered from 0 without gaps, and read in that order, all or by state."""
        ids = [storage.create_new_trial(study_id) for _ in range(3)]
        storage.set_trial_state_values(ids[1], TrialState.FAIL)
        assert [trial.number for trial in storage.get_all_trials(study_id)] == [0, 1, 2]
        running = storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        assert [trial.number for trial in running] == [0, 2]
        assert storage.get_n_trials(study_id, TrialState.FAIL) == 1

    def test_another_process_s_trials_are_seen(self, storage: BaseStorage, study_id: int) -> None:
        """Whatever another process did before our last ask, flush or tell is in the picture."""
        storage.get_all_trials(study_id)
        theirs = elsewhere(storage)
        trial_id = theirs.create_new_trial(study_id)
        theirs.set_trial_param(trial_id, "x", 0.5, X)
        flushed(storage)
        assert [trial.params for trial in storage.get_all_trials(study_id)] == [{"x": 0.5}]
        theirs.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        mine = storage.create_new_trial(study_id)
        assert storage.get_trial(mine).number == 1
        assert [trial.state.name for trial in storage.get_all_trials(study_id)] == ["COMPLETE", "RUNNING"]
        assert storage.get_best_trial(study_id).number == 0

    def test_an_enqueued_trial_is_popped_once(self, storage: BaseStorage, study_id: int) -> None:
        """The first that takes it runs it; for the next it is taken."""
        template = optuna.create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": {"x": 0.5}})
        trial_id = storage.create_new_trial(study_id, template)
        assert storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        assert not elsewhere(storage).set_trial_state_values(trial_id, TrialState.RUNNING)
        assert not storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        assert storage.get_trial(trial_id).system_attrs == {"fixed_params": {"x": 0.5}}
        assert storage.get_trial(trial_id).datetime_start is not None

    def test_a_parameter_keeps_its_kind(self, storage: BaseStorage, study_id: int) -> None:
        """A name that another trial took from another kind of distribution is refused, also after years."""
        first = storage.create_new_trial(study_id)
        storage.set_trial_param(first, "x", 0.5, X)
        with pytest.raises(ValueError, match="different distribution kind"):
            storage.set_trial_param(storage.create_new_trial(study_id), "x", 1, IntDistribution(0, 1))
        storage.set_trial_state_values(first, TrialState.COMPLETE, [1.0])
        theirs = elsewhere(storage)
        with pytest.raises(ValueError, match="different distribution kind"):
            theirs.set_trial_param(theirs.create_new_trial(study_id), "x", 1, IntDistribution(0, 1))

    def test_what_has_no_json_form_is_refused_where_it_is_set(
        self, storage: BaseStorage, study_id: int
    ) -> None:
        """And not when it is written, where nobody knows whose it was."""
        trial_id = storage.create_new_trial(study_id)
        with pytest.raises(TypeError, match="not JSON serializable"):
            storage.set_trial_user_attr(trial_id, "what", object())
        flushed(storage)
        assert storage.get_trial(trial_id).user_attrs == {}

    def test_a_finished_trial_stays_as_it_is(self, storage: BaseStorage, study_id: int) -> None:
        """Nothing can be set on it, by whoever ended it or by others."""
        trial_id = storage.create_new_trial(study_id)
        storage.set_trial_state_values(trial_id, TrialState.PRUNED)
        for one in (storage, elsewhere(storage)):
            changes: list[Callable[[], Any]] = [
                lambda one=one: one.set_trial_param(trial_id, "x", 0.5, X),
                lambda one=one: one.set_trial_intermediate_value(trial_id, 1, 0.5),
                lambda one=one: one.set_trial_user_attr(trial_id, "a", 1),
                lambda one=one: one.set_trial_system_attr(trial_id, "a", 1),
                lambda one=one: one.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0]),
            ]
            for change in changes:
                with pytest.raises(UpdateFinishedTrialError):
                    change()

    def test_what_is_handed_out_is_not_changed_afterwards(self, storage: BaseStorage, study_id: int) -> None:
        """A sampler may keep the trials it was given: they are a picture of that moment."""
        trial_id = storage.create_new_trial(study_id)
        before = storage.get_all_trials(study_id, deepcopy=False)[0]
        picture = copy.deepcopy(before)
        storage.set_trial_param(trial_id, "x", 0.5, X)
        storage.set_trial_intermediate_value(trial_id, 1, 0.5)
        storage.set_trial_user_attr(trial_id, "a", 1)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        assert before == picture

    def test_studies_are_the_databases(self, storage: BaseStorage, study_id: int) -> None:
        """Names, directions and attributes, of this study and of others, are shared at once."""
        theirs = elsewhere(storage)
        other = storage.create_new_study([StudyDirection.MINIMIZE], "second")
        storage.set_study_user_attr(study_id, "who", "me")
        storage.set_study_system_attr(study_id, "how", [1])
        assert (
            theirs.get_study_user_attrs(study_id) == storage.get_study_user_attrs(study_id) == {"who": "me"}
        )
        assert theirs.get_study_system_attrs(study_id) == storage.get_study_system_attrs(study_id)
        assert storage.get_study_name_from_id(study_id) == "first"
        assert storage.get_study_directions(study_id) == [StudyDirection.MAXIMIZE]
        assert storage.get_study_name_from_id(other) == "second"
        assert storage.get_study_directions(other) == [StudyDirection.MINIMIZE]
        assert [s.study_name for s in storage.get_all_studies()] == ["first", "second"]
        storage.create_new_trial(other)
        assert [trial.number for trial in storage.get_all_trials(other)] == [0]
        assert storage.get_all_trials(study_id) == []
        storage.delete_study(other)
        with pytest.raises(KeyError):
            theirs.get_study_id_from_name("second")


def elsewhere(storage: BaseStorage) -> RDBStorage:
    """Another process's plain storage on the same database."""
    backend = storage._backend if isinstance(storage, WriteBehindStorage) else storage
    assert isinstance(backend, RDBStorage)
    return open_storage(backend.url)


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
        ours.get_all_trials(1)
        elsewhere(ours).create_new_trial(1)
        now = write_behind.time.monotonic()
        monkeypatch.setattr(write_behind.time, "monotonic", lambda: now)
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
