"""Optuna's JSON distributions: both wire forms, old names, faults, and round trips against Optuna itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from search_spaces.errors import ConfigurationError
from search_spaces.exchange.imported import Choices, Imported, Source
from search_spaces.exchange.importing import export_space, import_space
from search_spaces.exchange.parameters import short_form
from search_spaces.fields import from_fields
from search_spaces.presets import preset
from search_spaces.space import Space
from tests.strategies import spaces


def read(folder: Path, data: Any, choices: Choices | None = None) -> Imported:
    path = folder / "distributions.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return import_space(path, choices=choices)


@pytest.mark.parametrize("form", ["optuna", "optuna-short"])
@given(space=spaces())
@settings(deadline=None, max_examples=50)
def test_a_space_comes_back(tmp_path_factory: pytest.TempPathFactory, form: str, space: Space) -> None:
    """Written and read again, all distributions are there; Optuna reads them alike; the rest was named."""
    exported = export_space(space, form)
    for name, written in exported.data.items():
        assert json_to_distribution(json.dumps(written)) == space[name].distribution
        if form == "optuna":
            assert written == json.loads(distribution_to_json(space[name].distribution))
    for key in space.fixed:
        assert any(line.startswith(f"{key} is fixed at") for line in exported.warnings)
    for name in space.conditions:
        assert any(line.startswith(f"{name} exists only where") for line in exported.warnings)
    if not len(space):
        return
    path = tmp_path_factory.getbasetemp() / "exported.json"
    path.write_text(exported.text, encoding="utf-8")
    imported = import_space(path, choices=Choices(rename=False))
    bare = [from_fields(lever.name, short_form(lever.distribution)) for lever in space]
    assert imported.space.to_json() == Space(name="exported", levers=tuple(bare)).to_json()
    assert (imported.warnings, imported.not_carried) == ((), ())


def test_both_forms_in_one_file_and_names_of_ours(tmp_path: Path) -> None:
    """The wire form and the short form, defaults left out, names and words made ours."""
    imported = read(
        tmp_path,
        {
            "lr": {
                "name": "FloatDistribution",
                "attributes": {"low": 1e-5, "high": 0.1, "log": True, "step": None},
            },
            "n_layers": {"type": "int", "low": 1, "high": 3, "step": None},
            "optimizer": {"name": "CategoricalDistribution", "attributes": {"choices": ["Adam", "SGD"]}},
            "dropout": {"type": "float", "low": 0, "high": 0.5},
            "heads": {"type": "categorical", "choices": [2, 4]},
        },
    )
    assert imported.source is Source.OPTUNA
    assert imported.space.distributions() == {
        "learning_rate": FloatDistribution(1e-5, 0.1, log=True),
        "depth": IntDistribution(1, 3),
        "optimizer": CategoricalDistribution(("adam", "sgd")),
        "dropout": FloatDistribution(0, 0.5),
        "heads": CategoricalDistribution((2, 4)),
    }
    assert imported.settings.options() == ""
    assert "lr is learning_rate here" in imported.notes


def test_names_of_old_optuna(tmp_path: Path) -> None:
    """The five distributions of Optuna before version 3 are read as their successors, and told."""
    imported = read(
        tmp_path,
        {
            "a": {"name": "UniformDistribution", "attributes": {"low": 0, "high": 1}},
            "b": {"name": "LogUniformDistribution", "attributes": {"low": 0.1, "high": 1}},
            "c": {"name": "DiscreteUniformDistribution", "attributes": {"low": 0, "high": 1, "q": 0.25}},
            "d": {"name": "IntUniformDistribution", "attributes": {"low": 1, "high": 9, "step": 2}},
            "e": {"name": "IntLogUniformDistribution", "attributes": {"low": 1, "high": 9, "step": 1}},
        },
    )
    assert imported.space.distributions() == {
        "a": FloatDistribution(0, 1),
        "b": FloatDistribution(0.1, 1, log=True),
        "c": FloatDistribution(0, 1, step=0.25),
        "d": IntDistribution(1, 9, step=2),
        "e": IntDistribution(1, 9, log=True),
    }
    assert len(imported.notes) == 5
    assert imported.notes[1] == "b: LogUniformDistribution is of Optuna before 3; it is float on a log scale"


def test_a_step_that_does_not_reach_the_end(tmp_path: Path) -> None:
    """The range ends where Optuna itself ends it, and that is told."""
    imported = read(
        tmp_path,
        {
            "x": {"type": "int", "low": 1, "high": 9, "step": 3},
            "y": {"type": "float", "low": 0.1, "high": 1, "step": 0.25},
        },
    )
    assert imported.space.distributions() == {
        "x": IntDistribution(1, 7, step=3),
        "y": FloatDistribution(0.1, 0.85, step=0.25),
    }
    assert (
        imported.warnings[0]
        == "x: steps of 3 from 1 do not reach 9; the range ends at 7, as it does in Optuna"
    )
    assert len(imported.warnings) == 2


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (
            {"name": "NormalDistribution", "attributes": {}},
            "x: a distribution must be one of FloatDistribution, .* but",
        ),
        (
            {"name": "FloatDistribution", "attributes": {"low": 0, "hihg": 1}},
            "but got 'hihg'. Did you mean 'high'",
        ),
        (
            {"name": "FloatDistribution", "attributes": {"low": 0}},
            "x: a lever of type float must have low and high, but",
        ),
        (
            {"name": "FloatDistribution", "attributes": {}, "more": 1},
            "x must have a name, attributes and nothing else",
        ),
        (
            {"name": "FloatDistribution", "attributes": [0, 1]},
            "x must have a name, attributes and nothing else",
        ),
        (
            {"type": "number", "low": 0, "high": 1},
            "x: type must be one of float, int, categorical, but got 'number'",
        ),
        (
            {"type": "int", "low": 1.5, "high": 3},
            "A range of whole numbers must have whole numbers, but got low=1.5",
        ),
        ({"type": "int", "low": 3, "high": 1}, "`low <= high` must hold, but got"),
        ({"type": "float", "low": 3, "high": 1, "step": 1}, "must"),
        (
            {"type": "int", "low": 1, "high": 9, "log": True, "step": 2},
            "step is 1 when `log` argument is True",
        ),
        ({"type": "float", "low": "a", "high": 1}, "x: low must be a number, but got 'a'"),
        (
            {"type": "int", "low": 0, "high": 10**40},
            "x: high of a range with steps must be at most 1e.15, but got 1000",
        ),
        (
            {"type": "categorical", "choices": []},
            "x: choices must be a list of words, numbers, true or false, but got",
        ),
        (
            {"type": "categorical", "choices": [None, "a"]},
            "x: a choice must not be null .give it a name, such as none",
        ),
        (
            {"type": "categorical", "choices": [[1], "a"]},
            "x: choices must be a list of words, numbers, true or false",
        ),
        ({"type": "categorical", "choices": [1, True]}, "its choices must differ"),
        (
            {"type": "float", "low": 0, "high": 1e9, "step": 1e-25},
            "x: a range must have fewer steps, but got",
        ),
        (3, "x must be a distribution with a name or a type, but got 3"),
    ],
)
def test_faults(written: object, fault: str, tmp_path: Path) -> None:
    """What is no distribution is refused under its name."""
    with pytest.raises(ConfigurationError, match=fault):
        read(tmp_path, {"y": {"type": "int", "low": 1, "high": 2}, "x": written})


def test_all_faults_at_once(tmp_path: Path) -> None:
    """One error, a line for each fault."""
    with pytest.raises(ConfigurationError, match="must hold Optuna's JSON distributions, but:") as caught:
        read(tmp_path, {"a": {"type": "int", "lo": 1}, "b": {"type": "float", "low": "x", "high": "y"}})
    assert [line[:7] for line in str(caught.value).splitlines()[1:]] == ["- a: a ", "- b: lo", "- b: hi"]


def test_what_the_form_cannot_hold_is_named() -> None:
    """Conditions, constants and scales of levers have no place in distributions."""
    told = "\n".join(export_space(preset("quick"), "optuna").warnings)
    assert "one_minus_momentum exists only where optimizer is sgd: Optuna's JSON has no conditions" in told
    assert "one_minus_momentum sets momentum by a scale of its own" in told
    assert "optimizer is fixed at sgd: distributions have no constants" in told
