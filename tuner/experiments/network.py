"""What the article's experiments share: 784-128-10 with ReLU, plain SGD, and the last fifth for validation."""

from search_spaces import Space
from search_spaces.lever import Value

_NETWORK: dict[str, Value] = {
    "model": "mlp",
    "depth": 1,
    "width": 128,
    "activation": "relu",
    "normalization": "none",
    "initialization": "glorot",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.0,
    "batch_size": 32,  # Keras' default, with which the article trained
    "schedule": "constant",
    "input_scaling": "unit",
    "split": "last",
    "validation_fraction": 0.2,
    # A training that blows up goes on to its last epoch, so that there is a final accuracy to speak of.
    "stop_on_divergence": False,
}


def shared_config(space: Space) -> dict[str, Value]:
    """The network's config keys, apart from those that ``space`` varies."""
    varied = {lever.key for lever in space}
    return {key: value for key, value in _NETWORK.items() if key not in varied}
