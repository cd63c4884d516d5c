"""Claim: on a GPU 256 lanes take a sixtieth of the time of an eager loop on the device, a tenth of a CUDA-graphed one.

784-128-10, SGD with momentum, dropout, batch 128; the data stay on the device. The serial loops train one config after
another: a few are timed, the rest is the same again. Validation is left to none: a pass an epoch for all. Needs CUDA;
never run on the machine of docs/performance.md, which has none:

    python benchmarks/gpu_lanes.py --task mnist --lanes 256 --epochs 3
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import torch
from machine import described
from rivals.training import Tensors, network, optimizer_of, validation_accuracy
from torch import Tensor, nn
from workload import MOMENTUM, Workload

from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset

LEVERS = {"learning_rate": 0.1, "weight_decay": 1e-5, "dropout": 0.2}
N_WARM_UP_STEPS = 11
"""As torch's documentation asks for before a capture, on a stream of their own."""


def tensors_of(splits: Splits) -> Tensors:
    return Tensors(
        train_x=splits.train_x.flatten(1).float() / 255,
        train_y=splits.train_y,
        validation_x=splits.validation_x.flatten(1).float() / 255,
        validation_y=splits.validation_y,
    )


def lane_epochs(splits: Splits, workload: Workload, n_lanes: int) -> Iterator[float]:
    """Seconds of each epoch of all lanes, over their number."""
    cohort = Cohort(splits)
    for seed in range(n_lanes):
        keys = {"momentum": MOMENTUM, "batch_size": workload.batch_size, "epochs": workload.n_epochs}
        cohort.admit(TrainingConfig.from_mapping({**LEVERS, **keys, "seed": seed, "order_seed": 0}))
    cohort.advance()
    print(f"Lanes are trained by {cohort.engine_name}: {cohort.engine_reason}", file=sys.stderr)
    for _ in range(workload.n_epochs):
        yield timed(cohort.advance) / n_lanes


def serial_epochs(tensors: Tensors, workload: Workload, *, graphed: bool) -> Iterator[float]:
    """Seconds of each epoch of one config, every step issued by Python or replayed from one CUDA graph."""
    x, y = tensors.train_x, tensors.train_y
    model = network(workload, n_inputs=x.shape[1], n_outputs=tensors.n_outputs, dropout=LEVERS["dropout"]).to(
        x.device
    )
    optimizer = optimizer_of(workload, model, LEVERS, fused=True)
    indices = torch.zeros(workload.batch_size, dtype=torch.int64, device=x.device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        output = model(x.index_select(0, indices))
        nn.functional.cross_entropy(output, y.index_select(0, indices)).backward()
        optimizer.step()

    take = captured(step) if graphed else step

    def epoch() -> None:
        model.train()
        for each in whole_batches(len(x), workload.batch_size, x.device):
            indices.copy_(each)
            take()
        validation_accuracy(model, tensors)

    for _ in range(workload.n_epochs):
        yield timed(epoch)


def whole_batches(n_samples: int, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """A graph has one shape: the last, smaller minibatch of an epoch is left out, for both loops."""
    n_whole = n_samples - n_samples % batch_size
    yield from torch.randperm(n_samples, device=device)[:n_whole].split(batch_size)


def captured(step: Callable[[], None]) -> Callable[[], None]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(N_WARM_UP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def timed(act: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    act()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="auto")
    parser.add_argument("--lanes", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3, help="timed ones, of which the median counts")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark needs a CUDA device, but torch sees none.")
    workload = Workload(batch_size=arguments.batch_size, n_epochs=arguments.epochs)
    splits = split_dataset(load_dataset(arguments.task), seed=0, device="cuda")
    tensors = tensors_of(splits)
    seconds = {
        "lanes": statistics.median(lane_epochs(splits, workload, arguments.lanes)),
        "eager": statistics.median(serial_epochs(tensors, workload, graphed=False)),
        "graphed": statistics.median(serial_epochs(tensors, workload, graphed=True)),
    }
    shapes = {"n_train": len(tensors.train_x), "n_validation": len(tensors.validation_x)}
    flops = workload.epoch_flops(n_inputs=tensors.train_x.shape[1], n_outputs=tensors.n_outputs, **shapes)
    figures = {
        "claim": __doc__.splitlines()[0],
        "device": torch.cuda.get_device_name(),
        "n_lanes": arguments.lanes,
        "seconds_a_trial_epoch": seconds,
        "over_lanes": {name: taken / seconds["lanes"] for name, taken in seconds.items()},
        "gflops_per_second": {name: flops / taken / 1e9 for name, taken in seconds.items()},
    }
    print(json.dumps({**figures, **described("torch", "symptune")}, indent=2))


if __name__ == "__main__":
    main()
