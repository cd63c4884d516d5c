"""The fifth transfer set: its lists, its data, its networks, and one short training of each kind of loop."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch

from benchmarks.diagnosis.transfer.fifth import SURVEYS
from benchmarks.diagnosis.transfer.fifth_data import DATA_FAULTS, arrays_of
from benchmarks.diagnosis.transfer.fifth_networks import network
from benchmarks.diagnosis.transfer.fifth_recipe import LoopName, Recipe, TaskName
from benchmarks.diagnosis.transfer.fifth_training import train
from benchmarks.diagnosis.transfer.sets import FIFTH, FIRST, FOURTH, SECOND, THIRD


def test_the_set_is_large_enough_and_shares_nothing_with_the_others() -> None:
    """Neither a seed, nor a recipe, nor a name of a training."""
    assert len(FIFTH.healthy) * len(FIFTH.healthy_seeds) >= 135
    assert len({cause for cause, _ in FIFTH.faulty.values()}) >= 27
    assert len(set(FIFTH.healthy.values())) == len(FIFTH.healthy)
    for other in (FIRST, SECOND, THIRD, FOURTH):
        assert not set(FIFTH.healthy_seeds) & set(other.healthy_seeds)
        assert not set(FIFTH.healthy) & set(other.healthy)
        assert not set(FIFTH.faulty) & set(other.faulty)


@pytest.mark.parametrize("task", get_args(TaskName))
def test_data_are_made_the_same_each_time(task: TaskName) -> None:
    """Three parts by seed that share no sample, every class in each of them."""
    once, again, other = arrays_of(task, seed=1), arrays_of(task, seed=1), arrays_of(task, seed=2)
    assert all(np.array_equal(once[name], again[name]) for name in once)
    assert not np.array_equal(once["x_train"], other["x_train"])
    assert len({len(np.unique(once[f"y_{part}"])) for part in ("train", "validation", "test")}) == 1
    rows = np.concatenate(
        [once[f"x_{part}"].reshape(len(once[f"x_{part}"]), -1) for part in ("train", "test")]
    )
    assert len(np.unique(rows, axis=0)) >= 0.999 * len(rows)


@pytest.mark.parametrize("fault", sorted(DATA_FAULTS))
def test_a_fault_of_the_data_leaves_the_test_part_alone(fault: str) -> None:
    """But for features in another unit: those are the same everywhere."""
    arrays = arrays_of("surveys", seed=0)
    strength = 1.0 if fault in {"missing_classes", "division_by_zero"} else 0.5
    changed = DATA_FAULTS[fault](arrays, strength, np.random.default_rng(0))
    same = [np.array_equal(arrays[f"{kind}_test"], changed[f"{kind}_test"]) for kind in "xy"]
    assert same == [fault != "counted_units", True]
    assert any(not np.array_equal(changed[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize("recipe", [each for name, each in FIFTH.healthy.items() if name == each.family])
def test_each_network_learns_from_the_first_step(recipe: Recipe) -> None:
    """Every parameter gets a gradient, and a sample's output does not hang on its neighbors in eval mode."""
    x = torch.from_numpy(arrays_of(recipe.task, seed=0)["x_train"][:8])
    model = network(recipe, x[0].shape, 10)
    model(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        assert torch.allclose(model.eval()(x)[:2], model(x[:2]), atol=1e-5)


@pytest.mark.parametrize("loop", get_args(LoopName))
def test_every_loop_is_watched_and_repeats_itself(loop: LoopName) -> None:
    """Epochs, validation and the schedule's first rate are what the loop did, twice the same."""
    recipe = dataclasses.replace(SURVEYS, loop=loop, epochs=2, n_train=300)
    once, again = (train(recipe, "short", seed=7, probed=False) for _ in range(2))
    assert once.test_accuracy == again.test_accuracy
    assert once.test_loss == again.test_loss
    telemetry = once.record.trials[0].telemetry
    assert telemetry is not None
    assert [row.epoch for row in telemetry.epochs] == [0, 1, 2]
    assert telemetry.epochs[-1].validation_accuracy == pytest.approx(once.reported_accuracy)
    assert telemetry.step_series("learning_rate")[0] == pytest.approx(recipe.learning_rate)
