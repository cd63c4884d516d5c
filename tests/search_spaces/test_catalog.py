import subprocess
import sys

import pytest
from optuna.distributions import CategoricalDistribution

import search_spaces
from search_spaces.catalog import CONDITIONS, LEVERS, lever
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Lever, choices_of
from search_spaces.presets import PRESETS, preset


@pytest.mark.parametrize("known", LEVERS, ids=lambda known: known.name)
def test_every_lever_says_why_and_whence(known: Lever) -> None:
    """A catalog lever has a reason and a source of one line each, and is found by its name and by its key."""
    assert known.reason.endswith(".")
    assert known.source
    assert "\n" not in known.reason + known.source
    assert lever(known.name) is lever(known.key) is known


def test_names_and_keys_are_unique() -> None:
    """A name or key points at one lever."""
    assert len({known.name for known in LEVERS}) == len({known.key for known in LEVERS}) == len(LEVERS)


def test_a_default_is_a_choice() -> None:
    """The default of a categorical lever is one of its choices."""
    categorical = [known for known in LEVERS if isinstance(known.distribution, CategoricalDistribution)]
    assert [known.name for known in categorical if not known.contains(known.default)] == []


def test_conditions_are_of_the_catalog() -> None:
    """A condition names a lever, and values that the lever it asks about can have."""
    for name, condition in CONDITIONS.items():
        assert lever(name).name == name
        assert all(lever(condition.key).contains(value) for value in condition.values)


def test_an_unknown_lever_has_a_near_name() -> None:
    """A typing error is answered with the name that was meant."""
    with pytest.raises(ConfigurationError, match="Did you mean 'learning_rate'"):
        lever("learnig_rate")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_narrowings_of_the_catalog(name: str) -> None:
    """A preset's lever is the catalog's on a range inside; its conditions are the catalog's."""
    space = preset(name)
    assert space.name == name
    assert space.description
    for narrowed in space:
        known = lever(narrowed.name)
        assert {**narrowed.to_json(), "distribution": None} == {**known.to_json(), "distribution": None}
        points = choices_of(narrowed.distribution) or narrowed.grid(7)
        assert all(known.contains(known.to_config(point)) for point in points)
    assert space.conditions == {name: CONDITIONS[name] for name in CONDITIONS if name in space}


def test_what_the_presets_hold() -> None:
    """`quick` has four levers and plain SGD; `mlp` has those and six more on a rate for all optimizers."""
    quick, mlp = preset("quick"), preset("mlp")
    assert quick.names == ("learning_rate", "one_minus_momentum", "weight_decay", "dropout")
    assert quick["learning_rate"].grid(2) == [1e-3, 1.0]
    assert quick["dropout"].grid(2) == [0.0, 0.3]
    more = {"batch_size", "depth", "width", "activation", "optimizer", "schedule"}
    assert set(mlp.names) == {*quick.names, *more}
    assert mlp["learning_rate"].grid(2) == [1e-4, 1.0]
    assert mlp["width"].grid(2) == mlp["batch_size"].grid(2) == [32, 64, 128, 256, 512]
    with pytest.raises(ConfigurationError, match="Did you mean 'quick'"):
        preset("quik")


def test_public_names() -> None:
    """Every public name is there, and no other."""
    assert [name for name in search_spaces.__all__ if getattr(search_spaces, name).__name__ != name] == []
    assert dir(search_spaces) == sorted(search_spaces.__all__)
    with pytest.raises(AttributeError, match="module 'search_spaces' has no attribute 'Spaec'"):
        search_spaces.Spaec  # noqa: B018


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import search_spaces.errors", ["optuna", "yaml", "torch", "pandas"]),
        (
            "from search_spaces import Lever, Space, preset; preset('mlp')",
            ["yaml", "torch", "pandas", "sqlalchemy"],
        ),
    ],
)
def test_imports_stay_cheap(statement: str, absent: list[str]) -> None:
    """Errors cost no import of Optuna; spaces cost no import of torch or pandas."""
    code = f"import sys; {statement}; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
