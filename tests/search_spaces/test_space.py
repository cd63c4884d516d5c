import json
import math
import pickle
from dataclasses import replace

import optuna
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.catalog import CONDITIONS, LEVERS
from search_spaces.catalog import lever as catalog_lever
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Family, Lever, Value
from search_spaces.presets import preset
from search_spaces.space import Condition, Role, Space
from tests.strategies import spaces

SGD_ONLY = Condition(key="optimizer", values=("sgd",))
MLP = preset("mlp")


def space_of(*names: str, **fields: object) -> Space:
    return Space(name="s", levers=tuple(catalog_lever(name) for name in names), **fields)  # type: ignore[arg-type]


def suggested(space: Space, seed: int, n_trials: int = 1) -> list[tuple[dict[str, Value], dict[str, Value]]]:
    """(config, Optuna's params) of each trial of a random search."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(n_trials)]
    return [(space.suggest(trial), trial.params) for trial in trials]


@given(spaces())
@settings(deadline=None)
def test_json_round_trip(space: Space) -> None:
    """A space survives JSON text and pickling exactly."""
    assert Space.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False))) == space
    assert pickle.loads(pickle.dumps(space)) == space  # noqa: S301 - our own bytes


@given(spaces(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_recorded_params_give_the_config_back(space: Space, seed: int) -> None:
    """What was suggested is read back from what Optuna recorded, key for key."""
    for config, params in suggested(space, seed, n_trials=3):
        assert space.config(params) == config


@given(spaces(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_params_are_the_inverse_of_config(space: Space, seed: int) -> None:
    """A config that was tried can be enqueued again, and is tried again exactly."""
    for config, params in suggested(space, seed, n_trials=3):
        again = space.params(config)
        assert list(again) == list(params)
        for name, value in again.items():
            is_number = isinstance(value, float)  # where 1 - value was rounded, it comes back as near as that
            assert value == (pytest.approx(params[name], abs=1e-12, rel=0) if is_number else params[name])
        assert space.config(again) == config


@given(spaces(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_suggest_agrees_with_its_slow_twin(space: Space, seed: int) -> None:
    """A config has the fixed keys, and the key of each lever whose condition it meets, and nothing else."""
    for config, _ in suggested(space, seed, n_trials=3):
        expected = set(space.fixed)
        for lever in space:
            condition = space.conditions.get(lever.name)
            if condition is None or (condition.key in expected and config[condition.key] in condition.values):
                expected.add(lever.key)
        assert set(config) == expected
        assert all(space.fixed[key] == config[key] for key in space.fixed)


@pytest.mark.parametrize("name", ["quick", "mlp"])
def test_tpe_searches_a_preset(name: str) -> None:
    """TPE takes conditions in its stride: momentum is there exactly where the optimizer is sgd."""
    space = preset(name)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    configs = []
    for _ in range(25):
        trial = study.ask()
        configs.append(space.suggest(trial))
        study.tell(trial, float(configs[-1]["learning_rate"]))
    assert all(("momentum" in config) == (config["optimizer"] == "sgd") for config in configs)
    assert all(0.0 <= float(config["momentum"]) <= 0.99 for config in configs if "momentum" in config)
    assert [trial.distributions[n] for trial in study.trials for n in trial.params] == [
        space.distributions()[n] for trial in study.trials for n in trial.params
    ]


def test_a_grid_has_each_distinct_config_once() -> None:
    """A lever whose condition does not hold multiplies nothing: 2 points of momentum, with sgd alone."""
    space = space_of("optimizer", "momentum", "dropout", conditions={"one_minus_momentum": SGD_ONLY})
    configs = [space.config(point) for point in space.grid(2)]
    assert [(config["optimizer"], config.get("momentum"), config["dropout"]) for config in configs] == [
        (optimizer, momentum, dropout)
        for optimizer in ("sgd", "adam", "adamw", "rmsprop")
        for momentum in ((0.99, 0.0) if optimizer == "sgd" else (None,))
        for dropout in (0.0, 0.6)
    ]
    assert space.n_grid_points(2) == 10
    for asked in (space.grid, space.n_grid_points):
        with pytest.raises(ConfigurationError, match=r"at least 2 points per lever, but got resolution=1"):
            asked(1)


@settings(deadline=None)
@given(spaces())
def test_grid_points_are_counted_without_being_made(space: Space) -> None:
    """As many as there are, and each another config."""
    assume(math.prod(len(lever.grid(2)) for lever in space) <= 2000)
    configs = [tuple(space.config(point).items()) for point in space.grid(2)]
    assert space.n_grid_points(2) == len(configs)
    assert all(one not in configs[:index] for index, one in enumerate(configs[:50]))


def test_millions_of_points_are_counted_at_once() -> None:
    """The preset `mlp` has more than anyone could hold."""
    assert MLP.n_grid_points(5) > 1_000_000


def test_a_space_is_an_ordered_set_of_levers() -> None:
    """Names, membership, order, look-up by name, and by key where asked for."""
    assert list(MLP) == list(MLP.levers)
    assert len(MLP) == 10
    assert "one_minus_momentum" in MLP
    assert "momentum" not in MLP
    assert MLP["depth"] is MLP.find("depth")
    assert MLP.find("momentum") is MLP["one_minus_momentum"]
    assert MLP.find("nothing") is None
    assert MLP.structural_names == ("optimizer", "batch_size", "depth", "width", "activation")
    with pytest.raises(ConfigurationError, match=r"but got 'dept'. Did you mean 'depth'"):
        MLP["dept"]


def test_params_tells_all_faults_at_once() -> None:
    """Whatever a space cannot honor of a config comes in one error."""
    config = {
        "learning_rate": 5.0,
        "optimizer": "adam",
        "depth": "deep",
        "patience": 3,
        "momentum": 0.9,
        "seed": 2,
    }
    with pytest.raises(ConfigurationError) as caught:
        MLP.fix("seed", 1).params(config)
    text = str(caught.value)
    for fault in (
        "learning_rate must be a number in 0.0001..1, but got 5.0",
        "depth must be a whole number in 1..3, but got 'deep'",
        "patience is neither a lever nor fixed, but got 3 (use --set patience=3)",
        "momentum exists only where optimizer is sgd, but got 0.9",
        "seed is fixed to 1, but got 2",
    ):
        assert fault in text
    assert text.count(";") == 4


def test_params_of_part_of_a_config() -> None:
    """The sampler chooses what is left out; a fixed key, or an absent lever's default, may be said."""
    assert MLP.params({"momentum": 0.9}) == {"one_minus_momentum": 0.1}
    assert MLP.fix("seed", 1).params({"depth": 2, "seed": 1}) == {"depth": 2}
    assert MLP.params({"optimizer": "adam", "momentum": 0.0}) == {"optimizer": "adam"}


def test_params_knows_that_a_grandchild_is_absent() -> None:
    """A lever that hangs on an absent lever is absent too."""
    space = space_of(
        "optimizer",
        "momentum",
        "dropout",
        conditions={"one_minus_momentum": SGD_ONLY, "dropout": Condition(key="momentum", values=(0.0,))},
    )
    with pytest.raises(ConfigurationError, match=r"dropout exists only where momentum is 0.0, but got 0.5"):
        space.params({"optimizer": "adam", "dropout": 0.5})
    assert space.params({"dropout": 0.5}) == {"dropout": 0.5}


def test_config_refuses_params_of_another_space() -> None:
    """Recorded parameters that are no levers here are not passed over."""
    with pytest.raises(
        ConfigurationError, match=r"A parameter of the space 'quick' must be one of .* but got 'depth'"
    ):
        preset("quick").config({"learning_rate": 0.1, "depth": 2})


def test_fixing_a_key_takes_its_lever_and_those_that_cannot_exist() -> None:
    """With adam momentum goes; with sgd it stays, and goes when the key is fixed anew."""
    adam = MLP.fix("optimizer", "adam")
    assert set(MLP.names) - set(adam.names) == {"optimizer", "one_minus_momentum"}
    assert (adam.conditions, adam.fixed["optimizer"]) == ({}, "adam")
    sgd = MLP.fix("optimizer", "sgd")
    assert set(MLP.names) - set(sgd.names) == {"optimizer"}
    assert all("momentum" in config for config, _ in suggested(sgd, seed=0, n_trials=5))
    assert sgd.fix("optimizer", "adam").names == adam.names


def test_fixing_goes_down_the_line() -> None:
    """What hangs on a lever that goes, goes too, with its role; other keys and values are just held."""
    space = space_of(
        "optimizer",
        "momentum",
        "dropout",
        conditions={"one_minus_momentum": SGD_ONLY, "dropout": Condition(key="momentum", values=(0.0,))},
        roles={"dropout": Role.NUISANCE},
    )
    assert space.fix("optimizer", "adam").names == ()
    held = space.fix("patience", 3).fix("optimizer", "lion")
    assert held.fixed == {"patience": 3, "optimizer": "lion"}
    assert space.fix("momentum", 0.0).names == ("optimizer", "dropout")
    assert space.fix("momentum", 0.0).roles["dropout"] is Role.NUISANCE


@given(spaces(), st.data())
@settings(deadline=None)
def test_a_fixed_space_suggests_the_value(space: Space, data: st.DataObject) -> None:
    """After fixing a lever's key, every config holds the value, and the space is a space still."""
    if not space.levers:
        return
    lever = data.draw(st.sampled_from(space.levers))
    value = lever.to_config(data.draw(st.sampled_from(lever.grid(3))))
    fixed = space.fix(lever.key, value)
    assert lever.name not in fixed
    [(config, _)] = suggested(fixed, seed=0)
    assert config[lever.key] == value


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        (
            {"levers": ("depth", "depth")},
            ["lever depth must be there once, but is 2", "key depth must belong to one"],
        ),
        ({"fixed": {"depth": 1}}, ["depth must be either fixed or a lever, but is both"]),
        ({"fixed": {"x": float("nan")}}, ["the fixed value of x must be a word, a finite number"]),
        ({"roles": {"detph": Role.NUISANCE}}, ["the lever of a role must be one of .* Did you mean 'depth'"]),
        ({"roles": {"depth": Role.FIXED}}, ["depth must be scientific or nuisance, but got role fixed"]),
        ({"conditions": {"x": SGD_ONLY}}, ["the lever of a condition must be one of .* but got 'x'"]),
        (
            {"conditions": {"depth": SGD_ONLY}, "levers": ("depth", "optimizer")},
            ["optimizer must come before depth, which exists only where optimizer is sgd"],
        ),
        (
            {"conditions": {"depth": Condition(key="depth", values=(1,))}},
            ["depth must come before depth, which exists only where depth is 1"],
        ),
        ({"conditions": {"dropout": SGD_ONLY}}, ["the key of the condition of dropout must be one of depth"]),
        (
            {"conditions": {"depth": SGD_ONLY}, "levers": ("depth",)},
            ["the key of the condition of depth must exist, but there is none and got 'optimizer'"],
        ),
        (
            {"conditions": {"dropout": Condition(key="depth", values=(9, True))}},
            ["dropout can never exist: depth is 9 or True is not possible here"],
        ),
        (
            {
                "conditions": {"dropout": SGD_ONLY},
                "fixed": {"optimizer": "adam"},
                "roles": {"x": Role.NUISANCE},
            },
            ["dropout can never exist: optimizer is sgd is not possible here", "the lever of a role"],
        ),
    ],
)
def test_a_space_that_cannot_be_says_why(fields: dict[str, tuple[str, ...]], faults: list[str]) -> None:
    """Every contradiction is told, all in one error."""
    parts: dict[str, object] = dict(fields)
    names = fields["levers"] if "levers" in parts else ("depth", "dropout")
    parts.pop("levers", None)
    for fault in faults:
        with pytest.raises(ConfigurationError, match=fault):
            space_of(*names, **parts)


@pytest.mark.parametrize(("key", "values"), [("", (1,)), ("depth", ()), ("depth", (float("inf"),))])
def test_a_condition_needs_a_key_and_values(key: str, values: tuple[float, ...]) -> None:
    """A condition that could not be written down is refused."""
    with pytest.raises(
        ConfigurationError, match=r"A condition must have a key and at least one word or finite number"
    ):
        Condition(key=key, values=values)


def test_two_keys_of_one_name_are_refused() -> None:
    """Two levers of different names cannot set one key."""
    one = Lever(
        name="a", distribution=FloatDistribution(0, 1), default=0, family=Family.ARCHITECTURE, key="k"
    )
    other = Lever(
        name="b", distribution=CategoricalDistribution(("x",)), default=0, family=Family.BATCHING, key="k"
    )
    with pytest.raises(ConfigurationError, match=r"the key k must belong to one lever, but 2 set it"):
        Space(name="s", levers=(one, other))


def test_the_fingerprint_is_of_the_search() -> None:
    """Names and texts leave it alone; a range, condition, order, fixed value or role changes it."""
    space = preset("quick")
    renamed = replace(space, name="other", description="else")
    reasoned = replace(space, levers=tuple(replace(lever, reason="r", source="s") for lever in space))
    assert space.fingerprint() == renamed.fingerprint() == reasoned.fingerprint()
    assert len(space.fingerprint()) == 16
    changes = [
        space.rebuilt(levers=space.levers[::-1]),
        space.rebuilt(
            levers=[lever.within(high=0.2) if lever.name == "dropout" else lever for lever in space]
        ),
        space.rebuilt(conditions={}),
        space.fix("seed", 1),
        replace(space, roles={"dropout": Role.NUISANCE}),
    ]
    assert len({space.fingerprint(), *(changed.fingerprint() for changed in changes)}) == 6


def test_every_catalog_lever_makes_a_space() -> None:
    """All catalog levers fit into one space, in the catalog's order."""
    space = Space(name="all", levers=LEVERS, conditions=CONDITIONS)
    assert len(space) == len(LEVERS)
