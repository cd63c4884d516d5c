"""The transfer sets from the third on: their lists, data and networks, and one short training of each kind of loop."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pytest
import torch

from benchmarks.diagnosis.transfer.loop_parts import tensors_of
from benchmarks.diagnosis.transfer.sets import SETS

TABLES = {"third": "moons", "fourth": "shells", "fifth": "surveys"}
"""Of each set the data whose samples are rows, on which faults of data and loops are tried."""
UNITS = {"third": "raw_features", "fourth": "raw_units", "fifth": "counted_units"}
"""The fault that gives features another unit, on the test part as well."""
WHOLE = {"missing_classes", "missing_values", "log_of_zero", "division_by_zero"}
"""Faults whose strength counts classes or samples, and is no share."""


def of(name: str, part: str) -> Any:
    return importlib.import_module(f"benchmarks.diagnosis.transfer.{name}_{part}")


def tasks_of(name: str) -> tuple[str, ...]:
    return get_args(of(name, "recipe").TaskName)


def rows_of(arrays: Mapping[str, Any], part: str) -> Any:
    return arrays[f"x_{part}"].reshape(len(arrays[f"x_{part}"]), -1)


OF_EACH_SET = pytest.mark.parametrize("name", TABLES)


@OF_EACH_SET
def test_a_set_is_large_enough_and_shares_nothing_with_the_others(name: str) -> None:
    """Neither a seed, nor a recipe, nor a name of a training."""
    mine = SETS[name]
    assert len(mine.healthy) * len(mine.healthy_seeds) >= 135
    assert len({cause for cause, _ in mine.faulty.values()}) >= 27
    assert len(set(mine.healthy.values())) == len(mine.healthy)
    for other in (each for each in SETS.values() if each is not mine):
        assert not set(mine.healthy_seeds) & set(other.healthy_seeds)
        assert not set(mine.healthy) & set(other.healthy)
        assert not set(mine.faulty) & set(other.faulty)


@pytest.mark.parametrize(("name", "task"), [(name, task) for name in TABLES for task in tasks_of(name)])
def test_data_are_made_the_same_each_time(name: str, task: str) -> None:
    """Three parts by seed that share no sample, every class in each of them."""
    arrays_of = of(name, "data").arrays_of
    once, again, other = arrays_of(task, seed=1), arrays_of(task, seed=1), arrays_of(task, seed=2)
    assert all(np.array_equal(once[key], again[key]) for key in once)
    assert not np.array_equal(once["x_train"], other["x_train"])
    assert len({len(np.unique(once[f"y_{part}"])) for part in ("train", "validation", "test")}) == 1
    rows = np.concatenate([rows_of(once, part) for part in ("train", "test")])
    assert len(np.unique(rows, axis=0)) >= 0.999 * len(rows)


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name in TABLES for fault in sorted(of(name, "data").DATA_FAULTS)]
)
def test_a_fault_of_the_data_leaves_the_test_part_alone(name: str, fault: str) -> None:
    """But for features in another unit: those are the same everywhere."""
    data = of(name, "data")
    arrays = data.arrays_of(TABLES[name], seed=0)
    changed = data.DATA_FAULTS[fault](arrays, 1.0 if fault in WHOLE else 0.5, np.random.default_rng(0))
    same = [np.array_equal(arrays[f"{kind}_test"], changed[f"{kind}_test"]) for kind in "xy"]
    assert same == [fault != UNITS[name], True]
    assert any(not np.array_equal(changed[key], arrays[key]) for key in arrays)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        (name, family)
        for name in TABLES
        for family, recipe in SETS[name].healthy.items()
        if family == recipe.family
    ],
)
def test_each_network_learns_from_the_first_step(name: str, family: str) -> None:
    """Every parameter gets a gradient, and a sample's output does not hang on its neighbors in eval mode."""
    recipe = SETS[name].healthy[family]
    x = torch.from_numpy(of(name, "data").arrays_of(recipe.task, seed=0)["x_train"][:8])
    model = of(name, "networks").network(recipe, x[0].shape, 10)
    model(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        assert torch.allclose(model.eval()(x)[:2], model(x[:2]), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "loop"), [(name, loop) for name in TABLES for loop in get_args(of(name, "recipe").LoopName)]
)
def test_every_loop_is_watched_and_repeats_itself(name: str, loop: str) -> None:
    """Epochs, validation and the schedule's first rate are what the loop did, twice the same."""
    on_rows = next(each for each in SETS[name].healthy.values() if each.task == TABLES[name])
    recipe = dataclasses.replace(on_rows, loop=loop, epochs=2, n_train=300)
    train = of(name, "training").train
    once, again = (train(recipe, "short", seed=7, probed=False) for _ in range(2))
    assert once.test_accuracy == again.test_accuracy
    assert once.test_loss == again.test_loss
    telemetry = once.record.trials[0].telemetry
    assert telemetry is not None
    assert [row.epoch for row in telemetry.epochs] == [0, 1, 2]
    assert telemetry.epochs[-1].validation_accuracy == pytest.approx(once.reported_accuracy)
    assert telemetry.step_series("learning_rate")[0] == pytest.approx(recipe.learning_rate)


@OF_EACH_SET
def test_a_training_has_its_share_of_the_data_with_the_fault_in_it(name: str) -> None:
    """So many samples of the train part alone; where no fault of the data is planted nothing is changed."""
    data = of(name, "data")
    recipe = next(each for each in SETS[name].healthy.values() if each.task == TABLES[name])
    arrays = data.arrays_of(TABLES[name], seed=0)
    sound, faulty = (
        tensors_of(
            dataclasses.replace(recipe, n_train=90, fault=fault, strength=1.0),
            arrays,
            data.DATA_FAULTS,
            seed=[0, 1],
        )
        for fault in ("", "missing_classes")
    )
    assert np.array_equal(sound["x_train"].numpy(), arrays["x_train"][:90])
    assert np.array_equal(sound["y_validation"].numpy(), arrays["y_validation"])
    assert len(np.unique(faulty["y_train"].numpy())) < len(np.unique(sound["y_train"].numpy()))
