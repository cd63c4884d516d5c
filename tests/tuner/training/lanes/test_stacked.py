"""The stacked optimizers against their slow twins, which take each lane in turn."""

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.tuner.training.lanes.test_optimizers import CONFIGS
from tuner.training.config import TrainingConfig
from tuner.training.lanes.optimizers import LaneOptimizer, LaneOptimizers, Updates
from tuner.training.lanes.stacked import RULES, StackedOptimizers
from tuner.training.optimizers import Optimizer

N_STEPS = 50
TIGHT = 1e-9


def network(seed: int, *, is_frozen: bool = False) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)).double()
    model[0].weight.requires_grad_(not is_frozen)
    return model


class Twins:
    """The same lanes twice: stacked, and in turn."""

    def __init__(self, configs: Sequence[TrainingConfig], *, is_frozen: bool = False) -> None:
        self.stacked_models = [network(seed, is_frozen=is_frozen) for seed in range(len(configs))]
        self.models = [network(seed, is_frozen=is_frozen) for seed in range(len(configs))]
        self.lanes = [LaneOptimizer(*each) for each in zip(configs, self.stacked_models, strict=True)]
        self.in_turn = LaneOptimizers(LaneOptimizer(*each) for each in zip(configs, self.models, strict=True))
        self.stack()

    def stack(self) -> None:
        columns = zip(*(lane.optimizer.parameters for lane in self.lanes), strict=True)
        self.parameters = [torch.stack([each.detach() for each in column]) for column in columns]
        for position, lane in enumerate(self.lanes):
            for parameter, stack in zip(lane.optimizer.parameters, self.parameters, strict=True):
                parameter.data = stack[position]
        self.stacked = StackedOptimizers(self.lanes, self.parameters)

    def keep(self, positions: Sequence[int]) -> None:
        self.in_turn.keep(positions)
        for name in ("lanes", "models", "stacked_models"):
            setattr(self, name, [getattr(self, name)[position] for position in positions])
        self.stack()

    def add(self, config: TrainingConfig, seed: int) -> None:
        self.models.append(network(seed))
        self.stacked_models.append(network(seed))
        self.in_turn.add(config, self.models[-1])
        self.lanes.append(LaneOptimizer(config, self.stacked_models[-1]))
        self.stack()

    def step(self, number: int, *, left_out: frozenset[int] = frozenset()) -> tuple[Updates, Updates]:
        """The readings of both, after the step of that number, at rates that change from step to step."""
        generator = torch.Generator().manual_seed(number)
        gradients: list[Tensor | None] = [
            None if i in left_out else torch.randn(each.shape, generator=generator, dtype=torch.float64)
            for i, each in enumerate(self.parameters)
        ]
        rates = [0.05 / (1 + position) / (1 + number % 7) for position in range(len(self.lanes))]
        copies = [None if each is None else each.clone() for each in gradients]
        keys = {"reads_norms": True, "is_probed": number % 5 == 0}
        expected = self.in_turn.step(copies, rates, **keys)
        return self.stacked.step(gradients, torch.tensor(rates, dtype=torch.float64), **keys), expected

    def check(self) -> None:
        for mine, theirs in zip(self.stacked_models, self.models, strict=True):
            for name, tensor in theirs.state_dict().items():
                torch.testing.assert_close(mine.state_dict()[name], tensor, rtol=TIGHT, atol=TIGHT)
        for position, lane in enumerate(self.lanes):
            state, expected = lane.state_dict(), self.in_turn.state_dict(position)
            assert list(state) == list(expected)
            for name, column in expected.items():
                torch.testing.assert_close(state[name], column, rtol=TIGHT, atol=TIGHT)


def check_readings(found: Updates, expected: Updates) -> None:
    for name in ("norms", "layer_norms", "update_ratios"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=TIGHT, atol=TIGHT)


@given(configs=st.lists(CONFIGS, min_size=2, max_size=4), data=st.data())
@settings(deadline=None, max_examples=40)
def test_fifty_steps_are_those_of_each_lane_alone(configs: list[TrainingConfig], data: st.DataObject) -> None:
    """For every optimizer and option, weights, state and readings are those of the lanes in turn, to 1e-9."""
    twins = Twins(configs)
    leaves = data.draw(st.integers(0, N_STEPS))
    joins = data.draw(st.integers(0, N_STEPS))
    for number in range(N_STEPS):
        if number == leaves:
            twins.keep(list(reversed(range(1, len(twins.lanes)))))
        if number == joins:
            twins.add(configs[0], seed=9)
        check_readings(*twins.step(number))
    twins.check()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_parameter_without_a_gradient_stays(optimizer: str) -> None:
    """It keeps weight, state and count of steps, in steps between others that have one."""
    decay = {"weight_decay": 0.1, "momentum": 0.5}
    twins = Twins([TrainingConfig(optimizer=optimizer, **decay), TrainingConfig(optimizer=optimizer)])
    for number in range(6):
        twins.step(number, left_out=frozenset({1, 4}) if number % 2 else frozenset())
    twins.check()


def test_a_frozen_weight_has_its_layers_readings() -> None:
    """A weight that is not trained counts in its layer's norm, and does not move."""
    twins = Twins([TrainingConfig(), TrainingConfig(momentum=0.9)], is_frozen=True)
    for number in range(6):
        check_readings(*twins.step(number))
    twins.check()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_state_loads_where_lanes_are_stacked(optimizer: str) -> None:
    """A lane goes on from the state of a training alone, wherever it sits, and its neighbor as before."""
    configs = [TrainingConfig(optimizer=optimizer, momentum=momentum) for momentum in (0.9, 0.5)]
    twins = Twins(configs)
    for number in range(3):
        twins.step(number)
    other = Twins([configs[1]])
    for number in range(5):
        other.step(number)
    for each in (twins.lanes[1].optimizer, twins.in_turn.lanes[1].optimizer):
        each.load_state_dict(other.in_turn.state_dict(0))
    for number in range(3, 6):
        twins.step(number)
    twins.check()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_what_is_not_finite_stays_in_its_lane(optimizer: str) -> None:
    """NaN, infinity and norms beyond the type's range in one lane leave the others as they were, to the bit."""
    base = TrainingConfig(optimizer=optimizer, momentum=0.9, weight_decay=0.1)
    configs = [base, dataclasses.replace(base, clip_norm=0.5), dataclasses.replace(base, nesterov=True)]
    weights = []
    for bad in (None, torch.nan, torch.inf, 1e200):
        twins = Twins(configs)
        for number in range(3):
            gradients = [
                torch.randn(p.shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
                for p in twins.parameters
            ]
            if bad is not None:
                gradients[0][1] = bad
            twins.stacked.step(gradients, torch.full((3,), 0.01, dtype=torch.float64), reads_norms=True)
        weights.append([parameter[[0, 2]] for parameter in twins.parameters])
    for found in weights[1:]:
        assert all(map(torch.equal, found, weights[0]))


def test_a_norm_beyond_the_range_is_no_limit() -> None:
    """A lane that does not clip moves along gradients whose squares are infinite, though its neighbor clips."""
    twins = Twins([TrainingConfig(), TrainingConfig(clip_norm=1.0)])
    before = twins.parameters[0][0].clone()
    gradients = [torch.full_like(parameter, 1e200) for parameter in twins.parameters]
    twins.stacked.step(gradients, torch.full((2,), 1e-200, dtype=torch.float64))
    torch.testing.assert_close(twins.parameters[0][0], before - 1)


def test_float32_coefficients_are_those_of_the_kernels() -> None:
    """1 - beta2 is taken in float64: in float32 it would be off by 5e-5 for 0.999."""
    models = [network(seed).float() for seed in (0, 0)]
    config = TrainingConfig(optimizer="adam")
    lane, alone = (LaneOptimizer(config, model) for model in models)
    parameters = [parameter.detach()[None] for parameter in lane.optimizer.parameters]
    stacked = StackedOptimizers([lane], parameters)
    gradients = [torch.ones_like(parameter) for parameter in parameters]
    stacked.step([each.clone() for each in gradients], torch.tensor([0.01], dtype=torch.float64))
    alone.step([each[0] for each in gradients], 0.01)
    torch.testing.assert_close(lane.state_dict()["square"], alone.state_dict()["square"], rtol=3e-7, atol=0.0)


def test_every_optimizer_has_a_rule() -> None:
    """A new optimizer needs a stacked form, too."""

    def kinds(of: type[Optimizer]) -> set[type[Optimizer]]:
        return {each for child in of.__subclasses__() for each in {child, *kinds(child)}}

    assert {kind for kind in kinds(Optimizer) if kind.__module__.startswith("tuner.")} == set(RULES)
