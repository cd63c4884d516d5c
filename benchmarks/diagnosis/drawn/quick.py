"""The training of a config alone: what it reaches on the test part, without reading anything on the way.

Several times as fast as a training that is read, and the same mathematics: the toolkit's networks, optimizers,
schedules and splits. Only `soundness` trains like this.
"""

import torch
from torch.nn import functional

from benchmarks.diagnosis.case import Case
from benchmarks.diagnosis.telemetry import splits_of
from tuner.training.augmentation import augmentation
from tuner.training.config import TrainingConfig
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits
from tuner.training.models import build_model
from tuner.training.optimizers import build_optimizer
from tuner.training.schedules import learning_rate_factor


def quick_accuracy(case: Case, seed: int, *, task: str, part: str) -> float:
    """Of the last weights, on the test part. Only for sound cases: no fault of a network or a loop is in it."""
    config = TrainingConfig.from_mapping(case.config(seed))
    splits = splits_of(case, config, task=task, part=part)
    torch.manual_seed(seed)
    scaling = input_scaling(config, splits.train_x, splits.train_statistics)
    model = build_model(config, splits.input_shape, splits.n_outputs)
    _train(model, scaling, splits, config)
    return _accuracy(model, scaling, splits)


def _train(model: torch.nn.Module, scaling: torch.nn.Module, splits: Splits, config: TrainingConfig) -> None:
    optimizer = build_optimizer(config, model.parameters())
    change = augmentation(config, splits.input_shape)
    size = len(splits.train_y) if config.batch_size == "full" else config.batch_size
    n_steps = config.epochs * -(-len(splits.train_y) // size)
    scaled = scaling(splits.train_x)
    step = 0
    model.train()
    for _epoch in range(config.epochs):
        for chosen in torch.split(torch.randperm(len(splits.train_y)), size):
            inputs = scaled[chosen] if change is None else scaling(change(splits.train_x[chosen]))
            model.zero_grad()
            functional.cross_entropy(model(inputs), splits.train_y[chosen]).backward()  # type: ignore[no-untyped-call]  # torch does not type it
            optimizer.step(config.learning_rate * learning_rate_factor(step, n_steps, config))
            step += 1


@torch.no_grad()
def _accuracy(model: torch.nn.Module, scaling: torch.nn.Module, splits: Splits) -> float:
    if splits.test_x is None or splits.test_y is None:
        raise TypeError("A case always has a test part.")
    model.eval()
    hits = [
        model(scaling(x)).argmax(1) == y
        for x, y in zip(torch.split(splits.test_x, 1024), torch.split(splits.test_y, 1024), strict=True)
    ]
    return float(torch.cat(hits).double().mean())
