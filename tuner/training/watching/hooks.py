"""The places where a user's loop passes by: the model's forward pass, and the optimizer's step."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

Closure = Callable[[], Any]


class Listener(Protocol):
    """Who hears of it."""

    def passed(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """The model ran."""

    def about_to_step(self) -> None:
        """The gradients are there, and the weights are as they were."""

    def has_stepped(self) -> None:
        """The weights have moved."""


def hooked(model: nn.Module, optimizer: Optimizer, listener: Listener) -> ExitStack:
    """Tell ``listener`` of every pass and step until the stack is closed."""

    def before(_optimizer: Any, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        closure = kwargs.get("closure") or (args[1] if len(args) > 1 else None)
        if not callable(closure):
            listener.about_to_step()
            return None
        # With a closure, gradients come within the step.
        told = _Told(closure, listener)
        if kwargs.get("closure") is not None:
            return args, {**kwargs, "closure": told}
        return (args[0], told, *args[2:]), kwargs

    def after(_optimizer: Any, _args: Any, _kwargs: Any) -> None:
        listener.has_stepped()

    hooks = ExitStack()
    hooks.callback(model.register_forward_hook(_PassHook(listener), with_kwargs=True).remove)
    hooks.callback(optimizer.register_step_pre_hook(before).remove)
    hooks.callback(optimizer.register_step_post_hook(after).remove)
    return hooks


class _PassHook:
    """Tells of one model's passes. In a copy of the model, such as the best so far, or a pickled one, it is mute."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener

    def __call__(self, _model: Any, args: Any, kwargs: Any, output: Any) -> None:
        if self._listener is not None:
            self._listener.passed(args, kwargs, output)

    def __reduce__(self) -> tuple[type["_PassHook"], tuple[None]]:
        return _PassHook, (None,)


class _Told:
    """A closure whose first call in a step tells the listener that gradients are there."""

    def __init__(self, closure: Closure, listener: Listener) -> None:
        self._closure = closure
        self._listener = listener
        self._is_first = True

    def __call__(self) -> Any:
        result = self._closure()
        if self._is_first:
            self._is_first = False
            self._listener.about_to_step()
        return result
