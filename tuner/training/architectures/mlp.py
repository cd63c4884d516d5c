"""The multilayer perceptron: ``depth`` hidden layers of ``width`` units."""

import math
from collections import OrderedDict

from torch import nn

from tuner.training.architectures.dropout import Dropout
from tuner.training.architectures.layers import ACTIVATIONS, initialize, normalization_layer
from tuner.training.config import TrainingConfig


def build_mlp(config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """Linear, normalization, activation and dropout, ``depth`` times, then the output layer."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    n_inputs = math.prod(input_shape)
    for number in range(1, config.depth + 1):
        layers[f"hidden{number}"] = nn.Linear(n_inputs, config.width)
        normalization = normalization_layer(config.normalization, config.width)
        if normalization is not None:
            layers[f"normalization{number}"] = normalization
        layers[f"activation{number}"] = ACTIVATIONS[config.activation]()
        if config.dropout:
            layers[f"dropout{number}"] = Dropout(config.dropout)
        n_inputs = config.width
    layers["output"] = nn.Linear(n_inputs, n_outputs)
    model = nn.Sequential(layers)
    initialize(model, config.initialization)
    return model
