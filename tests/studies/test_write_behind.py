"""The storage that writes behind: one contract for Optuna's own storage and for ours."""

import copy
import math
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from tests.studies.plans import study
from tests.studies.write_behind_storages import OURS, X, elsewhere, facts, flushed, plain


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
