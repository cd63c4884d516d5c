"""A training that is taken a few optimizer steps at a time, by the engine that every search uses."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.stepping import SteppedLanes
from tuner.training.losses import training_loss
from tuner.training.models import ModelBuilder
from tuner.training.one_epoch import POLL_STEPS
from tuner.training.schedules import peak_learning_rate

FINE_SECONDS = 1e-4
"""Of a clock that times stretches of some 20 ms (Windows counts processor time in 16 ms)."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A few optimizer steps that were taken."""

    n_steps: int
    n_samples: int
    seconds: float
    """By `stopwatch`; the device's work is included."""
    has_diverged: bool
    """A loss was not finite."""


class SteppedTraining:
    """One training at a constant learning rate, with telemetry's cost but without its records.

    It is a lane in the engine that a search of such configs uses, so that its seconds are those that a trial of the
    search pays. Data order and dropout are those of a `TrainingRun` with the same config: only the evaluations between
    epochs are left out. The caller's random state is never touched.

    Args:
        config: ``batch_size``, ``accumulation_steps``, ``learning_rate`` and ``seed`` decide; a schedule does not.
        splits: the data; its device is the one that trains.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        n_lanes: lanes that train side by side, all alike, to be timed as in a search; seconds are one lane's share.
        engine: as of `Cohort`.
    """

    def __init__(
        self,
        config: TrainingConfig,
        splits: Splits,
        *,
        model: ModelBuilder | None = None,
        n_lanes: int = 1,
        engine: str = "auto",
    ) -> None:
        self.config = config
        self.splits = splits
        self.loss = training_loss(config, splits)
        self.n_steps = 0
        """Optimizer steps taken so far."""
        self._learning_rate = peak_learning_rate(config, len(splits.train_x))
        self._lanes = SteppedLanes(
            config, splits, model=model, engine=engine, reads_norms=True, has_whole_steps=False
        )
        self.scaling = self._lanes.scaling
        self._sizes = self._lanes.plan.step_sizes
        self.n_lanes = n_lanes
        for position in range(n_lanes):
            self._lanes.start(position, self._lanes.untrained(config.seed))
        self._stopwatch = stopwatch(splits.device)

    @property
    def steps_per_epoch(self) -> int:
        return len(self._sizes)

    @property
    def samples_per_step(self) -> int:
        """Of all optimizer steps but an epoch's last."""
        return self._sizes[0]

    @property
    def model(self) -> nn.Module:
        """A copy of the network as it is now."""
        copied = self._lanes.untrained(self.config.seed).model
        copied.load_state_dict(self._lanes.model_state(0))
        return copied

    def train(self, n_steps: int) -> Stretch:
        """Take ``n_steps`` more optimizer steps, over the end of an epoch where it comes; fewer when it diverges."""
        before, has_diverged = self.n_steps, False
        started = self._stopwatch()
        while self.n_steps < before + n_steps and not has_diverged:
            n = min(before + n_steps - self.n_steps, POLL_STEPS)
            rates = [self._learning_rate] * n
            losses = self._lanes.advance(dict.fromkeys(range(self.n_lanes), rates))[0]
            self.n_steps += n
            has_diverged = not bool(losses.isfinite().all())  # waits for the device
        seconds = (self._stopwatch() - started) / self.n_lanes
        sizes = [self._sizes[step % self.steps_per_epoch] for step in range(before, self.n_steps)]
        return Stretch(n_steps=len(sizes), n_samples=sum(sizes), seconds=seconds, has_diverged=has_diverged)

    def validation_loss(self, x: Tensor, y: Tensor) -> float:
        """The plain loss in eval mode on ``x``, ``y``; infinite where it is not a number."""
        loss = self._lanes.evaluate(x, y)[0].loss
        return loss if math.isfinite(loss) else math.inf


def stopwatch(device: torch.device) -> Callable[[], float]:
    """The clock that times training on ``device``.

    Where one thread does it all, the processor time of that thread: what other processes take is none of it. Else wall
    time, as on systems whose processor time is too coarse.
    """
    is_fine = time.get_clock_info("thread_time").resolution < FINE_SECONDS
    if device.type == "cpu" and torch.get_num_threads() == 1 and is_fine:
        return time.thread_time
    return time.perf_counter
