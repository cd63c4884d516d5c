"""The catalog's conditions hold wherever a space goes: through samplers, grids, YAML and JSON."""

import json
from collections.abc import Mapping

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.catalog import CONDITIONS, LEVERS, conditions_for, lever
from search_spaces.files import load_space, save_space
from search_spaces.lever import Lever, Value
from search_spaces.presets import preset
from search_spaces.space import Space
from tuner.searching.objective import Objective
from tuner.searching.strategy import make_sampler

WHOLE = Space(name="whole", levers=LEVERS, conditions=CONDITIONS)


def keys_that_should_be_there(space: Space, config: Mapping[str, Value]) -> set[str]:
    """The slow twin of what conditions decide: every key but those whose condition names another value."""
    conditions = {lever(name).key: condition for name, condition in space.conditions.items()}
    return {
        key
        for key in {*(known.key for known in space), *space.fixed}
        if key not in conditions or config.get(conditions[key].key) in conditions[key].values
    }


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "qmc"])
def test_conditions_survive_every_sampler(sampler: str) -> None:
    """Of all levers at once, each trial has exactly those that mean something there, with values inside."""
    space = WHOLE
    if sampler == "grid":  # of all levers it would have more points than a sampler can hold
        names = ("optimizer", "momentum", "nesterov", "clipping", "clip_norm", "schedule", "step_size")
        levers = [lever(name) for name in names]
        space = Space(name="few", levers=levers, conditions=conditions_for(levers, {}))
    study = optuna.create_study(sampler=make_sampler(sampler, space, study_seed=0, ordinal=0))
    configs = []
    for _ in range(30):
        trial = study.ask()
        configs.append(space.suggest(trial))
        study.tell(trial, len(configs))
        assert space.config(trial.params) == configs[-1]
    for config in configs:
        assert set(config) == keys_that_should_be_there(space, config)
        assert all(lever(key).contains(value) for key, value in config.items())
    assert len({len(config) for config in configs}) > 1


@given(st.sets(st.sampled_from(LEVERS), min_size=1, max_size=6), st.integers(0, 2**31), st.data())
@settings(deadline=None, max_examples=60)
def test_any_levers_make_a_space_that_survives_being_written(
    tmp_path_factory: pytest.TempPathFactory, chosen: set[Lever], seed: int, data: st.DataObject
) -> None:
    """Some levers under their conditions are the same space after YAML and JSON, and count their grid rightly."""
    levers = tuple(known for known in LEVERS if known in chosen)
    space = Space(name="some", levers=levers, conditions=conditions_for(levers, {}))
    path = tmp_path_factory.getbasetemp() / "some.yaml"
    save_space(space, path)
    assert load_space(path) == Space.from_json(json.loads(json.dumps(space.to_json()))) == space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    config = space.suggest(study.ask())
    assert set(config) == keys_that_should_be_there(space, config)
    assert space.config(space.params(config)) == config
    if space.n_grid_points(2) < 500:
        points = space.grid(2)
        assert len(points) == space.n_grid_points(2)
        point = space.config(data.draw(st.sampled_from(points)))
        assert set(point) == keys_that_should_be_there(space, point)


@pytest.mark.parametrize("name", ["depth", "mlp"])
def test_what_a_search_fixes_brings_its_conditions(name: str) -> None:
    """With a cnn there is no depth to search: five depths would be five equal trainings."""
    names = preset(name).names
    without = tuple(name for name in names if name != "depth")
    assert Objective(name, "digits", fixed={"model": "cnn"}).space.names == without
    assert Objective(name, "digits", fixed={"model": "mlp"}).space.names == names
    assert Objective(name, "digits", fixed={"model": "mine:build"}).space.names == names


def test_a_list_can_be_fixed() -> None:
    """``--set milestones=2,3`` reaches every config of the search."""
    objective = Objective("quick", "digits", fixed={"schedule": "multistep", "milestones": (2, 3)})
    trial = optuna.trial.FixedTrial({lever.name: lever.distribution.low for lever in objective.space})
    assert objective.config(objective.space.suggest(trial)).milestones == (2, 3)
