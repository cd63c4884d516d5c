"""Claim: where lanes of a network share a pass (engine=functional), they take less time than in turn (one_by_one).

Microseconds of a lane's optimizer step, for 1 to 8 lanes, with gradient norms read, by each engine that takes the
network; the engines take turns, step by step, and the figures are medians. auto is what `choose_engine` picks for that
many lanes by its own short probe. Give it a quiet core:

    python benchmarks/lane_engines.py --threads 1
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from machine import described, load_average
from torch import Tensor, nn
from torch.nn import functional

from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.lanes.choosing import choose_engine
from tuner.training.lanes.comparing import copies_of, minibatches
from tuner.training.lanes.engine import LaneStart, Minibatch
from tuner.training.lanes.engines import ENGINES
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.models import ModelBuilder, untrained_model
from tuner.training.reproducibility import RandomStream

N_LANES = (1, 2, 4, 8)


class Residual(nn.Module):
    """Two blocks of two linear layers, each block added to what it got."""

    def __init__(self, config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        self.stem = nn.Linear(input_shape[0] * input_shape[1] * input_shape[2], config.width)
        self.inner = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(2))
        self.outer = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(2))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + self.dropout(outer(functional.relu(inner(x))))
        return self.head(functional.relu(x))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, and the side of the images it sees."""

    name: str
    side: int
    config: TrainingConfig
    builder: ModelBuilder | None = None


BASE = TrainingConfig(batch_size=64, momentum=0.9, dropout=0.2)
CASES = (
    Case(name="cnn 8x8", side=8, config=replace(BASE, model="cnn")),
    Case(name="cnn 28x28", side=28, config=replace(BASE, model="cnn")),
    Case(name="residual 5x64, 8x8", side=8, config=replace(BASE, width=64), builder=Residual),
    Case(name="residual 5x128, 28x28", side=28, config=BASE, builder=Residual),
    Case(name="batch norm 2x64, 8x8", side=8, config=replace(BASE, width=64, depth=2, normalization="batch")),
    Case(name="batch norm 2x128, 28x28", side=28, config=replace(BASE, depth=2, normalization="batch")),
)


def images(side: int) -> Splits:
    """Random ones: what is in them changes no time."""
    random = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (1280, 1, side, side), dtype=torch.uint8, generator=random)
    y = torch.arange(1280) % 10
    dataset = Dataset(
        name="noise", kind="classification", n_outputs=10, x_train=x, y_train=y, x_test=None, y_test=None
    )
    return split_dataset(dataset, device="cpu")


def lane_starts(case: Case, splits: Splits, n_lanes: int) -> list[LaneStart]:
    starts = []
    for seed in range(n_lanes):
        config = replace(case.config, seed=seed, learning_rate=0.01 * (1 + seed))
        random = RandomStream(seed, splits.device)
        scaling = input_scaling(config, splits.train_x, splits.train_statistics)
        model = untrained_model(config, splits, scaling, random, builder=case.builder)
        starts.append(LaneStart(config=config, model=model, generator=random.generator()))
    return starts


def stepping(name: str, starts: list[LaneStart], splits: Splits) -> Callable[[], object]:
    engine = ENGINES[name](splits)
    engine.add(copies_of(starts))
    ((x, y),) = minibatches(starts[0], splits, 1)
    batch = Minibatch(first_lane=0, n_lanes=len(starts), x=x, y=y)
    rates = [start.config.learning_rate for start in starts]
    return lambda: engine.step([[batch]], rates, reads_norms=True, is_probed=False)


def measure(case: Case, splits: Splits, n_lanes: int, seconds: float) -> dict[str, object]:
    """Microseconds of a lane-step by engine, and what auto picks."""
    starts = lane_starts(case, splits, n_lanes)
    names = [
        name for name in ENGINES if name != "mlp" or MlpEngine.supports(starts[0].config, starts[0].model)
    ]
    steps = {name: stepping(name, starts, splits) for name in names}
    for step in steps.values():
        step()
    taken: dict[str, list[float]] = {name: [] for name in names}
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            taken[name].append(time.perf_counter() - started)
    figures = {name: statistics.median(times) / n_lanes * 1e6 for name, times in taken.items()}
    return {"n_lanes": n_lanes, "microseconds": figures, "auto": choose_engine(starts, splits)[0]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of each row")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    load = load_average()
    rows = []
    for case in CASES:
        splits = images(case.side)
        for n_lanes in N_LANES:
            row = {"network": case.name, **measure(case, splits, n_lanes, arguments.seconds)}
            figures = "  ".join(f"{name} {value:7.0f} us" for name, value in row["microseconds"].items())
            print(f"{case.name:24}  {n_lanes} lanes  {figures}  auto {row['auto']}", file=sys.stderr)
            rows.append(row)
    about = {"batch_size": BASE.batch_size, "n_threads": arguments.threads, "load_average": load}
    claim = __doc__.splitlines()[0]
    print(json.dumps({"claim": claim, **about, "results": rows, **described("torch", "symptune")}, indent=2))


if __name__ == "__main__":
    main()
