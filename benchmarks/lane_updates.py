"""Claim: on a CPU it is no slower to update each lane in turn than all lanes at once, so lanes are updated in turn.

Milliseconds of a step of all lanes of 784-128-10, batch 128, dropout in every lane, gradient norms read, with the lanes
updated in turn or at once, by each engine. The ways take turns, step by step, and the figures are medians. With
``--device cuda`` there is a third way, steps replayed from a CUDA graph:

    python benchmarks/lane_updates.py --lanes 8 256 --threads 1
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import described, load_average
from torch import Tensor

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.capture import WARM_UP_STEPS
from tuner.training.lanes.cuda_graphs import CudaGraphs
from tuner.training.lanes.engine import LaneStart, Minibatch
from tuner.training.lanes.replaying import RECORDING
from tuner.training.models import build_model

N_INPUTS, N_CLASSES, BATCH_SIZE = 784, 10, 128
RATE = 1e-3
OPTIMIZERS = {"sgd": {"momentum": 0.9, "weight_decay": 1e-4}, "adam": {}}


def samples(device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH_SIZE, N_INPUTS, generator=generator)
    return x.to(device), torch.randint(N_CLASSES, (BATCH_SIZE,), generator=generator).to(device)


def splits_of(device: torch.device) -> Splits:
    x, y = samples(device)
    parts: dict[str, Any] = {"train_x": x, "train_y": y, "validation_x": x, "validation_y": y}
    about: dict[str, Any] = {"split": "last", "fraction": 0.5, "seed": 0, "test_x": None, "test_y": None}
    return Splits(name="random", kind="classification", n_outputs=N_CLASSES, **parts, **about)


def starts_of(optimizer: str, n_lanes: int, device: torch.device) -> list[LaneStart]:
    starts = []
    for seed in range(n_lanes):
        config = TrainingConfig(
            optimizer=optimizer, dropout=0.2, seed=seed, batch_size=BATCH_SIZE, **OPTIMIZERS[optimizer]
        )
        model = build_model(config, (N_INPUTS,), N_CLASSES).to(device)
        generator = torch.Generator(device).manual_seed(seed)
        starts.append(LaneStart(config=config, model=model, generator=generator))
    return starts


def stepping(engine: str, way: str, optimizer: str, n_lanes: int, device: torch.device) -> Callable[[], None]:
    """Takes a step, and waits for the device."""
    recorder = CudaGraphs(device) if way == "replayed" else None
    lanes = RECORDING[engine](splits_of(device), stacks=way != "in turn", recorder=recorder)
    lanes.add(starts_of(optimizer, n_lanes, device))
    x, y = samples(device)
    parts = [[Minibatch(first_lane=0, n_lanes=n_lanes, x=x, y=y)]]

    def step() -> None:
        lanes.step(parts, [RATE] * n_lanes, reads_norms=True, is_probed=False)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(WARM_UP_STEPS + 1):
        step()
    return step


def row(engine: str, optimizer: str, n_lanes: int, device: torch.device, seconds: float) -> dict[str, Any]:
    ways = ["in turn", "at once", *(["replayed"] if device.type == "cuda" else [])]
    steps = {way: stepping(engine, way, optimizer, n_lanes, device) for way in ways}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(taken[ways[-1]]) < 5:
        for way, step in steps.items():
            started = time.perf_counter()
            step()
            taken[way].append(time.perf_counter() - started)
    figures = {way: 1e3 * statistics.median(times) for way, times in taken.items()}
    return {"engine": engine, "optimizer": optimizer, "n_lanes": n_lanes, "milliseconds": figures}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lanes", type=int, nargs="+", default=[8, 256])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each row")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    load = load_average()
    rows = []
    for engine in RECORDING:
        for optimizer in OPTIMIZERS:
            for n_lanes in arguments.lanes:
                found = row(engine, optimizer, n_lanes, torch.device(arguments.device), arguments.seconds)
                figures = "  ".join(f"{way} {value:8.2f} ms" for way, value in found["milliseconds"].items())
                print(f"{engine:12} {optimizer:5} {n_lanes:3} lanes  {figures}", file=sys.stderr)
                rows.append(found)
    about = {"device": arguments.device, "n_threads": arguments.threads, "load_average": load}
    claim = __doc__.splitlines()[0]
    print(json.dumps({"claim": claim, **about, "results": rows, **described("torch", "symptune")}, indent=2))


if __name__ == "__main__":
    main()
