"""Faults planted in an objective of the kind people write are named, and the sound one is left in peace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import tuner
from studies.diagnosis import Finding, Severity

BATCH, TRAIN_BATCHES, VALIDATION_BATCHES, EPOCHS = 32, 30, 10, 8


def log_softmax() -> nn.Module:
    return nn.LogSoftmax(dim=1)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A DataLoader, a Sequential, 30 batches an epoch, validated on 10; each field is a place for a fault."""

    rate: float = 0.1
    zeroes: bool = True
    last: Callable[[], nn.Module] = log_softmax
    loss: Callable[[Tensor, Tensor], Tensor] = functional.nll_loss
    forgets_first_layer: bool = False
    is_sorted: bool = False

    def findings(self, seed: int = 0) -> list[Finding]:
        torch.manual_seed(seed)
        train, validation = self._loaders()
        model = nn.Sequential(
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Linear(32, 10),
            self.last(),
        )
        first = 2 if self.forgets_first_layer else 0
        optimizer = torch.optim.SGD(list(model.parameters())[first:], lr=self.rate, momentum=0.9)
        with tuner.watch(model, optimizer) as watch:
            for _ in range(EPOCHS):
                self._train(model, optimizer, train, watch)
                model.eval()
                with torch.no_grad():
                    hits = [model(x).argmax(dim=1).eq(y).float().mean() for x, y in validation]
                watch.epoch(validation_accuracy=float(torch.stack(hits).mean()))
        return [finding for finding in watch.findings() if finding.severity is not Severity.NOTE]

    def _train(self, model: nn.Module, optimizer: Any, train: Any, watch: tuner.Watch) -> None:
        model.train()
        for number, (x, y) in enumerate(train):
            if number >= TRAIN_BATCHES:
                break
            if self.zeroes:
                optimizer.zero_grad()
            loss = self.loss(model(x), y)
            loss.backward()
            optimizer.step()
            watch.step(loss, x, y)

    def _loaders(self) -> tuple[Any, Any]:
        data = load_digits()
        x, y = torch.tensor(data.data / 16).float(), torch.tensor(data.target)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
        held_out = VALIDATION_BATCHES * BATCH
        validation, rest = order[:held_out], order[held_out : held_out + TRAIN_BATCHES * BATCH]
        if self.is_sorted:
            rest = rest[y[rest].argsort()]
        train = DataLoader(TensorDataset(x[rest], y[rest]), batch_size=BATCH, shuffle=not self.is_sorted)
        return train, DataLoader(TensorDataset(x[validation], y[validation]), batch_size=BATCH)


FAULTS = {
    "learning_rate_too_high": Objective(rate=10.0),
    "stale_gradients": Objective(zeroes=False),
    "double_softmax": Objective(last=lambda: nn.Softmax(dim=1), loss=functional.cross_entropy),
    "frozen_layers": Objective(forgets_first_layer=True),
    "unshuffled_data": Objective(is_sorted=True),
}


@pytest.mark.parametrize("cause", FAULTS)
def test_a_planted_fault_is_named(cause: str) -> None:
    """Its cause comes first in the worst finding, which says what to do."""
    worst = FAULTS[cause].findings()[0]
    assert worst.causes[0].name == cause
    assert worst.evidence
    assert worst.remedies


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_sound_objective_has_no_fault(seed: int) -> None:
    """Nothing is wrong, and nothing is said."""
    assert Objective().findings(seed) == []
