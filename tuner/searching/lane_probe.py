"""How long a step of so many lanes takes here: a short training of a cohort on a piece of the real data."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from tuner.searching.objective import Objective
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.structure import structural_levers
from tuner.training.stopwatch import Stopwatch

STEPS = 4
"""Optimizer steps of a probed epoch: at batch 128 some milliseconds a lane."""
TIMED_EPOCHS = 2
"""The fastest of them counts: whatever else the machine does only adds."""
VALIDATION_SAMPLES = 64


@dataclass(frozen=True, kw_only=True)
class LaneProbe:
    """Times cohorts of one typical config of a search."""

    objective: Objective

    def seconds_per_lane_step(self, n_lanes: int, *, own_orders: bool = False) -> float:
        """Of the training and the gathering of its data, the fastest of `TIMED_EPOCHS` short epochs.

        Args:
            n_lanes: of the cohort.
            own_orders: whether each lane has a data order of its own, as refilled lanes do.
        """
        pace = LanePace(
            self.objective,
            n_lanes,
            n_epochs=TIMED_EPOCHS,
            own_orders=own_orders,
            clock=clock_of(self.objective.splits.device),
        )
        return min(pace.seconds_per_lane_step() for _ in range(TIMED_EPOCHS))

    def bytes_per_lane(self, n_lanes: int) -> int | None:
        """What a lane took of the accelerator's memory in the last probe; None where that is not known."""
        device = self.objective.splits.device
        if device.type != "cuda":
            return None
        return round(torch.cuda.max_memory_allocated(device) / n_lanes)


class LanePace:
    """A cohort of one typical config that has been through its first steps, and is timed epoch by epoch.

    Args:
        objective: of the search.
        n_lanes: of the cohort.
        n_epochs: that can be timed.
        own_orders: whether each lane has a data order of its own.
        clock: what is timed with.
    """

    def __init__(
        self,
        objective: Objective,
        n_lanes: int,
        *,
        n_epochs: int,
        own_orders: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        config = dataclasses.replace(typical_config(objective), epochs=1 + n_epochs)
        splits = shortened(objective.splits, config)
        self.n_lane_steps = n_lanes * n_steps(splits, config)
        """Of an epoch."""
        self._stopwatch = Stopwatch(clock=clock)
        self._cohort = Cohort(
            splits,
            model=objective.model,
            metric=objective.metric,
            direction=objective.direction,
            telemetry=False,  # what is read at an epoch's end would take longer than so short an epoch
            stopwatch=self._stopwatch,
        )
        for lane in range(n_lanes):
            self._cohort.admit(dataclasses.replace(config, order_seed=lane) if own_orders else config)
        self._cohort.advance()  # the untrained networks
        self._cohort.advance()  # not timed: engines choose their kernels at the first steps

    def seconds_per_lane_step(self) -> float:
        """Of training and gathering its data, over one more short epoch."""
        before = self._trained_seconds()
        self._cohort.advance()
        return (self._trained_seconds() - before) / self.n_lane_steps

    def _trained_seconds(self) -> float:
        return self._stopwatch.seconds["training"] + self._stopwatch.seconds["data"]


def clock_of(device: torch.device) -> Callable[[], float]:
    """What a step is timed with. A single thread's own time, which other processes on the core do not lengthen."""
    is_alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if is_alone else time.perf_counter


def typical_config(objective: Objective) -> TrainingConfig:
    """The base config with what is searched of it in the middle of its range, without what needs a long training."""
    space = objective.space
    left_out = {*structural_levers(space), *space.conditions}
    middle = {}
    for lever in space:
        if lever.name not in left_out:
            grid = lever.grid(3)
            middle[lever.key] = lever.to_config(grid[len(grid) // 2])
    config = objective.config(middle)
    return dataclasses.replace(
        config,
        patience=0,
        # Of a training this short nothing else may be asked.
        milestones=(),
        warmup_steps=0,
        # What is not finite costs another time, and ends the probe.
        learning_rate=min(config.learning_rate, 1e-3),
        stop_on_divergence=False,
    )


def shortened(splits: Splits, config: TrainingConfig) -> Splits:
    """The first samples: enough for `STEPS` optimizer steps; all of them where a step takes all."""
    n_train = len(splits.train_x)
    if config.batch_size != "full":
        n_train = min(n_train, STEPS * config.batch_size * config.accumulation_steps)
    n_validation = min(len(splits.validation_x), VALIDATION_SAMPLES)
    return dataclasses.replace(
        splits,
        train_x=splits.train_x[:n_train],
        train_y=splits.train_y[:n_train],
        validation_x=splits.validation_x[:n_validation],
        validation_y=splits.validation_y[:n_validation],
    )


def n_steps(splits: Splits, config: TrainingConfig) -> int:
    """Optimizer steps of an epoch on ``splits``."""
    n_train = len(splits.train_x)
    size = n_train if config.batch_size == "full" else config.batch_size
    return -(-n_train // min(size * config.accumulation_steps, n_train))
