"""Which modules are perceptrons: what `build_mlp` builds, whoever built it."""

from collections import deque
from dataclasses import dataclass
from typing import TypeVar, cast

from torch import nn

from tuner.training.architectures.dropout import Dropout
from tuner.training.lanes.layers import ACTIVATIONS

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One hidden layer, and what follows it."""

    linear: nn.Linear
    normalization: nn.BatchNorm1d | nn.LayerNorm | None
    activation: nn.Module
    dropout: Dropout | None


@dataclass(frozen=True, kw_only=True)
class Perceptron:
    """The modules of one perceptron."""

    blocks: tuple[Block, ...]
    output: nn.Linear


def perceptron_of(model: nn.Module) -> Perceptron | None:
    """The parts of ``model``: flatten, then linear, normalization, activation and dropout, then the output layer.

    Normalization and dropout may be missing. None for any other model, and for one that is not as it seems: with
    hooks, frozen or shared parameters, or other options than the default ones.
    """
    if type(model) is not nn.Sequential or not all(map(_is_plain, model.modules())) or _shares(model):
        return None
    modules = deque(model)
    if _taken(modules, nn.Flatten) is None:
        return None
    blocks: list[Block] = []
    while (linear := _taken(modules, nn.Linear)) is not None and modules:
        normalization = _taken(modules, nn.BatchNorm1d) or _taken(modules, nn.LayerNorm)
        activation = _taken(modules, *ACTIVATIONS)
        dropout = _taken(modules, Dropout)
        if activation is None:
            return None
        blocks.append(
            Block(linear=linear, normalization=normalization, activation=activation, dropout=dropout)
        )
    return None if linear is None or modules else Perceptron(blocks=tuple(blocks), output=linear)


def _taken(modules: deque[nn.Module], *types: type[Module]) -> Module | None:
    """The next one of ``modules``, which is gone from there, if it is of ``types`` (and of no subclass)."""
    if not modules or type(modules[0]) not in types:
        return None
    return cast("Module", modules.popleft())


def _is_plain(module: nn.Module) -> bool:
    """Whether ``module`` does what its type says, and nothing else."""
    hooks = (
        module._forward_hooks,  # noqa: SLF001 - there is no public way to ask
        module._forward_pre_hooks,  # noqa: SLF001
        module._backward_hooks,  # noqa: SLF001
        module._backward_pre_hooks,  # noqa: SLF001
    )
    are_trained = all(parameter.requires_grad for parameter in module.parameters(recurse=False))
    return not any(hooks) and are_trained and _has_default_options(module)


def _has_default_options(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is None:
        return False
    if isinstance(module, nn.BatchNorm1d):
        return repr(module) == repr(nn.BatchNorm1d(module.num_features))
    if isinstance(module, nn.LayerNorm):
        return repr(module) == repr(nn.LayerNorm(module.normalized_shape))
    if type(module) in ACTIVATIONS or isinstance(module, nn.Flatten):
        return repr(module) == repr(type(module)())
    return True


def _shares(model: nn.Sequential) -> bool:
    """Whether modules or parameters appear more than once."""
    modules = list(model)
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return len({*modules}) < len(modules) or len({*parameters}) < len(parameters)
