"""Which models the engine of the built-in perceptron takes, and which it leaves to autograd."""

import pytest
import torch
from torch import nn

from tests.tuner.training.lanes.test_mlp import ACTIVATIONS, splits_of
from tuner.training.architectures.dropout import Dropout
from tuner.training.config import TrainingConfig
from tuner.training.lanes.engine import LaneStart
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.models import build_model


def _with_hook() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    model[1].register_forward_hook(lambda *_: None)
    return model


def _frozen() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    model[1].weight.requires_grad = False
    return model


def _tied() -> nn.Module:
    linear = nn.Linear(3, 3)
    return nn.Sequential(nn.Flatten(), linear, nn.ReLU(), linear, nn.ReLU(), nn.Linear(3, 2))


class _OwnLinear(nn.Linear):
    pass


OTHER_MODELS = {
    "no sequence": nn.Linear(3, 2),
    "empty": nn.Sequential(),
    "nothing trained": nn.Sequential(nn.Flatten()),
    "no flatten": nn.Sequential(nn.Linear(3, 2)),
    "ends in an activation": nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.ReLU()),
    "two linear layers": nn.Sequential(nn.Flatten(), nn.Linear(3, 3), nn.Linear(3, 2)),
    "torch's dropout": nn.Sequential(
        nn.Flatten(), nn.Linear(3, 3), nn.ReLU(), nn.Dropout(0.1), nn.Linear(3, 2)
    ),
    "unknown activation": nn.Sequential(nn.Flatten(), nn.Linear(3, 3), nn.SiLU(), nn.Linear(3, 2)),
    "another slope": nn.Sequential(nn.Flatten(), nn.Linear(3, 3), nn.LeakyReLU(0.3), nn.Linear(3, 2)),
    "approximate gelu": nn.Sequential(nn.Flatten(), nn.Linear(3, 3), nn.GELU("tanh"), nn.Linear(3, 2)),
    "no bias": nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False)),
    "no statistics": nn.Sequential(
        nn.Flatten(),
        nn.Linear(3, 3),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.ReLU(),
        nn.Linear(3, 2),
    ),
    "plain layer norm": nn.Sequential(
        nn.Flatten(), nn.Linear(3, 3), nn.LayerNorm(3, elementwise_affine=False), nn.ReLU(), nn.Linear(3, 2)
    ),
    "hook": _with_hook(),
    "frozen": _frozen(),
    "tied": _tied(),
    "subclass": nn.Sequential(nn.Flatten(), _OwnLinear(3, 2)),
}


class TestSupport:
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
    @pytest.mark.parametrize("depth", [0, 2])
    def test_what_build_mlp_builds(self, activation: str, normalization: str, depth: int) -> None:
        """Every built-in perceptron is supported, with dropout and without."""
        for dropout in (0.0, 0.2):
            config = TrainingConfig(
                activation=activation, normalization=normalization, depth=depth, width=3, dropout=dropout
            )
            assert MlpEngine.supports(config, build_model(config, (1, 2, 2), 3))

    @pytest.mark.parametrize("name", OTHER_MODELS)
    def test_any_other_model_is_left_to_autograd(self, name: str) -> None:
        """What is not exactly such a perceptron is not supported."""
        assert not MlpEngine.supports(TrainingConfig(), OTHER_MODELS[name])

    def test_whoever_built_it(self) -> None:
        """A user's own sequence of the same layers is as good as the built-in one."""
        model = nn.Sequential(nn.Flatten(), nn.Linear(3, 5), nn.ReLU(), Dropout(0.1), nn.Linear(5, 2))
        assert MlpEngine.supports(TrainingConfig(model="mine:model"), model)

    def test_batch_normalization_of_single_samples_is_left_to_torch(self) -> None:
        """torch refuses to train a user's perceptron on one value a channel, in a sentence of its own."""
        model = build_model(TrainingConfig(normalization="batch"), (4,), 2)
        assert MlpEngine.supports(TrainingConfig(batch_size=2), model)
        assert not MlpEngine.supports(TrainingConfig(batch_size=1), model)

    def test_an_engine_refuses_what_it_does_not_support(self) -> None:
        """A model that slipped through is an error of the caller, not a wrong result."""
        start = LaneStart(config=TrainingConfig(), model=OTHER_MODELS["tied"], generator=torch.Generator())
        with pytest.raises(ValueError, match="only models that it supports"):
            MlpEngine(splits_of()).add([start])
