"""Spaces out as W&B sweeps: round trips, the form of each range, and what a sweep cannot hold."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.errors import ConfigurationError
from search_spaces.exchange.imported import Choices, Settings
from search_spaces.exchange.importing import export_space, import_space
from search_spaces.exchange.parameters import short_form
from search_spaces.fields import from_fields
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Space
from tests.search_spaces.exchange.sweep_outcomes import c, f, i
from tests.strategies import spaces


@given(spaces())
@settings(deadline=None)
def test_a_space_comes_back_from_a_sweep(tmp_path_factory: pytest.TempPathFactory, space: Space) -> None:
    """Written and read again, everything is there that W&B can hold; the rest was named."""
    assume(len(space) + len(space.fixed) and not {*space.names} & {*space.fixed})
    exported = export_space(space, "wandb", Settings(trials=3))
    path = tmp_path_factory.getbasetemp() / "exported.yaml"
    path.write_text(exported.text, encoding="utf-8")
    imported = import_space(path, choices=Choices(rename=False))
    levers, fixed = [], dict(space.fixed)
    for lever in space:
        distribution = lever.distribution
        if not isinstance(distribution, CategoricalDistribution) and distribution.single():
            fixed[lever.name] = distribution.low
        elif not isinstance(distribution, CategoricalDistribution) and not is_multiple(distribution):
            steps = range(round((distribution.high - distribution.low) / (distribution.step or 1)) + 1)
            points = [distribution.low + step * (distribution.step or 1) for step in steps]
            levers.append(from_fields(lever.name, {"type": "categorical", "choices": points}))
        else:
            levers.append(from_fields(lever.name, short_form(distribution)))
    expected = replace(
        Space(name=space.name, levers=tuple(levers), fixed=fixed), description=space.description
    )
    assert imported.space.to_json() == expected.to_json()
    for name, condition in space.conditions.items():
        assert any(
            warning.startswith(f"{name} exists only where {condition.text}") for warning in exported.warnings
        )
    again = export_space(imported.space, "wandb", imported.settings)
    assert again.data["parameters"] == exported.data["parameters"]


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "é \u2029", "1e-3", "two\nlines"])
def test_text_comes_back_from_a_sweep(text: str, tmp_path: Path) -> None:
    """Unicode's own line ends included, which PyYAML folds if they are not quoted."""
    exported = export_space(Space(name="s", levers=(), fixed={"x": text}), "wandb")
    (tmp_path / "s.yaml").write_text(exported.text, encoding="utf-8")
    assert import_space(tmp_path / "s.yaml").space.fixed == {"x": text}


def is_multiple(distribution: FloatDistribution | IntDistribution) -> bool:
    step = distribution.step
    return step is None or distribution.log or distribution.low / step == round(distribution.low / step)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_come_back_from_a_sweep(name: str, tmp_path: Path) -> None:
    """A preset's levers and fixed keys survive the way to W&B and back; conditions are named as lost."""
    exported = export_space(preset(name), "wandb")
    (tmp_path / "preset.yaml").write_text(exported.text, encoding="utf-8")
    space = import_space(tmp_path / "preset.yaml").space
    assert space.distributions() == {
        key: value for key, value in preset(name).distributions().items() if key in space.names
    }
    assert space.fixed == preset(name).fixed
    assert len([line for line in exported.warnings if "has no conditions" in line]) == len(
        preset(name).conditions
    )


def test_settings_come_back_from_a_sweep(tmp_path: Path) -> None:
    """Sampler, pruner, metric, direction, trials, epochs and seed have their places in a sweep."""
    said = Settings(
        sampler="random",
        pruner="hyperband",
        metric="validation_loss",
        direction="minimize",
        trials=7,
        epochs=4,
        seed=2,
    )
    exported = export_space(preset("quick"), "wandb", said)
    (tmp_path / "s.yaml").write_text(exported.text, encoding="utf-8")
    imported = import_space(tmp_path / "s.yaml")
    assert imported.settings == said
    assert imported.space.fixed == preset("quick").fixed


def test_what_a_sweep_cannot_hold_is_named() -> None:
    """Samplers, pruners and levers that W&B lacks, names that it refuses, and a grid over ranges."""
    exported = export_space(preset("quick"), "wandb", Settings(sampler="qmc", pruner="median"))
    assert exported.data["method"] == "bayes"
    assert "early_terminate" not in exported.data
    assert any("sampler qmc: W&B has grid, random and bayes" in line for line in exported.warnings)
    assert any("pruner median: W&B has hyperband only" in line for line in exported.warnings)
    assert any("one_minus_momentum sets momentum by a scale" in line for line in exported.warnings)
    grid = export_space(preset("quick"), "wandb", Settings(sampler="grid"))
    assert any("learning_rate: W&B refuses a grid over log_uniform_values" in line for line in grid.warnings)
    odd = Space(name="odd", levers=(from_fields("9lives", {"type": "int", "low": 1, "high": 9}),))
    with pytest.raises(ConfigurationError, match=r"names that W&B takes, but:\n- '9lives' must be letters"):
        export_space(odd, "wandb")
    with pytest.raises(ConfigurationError, match="there are neither levers nor fixed keys"):
        export_space(Space(name="none", levers=()), "wandb")


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (f(0, 1), {"distribution": "uniform", "min": 0.0, "max": 1.0}),
        (f(0.1, 1, log=True), {"distribution": "log_uniform_values", "min": 0.1, "max": 1.0}),
        (f(0, 1, step=0.25), {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.25}),
        (f(0.1, 0.6, step=0.25), {"distribution": "categorical", "values": [0.1, 0.35, 0.6]}),
        (i(1, 9), {"distribution": "int_uniform", "min": 1, "max": 9}),
        (i(2, 8, step=2), {"distribution": "q_uniform", "min": 2, "max": 8, "q": 2}),
        (i(1, 9, step=2), {"distribution": "categorical", "values": [1, 3, 5, 7, 9]}),
        (i(1, 9, log=True), {"distribution": "q_log_uniform_values", "min": 1, "max": 9, "q": 1}),
        (i(3, 3), {"value": 3}),
        (c("a", 2, True, 0.5), {"distribution": "categorical", "values": ["a", 2, True, 0.5]}),
    ],
)
def test_each_range_has_a_form(distribution: BaseDistribution, expected: dict[str, Any]) -> None:
    """What every kind of lever is in a sweep, types of numbers included."""
    space = Space(name="s", levers=(from_fields("x", short_form(distribution)),))
    written = export_space(space, "wandb").data["parameters"]["x"]
    assert written == expected
    assert [*map(type, written.values())] == [*map(type, expected.values())]
