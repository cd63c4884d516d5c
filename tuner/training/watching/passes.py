"""Forward passes of somebody's model: as their loop made them, and our own, which leave no trace."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a model was called with."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def kept(self) -> "Call":
        """A copy that a loop which reuses its memory cannot change."""
        return Call(
            args=tuple(_copied(value) for value in self.args),
            kwargs={key: _copied(value) for key, value in self.kwargs.items()},
        )

    @property
    def single(self) -> Tensor | None:
        """The only argument, if it is a tensor."""
        is_single = len(self.args) == 1 and not self.kwargs and isinstance(self.args[0], Tensor)
        return self.args[0] if is_single else None


_IS_OWN: ContextVar[bool] = ContextVar("is_own_pass", default=False)


def is_own_pass() -> bool:
    """Whether the model runs for a watch, this one or another of the same model, and not for the user's loop."""
    return _IS_OWN.get()


class Called(nn.Module):
    """A model as a module that takes a `Call` and gives back the tensor of its outputs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, call: Call) -> Tensor:
        outputs = output_tensor(self.model(*call.args, **call.kwargs))
        if outputs is None:
            raise TypeError("The model gave no tensor, which was checked when its first outputs were seen.")
        return outputs


def output_tensor(output: object) -> Tensor | None:
    """The tensor of a model's outputs: itself, ``logits`` of a mapping, or the first of a tuple; None without one."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
        logits: Tensor = output["logits"]
        return logits
    if isinstance(output, tuple | list) and output and isinstance(output[0], Tensor):
        return output[0]
    return None


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


@contextmanager
def leaving_no_trace(model: nn.Module) -> Iterator[None]:
    """``model`` in eval mode without gradients; its modes, its buffers and all random states are then as before."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    model.eval()
    own = _IS_OWN.set(True)
    try:
        with torch.no_grad(), same_random_states(model):
            yield
    finally:
        _IS_OWN.reset(own)
        for module, is_training in modes:
            module.training = is_training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@contextmanager
def same_random_states(model: nn.Module) -> Iterator[None]:
    """Draw what one likes: the generators of torch, NumPy and Python are then as before."""
    devices = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - what a user's model may draw from
    cpu, cuda = torch.get_rng_state(), {device: torch.cuda.get_rng_state(device) for device in devices}
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        for device, state in cuda.items():
            torch.cuda.set_rng_state(state, device)
