"""What each lever of regularization promises is what training does to weights, units, targets and samples."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from tests.problems import blobs
from tests.tuner.training.levers.measured import (
    BLOBS,
    IMAGES,
    near,
    numbers,
    position,
    positions,
    steps,
    trained,
)
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.loop import TrainingRun
from tuner.training.losses import training_loss
from tuner.training.reproducibility import data_order


def test_weight_decay() -> None:
    """SGD also goes towards zero, by rate x decay x weight; after a while the weights are smaller."""
    start, _ = positions()
    assert numbers(steps(weight_decay=0.5)[0] - steps()[0]) == near(-0.1 * 0.5 * start)
    norms = [float(position(trained(epochs=20, weight_decay=decay)).norm()) for decay in (0.0, 0.01, 0.3)]
    assert norms == sorted(norms, reverse=True)
    assert norms[2] < 0.8 * norms[0]


def test_weight_decay_kind() -> None:
    """Adam's first step: with l2 the sign of gradient and decay together, decoupled the gradient's and a shrinking."""
    keys = {"optimizer": "adam", "learning_rate": 0.01}
    start, _ = positions(**keys)
    decoupled = steps(**keys, weight_decay=0.5, weight_decay_kind="decoupled")[0]
    assert numbers(decoupled - steps(**keys)[0]) == near(-0.01 * 0.5 * start)
    l2 = steps(**keys, weight_decay=1e6, weight_decay_kind="l2")[0]  # so that decay is all there is
    is_weight = start != 0  # biases begin at 0
    assert numbers(l2[is_weight]) == near(-0.01 * start[is_weight].sign(), 1e-3)


def test_dropout() -> None:
    """In training a share of the hidden units is off, another each time; in evaluation none is."""
    run = trained(epochs=0, width=500, dropout=0.4, activation="sigmoid")  # a sigmoid is never 0 by itself
    hidden = nn.Sequential(*[layer for name, layer in run.model.named_children() if name != "output"])
    run.model.train()
    first, second = (hidden(BLOBS.train_x) for _ in range(2))
    assert float((first == 0).float().mean()) == pytest.approx(0.4, abs=0.01)
    assert not torch.equal(first, second)
    run.model.eval()
    assert float((hidden(BLOBS.train_x) == 0).float().mean()) == 0


def test_label_smoothing() -> None:
    """A network that could be certain stops at 1 - s + s / classes."""
    run = trained(split_dataset(blobs()), epochs=150, batch_size=16, width=32, label_smoothing=0.3)
    confidence = run.model(run.splits.train_x).softmax(1).amax(1).mean()
    assert float(confidence.detach()) == pytest.approx(1 - 0.3 + 0.3 / 3, abs=0.02)


class _Watching(nn.Module):
    """A linear model that keeps what it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == len(IMAGES.train_x):
            self.seen.append(x)
        outputs: Tensor = self.layer(x)
        return outputs


def test_augmentation() -> None:
    """Training sees other images, others in each epoch, and farther from the true ones the stronger it is."""
    order = TrainingConfig(epochs=2, batch_size="full")
    distances = []
    for strength in (0.0, 0.3, 1.0):
        model = _Watching()
        config = dataclasses.replace(order, augmentation=strength)
        run = TrainingRun(config, IMAGES, model=lambda *_, model=model: model)
        for _ in run.epochs():
            pass
        first, second = (
            seen[data_order(len(seen), seed=0, epoch=epoch).argsort()]
            for epoch, seen in enumerate(model.seen[-2:], start=1)
        )
        distances.append(float((first - IMAGES.train_x / 255).abs().mean()))
        assert torch.equal(first, second) == (strength == 0)
    assert distances[0] < 1e-6
    assert distances[2] > distances[1] > 0.01


def test_class_weights() -> None:
    """With nine of ten samples in one class, balanced weighs the rare one nine times as much."""
    y = (torch.arange(len(BLOBS.train_y)) % 10 == 0).long()
    splits = dataclasses.replace(BLOBS, train_y=y, validation_y=BLOBS.validation_y.clamp(max=1), n_outputs=2)
    loss = training_loss(TrainingConfig(class_weights="balanced"), splits)
    equal = training_loss(TrainingConfig(), splits)
    n_rare = int(y.sum())
    common, rare = (float(loss(torch.zeros(1, 2), torch.tensor([label]))) for label in (0, 1))
    assert rare / common == pytest.approx((len(y) - n_rare) / n_rare)
    assert float(equal(torch.zeros(1, 2), torch.tensor([0]))) == pytest.approx(math.log(2))
    runs = [trained(splits, epochs=3, class_weights=kind) for kind in ("none", "balanced")]
    shares = [float((run.model(BLOBS.train_x).argmax(1) == 1).float().mean()) for run in runs]
    assert shares[1] > shares[0]  # it guesses the rare class more often
