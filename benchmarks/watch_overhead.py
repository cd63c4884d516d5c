"""Claim: `tuner.watch` costs at most 5% of an epoch of a small CNN, at most 10% of one of a small MLP, at batch 64.

The same loop with and without a watch takes turns in one process. The figure is the median over pairs of neighboring
epochs of CPU time with / without, with the quartiles beside it; each one's first epoch, in which the data is probed, is
told apart. The loop gathers its minibatches from a tensor, the fastest that one would write, or takes them from a
DataLoader. CPU time does not count the turns of other processes, but their caches: give it quiet cores.

    python benchmarks/watch_overhead.py --epochs 15
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import tuner

BATCH = 64
LIMITS = {"mlp": 0.10, "cnn": 0.05}
N_SAMPLES = 60_000
"""Of random images the size of MNIST's, and as many: 938 steps an epoch, at whose end the network is probed."""


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 49, 10),
    )


MODELS = {"mlp": mlp, "cnn": cnn}


def minibatches(x: Tensor, y: Tensor, *, loader: bool) -> Iterator[tuple[Tensor, Tensor]]:
    if loader:
        yield from DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
        return
    for places in torch.randperm(len(x)).split(BATCH):
        yield x[places], y[places]


def epochs(name: str, *, is_watched: bool, loader: bool) -> Iterator[float]:
    """CPU seconds of one epoch after another, for ever."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(N_SAMPLES, 1, 28, 28, generator=generator)
    y = torch.randint(0, 10, (len(x),), generator=generator)
    torch.manual_seed(0)
    model = MODELS[name]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    watching = tuner.watch(model, optimizer) if is_watched else contextlib.nullcontext()
    with watching as watch:
        while True:
            started = time.process_time()
            for inputs, targets in minibatches(x, y, loader=loader):
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(inputs), targets)
                loss.backward()
                optimizer.step()
                if watch is not None:
                    watch.step(loss, inputs, targets)
            if watch is not None:
                watch.epoch()
            yield time.process_time() - started


def measured(name: str, n_epochs: int, *, loader: bool) -> dict[str, object]:
    """The ratio of neighboring epochs, with quartiles."""
    loops = {is_on: epochs(name, is_watched=is_on, loader=loader) for is_on in (True, False)}
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for epoch in range(n_epochs + 1):
        for is_on in (True, False) if epoch % 2 else (False, True):
            seconds[is_on].append(next(loops[is_on]))
    for loop in loops.values():
        loop.close()
    ratios = [on / off - 1 for on, off in zip(seconds[True][1:], seconds[False][1:], strict=True)]
    low, overhead, high = statistics.quantiles(ratios, n=4)
    return {
        "model": name,
        "minibatches": "DataLoader" if loader else "tensor",
        "seconds_without": statistics.median(seconds[False][1:]),
        "first_epoch_extra_seconds": seconds[True][0] - statistics.median(seconds[False]),
        "overhead": overhead,
        "quartiles": [low, high],
        "limit": LIMITS[name],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name in arguments.models:
        for loader in (False, True):
            rows.append(measured(name, arguments.epochs, loader=loader))
            print(json.dumps(rows[-1]), file=sys.stderr)
    result = {
        "claim": "CPU seconds of an epoch with a watch, over seconds without, minus 1; batch 64",
        "n_epochs": arguments.epochs,
        "n_threads": arguments.threads,
        "processor": platform.processor() or platform.machine(),
        "n_cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "results": rows,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
