"""What a loop tells its watch, checked: a wrong argument is said at once, in one sentence."""

import math
import numbers
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from search_spaces.catalog import LEVERS
from search_spaces.errors import ConfigurationError, unknown_name
from tuner.training.config import TrainingConfig
from tuner.training.watching.passes import Call

ORDER = "watch.step(loss, inputs, targets)"


def checked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config keys that a loop tells, all of which are known."""
    known = dict.fromkeys(
        [*(field.name for field in fields(TrainingConfig)), *(lever.name for lever in LEVERS)]
    )
    for key in config:
        if key not in known:
            raise unknown_name("A key of watch(config=...)", key, known, limit=8)
    return dict(config)


def loss_tensor(loss: object) -> Tensor:
    """The loss of one minibatch; not waited for if it is on a device."""
    if isinstance(loss, Tensor):
        if loss.ndim and loss.numel() != 1:
            raise _wrong_loss(f"a tensor of shape {list(loss.shape)}")
        return loss
    if not isinstance(loss, numbers.Real) or isinstance(loss, bool):
        raise _wrong_loss("None" if loss is None else f"a {type(loss).__name__}")
    return torch.tensor(float(loss))


def _wrong_loss(got: str) -> ConfigurationError:
    return ConfigurationError(
        f"{ORDER} needs the minibatch's loss first, as a number or a tensor of one, but got {got}."
    )


def check_inputs(inputs: object, outputs: Tensor | None, given: Tensor | None) -> None:
    """That ``inputs`` are not the model's outputs.

    Args:
        inputs: as told.
        outputs: of the model's pass.
        given: what the model was called with, where that was one tensor: some models return it.
    """
    if _are_same(inputs, outputs) and not _are_same(inputs, given):
        raise ConfigurationError(
            f"{ORDER} needs what the model was given as inputs, but got the model's outputs there."
        )


def _are_same(told: object, seen: Tensor | None) -> bool:
    """Whether two tensors are one: the same numbers in the same memory."""
    if not isinstance(told, Tensor) or seen is None or told.shape != seen.shape or not told.numel():
        return False
    return told.device == seen.device and told.data_ptr() == seen.data_ptr()


def no_inputs(inputs: object, targets: Tensor) -> str:
    """Why ``inputs`` are no samples that belong to ``targets``."""
    if inputs is None:
        return f"no inputs were told, as in {ORDER}: nothing of the data"
    if not isinstance(inputs, Tensor):
        return f"inputs were a {type(inputs).__name__}, not a tensor: nothing of the data"
    n = f"{len(inputs)} inputs" if inputs.ndim else "a single number as inputs"
    return f"{n} came with {len(targets)} targets, where {ORDER} needs one for each: nothing of the data"


def no_targets(targets: object) -> str:
    """Why ``targets`` cannot be read."""
    if targets is None:
        return f"no targets were told, as in {ORDER}: nothing of classes"
    return f"targets were a {type(targets).__name__}, not a tensor: nothing of classes"


def no_classes(inputs: object, targets: Tensor, outputs: Tensor, call: Call | None) -> str:
    """Why ``targets`` are no classes of the outputs: swapped with the inputs, too few, or of another kind."""
    given = None if call is None else call.single
    if given is not None and targets.shape == given.shape and getattr(inputs, "shape", None) != given.shape:
        return f"targets look like what the model was given, where the order is {ORDER}: no accuracy"
    if targets.ndim and outputs.ndim and len(targets) < len(outputs):
        return f"{len(targets)} targets came with {len(outputs)} outputs, where {ORDER} needs one for each: no accuracy"
    return "targets are no classes of the outputs: no accuracy"


def checked_epoch(told: Mapping[str, object]) -> dict[str, float]:
    """The quantities of `Watch.epoch` that were told, as numbers; accuracies are shares."""
    return {name: _quantity(name, value) for name, value in told.items() if value is not None}


def _quantity(name: str, value: object) -> float:
    is_accuracy = name.endswith("accuracy")
    rule = f"watch.epoch({name}=...) must be {'a share from 0 to 1' if is_accuracy else 'a number'}"
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, Tensor) and value.numel() == 1):
        got = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise ConfigurationError(f"{rule}, but got {got}.")
    number = float(value)  # type: ignore[arg-type]  # a number or a tensor of one
    if is_accuracy and not (0.0 <= number <= 1.0 or math.isnan(number)):
        raise ConfigurationError(f"{rule}, but got {number:g}.")
    return number
