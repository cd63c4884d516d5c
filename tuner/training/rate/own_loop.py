"""A user's own model, optimizer and data as a learner, on copies: the user's stay as they are, bit for bit."""

import contextlib
import inspect
import random
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from search_spaces.errors import ConfigurationError
from tuner.training.rate.learner import Floats, copy_of

Batches = Iterable[tuple[Any, Any]]
"""Minibatches (inputs, targets), which can be gone through again and again; a DataLoader, or a list."""
LossFunction = Callable[[Any, Any], Tensor]
"""Takes (outputs, targets) and gives the mean loss, a scalar."""

_WITHOUT_GENERATORS = (Tensor, nn.Module, np.ndarray, type, types.ModuleType, types.FunctionType)
"""Not searched for generators: large, or the whole program's."""


class OwnLearner:
    """Trains copies of ``model`` and ``optimizer`` on ``batches``; parameter groups keep the ratios of their rates.

    A rate is that of the group with the highest one. The weights and the optimizer's state are those given, for every
    seed; data order (where torch, numpy or Python draws it) and dropout are the seed's. Use it inside
    ``untouched_randomness`` and ``untouched_gradients``.

    Raises:
        ConfigurationError: for batches that can be gone through only once or hold nothing, a model that cannot be
            copied, an optimizer without a learning rate above 0 or with a closure, and a loss that reaches the
            original parameters.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, batches: Batches, loss: LossFunction) -> None:
        if iter(batches) is batches:
            raise ConfigurationError(
                f"batches must be something to go through again and again, such as a DataLoader or a list, "
                f"but got {type(batches).__name__}, which is used up after once."
            )
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        if not max(rates) > 0:
            raise ConfigurationError(f"The optimizer needs a learning rate above 0, but got {max(rates):g}.")
        check_closure(optimizer)
        self._ratios = [rate / max(rates) for rate in rates]
        self._originals = originals(model, optimizer, loss)
        # Together: the copied optimizer steps the copied model, and a loss that holds the model holds the copy.
        self._own = copy_of((model, optimizer, loss), what="(model, optimizer, loss)")
        self._own[1].zero_grad()
        self._batches = batches
        self._device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))

    def reset(self, seed: int) -> None:
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global state is what a user's data may draw from
        random.seed(seed)
        for generator in _generators(self._batches):
            generator.manual_seed(seed)
        self._model, self._optimizer, self._loss = copy_of(self._own)
        if not self._model.training:  # else its parts are in the modes that they train in: some may be frozen
            self._model.train()
        self._remaining = self._endless_batches()

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        losses = [self._step(rate, *next(self._remaining)) for rate in learning_rates]
        if any(parameter.grad is not None for parameter in self._originals):
            raise ConfigurationError(
                "The loss must take the model as an argument where it uses it, for copies are trained, but it gave a "
                "gradient to the original parameters; pass functools.partial(loss, model) or an nn.Module that holds "
                "the model, which are copied with it, or leave a weight penalty to the optimizer's weight_decay."
            )
        return torch.stack(losses).double().cpu().numpy()

    def _step(self, learning_rate: float, x: Any, y: Any) -> Tensor:
        for group, ratio in zip(self._optimizer.param_groups, self._ratios, strict=True):
            _set_rate(group, learning_rate * ratio)
        self._optimizer.zero_grad()
        loss = self._loss(self._model(_moved(x, self._device)), _moved(y, self._device))
        if loss.requires_grad:  # not of a frozen model, whose losses are then as flat as they should be
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            self._optimizer.step()
        return loss.detach()

    def _endless_batches(self) -> Iterator[tuple[Any, Any]]:
        while True:
            n_batches = 0
            for batch in self._batches:
                n_batches += 1
                yield batch
            if not n_batches:
                raise ConfigurationError("batches must hold at least one minibatch, but it is empty.")


@contextlib.contextmanager
def untouched_randomness(batches: Batches) -> Iterator[None]:
    """Give torch's, numpy's and Python's global generators, and those of ``batches``, their state back at the end."""
    generators = _generators(batches)
    states = [generator.get_state() for generator in generators]
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def originals(model: nn.Module, optimizer: Optimizer, loss: LossFunction) -> list[Tensor]:
    """The parameters that are trained: of the model, of the optimizer, and of a loss that is a module; each once."""
    found: list[Tensor] = [
        *model.parameters(),
        *(p for group in optimizer.param_groups for p in group["params"]),
    ]
    if isinstance(loss, nn.Module):
        found += loss.parameters()
    return list({id(parameter): parameter for parameter in found}.values())


@contextlib.contextmanager
def untouched_gradients(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Take the gradients of ``parameters`` away, and give them back at the end, whatever they got meanwhile."""
    gradients = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient


def check_closure(optimizer: Optimizer) -> None:
    """Refuse one such as LBFGS: it evaluates the loss as often as it likes, and loses its parameters when it is copied.

    Raises:
        ConfigurationError: when ``step`` needs a closure.
    """
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigurationError(
            f"The optimizer must step without a closure, as SGD, Adam and most others do, "
            f"but got {type(optimizer).__name__}."
        )


def _generators(batches: Batches) -> list[torch.Generator]:
    """Those that ``batches`` draw from beside the global one: in their attributes, or in their attributes' attributes.

    So are found those of a DataLoader, its samplers and data set, and of a loader that an object of the user's wraps.
    """
    found: list[torch.Generator] = []
    waiting: list[Any] = [batches]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _WITHOUT_GENERATORS):
            continue
        seen.add(id(each))
        if isinstance(each, torch.Generator):
            found.append(each)
        waiting.extend(getattr(each, "__dict__", {}).values())
    return found


def _set_rate(group: dict[str, Any], learning_rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(learning_rate)
    else:
        group["lr"] = learning_rate


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
