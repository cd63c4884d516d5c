"""Lanes that are stepped as one likes; tests/tuner/training/batching and rate compare them with whole trainings."""

import pytest
import torch

from tests.problems import blobs
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.lanes.stepping import SteppedLanes

RATES = [0.1] * 9


@pytest.fixture
def splits() -> Splits:
    return split_dataset(blobs(), device="cpu")


def lanes_of(splits: Splits, seeds: list[int]) -> SteppedLanes:
    config = TrainingConfig(batch_size=16, width=8, dropout=0.3, precision="float64")
    lanes = SteppedLanes(config, splits, engine="mlp", reads_norms=True, has_whole_steps=False)
    for position, seed in enumerate(seeds):
        lanes.start(position, lanes.untrained(seed))
    return lanes


def test_lanes_of_one_seed_are_one_training_whoever_sits_between_them(splits: Splits) -> None:
    """They share their samples, and none of them goes through the data faster for it."""
    alone = lanes_of(splits, [0]).advance({0: RATES})[0]
    beside = lanes_of(splits, [0, 1, 0]).advance(dict.fromkeys(range(3), RATES))
    for position in (0, 2):
        torch.testing.assert_close(beside[position], alone, rtol=1e-9, atol=0)
    assert not torch.allclose(beside[1], alone)


def test_a_lane_that_ends_leaves_the_others_as_they_were(splits: Splits) -> None:
    """Its position is free, and may be taken by another that begins at the beginning."""
    alone = lanes_of(splits, [1]).advance({0: RATES * 2})[0]
    lanes = lanes_of(splits, [0, 1])
    first = lanes.advance({0: RATES, 1: RATES})
    lanes.end(0)
    lanes.start(0, lanes.untrained(1))
    second = lanes.advance({0: RATES, 1: RATES})
    torch.testing.assert_close(torch.cat([first[1], second[1]]), alone, rtol=1e-9, atol=0)
    torch.testing.assert_close(second[0], alone[: len(RATES)], rtol=1e-9, atol=0)
