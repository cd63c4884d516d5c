"""A training a few steps at a time is the training."""

import time
from typing import Any

import pytest
import torch

from tests.problems import blobs, images
from tuner.training.batching.stepping import SteppedTraining, stopwatch
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.loop import TrainingRun

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "adam clipped": {"optimizer": "adam", "learning_rate": 0.01, "clip_norm": 0.5},
    "accumulated": {"accumulation_steps": 3, "order_seed": 5},
    "dropout and batch norm": {"dropout": 0.5, "normalization": "batch"},
    "augmented": {"augmentation": 0.5},
    "scaled rate": {"batch_lr_rule": "linear", "base_batch_size": 32},
    "full batch": {"batch_size": "full"},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_stretches_of_any_length_train_as_a_run_does(name: str) -> None:
    """Three epochs cut into uneven stretches end at the very weights of a TrainingRun."""
    config = TrainingConfig(**({"batch_size": 7, "epochs": 3, "seed": 4} | CONFIGS[name]))
    splits = split_dataset(images(), seed=0, device="cpu")
    run = TrainingRun(config, splits)
    for _ in run.epochs():
        pass
    stepped = SteppedTraining(config, splits)
    n_steps, lengths = 3 * stepped.steps_per_epoch, [1, 5, 2, 9]
    while stepped.n_steps < n_steps:
        length = min(lengths[stepped.n_steps % 4], n_steps - stepped.n_steps)
        before = stepped.n_steps
        stretch = stepped.train(length)
        assert stretch.n_steps == stepped.n_steps - before == length
    for mine, runs in zip(stepped.model.parameters(), run.model.parameters(), strict=True):
        assert torch.equal(mine, runs)


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
