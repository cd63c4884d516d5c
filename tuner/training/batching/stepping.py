"""A training that is taken a few optimizer steps at a time, by the very loop that every training uses."""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from studies.records import Outcome
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.evaluation import evaluate
from tuner.training.loop import TrainingRun
from tuner.training.losses import training_loss
from tuner.training.models import ModelBuilder
from tuner.training.one_epoch import EpochTrainer
from tuner.training.optimizers import build_optimizer
from tuner.training.reproducibility import RandomStream, data_order

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

    Every step is one of `EpochTrainer`, data order and dropout are those of a `TrainingRun` with the same config: only
    the evaluations between epochs are left out. The caller's random state is never touched.

    Args:
        config: ``batch_size``, ``accumulation_steps``, ``learning_rate`` and ``seed`` decide; a schedule does not.
        splits: the data; its device is the one that trains.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
    """

    def __init__(self, config: TrainingConfig, splits: Splits, *, model: ModelBuilder | None = None) -> None:
        config = dataclasses.replace(config, stop_on_divergence=True)
        built = TrainingRun(config, splits, model=model, telemetry=False)
        self.config = config
        self.splits = splits
        self.model = built.model
        self.scaling = built.scaling
        self.loss = training_loss(config, splits)
        self.n_steps = 0
        """Optimizer steps taken so far."""
        self._learning_rate = built.peak_learning_rate
        self._random = RandomStream(config.seed, splits.device)
        self._random.load_state_dict(built.state_dict()["random"])  # where building the model left it
        self._trainer = EpochTrainer(
            config=config,
            splits=splits,
            model=self.model,
            optimizer=build_optimizer(config, self.model.parameters()),
            loss=self.loss,
            scaling=self.scaling,
            should_stop=lambda: None,
            reads_gradients=True,
        )
        self._stopwatch = stopwatch(splits.device)
        self._epoch_sizes = tuple(self._trainer.step_sizes)
        self._order = torch.empty(0, dtype=torch.int64)

    @property
    def steps_per_epoch(self) -> int:
        return len(self._epoch_sizes)

    @property
    def samples_per_step(self) -> int:
        """Of all optimizer steps but an epoch's last."""
        return self._epoch_sizes[0]

    def train(self, n_steps: int) -> Stretch:
        """Take ``n_steps`` more optimizer steps, over the end of an epoch where it comes; fewer when it diverges."""
        n_taken, n_samples, seconds, has_diverged = 0, 0, 0.0, False
        while n_taken < n_steps and not has_diverged:
            epoch, first = divmod(self.n_steps, self.steps_per_epoch)
            sizes = self._epoch_sizes[first : first + n_steps - n_taken]
            order = self._epoch_order(epoch + 1, first, sum(sizes))
            self._trainer.step_sizes = list(sizes)  # a stretch is an epoch of its own to the trainer
            started = self._stopwatch()
            with self._random.active():
                done = self._trainer.run(order, [self._learning_rate] * len(sizes), None)
            synchronize(self.splits.device)
            seconds += self._stopwatch() - started
            n_taken += len(done.sizes)
            n_samples += done.n_samples
            self.n_steps += len(done.sizes)
            has_diverged = done.outcome is Outcome.DIVERGED or not bool(
                torch.cat(done.losses).isfinite().all()
            )
        return Stretch(n_steps=n_taken, n_samples=n_samples, seconds=seconds, has_diverged=has_diverged)

    def validation_loss(self, x: Tensor, y: Tensor) -> float:
        """The plain loss in eval mode on ``x``, ``y``; infinite where it is not a number."""
        kind = self.splits.kind
        loss = evaluate(self.model, self.scaling, x, y, kind=kind, with_calibration=False).loss
        return loss if math.isfinite(loss) else math.inf

    def _epoch_order(self, epoch: int, first: int, n_samples: int) -> Tensor:
        """The samples of the next ``n_samples`` from optimizer step ``first`` of ``epoch``, counted from 1, on."""
        if first == 0 or not len(self._order):
            config = self.config
            seed = config.seed if config.order_seed is None else config.order_seed
            n = len(self.splits.train_x)
            self._order = data_order(n, seed=seed, epoch=epoch).to(self.splits.device)
        start = sum(self._epoch_sizes[:first])
        return self._order[start : start + n_samples]


def stopwatch(device: torch.device) -> Callable[[], float]:
    """The clock that times training on ``device``.

    Where one thread does it all, the processor time of that thread: what other processes take is none of it. Else wall
    time, as on systems whose processor time is too coarse.
    """
    is_fine = time.get_clock_info("thread_time").resolution < FINE_SECONDS
    if device.type == "cpu" and torch.get_num_threads() == 1 and is_fine:
        return time.thread_time
    return time.perf_counter


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done what it was given; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
