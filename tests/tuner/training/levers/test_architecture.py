"""What each lever of architecture promises is what the network is made of."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search_spaces.catalog import lever
from tests.tuner.training.levers.measured import BLOBS, IMAGES, near, numbers, trained
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.loop import TrainingRun


def layers(splits: Splits = BLOBS, **keys: Any) -> list[nn.Module]:
    """The modules of the network that is trained, but for the outermost."""
    return [*trained(splits, epochs=1, **keys).model.modules()][1:]


def test_model() -> None:
    """cnn has convolutions, which do not mind where a pattern is; mlp has none."""
    kinds = {name: {type(layer) for layer in layers(IMAGES, model=name)} for name in ("mlp", "cnn")}
    assert nn.Conv2d in kinds["cnn"]
    assert nn.Conv2d not in kinds["mlp"]


def test_depth() -> None:
    """So many hidden layers before the output."""
    for depth in (1, 3, 5):
        assert sum(isinstance(layer, nn.Linear) for layer in layers(depth=depth)) == depth + 1


def test_width() -> None:
    """So many units in each hidden layer."""
    for width in (5, 64):
        hidden = [layer for layer in layers(depth=2, width=width) if isinstance(layer, nn.Linear)][:-1]
        assert [layer.out_features for layer in hidden] == [width, width]


def test_activation() -> None:
    """The hidden layer's output is that function of what comes in."""
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": lambda x: x.clamp(min=0),
        "sigmoid": lambda x: 1 / (1 + (-x).exp()),
        "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
        "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
        "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
        "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
        "selu": lambda x: 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (x.exp() - 1)),
    }
    assert set(functions) == set(lever("activation").distribution.choices)  # type: ignore[attr-defined]
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    for name, function in functions.items():
        assert numbers(layers(activation=name)[2](x)) == near(function(x))


def test_normalization() -> None:
    """In training, batch makes each unit of mean 0 and deviation 1 over the batch, layer each sample over its units."""
    for name, axis in {"batch": 0, "layer": 1}.items():
        _, linear, normalization, *_ = [
            layer.double() for layer in layers(normalization=name, learning_rate=1e-9)
        ]
        out = normalization.train()(5 + 100 * linear(BLOBS.train_x.double())).detach()
        assert float(out.mean(axis).abs().max()) < 1e-6
        assert float((out.std(axis, correction=0) - 1).abs().max()) < 1e-2
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.LayerNorm) for layer in layers())


def test_initialization() -> None:
    """First weights are uniform up to the bound of the scheme's paper; torch's own have biases, too."""
    n_in, n_out = 4, 400
    bounds = {
        "default": 1 / math.sqrt(n_in),
        "glorot": math.sqrt(6 / (n_in + n_out)),
        "he": math.sqrt(6 / n_in),
        "lecun": math.sqrt(3 / n_in),
    }
    for name, bound in bounds.items():
        first = TrainingRun(TrainingConfig(initialization=name, width=n_out), BLOBS).model.hidden1
        assert float(first.weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)
        assert bool(first.bias.detach().any()) == (name == "default")
