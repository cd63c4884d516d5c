"""What the built-in models are made of: activations, normalizations, initializations by name."""

import math

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "selu": nn.SELU,
}


def normalization_layer(name: str, width: int) -> nn.Module | None:
    """The layer that goes between ``width`` units and their activation; None for none."""
    if name == "none":
        return None
    return nn.BatchNorm1d(width) if name == "batch" else nn.LayerNorm(width)


def initialize(model: nn.Module, name: str) -> None:
    """Draw the weights of all linear and convolution layers anew, uniformly, with zero biases.

    default leaves torch's own. Sources: Glorot & Bengio 2010, He et al. 2015, LeCun et al. 1998; the bounds
    are those that Keras calls glorot_uniform, he_uniform and lecun_uniform.
    """
    if name == "default":
        return
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)  # noqa: SLF001 - torch's only way
            bound = {
                "glorot": math.sqrt(6 / (fan_in + fan_out)),
                "he": math.sqrt(6 / fan_in),
                "lecun": math.sqrt(3 / fan_in),
            }[name]
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
