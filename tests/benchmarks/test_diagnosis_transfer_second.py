"""The second transfer set: its lists, its data, its networks, and one short training of each kind of loop."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.diagnosis.transfer.second import BOARD, WORDS
from benchmarks.diagnosis.transfer.second_data import DATA_FAULTS, arrays_of
from benchmarks.diagnosis.transfer.second_networks import network, trained_parameters
from benchmarks.diagnosis.transfer.second_recipe import LoopName, Recipe, TaskName
from benchmarks.diagnosis.transfer.second_training import train
from benchmarks.diagnosis.transfer.sets import FIRST, SECOND
from benchmarks.diagnosis.transfer.transfer_set import TransferSet
from studies.readings import Telemetry

SHORT = dataclasses.replace(BOARD, epochs=2)


def _telemetry(recipe: Recipe) -> Telemetry:
    (trial,) = train(recipe, "short", seed=7, probed=False).record.trials
    assert trial.telemetry is not None
    return trial.telemetry


def test_the_lists_are_large_enough_for_their_bounds() -> None:
    """165 sound runs, so that three alarms still bound the rate by five percent; two strengths of fifteen faults."""
    assert len(SECOND.healthy) * len(SECOND.healthy_seeds) >= 165
    assert len({cause for cause, _ in SECOND.faulty.values()}) >= 15
    assert sum(name.endswith("mild") for name in SECOND.faulty) * 2 == len(SECOND.faulty)


def test_the_sets_share_nothing() -> None:
    """Neither a seed nor a recipe: what was looked at in one says nothing of the other."""
    assert not set(FIRST.healthy_seeds) & set(SECOND.healthy_seeds)
    assert not {type(each) for each in FIRST.healthy.values()} & {
        type(each) for each in SECOND.healthy.values()
    }
    recipes = list(SECOND.healthy.values())
    assert len(set(recipes)) == len(recipes)


def test_a_fault_without_a_sound_twin_is_refused() -> None:
    """Nothing could say whether it does harm."""
    with pytest.raises(ValueError, match="Each fault needs a sound twin of its own seeds, but second lacks"):
        TransferSet(**{**vars(SECOND), "healthy": {"board, normalized": BOARD}})


@pytest.mark.parametrize("task", ["waves", "board", "words", "ranges", "digits"])
def test_data_are_made_the_same_each_time(task: TaskName) -> None:
    """Three parts that share no sample, every class in each of them."""
    once, again = arrays_of(task, seed=1), arrays_of(task, seed=1)
    assert all(np.array_equal(once[name], again[name]) for name in once)
    assert not np.array_equal(once["x_train"], arrays_of(task, seed=2)["x_train"])
    assert len({len(np.unique(once[f"y_{part}"])) for part in ("train", "validation", "test")}) == 1
    rows = np.concatenate(
        [once[f"x_{part}"].reshape(len(once[f"x_{part}"]), -1) for part in ("train", "test")]
    )
    assert len(np.unique(rows, axis=0)) >= 0.999 * len(rows)


@pytest.mark.parametrize("fault", sorted(DATA_FAULTS))
def test_a_fault_of_the_data_leaves_the_test_part_alone(fault: str) -> None:
    """But for inputs that nobody scaled: those are the same everywhere."""
    arrays = arrays_of("ranges", seed=0)
    changed = DATA_FAULTS[fault](arrays, 0.5 if fault != "missing_classes" else 1, np.random.default_rng(0))
    if fault == "non_finite":
        changed = DATA_FAULTS[fault](arrays, 3, np.random.default_rng(0))
    same = [np.array_equal(arrays[f"{kind}_test"], changed[f"{kind}_test"]) for kind in "xy"]
    assert same == [fault != "unscaled", True]
    assert any(not np.array_equal(changed[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize("recipe", [each for name, each in SECOND.healthy.items() if name == each.family])
def test_each_network_learns_from_the_first_step(recipe: Recipe) -> None:
    """Every parameter gets a gradient, and a sample's output does not hang on its neighbours in eval mode."""
    x = torch.from_numpy(arrays_of(recipe.task, seed=0)["x_train"][:8])
    model = network(recipe, x[0].shape, 10)
    model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        assert torch.allclose(model.eval()(x)[:2], model(x[:2]), atol=1e-5)


def test_a_forgotten_layer_is_not_the_optimizer_s() -> None:
    """Only the last layers are."""
    recipe = dataclasses.replace(BOARD, fault="forgotten_layers", strength=1)
    model = network(recipe, torch.Size([2]), 3)
    assert list(trained_parameters(recipe, model)) == list(model[-1].parameters())


@pytest.mark.parametrize("loop", ["plain", "late_zero", "accumulating", "telling"])
def test_every_loop_is_watched(loop: LoopName) -> None:
    """Epochs, validation and the schedule's rates are what the loop did."""
    telemetry = _telemetry(dataclasses.replace(SHORT, loop=loop))
    assert [row.epoch for row in telemetry.epochs] == [0, 1, 2]
    assert telemetry.epochs[-1].validation_accuracy > 0.7
    rates = telemetry.step_series("learning_rate")
    assert rates[0] == pytest.approx(SHORT.learning_rate, rel=0.01)
    assert rates[-1] < 0.01 * SHORT.learning_rate


def test_a_loop_without_validation_tells_none() -> None:
    """Yet it is judged on the test part."""
    run = train(dataclasses.replace(SHORT, loop="train_only"), "short", seed=7, probed=False)
    telemetry = run.record.trials[0].telemetry
    assert telemetry is not None
    assert np.isnan(telemetry.epochs[-1].validation_accuracy)
    assert run.test_accuracy > 0.7


def test_late_zero_grad_trains_the_same() -> None:
    """Where the gradients are cleared makes no difference, as long as they are."""
    losses = [
        _telemetry(dataclasses.replace(SHORT, loop=loop)).epochs[-1].train_loss
        for loop in ("plain", "late_zero")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_validating_in_train_mode_misreports() -> None:
    """With much dropout the loop says less than the network can."""
    recipe = dataclasses.replace(WORDS, fault="train_mode_evaluation", dropout=0.6, epochs=3)
    run = train(recipe, "short", seed=7, probed=False)
    assert run.reported_accuracy < run.validation_accuracy - 0.05
