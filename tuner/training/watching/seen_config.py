"""The config of somebody's training, as far as it shows: in the optimizer, in the model, in the minibatches."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer

_OPTIMIZERS = {"SGD": "sgd", "Adam": "adam", "AdamW": "adamw", "RMSprop": "rmsprop"}
_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.LeakyReLU: "leaky_relu",
    nn.ELU: "elu",
    nn.GELU: "gelu",
    nn.SELU: "selu",
}
_OF_ALL = ("weight_decay",)
_OF_ONE = {"sgd": ("momentum", "nesterov"), "rmsprop": ("momentum", "alpha")}


def main_group(optimizer: Optimizer) -> int:
    """The number of the parameter group with the most weights: its learning rate is the training's."""
    sizes = [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]
    return sizes.index(max(sizes))


def optimizer_config(optimizer: Optimizer) -> dict[str, Any]:
    """The config keys that an optimizer holds; its class's own name where it is none of ours."""
    name = _OPTIMIZERS.get(type(optimizer).__name__, type(optimizer).__name__)
    group = optimizer.param_groups[main_group(optimizer)]
    config: dict[str, Any] = {"optimizer": name}
    for key in (*_OF_ALL, *_OF_ONE.get(name, ())):
        if key in group:
            config[key] = _number(group[key])
    if "betas" in group:
        config["beta1"], config["beta2"] = (_number(beta) for beta in group["betas"])
    return config


def model_config(model: nn.Module) -> dict[str, Any]:
    """The config keys that a model's modules show. Functions that it calls are not seen."""
    modules = list(model.modules())
    activations = {_ACTIVATIONS[type(module)] for module in modules if type(module) in _ACTIVATIONS}
    config: dict[str, Any] = {
        "dropout": max((m.p for m in modules if isinstance(m, _DropoutNd)), default=0.0),
        "normalization": _normalization(modules),
        **_shape(modules),
    }
    if len(activations) == 1:
        config["activation"] = activations.pop()
    return config


def batch_config(sizes: Sequence[int], n_steps: int) -> dict[str, Any]:
    """The usual minibatch, and how many of them an optimizer step takes."""
    if not sizes or not n_steps:
        return {}
    return {
        "batch_size": Counter(sizes).most_common(1)[0][0],
        "accumulation_steps": max(round(len(sizes) / n_steps), 1),
    }


def _normalization(modules: Sequence[nn.Module]) -> str:
    if any(isinstance(module, _BatchNorm) for module in modules):
        return "batch"
    return "layer" if any(isinstance(module, nn.LayerNorm) for module in modules) else "none"


def _shape(modules: Sequence[nn.Module]) -> dict[str, int]:
    """Depth and width of a stack of linear layers; nothing of another network."""
    with_weights = [m for m in modules if any(p.ndim >= 2 for p in m.parameters(recurse=False))]
    linear = [module for module in with_weights if isinstance(module, nn.Linear)]
    if not linear or len(linear) != len(with_weights):
        return {}
    widths = {module.out_features for module in linear[:-1]}
    return {"depth": len(linear) - 1} | ({"width": widths.pop()} if len(widths) == 1 else {})


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value
