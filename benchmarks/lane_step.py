"""Claim: a step of a lane costs half of an expert's step or less, and most of it is products at this machine's rate.

Steps of the mlp engine (telemetry's norms read, dropout in every lane) and of an expert's loop (autograd, nn.Dropout,
fused optimizer) take turns on random data of MNIST's shape, in one thread, whose own processor time is what counts.
Microseconds a lane-step by activity; the GEMM rate is that of the step's own products by themselves. The floor is what
remains with the parts in the cache: products, updates with the norm, and dropout, each repeated by itself, and the
calls of a step with networks so small that nothing else costs anything:

    python benchmarks/lane_step.py --lanes 1 8 --batch-sizes 32 128
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch
from machine import described
from torch import Tensor, nn

from tuner.training.architectures.dropout import Dropout
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import LaneStart, Minibatch
from tuner.training.lanes.layers import LaneDropout
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.lanes.optimizers import LaneOptimizers
from tuner.training.lanes.products import Products
from tuner.training.models import build_model

N_INPUTS, N_CLASSES, N_SAMPLES = 784, 10, 4096
DROPOUT, RATE, DECAY, MOMENTUM = 0.2, 1e-3, 1e-4, 0.9
NETWORKS = {"1x128 sgd": (1, 128, "sgd"), "3x128 adam": (3, 128, "adam"), "2x256 adam": (2, 256, "adam")}
STEPS_A_ROUND = 10
TINY = 8
"""Inputs, units and samples of a step that is all calls."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is trained."""

    depth: int
    width: int
    optimizer: str
    n_lanes: int
    batch_size: int
    n_inputs: int = N_INPUTS

    @property
    def calls(self) -> "Work":
        """As many calls, hardly any numbers."""
        return replace(self, width=TINY, batch_size=TINY, n_inputs=TINY)

    def config(self, seed: int) -> TrainingConfig:
        return TrainingConfig(
            depth=self.depth,
            width=self.width,
            optimizer=self.optimizer,
            momentum=MOMENTUM if self.optimizer == "sgd" else 0.0,
            weight_decay=DECAY,
            dropout=DROPOUT,
            batch_size=self.batch_size,
            seed=seed,
        )

    def floating_point_operations(self) -> int:
        """Of the products of a lane-step: forward, weight gradients, and all input gradients but the first."""
        widths = [self.n_inputs, *[self.width] * self.depth, N_CLASSES]
        sizes = [n_in * n_out for n_in, n_out in itertools.pairwise(widths)]
        return 2 * self.batch_size * (2 * sum(sizes) + sum(sizes[1:]))


def data(batch_size: int, n_inputs: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(N_SAMPLES, n_inputs, generator=generator)
    y = torch.randint(N_CLASSES, (N_SAMPLES,), generator=generator)
    return list(zip(x.split(batch_size), y.split(batch_size), strict=True))


def splits(n_inputs: int) -> Splits:
    x, y = torch.zeros(1, n_inputs), torch.zeros(1, dtype=torch.int64)
    parts: dict[str, Any] = {"train_x": x, "train_y": y, "validation_x": x, "validation_y": y}
    about: dict[str, Any] = {"split": "last", "fraction": 0.5, "seed": 0, "test_x": None, "test_y": None}
    return Splits(name="random", kind="classification", n_outputs=N_CLASSES, **parts, **about)


def lane_starts(work: Work) -> list[LaneStart]:
    return [
        LaneStart(
            config=work.config(seed),
            model=build_model(work.config(seed), (work.n_inputs,), N_CLASSES),
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in range(work.n_lanes)
    ]


def lanes(work: Work, products: Products) -> Iterator[None]:
    """Each iteration is a step of all lanes."""
    engine = MlpEngine(splits(work.n_inputs), products=products)
    engine.add(lane_starts(work))
    rates = [RATE] * work.n_lanes
    minibatches = data(work.batch_size, work.n_inputs)
    while True:
        for x, y in minibatches:
            part = [Minibatch(first_lane=0, n_lanes=work.n_lanes, x=x, y=y)]
            engine.step([part], rates, reads_norms=True, is_probed=False)
            yield


def experts(work: Work) -> Iterator[None]:
    widths = [work.n_inputs, *[work.width] * work.depth]
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(DROPOUT)]
    model = nn.Sequential(*layers, nn.Linear(work.width, N_CLASSES))
    keys: dict[str, Any] = {"lr": RATE, "weight_decay": DECAY, "fused": True}
    if work.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), momentum=MOMENTUM, **keys)
    else:
        optimizer = torch.optim.Adam(model.parameters(), **keys)
    minibatches = data(work.batch_size, work.n_inputs)
    while True:
        for x, y in minibatches:
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            yield


def products_alone(work: Work, products: Products) -> Iterator[None]:
    """The products of `lanes`, and nothing else."""
    k, n, width = work.n_lanes, work.batch_size, work.width
    x, h, d = torch.rand(n, N_INPUTS), torch.rand(k, width, n), torch.rand(k, N_CLASSES, n)
    first, hidden = torch.rand(k, width, N_INPUTS), torch.rand(k, width, width)
    last = torch.rand(k, N_CLASSES, width)
    while True:
        products.shared_outputs(first, x)
        for weights, gradient in ((hidden, h),) * (work.depth - 1) + ((last, d),):
            products.outputs(weights, h)
            products.weight_gradients(gradient, h)
            products.input_gradients(weights, gradient)
        products.shared_weight_gradients(h, x)
        yield


def optimizer_alone(work: Work) -> Iterator[None]:
    """Norms and updates of all lanes, and nothing else."""
    starts, optimizers = lane_starts(work), LaneOptimizers()
    MlpEngine(splits(work.n_inputs)).add(starts)  # lays their weights side by side
    for start in starts:
        optimizers.add(start.config, start.model)
    gradients = [1e-3 * torch.rand(work.n_lanes, *each.shape) for each in starts[0].model.parameters()]
    while True:
        optimizers.step(gradients, [RATE] * work.n_lanes, reads_norms=True)
        yield


def dropout_alone(work: Work) -> Iterator[None]:
    """The dropout of all layers, forward and backward, and nothing else."""
    generators = [start.generator for start in lane_starts(work)]
    layers = [LaneDropout([Dropout(DROPOUT)] * work.n_lanes, generators) for _ in range(work.depth)]
    h = torch.rand(work.n_lanes, work.width, work.batch_size)
    while True:
        for layer in layers:
            layer.forward(h)
            layer.backward(h)
        yield


@contextmanager
def timed(seconds: Counter[str]) -> Iterator[None]:
    """Adds up what products, updates and dropout take."""

    def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keys: Any) -> Any:
            started = time.thread_time()
            result = function(*arguments, **keys)
            seconds[name] += time.thread_time() - started
            return result

        return call

    places = (
        (Products, "_product", "products"),
        (LaneOptimizers, "step", "optimizer"),
        (LaneDropout, "forward", "dropout"),
        (LaneDropout, "backward", "dropout"),
    )
    patches = [
        mock.patch.object(owner, method, wrapped(name, getattr(owner, method)))
        for owner, method, name in places
    ]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def round_seconds(steps: Iterator[None]) -> float:
    started = time.thread_time()
    for _ in range(STEPS_A_ROUND):
        next(steps)
    return (time.thread_time() - started) / STEPS_A_ROUND


def row(work: Work, n_rounds: int) -> dict[str, Any]:
    """Medians over rounds in which all take turns."""
    products = Products()
    ways = {
        "lanes": lanes(work, products),
        "expert": experts(work),
        "products": products_alone(work, products),
        "optimizer": optimizer_alone(work),
        "dropout": dropout_alone(work),
        "calls": lanes(work.calls, products),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    parts: Counter[str] = Counter()
    for number in range(n_rounds + 1):  # the first only warms up
        for name, steps in ways.items():
            taken = round_seconds(steps)
            if number:
                seconds[name].append(taken)
        with timed(parts if number else Counter()):
            round_seconds(ways["lanes"])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    lane_step, alone = medians["lanes"] / work.n_lanes, medians["products"] / work.n_lanes
    floor = sum(medians[name] for name in ("products", "optimizer", "dropout", "calls")) / work.n_lanes
    # The parts were timed in rounds of their own, as timing them costs time.
    n_lane_steps = n_rounds * STEPS_A_ROUND * work.n_lanes
    by_part = {name: 1e6 * total / n_lane_steps for name, total in parts.items()}
    return {
        "microseconds": 1e6 * lane_step,
        **by_part,
        "elementwise": 1e6 * lane_step - sum(by_part.values()),
        "floor": 1e6 * floor,
        "floor_by_part": {
            name: 1e6 * medians[name] / work.n_lanes for name in ("products", "optimizer", "dropout", "calls")
        },
        "expert": 1e6 * medians["expert"],
        "expert_over_lane": medians["expert"] / lane_step,
        "gigaflops": work.floating_point_operations() / lane_step / 1e9,
        "gemm_gigaflops": work.floating_point_operations() / alone / 1e9,
        "share_of_gemm_rate": alone / lane_step,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 64, 128, 512])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in arguments.networks:
        depth, width, optimizer = NETWORKS[name]
        for n in arguments.batch_sizes:
            for k in arguments.lanes:
                work = Work(depth=depth, width=width, optimizer=optimizer, n_lanes=k, batch_size=n)
                found = row(work, arguments.rounds)
                rows.append({"network": name, "batch_size": n, "n_lanes": k, **found})
                print(
                    f"{name:10}  batch {n:3}  {k:2} lanes  {found['microseconds']:6.0f} µs a lane-step: "
                    f"products {found['products']:5.0f}, elementwise {found['elementwise']:4.0f}, "
                    f"optimizer {found['optimizer']:4.0f}, dropout {found['dropout']:4.0f}; "
                    f"floor {found['floor']:4.0f}; expert {found['expert']:6.0f} ({found['expert_over_lane']:.2f}x); "
                    f"{found['share_of_gemm_rate']:4.0%} of {found['gemm_gigaflops']:.0f} GFLOP/s",
                    file=sys.stderr,
                )
    about = {"n_rounds": arguments.rounds, "n_threads": 1}
    print(
        json.dumps(
            {"claim": __doc__.splitlines()[0], **about, "results": rows, **described("torch")}, indent=2
        )
    )


if __name__ == "__main__":
    main()
