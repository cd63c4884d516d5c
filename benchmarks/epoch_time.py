"""Claim: an epoch of `TrainingRun`, telemetry and validation included, takes no longer than an expert's bare loop.

Three ways to train 784-128-10 on MNIST's 48,000 training images take turns in one process: ours; an expert's loop
(images scaled once into a float tensor in memory, index batches, fused SGD; validated once an epoch); the popular way
(torchvision dataset, ToTensor, DataLoader without workers). Ratios of medians:

    python benchmarks/epoch_time.py --task mnist --epochs 5
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator

import torch
from machine import described
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.loop import TrainingRun

BATCH_SIZES = (32, 128, 512)


def ours(splits: Splits, batch_size: int, n_epochs: int) -> Iterator[float]:
    """Seconds of each epoch, as the telemetry has them."""
    config = TrainingConfig(batch_size=batch_size, epochs=n_epochs)
    epochs = TrainingRun(config, splits).epochs()
    next(epochs)
    for readings in epochs:
        yield readings.seconds


def network(n_inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, 128), nn.ReLU(), nn.Linear(128, 10))


def validate(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    model.eval()
    with torch.inference_mode():
        output = model(x)
        nn.functional.cross_entropy(output, y).item()
        output.argmax(1).eq(y).float().mean().item()
    model.train()


def experts(splits: Splits, batch_size: int, n_epochs: int) -> Iterator[float]:
    x, validation_x = splits.train_x.float() / 255, splits.validation_x.float() / 255
    y, validation_y = splits.train_y, splits.validation_y
    model = network(x[0].numel())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    for _ in range(n_epochs):
        started = time.perf_counter()
        for indices in torch.randperm(len(x)).split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(x[indices]), y[indices]).backward()
            optimizer.step()
        validate(model, validation_x, validation_y)
        yield time.perf_counter() - started


class _Images(Dataset):
    """As torchvision's MNIST gives its samples: an image at a time, through ToTensor."""

    def __init__(self, splits: Splits) -> None:
        self._x, self._y = splits.train_x.numpy(), splits.train_y
        self._to_tensor = ToTensor()

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._to_tensor(self._x[index].transpose(1, 2, 0)), int(self._y[index])


def popular(splits: Splits, batch_size: int, n_epochs: int) -> Iterator[float]:
    validation_x = splits.validation_x.float() / 255
    loader = DataLoader(_Images(splits), batch_size=batch_size, shuffle=True)
    model = network(splits.train_x[0].numel())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(n_epochs):
        started = time.perf_counter()
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        validate(model, validation_x, splits.validation_y)
        yield time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="auto")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    splits = split_dataset(load_dataset(arguments.task, announce=lambda line: print(line, file=sys.stderr)))
    rows = []
    for batch_size in BATCH_SIZES:
        ways = {"ours": ours, "expert": experts, "popular": popular}
        runs = {name: way(splits, batch_size, arguments.epochs + 1) for name, way in ways.items()}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for epoch in range(arguments.epochs + 1):  # the first only warms up
            for name, run in runs.items():
                taken = next(run)
                if epoch:
                    seconds[name].append(taken)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        row = {"batch_size": batch_size, **medians, "expert_over_ours": medians["expert"] / medians["ours"]}
        rows.append(row | {"popular_over_ours": medians["popular"] / medians["ours"]})
        print(
            f"batch {batch_size:4}  ours {medians['ours']:.3f} s  expert {medians['expert']:.3f} s  "
            f"popular {medians['popular']:.3f} s  expert/ours {row['expert_over_ours']:.2f}",
            file=sys.stderr,
        )
    about = {"task": splits.name, "n_epochs": arguments.epochs, "n_threads": arguments.threads}
    machine = described("torch", "torchvision", "symptune")
    print(json.dumps({"claim": __doc__.splitlines()[0], **about, "results": rows, **machine}, indent=2))


if __name__ == "__main__":
    main()
