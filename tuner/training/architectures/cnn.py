"""A small convolutional network: two convolutions with pooling, and one hidden layer of ``width`` units."""

from collections import OrderedDict

from torch import nn

from search_spaces.errors import ConfigurationError
from tuner.training.architectures.dropout import Dropout
from tuner.training.architectures.layers import ACTIVATIONS, initialize, normalization_layer
from tuner.training.config import TrainingConfig

CHANNELS = (16, 32)
SMALLEST_SIDE = 4
"""Pixels: each of the two poolings halves the side."""


def build_cnn(config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """3x3 convolutions; ``depth`` is not used, normalization and dropout act on the hidden layer.

    Raises:
        ConfigurationError: for inputs that are no images, or smaller than 4 x 4.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < SMALLEST_SIDE:
        raise ConfigurationError(
            f"model=cnn needs images [channels, height, width] of {SMALLEST_SIDE} x {SMALLEST_SIDE} or more, "
            f"but one input is {list(input_shape)}; take model=mlp."
        )
    n_channels, height, width = input_shape
    activation = ACTIVATIONS[config.activation]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, n_filters in enumerate(CHANNELS, start=1):
        layers[f"convolution{number}"] = nn.Conv2d(n_channels, n_filters, kernel_size=3, padding=1)
        layers[f"activation{number}"] = activation()
        layers[f"pooling{number}"] = nn.MaxPool2d(2)
        n_channels, height, width = n_filters, height // 2, width // 2
    layers["flatten"] = nn.Flatten()
    layers["hidden"] = nn.Linear(n_channels * height * width, config.width)
    normalization = normalization_layer(config.normalization, config.width)
    if normalization is not None:
        layers["normalization"] = normalization
    layers["activation"] = activation()
    if config.dropout:
        layers["dropout"] = Dropout(config.dropout)
    layers["output"] = nn.Linear(config.width, n_outputs)
    model = nn.Sequential(layers)
    initialize(model, config.initialization)
    return model
