"""The range test of a config: its steps are those of a training, and sweeps side by side are those one by one."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from search_spaces.errors import ConfigurationError
from studies.encoding import jsonable
from tests.problems import blobs, line, linear_model
from tests.tuner.training.rate.learners import Untold
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.learning_rate_range import RangeProgress, learning_rate_range
from tuner.training.loop import TrainingRun
from tuner.training.rate.asking import together
from tuner.training.rate.config_lanes import ConfigLanes
from tuner.training.rate.plan import SweepPlan
from tuner.training.rate.sweep import Sweep, sweeping

SHORT: dict[str, Any] = {"n_sweeps": 2, "n_steps": 60, "hold_steps": 30}
SHORTEST: dict[str, Any] = {"n_sweeps": 1, "n_steps": 60, "hold_steps": 30}


def losses_of(lanes: ConfigLanes, seed: int, rates: list[float]) -> list[float]:
    """The losses of a lane at position 0, from its untrained weights on."""
    lanes.start(0, seed)
    return list(lanes.advance({0: rates})[0])


@pytest.fixture
def splits() -> Splits:
    return split_dataset(blobs(spread=1.0), device="cpu")


@pytest.mark.parametrize(
    "keys",
    [
        {"optimizer": "adam", "dropout": 0.3, "depth": 2, "normalization": "batch"},
        {"momentum": 0.9, "clip_norm": 0.5, "accumulation_steps": 2},
        {"batch_lr_rule": "linear", "base_batch_size": 64},
        {"batch_size": "full"},
    ],
)
def test_its_steps_are_those_of_a_training(splits: Splits, keys: dict[str, Any]) -> None:
    """At a constant rate, loss for loss over two epochs (of whole steps)."""
    config = TrainingConfig(**({"batch_size": 16, "width": 8, "learning_rate": 0.05, "epochs": 2} | keys))
    run = TrainingRun(config, splits)
    for _ in run.epochs():
        pass
    steps = [block for block in run.telemetry().steps if block.epoch > 0]
    n_samples = 96 if config.batch_size == "full" else 16 * config.accumulation_steps
    n_whole = 96 // n_samples
    wanted = [float(loss) for block in steps for loss in block.train_loss[:n_whole]]
    losses = losses_of(ConfigLanes(config, splits), config.seed, [0.05] * len(wanted))
    assert losses == pytest.approx(wanted, abs=1e-6)


def test_starting_again_forgets(splits: Splits) -> None:
    """The same seed gives the same losses, another seed others, whatever was trained before."""
    lanes = ConfigLanes(TrainingConfig(dropout=0.2, batch_size=16, width=8), splits)
    seen = [losses_of(lanes, seed, [0.1] * 20) for seed in (0, 1, 0)]
    assert seen[0] == seen[2] != seen[1]


def test_the_callers_randomness_is_untouched(splits: Splits) -> None:
    """And the result does not depend on it."""
    config = TrainingConfig(dropout=0.2, batch_size=16, width=8)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = learning_rate_range(config, splits, **SHORT)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = learning_rate_range(config, splits, **SHORT)
    assert jsonable(first.to_json()) == jsonable(again.to_json())


def test_the_rate_is_meant_for_the_config(splits: Splits) -> None:
    """Under batch_lr_rule a rate is one of the base batch, and is carried to the batch as in a training."""
    plain = TrainingConfig(batch_size=32, width=8)
    ruled = dataclasses.replace(plain, batch_lr_rule="linear", base_batch_size=8)
    losses = losses_of(ConfigLanes(ruled, splits), 0, [0.1] * 12)
    assert losses == losses_of(ConfigLanes(plain, splits), 0, [0.4] * 12)


def test_its_own_learning_rate_schedule_and_warmup_play_no_part(splits: Splits) -> None:
    """Only what the rate is tested for does."""
    bare = TrainingConfig(batch_size=16, width=8)
    dressed = dataclasses.replace(bare, learning_rate=7.0, schedule="cosine", warmup_steps=5, patience=2)
    found = [learning_rate_range(config, splits, **SHORTEST).to_json() for config in (bare, dressed)]
    assert jsonable(found[0]) == jsonable(found[1])


def test_a_suggestion_that_trains(splits: Splits) -> None:
    """The blobs are learned at the suggested rate, and the sweeps differ in their seeds."""
    config = TrainingConfig(batch_size=16, width=8, epochs=10)
    found = learning_rate_range(config, splits, n_sweeps=3, n_steps=60, hold_steps=60)
    assert found.reliable, found.reason
    run = TrainingRun(dataclasses.replace(config, learning_rate=found.suggested), splits)
    for _ in run.epochs():
        pass
    assert (run.value("validation_accuracy") or 0.0) > 0.9
    assert [sweep.seed for sweep in found.sweeps] == [0, 1, 2]
    assert not np.array_equal(found.sweeps[0].ramp.loss, found.sweeps[1].ramp.loss)


def test_a_data_set_is_split_as_the_config_says() -> None:
    """The train part of its split is what is trained on."""
    config = TrainingConfig(batch_size=16, width=8, split="last", validation_fraction=0.5)
    split = split_dataset(blobs(), split="last", validation_fraction=0.5, device="cpu")
    found = [
        learning_rate_range(config, data, device="cpu", **SHORTEST).to_json() for data in (blobs(), split)
    ]
    assert jsonable(found[0]) == jsonable(found[1])


def test_a_model_function(splits: Splits) -> None:
    """Instead of the config's."""
    found = learning_rate_range(TrainingConfig(batch_size=16), splits, model=linear_model, **SHORT)
    assert found.steepest is not None


def test_progress(splits: Splits) -> None:
    """Steps rise to the number that is expected, sweep by sweep, with an estimate of the time left."""
    seen: list[RangeProgress] = []
    learning_rate_range(TrainingConfig(batch_size=16, width=8), splits, **SHORT, on_progress=seen.append)
    assert [p.n_steps for p in seen] == sorted({p.n_steps for p in seen})
    assert {p.sweep for p in seen} == {1, 2}
    assert all(p.n_steps <= p.n_expected_steps and p.eta_seconds >= 0 for p in seen)
    assert seen[0].n_expected_steps > seen[0].n_steps


def test_all_faults_of_a_call_at_once(splits: Splits) -> None:
    """Each a sentence with what we got."""
    with pytest.raises(ConfigurationError, match=r"low < high.*low=1 and high=0\.1") as caught:
        learning_rate_range(TrainingConfig(), splits, low=1, high=0.1, n_steps=3, n_sweeps=0)
    assert "at least 30 steps each, but got 3 and 400" in str(caught.value)
    assert "one sweep is needed, but got 0" in str(caught.value)


def swept(config: TrainingConfig, splits: Splits, n_at_once: int, *, engine: str = "auto") -> list[Sweep]:
    """Five sweeps, over rates that go far beyond the limit."""
    plan = SweepPlan(low=1e-3, high=1e3, n_steps=60, hold_steps=60)
    askings = [sweeping(plan, seed=seed) for seed in range(5)]
    lanes = ConfigLanes(config, splits, engine=engine)
    return together(lanes, askings, Untold(), n_at_once=n_at_once)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"optimizer": "adam", "dropout": 0.3, "depth": 2, "normalization": "batch"},
        {"momentum": 0.9, "clip_norm": 0.5, "accumulation_steps": 2},
    ],
)
def test_sweeps_in_lanes_are_sweeps_one_after_another(splits: Splits, keys: dict[str, Any]) -> None:
    """Loss for loss, though lanes start again and end at different times; three of five at once."""
    config = TrainingConfig(**({"batch_size": 16, "width": 8, "precision": "float64"} | keys))
    alone, beside = swept(config, splits, 1), swept(config, splits, 3)
    assert len({len(sweep.held) for sweep in alone}) > 1
    for mine, theirs in zip(beside, alone, strict=True):
        np.testing.assert_allclose(mine.ramp.loss[:40], theirs.ramp.loss[:40], rtol=1e-9)
        assert (mine.highest_stable, mine.lowest_unstable) == (theirs.highest_stable, theirs.lowest_unstable)


def test_sweeps_whose_lanes_diverge_are_sweeps_one_after_another() -> None:
    """A linear regression does reach infinity; its lane then starts again, and no other notices."""
    splits = split_dataset(line(), device="cpu")
    config = TrainingConfig(batch_size=16, depth=0)
    alone, beside = swept(config, splits, 1), swept(config, splits, 3)
    assert any(np.isinf(held.late_losses).all() for sweep in alone for held in sweep.held)
    for mine, theirs in zip(beside, alone, strict=True):
        assert mine.highest_stable == pytest.approx(theirs.highest_stable, rel=0.1)
        for one, other in zip(mine.held, theirs.held, strict=True):
            if one.learning_rate <= (mine.highest_stable or 0.0):
                np.testing.assert_allclose(one.late_losses, other.late_losses, rtol=1e-3, atol=1e-6)


def test_sweeps_in_lanes_are_in_float32_what_they_are_one_after_another(splits: Splits) -> None:
    """Over the stable part of the ramp to a thousandth, and the limit to a rung of the bisection."""
    config = TrainingConfig(batch_size=16, width=8)
    for mine, theirs in zip(swept(config, splits, 5), swept(config, splits, 1), strict=True):
        np.testing.assert_allclose(mine.ramp.loss[:40], theirs.ramp.loss[:40], rtol=1e-3)
        assert mine.highest_stable == pytest.approx(theirs.highest_stable, rel=0.1)


def test_a_lane_that_diverges_changes_no_other(splits: Splits) -> None:
    """Beside a lane at rates of 1e30 the losses are those beside one at the same rates."""
    found = []
    for others in (0.1, 1e30):
        lanes = ConfigLanes(TrainingConfig(batch_size=16, width=8, dropout=0.2), splits)
        lanes.start(0, seed=0)
        lanes.start(1, seed=1)
        found.append(list(lanes.advance({0: [others] * 30, 1: [0.1] * 30})[1]))
        lanes.end(0)
        found[-1] += list(lanes.advance({1: [0.1] * 30})[1])
    assert found[0] == found[1]
    assert np.isfinite(found[0]).all()
