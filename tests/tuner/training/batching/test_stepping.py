"""A training a few steps at a time is the training."""

import itertools
import time
from functools import partial
from typing import Any

import pytest
import torch

from tests.problems import blobs, images
from tuner.training.batching import stepping
from tuner.training.batching.stepping import SteppedTraining, stopwatch
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.loop import TrainingRun

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "adam clipped": {"optimizer": "adam", "learning_rate": 0.01, "clip_norm": 0.5},
    "accumulated": {"accumulation_steps": 3, "order_seed": 5},
    "dropout and batch norm": {"dropout": 0.5, "normalization": "batch"},
    "augmented": {"augmentation": 0.5},
    "augmented with dropout": {"augmentation": 0.5, "dropout": 0.5},
    "scaled rate": {"batch_lr_rule": "linear", "base_batch_size": 32},
    "full batch": {"batch_size": "full"},
}


def trained(config: TrainingConfig, splits: Splits) -> TrainingRun:
    run = TrainingRun(config, splits)
    for _ in run.epochs():
        pass
    return run


def stepped_through(config: TrainingConfig, splits: Splits, *, engine: str) -> SteppedTraining:
    """All of its epochs, in uneven stretches."""
    stepped = SteppedTraining(config, splits, engine=engine)
    n_steps, lengths = config.epochs * stepped.steps_per_epoch, [1, 5, 2, 9]
    while stepped.n_steps < n_steps:
        length = min(lengths[stepped.n_steps % 4], n_steps - stepped.n_steps)
        before = stepped.n_steps
        stretch = stepped.train(length)
        assert stretch.n_steps == stepped.n_steps - before == length
    return stepped


@pytest.mark.parametrize("name", CONFIGS)
def test_stretches_of_any_length_train_as_a_run_does(name: str) -> None:
    """Three epochs cut into uneven stretches end at the very weights of a TrainingRun."""
    config = TrainingConfig(**({"batch_size": 7, "epochs": 3, "seed": 4} | CONFIGS[name]))
    splits = split_dataset(images(), seed=0, device="cpu")
    run, stepped = trained(config, splits), stepped_through(config, splits, engine="one_by_one")
    for mine, runs in zip(stepped.model.parameters(), run.model.parameters(), strict=True):
        assert torch.equal(mine, runs)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_engine_of_a_search_trains_as_a_run_does(name: str) -> None:
    """In float64 to the rounding, weights and validation loss."""
    config = TrainingConfig(
        **({"batch_size": 7, "epochs": 3, "seed": 4, "precision": "float64"} | CONFIGS[name])
    )
    splits = split_dataset(images(), seed=0, device="cpu")
    run, stepped = trained(config, splits), stepped_through(config, splits, engine="auto")
    for mine, runs in zip(stepped.model.parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(mine, runs, rtol=1e-9, atol=1e-12)
    found = stepped.validation_loss(splits.validation_x, splits.validation_y)
    assert found == pytest.approx(run.evaluate().loss, rel=1e-9)


def test_samples_and_time_are_counted() -> None:
    """Over the end of an epoch, too: 96 samples in batches of 10 are 9 of them and one of 6."""
    stepped = SteppedTraining(TrainingConfig(batch_size=10), split_dataset(blobs(), seed=0, device="cpu"))
    assert (stepped.steps_per_epoch, stepped.samples_per_step) == (10, 10)
    stretch = stepped.train(11)
    assert stretch.n_samples == 96 + 10
    assert stretch.seconds > 0
    assert not stretch.has_diverged


def test_divergence_ends_a_stretch() -> None:
    """Soon after the first loss that is not finite, and every later stretch says so as well."""
    config = TrainingConfig(learning_rate=1e30, batch_size=4)
    stepped = SteppedTraining(config, split_dataset(blobs(), seed=0, device="cpu"))
    assert stepped.train(500).has_diverged
    assert stepped.n_steps < 500
    assert stepped.train(1).has_diverged


def test_one_thread_is_timed_without_what_others_take() -> None:
    """By its processor time; a GPU's work is none of a thread's, so that wall time counts there."""
    assert stopwatch(torch.device("cpu")) is (
        time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    )
    assert stopwatch(torch.device("cuda")) is time.perf_counter


def test_the_callers_random_state_is_untouched() -> None:
    """Though dropout draws from torch's global generator."""
    before = torch.get_rng_state()
    SteppedTraining(TrainingConfig(dropout=0.5), split_dataset(blobs(), seed=0, device="cpu")).train(3)
    assert torch.equal(before, torch.get_rng_state())


def test_lanes_side_by_side_are_that_training_and_share_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four lanes, dropout included: the first one's numbers are those of one lane alone."""
    monkeypatch.setattr(stepping, "stopwatch", lambda _device: partial(next, itertools.count(0.0, 8.0)))
    config = TrainingConfig(batch_size=7, dropout=0.5, precision="float64")
    splits = split_dataset(images(), seed=0, device="cpu")
    alone, beside = SteppedTraining(config, splits), SteppedTraining(config, splits, n_lanes=4)
    assert (alone.train(9).seconds, beside.train(9).seconds) == (8.0, 2.0)
    for mine, theirs in zip(beside.model.parameters(), alone.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
