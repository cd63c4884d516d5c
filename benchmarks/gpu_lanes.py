"""Claim: on a GPU 256 lanes take a sixtieth of the time of an eager loop on the device, a tenth of a CUDA-graphed one.

784-128-10, SGD with momentum, dropout, batch 128; the data stay on the device. The serial loops train one config after
another: a few are timed, the rest is the same again. Validation is left to none: a pass an epoch for all. Lanes are
timed in three ways: with steps replayed from a CUDA graph, with steps that Python issues, and with steps that Python
issues and in which each lane is updated in turn. Beside them stands what the roofline allows a lane: its products at
the rate of one large product, and the bytes of weights, gradients and momentum at the rate of a large copy, one after
the other, both measured in the same run. Needs CUDA; never run on the machine of docs/performance.md, which has none:

    python benchmarks/gpu_lanes.py --task mnist --lanes 256 --epochs 3
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from machine import described
from rivals.training import Tensors, network, optimizer_of, validation_accuracy
from torch import Tensor, nn
from workload import MOMENTUM, Workload

from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.lanes.cuda_graphs import CudaGraphs
from tuner.training.lanes.engine import Engine
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.stopwatch import Stopwatch

LEVERS = {"learning_rate": 0.1, "weight_decay": 1e-5, "dropout": 0.2}
WAYS = ("replayed", "issued", "in turn")
"""Of the lanes' steps."""
PASSES_OF_AN_UPDATE = {"gradient": 5, "weights": 4, "momentum": 3}
"""Times that a stacked step reads or writes each: the gradient is made, read for its norm, decayed (read, written) and
added to the momentum; weights are read by the product, the decay and the update, and written; momentum is read,
written, and read again."""
BYTES = 4
"""Of a float32."""
COPIED_FLOATS = 2**28
N_TIMED = 20
N_WARM_UP_STEPS = 11
"""As torch's documentation asks for before a capture, on a stream of their own."""


def tensors_of(splits: Splits) -> Tensors:
    return Tensors(
        train_x=splits.train_x.flatten(1).float() / 255,
        train_y=splits.train_y,
        validation_x=splits.validation_x.flatten(1).float() / 255,
        validation_y=splits.validation_y,
    )


def engine_of(way: str, splits: Splits) -> Engine:
    recorder = CudaGraphs(splits.device) if way == "replayed" else None
    return MlpEngine(splits, stacks=way != "in turn", recorder=recorder)


def lane_epochs(
    splits: Splits, workload: Workload, n_lanes: int, way: str, stopwatch: Stopwatch
) -> Iterator[float]:
    """Seconds of each epoch of all lanes, over their number."""
    cohort = Cohort(splits, engine=partial(engine_of, way), stopwatch=stopwatch)
    for seed in range(n_lanes):
        keys = {"momentum": MOMENTUM, "batch_size": workload.batch_size, "epochs": workload.n_epochs}
        cohort.admit(TrainingConfig.from_mapping({**LEVERS, **keys, "seed": seed, "order_seed": 0}))
    cohort.advance()  # the untrained networks
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


def roofline(workload: Workload, tensors: Tensors, n_lanes: int) -> dict[str, float]:
    """Seconds of a trial's epoch: of its products, and of the memory that its updates move."""
    n_inputs = tensors.train_x.shape[1]
    layers = workload.layers(n_inputs=n_inputs, n_outputs=tensors.n_outputs)
    shapes = {"n_train": len(tensors.train_x), "n_validation": len(tensors.validation_x)}
    flops = workload.epoch_flops(n_inputs=n_inputs, n_outputs=tensors.n_outputs, **shapes)
    weights = torch.rand(n_lanes * workload.width, n_inputs, device="cuda")
    samples = torch.rand(n_inputs, workload.batch_size, device="cuda")
    flops_of_product = 2 * weights.numel() * workload.batch_size
    product_seconds = shortest(lambda: torch.mm(weights, samples))
    source = torch.zeros(COPIED_FLOATS, device="cuda")
    target = torch.empty_like(source)
    bytes_a_second = 2 * BYTES * COPIED_FLOATS / shortest(lambda: target.copy_(source))
    n_weights = sum(n_in * n_out for n_in, n_out in layers)
    n_steps = -(-len(tensors.train_x) // workload.batch_size)
    moved = BYTES * n_weights * sum(PASSES_OF_AN_UPDATE.values()) * n_steps
    return {
        "products": flops * product_seconds / flops_of_product,
        "updates": moved / bytes_a_second,
        "product_gflops_per_second": flops_of_product / product_seconds / 1e9,
        "gigabytes_per_second": bytes_a_second / 1e9,
    }


def shortest(act: Callable[[], object]) -> float:
    act()
    return min(timed(act) for _ in range(N_TIMED))


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
    seconds, shares = {}, {}
    for way in WAYS:
        stopwatch = Stopwatch()
        epochs = lane_epochs(splits, workload, arguments.lanes, way, stopwatch)
        seconds[way] = statistics.median(epochs)
        total = sum(stopwatch.seconds.values())
        shares[way] = {activity: taken / total for activity, taken in stopwatch.seconds.items()}
        print(f"lanes, {way}: {seconds[way] * 1e3:.3f} ms a trial-epoch", file=sys.stderr)
    seconds |= {
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
        "over_replayed": {name: taken / seconds["replayed"] for name, taken in seconds.items()},
        "shares_of_the_lanes_time": shares,
        "roofline_seconds_a_trial_epoch": roofline(workload, tensors, arguments.lanes),
        "gflops_per_second": {name: flops / taken / 1e9 for name, taken in seconds.items()},
    }
    print(json.dumps({**figures, **described("torch", "symptune")}, indent=2))


if __name__ == "__main__":
    main()
