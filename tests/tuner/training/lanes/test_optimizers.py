import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tuner.training.config import TrainingConfig
from tuner.training.lanes.optimizers import LaneOptimizers
from tuner.training.one_epoch import CLIP_EPSILON
from tuner.training.optimizers import build_optimizer
from tuner.training.probes import UpdateProbe, watched_layers

N_STEPS = 6
RATES = (0.1, 0.01, 0.03)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)).double()


def gradients(step: int, n_lanes: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    parameters = list(network(0).parameters())
    return [torch.randn(n_lanes, *p.shape, generator=generator, dtype=torch.float64) for p in parameters]


def started(configs: list[TrainingConfig]) -> tuple[LaneOptimizers, list[nn.Module]]:
    optimizers, models = LaneOptimizers(), [network(seed) for seed in range(len(configs))]
    for config, model in zip(configs, models, strict=True):
        optimizers.add(config, model)
    return optimizers, models


class Alone:
    """One lane's network, updated as the training loop does it."""

    def __init__(self, config: TrainingConfig, lane: int) -> None:
        self.config, self.lane = config, lane
        self.model = network(lane)
        self.optimizer = build_optimizer(config, self.model.parameters())
        self.probe = UpdateProbe(layers=watched_layers(self.model))

    def step(self, stacked: list[Tensor]) -> Tensor:
        """The global norm before clipping."""
        parameters = list(self.model.parameters())
        for parameter, gradient in zip(parameters, stacked, strict=True):
            parameter.grad = gradient[self.lane].clone()
        norm = torch.cat([parameter.grad.flatten() for parameter in parameters]).norm()
        self.probe.before()
        if self.config.clipping and self.config.clip_norm:
            for parameter in parameters:
                parameter.grad *= (self.config.clip_norm / (norm + CLIP_EPSILON)).clamp(max=1.0)
        self.optimizer.step(RATES[self.lane])
        self.probe.after()
        return norm


CONFIGS = st.builds(
    TrainingConfig,
    optimizer=st.shared(st.sampled_from(["sgd", "adam", "adamw", "rmsprop"]), key="optimizer"),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
    beta1=st.sampled_from([0.5, 0.9]),
    beta2=st.sampled_from([0.9, 0.999]),
    alpha=st.sampled_from([0.5, 0.99]),
    epsilon=st.sampled_from([None, 1e-4]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    weight_decay_kind=st.sampled_from(["auto", "decoupled"]),
    clip_norm=st.sampled_from([0.0, 0.5, 100.0]),
    clipping=st.booleans(),
)


@given(configs=st.lists(CONFIGS, min_size=3, max_size=3))
@settings(deadline=None, max_examples=40)
def test_each_lane_moves_as_it_does_alone(configs: list[TrainingConfig]) -> None:
    """Whatever the neighbors' rates, momenta, decays and clipping, a lane's weights and readings are its own."""
    optimizers, models = started(configs)
    alone = [Alone(config, lane) for lane, config in enumerate(configs)]
    for step in range(N_STEPS):
        norms = torch.stack([lane.step(gradients(step, 3)) for lane in alone])
        updates = optimizers.step(gradients(step, 3), RATES, reads_norms=True, is_probed=True)
        torch.testing.assert_close(updates.norms, norms)
        for lane, twin in enumerate(alone):
            expected_norms, expected_ratios = twin.probe._norms[-1]
            torch.testing.assert_close(updates.layer_norms[lane], expected_norms)
            torch.testing.assert_close(updates.update_ratios[lane], expected_ratios)
    for model, twin in zip(models, alone, strict=True):
        for mine, expected in zip(model.parameters(), twin.model.parameters(), strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-12, atol=1e-14)


def test_readings_are_made_only_where_they_are_asked_for() -> None:
    """Without norms and probe a step reads nothing, though a lane clips."""
    optimizers, _ = started([TrainingConfig(clip_norm=0.1), TrainingConfig()])
    updates = optimizers.step(gradients(0, 2), RATES[:2])
    assert (updates.norms, updates.layer_norms, updates.update_ratios) == (None, None, None)


def test_a_lane_that_is_not_finite_changes_no_other() -> None:
    """NaN gradients in a lane that clips leave the other lanes' weights as they would be, to the bit."""
    config = TrainingConfig(clip_norm=0.5, momentum=0.9)
    weights = []
    for is_bad in (False, True):
        optimizers, models = started([config] * 3)
        stacked = gradients(0, 3)
        if is_bad:
            stacked[0][1] = torch.nan
        optimizers.step(stacked, RATES)
        weights.append([model[0].weight for model in models])
    assert weights[1][1].isnan().all()
    assert torch.equal(weights[0][0], weights[1][0])
    assert torch.equal(weights[0][2], weights[1][2])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_lanes_leave_and_take_their_state_along(optimizer: str) -> None:
    """After some lanes are gone, and others stand elsewhere, the rest go on with their own state."""
    config = TrainingConfig(optimizer=optimizer, momentum=0.9)
    optimizers, models = started([config] * 3)
    alone = [Alone(config, lane) for lane in range(3)]
    for step in range(2):
        optimizers.step(gradients(step, 3), RATES)
        for twin in alone:
            twin.step(gradients(step, 3))
    optimizers.keep([2, 0])
    optimizers.step([gradient[[2, 0]] for gradient in gradients(2, 3)], (RATES[2], RATES[0]))
    for lane in (2, 0):
        alone[lane].step(gradients(2, 3))
        torch.testing.assert_close(models[lane][0].weight, alone[lane].model[0].weight)


def test_a_lanes_state_is_that_of_its_optimizer_alone() -> None:
    """State taken from a lane loads into the optimizer of a training, and the other way round; it is a copy."""
    config = TrainingConfig(optimizer="adam")
    optimizers, _ = started([config] * 2)
    optimizers.step(gradients(0, 2), RATES[:2])
    twin = Alone(config, 1)
    state = optimizers.state_dict(1)
    twin.optimizer.load_state_dict(state)
    optimizers.step(gradients(1, 2), RATES[:2])
    assert twin.optimizer.state_dict()["n_steps"][0] == 1
    assert torch.equal(twin.optimizer.state_dict()["mean"][0], state["mean"][0])
    optimizers.load_state_dict(1, twin.optimizer.state_dict())
    assert torch.equal(optimizers.state_dict(1)["mean"][0], state["mean"][0])
