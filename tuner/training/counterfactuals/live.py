"""Continuations of anyone's training: copies of a live model and its optimizer, on samples that were kept."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from studies.diagnosis.counterfactuals import (
    HIGHER_RATE_FACTOR,
    LARGER_BATCH_FACTOR,
    LOWER_MOMENTUM,
    LOWER_RATE_FACTOR,
    Change,
)
from studies.readings import NAN, Counterfactual
from tuner.training.counterfactuals.comparing import compared, n_steps_of
from tuner.training.counterfactuals.networks import hooks_left_out, without_dropout
from tuner.training.rate.learner import copy_of
from tuner.training.rate.own_loop import check_closure, untouched_randomness

LOSS_SAMPLES = 512
"""Of those that were kept: the loss is read on the first ones."""

LossFunction = Callable[[Any, Tensor], Tensor]
"""Takes (outputs, targets) and gives the mean loss, a scalar."""


def of_live(  # noqa: PLR0913 - one keyword per concern
    model: nn.Module,
    optimizer: Optimizer,
    inputs: Tensor,
    targets: Tensor,
    loss_function: LossFunction,
    changes: Sequence[Change],
    seed: int,
    *,
    batch_size: int,
    peak_learning_rate: float = NAN,
    clip_norm: float = 0.0,
) -> tuple[Counterfactual, ...]:
    """What each of ``changes`` that applies would do to a training that is, or was, under way.

    Only copies are trained; model, optimizer and random states stay as they are. The samples are a part of the data,
    so a continuation may learn them by heart: it goes over them at most three times.

    Args:
        model: as it is now, on the device where it trains.
        optimizer: its optimizer, any of torch's kind whose ``step`` needs no closure.
        inputs: [n, ...] samples of the training data, as the model gets them.
        targets: [n, ...].
        loss_function: ``(outputs, targets)`` to the mean loss, also read in eval mode.
        changes: what to try. Augmentation cannot be taken off samples that were kept: that change never applies.
        seed: of the data order and of what the model draws.
        batch_size: samples of an optimizer step.
        peak_learning_rate: the highest rate that the training had (of the group with the highest one); NaN if unknown.
        clip_norm: the largest global norm of a gradient; 0 is off.

    Returns:
        One row a change, in the order of ``changes``; ``()`` where the loss is not finite.

    Raises:
        ConfigurationError: for a model that cannot be copied, and an optimizer that steps with a closure.
    """
    check_closure(optimizer)
    size = min(batch_size, len(inputs))
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if not changes or not size or not max(rates) > 0:
        return ()
    start = _Start(
        model=model,
        optimizer=optimizer,
        inputs=inputs,
        targets=targets,
        loss_function=loss_function,
        seed=seed,
        batch_size=size,
        peak_factor=peak_learning_rate / max(rates),
        clip_norm=clip_norm,
    )
    with untouched_randomness(()):
        return compared(start.continuation, changes, n_steps=n_steps_of(len(inputs) // size))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Start:
    """Where the continuations of one training begin."""

    model: nn.Module
    optimizer: Optimizer
    inputs: Tensor
    targets: Tensor
    loss_function: LossFunction
    seed: int
    batch_size: int
    peak_factor: float
    clip_norm: float

    def continuation(self, change: Change | None) -> "_Continuation | None":
        """The training about to go on with ``change``; None where that is how it is already."""
        # Together: the copied optimizer steps the copied model.
        model, optimizer = copy_of(
            (self.model, self.optimizer), what="(model, optimizer)", memo=hooks_left_out(self.model)
        )
        size = self.batch_size
        match change:
            case None:
                has_changed = True
            case Change.LOWER_RATE:
                has_changed = _scale_rates(optimizer, LOWER_RATE_FACTOR)
            case Change.HIGHER_RATE:
                has_changed = _scale_rates(optimizer, HIGHER_RATE_FACTOR)
            case Change.PEAK_RATE:
                has_changed = self.peak_factor >= HIGHER_RATE_FACTOR and _scale_rates(
                    optimizer, self.peak_factor
                )
            case Change.LARGER_BATCH:
                size = LARGER_BATCH_FACTOR * self.batch_size
                has_changed = size <= len(self.inputs)
            case Change.LOWER_MOMENTUM:
                has_changed = _lower_momentum(optimizer)
            case Change.NO_WEIGHT_DECAY:
                has_changed = _without_weight_decay(optimizer)
            case Change.NO_DROPOUT:
                has_changed = without_dropout(model)
            case Change.NO_AUGMENTATION:
                has_changed = False
        return _Continuation(self, model=model, optimizer=optimizer, batch_size=size) if has_changed else None


class _Continuation:
    """One continuation: see `Continuation`. It draws from torch's global generators, which its caller isolates."""

    def __init__(self, start: _Start, *, model: nn.Module, optimizer: Optimizer, batch_size: int) -> None:
        self._start = start
        self._model = model
        self._optimizer = optimizer
        self._batch_size = batch_size
        self._orders = torch.Generator().manual_seed(start.seed)
        self._order = torch.empty(0, dtype=torch.int64)
        self._n_steps = 0

    def train(self, n_steps: int) -> None:
        if not self._n_steps:
            torch.manual_seed(self._start.seed)
        if not self._model.training:  # else its parts are in the modes that they train in: some may be frozen
            self._model.train()
        self._n_steps += n_steps
        for _ in range(n_steps):
            self._step(self._next_samples())

    @torch.no_grad()
    def loss(self) -> float:
        modes = [(module, module.training) for module in self._model.modules()]
        self._model.eval()
        outputs = self._model(self._start.inputs[:LOSS_SAMPLES])
        loss = float(self._start.loss_function(outputs, self._start.targets[:LOSS_SAMPLES]))
        for module, is_training in modes:
            module.training = is_training
        return loss

    def _step(self, samples: Tensor) -> None:
        self._optimizer.zero_grad()
        outputs = self._model(self._start.inputs[samples])
        loss = self._start.loss_function(outputs, self._start.targets[samples])
        if loss.requires_grad:  # not of a network that is frozen as a whole
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            if self._start.clip_norm:
                nn.utils.clip_grad_norm_(self._model.parameters(), self._start.clip_norm)
            self._optimizer.step()

    def _next_samples(self) -> Tensor:
        if len(self._order) < self._batch_size:
            self._order = torch.randperm(len(self._start.inputs), generator=self._orders)
        samples, self._order = self._order[: self._batch_size], self._order[self._batch_size :]
        return samples.to(self._start.inputs.device)


def _scale_rates(optimizer: Optimizer, factor: float) -> bool:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].mul_(factor)
        else:
            group["lr"] *= factor
    return not math.isclose(factor, 1.0)


def _lower_momentum(optimizer: Optimizer) -> bool:
    """Momentum of sgd and rmsprop, beta1 of adam and its kin."""
    has_changed = False
    for group in optimizer.param_groups:
        if group.get("momentum", 0.0) > LOWER_MOMENTUM:
            group["momentum"], has_changed = LOWER_MOMENTUM, True
        betas = group.get("betas", ())
        if betas and betas[0] > LOWER_MOMENTUM:
            group["betas"], has_changed = (LOWER_MOMENTUM, *betas[1:]), True
    return has_changed


def _without_weight_decay(optimizer: Optimizer) -> bool:
    has_changed = any(group.get("weight_decay", 0.0) > 0 for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    return has_changed
