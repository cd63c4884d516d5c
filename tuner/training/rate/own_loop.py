"""A user's own model, optimizer and data as a learner, on copies: the user's stay as they are, bit for bit."""

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from search_spaces.errors import ConfigurationError
from tuner.training.rate.learner import Floats, copy_of

Batches = Iterable[tuple[Any, Any]]
"""Minibatches (inputs, targets), which can be gone through again and again; a DataLoader, or a list."""
LossFunction = Callable[[Any, Any], Tensor]
"""Takes (outputs, targets) and gives the mean loss, a scalar."""


class OwnLearner:
    """Trains copies of ``model`` and ``optimizer`` on ``batches``; parameter groups keep the ratios of their rates.

    A rate is that of the group with the highest one. The weights and the optimizer's state are those given, for every
    seed; data order (where torch, numpy or Python draws it) and dropout are the seed's. Use it inside
    ``untouched_randomness``.

    Raises:
        ConfigurationError: for batches that can be gone through only once or hold nothing, a model that cannot be
            copied, and an optimizer without a learning rate above 0.
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
        self._ratios = [rate / max(rates) for rate in rates]
        self._own = copy_of((model, optimizer))  # together: the copied optimizer steps the copied model
        self._own[1].zero_grad()
        self._batches = batches
        self._loss = loss
        self._device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))

    def reset(self, seed: int) -> None:
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global state is what a user's data may draw from
        random.seed(seed)
        for generator in _generators(self._batches):
            generator.manual_seed(seed)
        self._model, self._optimizer = copy_of(self._own)
        self._model.train()
        self._remaining = self._endless_batches()

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        losses = [self._step(rate, *next(self._remaining)) for rate in learning_rates]
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


def _generators(batches: Batches) -> list[torch.Generator]:
    """Those that a DataLoader and its sampler draw from beside the global one."""
    if not isinstance(batches, DataLoader):
        return []
    owners = (batches, batches.sampler, getattr(batches.batch_sampler, "sampler", None))
    found = [getattr(owner, "generator", None) for owner in owners]
    return list({id(generator): generator for generator in found if generator is not None}.values())


def _set_rate(group: dict[str, Any], learning_rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(learning_rate)
    else:
        group["lr"] = learning_rate


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
