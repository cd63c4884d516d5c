"""Networks that start as no training should, and some sound ones beside the built-in kinds."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from benchmarks.diagnosis.case import Planted
from tuner.training.architectures.layers import ACTIVATIONS, initialize
from tuner.training.config import TrainingConfig
from tuner.training.models import ModelBuilder, build_model

CHANNELS = 8
"""Of every layer of a deep convolutional network."""

Network = Callable[[TrainingConfig, tuple[int, ...], int, float], nn.Module]


def builder(network: Planted | None) -> ModelBuilder | None:
    """A model function of the toolkit; None where the config's own model is meant."""
    if network is None:
        return None
    build, strength = NETWORKS[network.name], network.strength

    def model(config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return build(config, input_shape, n_outputs, strength)

    return model


def _layers(model: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def _bias(layer: nn.Linear | nn.Conv2d) -> Tensor:
    assert layer.bias is not None  # noqa: S101 - all layers here have one
    return layer.bias


def _built_in(config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    return build_model(config, input_shape, n_outputs)


@torch.no_grad()
def _negative_biases(
    config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, strength: float
) -> nn.Module:
    """Every hidden unit starts with a bias of minus ``strength``."""
    model = _built_in(config, input_shape, n_outputs)
    for layer in _layers(model)[:-1]:
        _bias(layer).fill_(-strength)
    return model


@torch.no_grad()
def _deviation(
    config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, strength: float
) -> nn.Module:
    """All weights are normal with a deviation of ``strength``, whatever the size of the layer."""
    model = _built_in(config, input_shape, n_outputs)
    for layer in _layers(model):
        layer.weight.normal_(0, strength)
        _bias(layer).zero_()
    return model


@torch.no_grad()
def _constant(
    config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, strength: float
) -> nn.Module:
    """All weights are ``strength``: the units of a layer never differ."""
    model = _built_in(config, input_shape, n_outputs)
    for layer in _layers(model):
        layer.weight.fill_(strength)
        _bias(layer).zero_()
    return model


@torch.no_grad()
def _copied_units(
    config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, strength: float
) -> nn.Module:
    """Every hidden layer has ``strength`` different units; the others start as copies of these."""
    model = _built_in(config, input_shape, n_outputs)
    n_before = 0  # units of the layer before that differ; 0 is all of them
    for layer in _layers(model)[:-1]:
        weight = layer.weight
        originals = torch.arange(len(weight)) % int(strength)
        weight.copy_(weight[originals])
        if n_before:  # copies of one unit must have equal weights behind them too, or they part at once
            weight.copy_(weight[:, torch.arange(weight.shape[1]) % n_before])
        n_before = int(strength)
    last = _layers(model)[-1]
    n_each = last.weight.shape[1] // _n_units(model)
    units = torch.arange(last.weight.shape[1]) // n_each
    last.weight.copy_(last.weight[:, (units % n_before) * n_each + torch.arange(len(units)) % n_each])
    return model


def _n_units(model: nn.Module) -> int:
    """Of the last hidden layer, each of which may reach the output layer through several pixels."""
    return len(_layers(model)[-2].weight)


@torch.no_grad()
def _magnified(
    config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, strength: float
) -> nn.Module:
    """The weights of the output layer are ``strength`` times what the initialization says: a huge first loss."""
    model = _built_in(config, input_shape, n_outputs)
    _layers(model)[-1].weight.mul_(strength)
    return model


@torch.no_grad()
def _negative_weights(
    config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, strength: float
) -> nn.Module:
    """A ``strength`` share of the first layer's units have no weight above zero: no image wakes them."""
    model = _built_in(config, input_shape, n_outputs)
    first = _layers(model)[0].weight
    n = round(strength * len(first))
    first[:n] = -first[:n].abs()
    return model


@torch.no_grad()
def _negative_inner_biases(
    config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, strength: float
) -> nn.Module:
    """The units of the last hidden layer alone start with a bias of minus ``strength``."""
    model = _built_in(config, input_shape, n_outputs)
    _bias(_layers(model)[-2]).fill_(-strength)
    return model


@torch.no_grad()
def _gain(config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, strength: float) -> nn.Module:
    """The weights of every hidden layer are ``strength`` times what the initialization says."""
    model = _deep_or_built_in(config, input_shape, n_outputs)
    for layer in _layers(model)[:-1]:
        layer.weight.mul_(strength)
    return model


def _deep(
    config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, _strength: float
) -> nn.Module:
    """As many layers as ``depth`` says, convolutions where the model is a cnn."""
    return _deep_or_built_in(config, input_shape, n_outputs)


def _deep_or_built_in(config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    if config.model != "cnn":
        return _built_in(config, input_shape, n_outputs)
    channels, height, width = input_shape
    layers: list[nn.Module] = []
    for number in range(config.depth):
        layers += [nn.Conv2d(channels, CHANNELS, 3, padding=1), ACTIVATIONS[config.activation]()]
        channels = CHANNELS
        if number == 0:
            layers.append(nn.AvgPool2d(2))
    layers += [nn.Flatten(), nn.Linear(channels * (height // 2) * (width // 2), n_outputs)]
    model = nn.Sequential(*layers)
    initialize(model, config.initialization)
    return model


def _linear(
    _config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, _strength: float
) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), n_outputs))


class _Normalized(nn.Module):
    """Convolutions with batch normalization, mean pooling, and one linear layer."""

    def __init__(self, channels: int, width: int, n_outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
        )
        self.head = nn.Linear(2 * width * 9, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x)
        outputs: Tensor = self.head(features.flatten(1))
        return outputs


def _batch_normalized(
    _config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int, strength: float
) -> nn.Module:
    """``strength`` channels."""
    return _Normalized(input_shape[0], int(strength), n_outputs)


NETWORKS: Mapping[str, Network] = {
    "negative_biases": _negative_biases,
    "deviation": _deviation,
    "constant": _constant,
    "copied_units": _copied_units,
    "magnified": _magnified,
    "negative_weights": _negative_weights,
    "negative_inner_biases": _negative_inner_biases,
    "gain": _gain,
    "deep": _deep,
    "linear": _linear,
    "batch_normalized": _batch_normalized,
}
