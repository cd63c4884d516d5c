"""The convolutional network of the fresh part, as a person would bring it: ``module:function``."""

from torch import nn

from tuner.training.architectures.layers import ACTIVATIONS, initialize
from tuner.training.config import TrainingConfig

N_POOLED = 2
"""Layers from the first on that a pooling follows, each of which halves the side."""


def convolutional(config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """``depth`` convolutions of ``width`` channels, each normalized, and one linear layer on what is left."""
    channels, height, width = input_shape
    layers: list[nn.Module] = []
    for number in range(config.depth):
        layers += [nn.Conv2d(channels, config.width, 3, padding=1), *_normalization(config)]
        layers.append(ACTIVATIONS[config.activation]())
        channels = config.width
        if number < N_POOLED:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    layers.append(nn.Flatten())
    if config.dropout:
        layers.append(nn.Dropout(config.dropout))
    layers.append(nn.Linear(channels * height * width, n_outputs))
    model = nn.Sequential(*layers)
    initialize(model, config.initialization)
    return model


def _normalization(config: TrainingConfig) -> list[nn.Module]:
    if config.normalization == "none":
        return []
    if config.normalization == "batch":
        return [nn.BatchNorm2d(config.width)]
    return [nn.GroupNorm(1, config.width)]
