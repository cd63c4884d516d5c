"""The training pass that lanes share: one module's code, run over the stacked parameters of many (torch.func)."""

import copy
import types
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from tuner.training.config import TrainingConfig
from tuner.training.lanes.masks import DROPOUTS, Draw, MaskedDropout, Masks, dropouts_of
from tuner.training.precision import forward

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class Program:
    """The forward pass, in train mode, of lanes whose modules differ in nothing but tensors and dropout.

    Parameters and buffers are stacked, [n_lanes, *shape] each, in the order in which the module names them. Buffers
    that the module changes, such as the running statistics of batch normalization, change in place.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        self._config = config
        self.dropouts = frozenset(dropouts_of(model))
        """Names of the dropout layers. A lane that has none of them drops nothing."""
        self._masks = Masks()
        self._module = _with_masked_dropout(model, self._masks).train()
        self._parameter_names = [name for name, _ in self._module.named_parameters()]
        self._buffer_names = [name for name, _ in self._module.named_buffers()]
        self._draws: dict[tuple[int, ...], tuple[Draw, ...]] = {}

    def outputs(
        self,
        parameters: Sequence[Tensor],
        buffers: Sequence[Tensor],
        x: Tensor,
        *,
        has_own_x: bool = False,
        factors: Mapping[int, Tensor] | None = None,
    ) -> Tensor:
        """In train mode, [n_lanes, n, n_outputs].

        Args:
            parameters: stacked.
            buffers: stacked.
            x: [n, *input_shape] for all lanes, or [n_lanes, n, *input_shape] where ``has_own_x``.
            has_own_x: whether each lane has samples of its own.
            factors: what calls of dropout multiply by, stacked, by call; see `draws`.
        """
        tensors = (self._named(parameters, buffers), dict(factors or {}))
        in_dims = (0, 0, 0 if has_own_x else None)
        result: Tensor = vmap(self._one_lane, in_dims=in_dims)(*tensors, x)
        return result

    def draws(self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], x: Tensor) -> tuple[Draw, ...]:
        """The calls of dropout layers in a pass over ``x`` [n, *input_shape] in train mode, in their order.

        The first pass over each shape is tried out with copies of the first lane's tensors.
        """
        shape = tuple(x.shape)
        if shape not in self._draws:
            with torch.no_grad():
                first = [[tensor[0].clone() for tensor in tensors] for tensors in (parameters, buffers)]
                self._one_lane(self._named(*first), {}, x)
            self._draws[shape] = tuple(self._masks.calls)
        return self._draws[shape]

    def _one_lane(self, tensors: dict[str, Tensor], factors: dict[int, Tensor], x: Tensor) -> Tensor:
        self._masks.begin(factors)
        return forward(partial(functional_call, self._module, tensors), x, self._config)

    def _named(self, parameters: Sequence[Tensor], buffers: Sequence[Tensor]) -> dict[str, Tensor]:
        return dict(zip((*self._parameter_names, *self._buffer_names), (*parameters, *buffers), strict=True))


def difference(model: nn.Module, other: nn.Module) -> str | None:
    """What keeps two modules from being one program, as the subject of a sentence; None when nothing does.

    Their dropout may differ in its rates, and one of them may do without.
    """
    dropouts, others_dropouts = set(dropouts_of(model)), set(dropouts_of(other))
    if dropouts and others_dropouts and dropouts != others_dropouts:
        return "the dropout layers"
    modules, others = _without_dropout(model), _without_dropout(other)
    if list(modules) != list(others):
        return "the layers"
    for name, module in modules.items():
        what = _difference(module, others[name])
        if what is not None:
            return f"{what} of {name or type(module).__name__}"
    return None


def _without_dropout(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if type(module) not in DROPOUTS}


def _difference(module: nn.Module, other: nn.Module) -> str | None:
    if type(module) is not type(other):
        return "the type"
    if not (
        _have_equal_form(module.named_parameters(recurse=False), other.named_parameters(recurse=False))
        and _have_equal_form(module.named_buffers(recurse=False), other.named_buffers(recurse=False))
    ):
        return "the shapes"
    mine, theirs = _own_attributes(module), _own_attributes(other)
    if mine.keys() != theirs.keys():
        return "the attributes"
    return next((f"attribute {name!r}" for name in mine if not _are_equal(mine[name], theirs[name])), None)


def _have_equal_form(tensors: Any, others: Any) -> bool:
    forms = [
        [(name, tensor.shape, tensor.dtype, tensor.requires_grad) for name, tensor in side]
        for side in (tensors, others)
    ]
    return bool(forms[0] == forms[1])


def _own_attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}


def _are_equal(value: Any, other: Any) -> bool:
    """Whether code that reads one would do the same with the other; False in case of doubt."""
    if value is other or type(value) is not type(other):
        return value is other
    if isinstance(value, Tensor):
        return value.shape == other.shape and torch.equal(value, other)
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(_are_equal, value, other))
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(_are_equal(value[key], other[key]) for key in value)
    if isinstance(value, types.FunctionType):
        return value.__code__ is other.__code__ and all(
            map(_are_equal, _bindings_of(value), _bindings_of(other))
        )
    return (value == other) is True


def _bindings_of(function: types.FunctionType) -> tuple[Any, ...]:
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    return function.__defaults__, function.__kwdefaults__, cells


def _with_masked_dropout(model: nn.Module, masks: Masks) -> nn.Module:
    """A copy of ``model`` whose dropout layers take their masks from ``masks``."""
    module = copy.deepcopy(model)
    stand_ins = {dropout: MaskedDropout(name, masks) for name, dropout in dropouts_of(module).items()}
    # One layer may stand in several places.
    for name, child in list(module.named_modules(remove_duplicate=False)):
        if child in stand_ins:
            module.set_submodule(name, stand_ins[child])
    return module
