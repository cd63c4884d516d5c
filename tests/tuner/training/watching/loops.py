"""Training loops of the kinds that people write, with and without a watch; all on scikit-learn's digits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import tuner
from tuner.training.watching.watch import Watch

N_TRAIN = 640
BATCH = 32


@cache
def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    return torch.tensor(data.data / 16).float(), torch.tensor(data.target)


def validation() -> tuple[Tensor, Tensor]:
    x, y = digits()
    return x[N_TRAIN : N_TRAIN + 320], y[N_TRAIN : N_TRAIN + 320]


def network(*more: nn.Module, width: int = 32) -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 10), *more)


@dataclass(kw_only=True)
class Loop:
    """One way to write a training loop."""

    model: Callable[[], nn.Module] = network
    optimizer: Callable[[Any], torch.optim.Optimizer] = lambda parameters: torch.optim.SGD(parameters, lr=0.2)
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy
    epochs: int = 2
    is_told_before_step: bool = False
    accumulation: int = 1
    clip: float = 0.0
    zeroes: bool = True
    order: Callable[[], Tensor] = lambda: torch.randperm(N_TRAIN)
    target: Callable[[Tensor], Tensor] = lambda y: y
    trains_in_eval_mode: bool = False
    evaluates_in_train_mode: bool = False
    tells_epochs: bool = True
    inputs: Callable[[Tensor], Tensor] = lambda x: x
    """What the model is given of images, [n, 64], to train on."""
    validated: Callable[[], tuple[Tensor, Tensor]] = validation
    evaluates_also: Callable[[], Tensor] | None = None
    """Inputs that the loop runs through its network before it validates."""
    rounded: int | None = None
    """Digits of the accuracy that it tells."""
    seen: list[float] = field(default_factory=list)
    """The losses of all minibatches, as the loop itself saw them."""

    def run(self, watch: Callable[..., Watch] | None = tuner.watch, **options: Any) -> Watch | None:
        """Train; with a watch unless it is None."""
        torch.manual_seed(0)
        model = self.model()
        optimizer = self.optimizer(model.parameters())
        if watch is None:
            self._train(model, optimizer, None)
            return None
        with watch(model, optimizer, **options) as watching:
            self._train(model, optimizer, watching)
        return watching

    def _train(self, model: nn.Module, optimizer: torch.optim.Optimizer, watch: Watch | None) -> None:
        x, y = digits()
        for _ in range(self.epochs):
            for number, places in enumerate(self.order().split(BATCH), start=1):
                model.train(not self.trains_in_eval_mode)
                self._minibatch(
                    model, optimizer, self.inputs(x[places]), self.target(y[places]), number, watch
                )
            model.train(self.evaluates_in_train_mode)
            with torch.no_grad():
                if self.evaluates_also is not None:
                    model(self.evaluates_also())
                inputs, targets = self.validated()
                hits = model(inputs).argmax(1).eq(targets)
            if watch is not None and self.tells_epochs:
                accuracy = float(hits.float().mean())
                watch.epoch(
                    validation_accuracy=accuracy if self.rounded is None else round(accuracy, self.rounded)
                )

    def _minibatch(
        self, model: nn.Module, optimizer: Any, x: Tensor, y: Tensor, number: int, watch: Watch | None
    ) -> None:
        loss = self.loss(model(x), y) / self.accumulation
        loss.backward()
        self.seen.append(float(loss.detach()))
        if watch is not None and self.is_told_before_step:
            watch.step(loss, x, y)
        if number % self.accumulation == 0:
            if self.clip:
                nn.utils.clip_grad_norm_(model.parameters(), self.clip)
            optimizer.step()
            if self.zeroes:
                optimizer.zero_grad()
        if watch is not None and not self.is_told_before_step:
            watch.step(loss, x, y)


def watched(loop: Loop, **options: Any) -> Watch:
    watch = loop.run(**options)
    assert watch is not None
    return watch
