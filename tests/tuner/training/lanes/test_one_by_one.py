import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.tuner.training.lanes.contracts import EngineContract
from tests.tuner.training.lanes.twins import assert_same_course, config_of, digits, trained_alone
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.lanes.engines import EngineBuilder
from tuner.training.lanes.one_by_one import OneByOneEngine


class TestOneByOneEngine(EngineContract):
    @pytest.fixture
    def engine_of(self) -> EngineBuilder:
        return OneByOneEngine


class Noisy(nn.Module):
    """Draws of its own in train mode, and a buffer that counts."""

    calls: Tensor

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)
        self.register_buffer("calls", torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.linear(x.flatten(1))
        if self.training:
            self.calls += 1
            outputs = outputs + 0.1 * torch.randn(outputs.shape, dtype=outputs.dtype)
        return outputs


def noisy(_config: TrainingConfig, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    return Noisy(math.prod(shape), n_outputs)


def test_a_module_that_draws_for_itself() -> None:
    """Its random numbers, buffers and dropout are those it has alone."""
    configs = [config_of(seed=seed, order_seed=0, epochs=3) for seed in (0, 1)]
    cohort = Cohort(digits(), model=noisy, engine="one_by_one")
    lanes = [cohort.admit(config) for config in configs]
    while cohort.advance():
        pass
    for lane, config in zip(lanes, configs, strict=True):
        assert_same_course(lane, trained_alone(config, digits(), noisy))
    assert float(lanes[0].model.calls) == 30  # what the probe of step zero adds is taken back


class Restless(nn.Module):
    """Drops units in eval mode, too, as for an estimate of uncertainty."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.linear(functional.dropout(x.flatten(1), 0.2, training=True))
        return outputs


def restless(_config: TrainingConfig, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    return Restless(math.prod(shape), n_outputs)


@pytest.mark.parametrize("engine", ["one_by_one", "auto"])
def test_a_module_that_draws_in_eval_mode(engine: str) -> None:
    """Untrained, validated and probed, it draws from its lane's stream, and never from the caller's."""
    configs = [config_of(seed=seed, order_seed=0, epochs=2) for seed in (0, 1)]
    torch.manual_seed(3)
    before = torch.get_rng_state()
    cohort = Cohort(digits(), model=restless, engine=engine)
    lanes = [cohort.admit(config) for config in configs]
    while cohort.advance():
        pass
    assert torch.equal(torch.get_rng_state(), before)
    for lane, config in zip(lanes, configs, strict=True):
        assert_same_course(lane, trained_alone(config, digits(), restless))


def test_each_lane_may_have_another_network() -> None:
    """A user's function may build fewer or more layers, by any key; each lane still reads its own."""

    def varied(config: TrainingConfig, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        sizes = [math.prod(shape), *([6] * config.seed), n_outputs]
        return nn.Sequential(nn.Flatten(), *(nn.Linear(a, b) for a, b in pairwise(sizes)))

    cohort = Cohort(digits(), model=varied, engine="one_by_one")
    lanes = [cohort.admit(config_of(seed=seed, epochs=2, learning_rate=0.01)) for seed in (0, 2, 1)]
    while cohort.advance():
        pass
    assert [len(lane.telemetry().epochs[1].layers) for lane in lanes] == [1, 3, 2]
    for lane in lanes:
        assert_same_course(lane, trained_alone(lane.config, digits(), varied))


class Centering(nn.Module):
    """Changes its input in place."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.linear(x.mul_(0.5).flatten(1))
        return outputs


@pytest.mark.parametrize("engine", ["one_by_one", "auto"])
def test_a_module_that_changes_its_input_in_place(engine: str) -> None:
    """Each lane has samples of its own to change, though all train on the same."""

    def centering(_config: TrainingConfig, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return Centering(math.prod(shape), n_outputs)

    configs = [config_of(learning_rate=rate, epochs=2) for rate in (0.1, 0.2)]
    cohort = Cohort(digits(), model=centering, engine=engine)
    lanes = [cohort.admit(config) for config in configs]
    while cohort.advance():
        pass
    for lane, config in zip(lanes, configs, strict=True):
        assert_same_course(lane, trained_alone(config, digits(), centering))
