"""One training, epoch by epoch: its consumer sees each epoch's readings, and may end it in between."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_spaces.errors import ConfigurationError
from studies.records import DataProbe, EpochReadings, Outcome, StepReadings, StepZeroProbe, Telemetry
from tuner.training.best import BestEpoch, Weights
from tuner.training.config import TrainingConfig, direction_of
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.evaluation import Evaluation, evaluate
from tuner.training.losses import training_loss
from tuner.training.models import ModelBuilder, build_model, check_output
from tuner.training.one_epoch import EpochTrainer
from tuner.training.optimizers import build_optimizer
from tuner.training.readings import EpochReader
from tuner.training.reproducibility import RandomStream, data_order
from tuner.training.schedules import learning_rate_factor, peak_learning_rate, plateau_of
from tuner.training.telemetry_state import telemetry_from_state, telemetry_to_state

_NEEDS_CLASSES = frozenset({"validation_accuracy", "train_accuracy", "calibration_error"})


class TrainingRun:
    """One training of one config.

    Iterate over `epochs`; meanwhile `last_steps`, `step_zero` and `data_probe` have what else was read, and
    `stop` ends the training between two epochs. Afterwards `outcome` says how it ended, and `model` has the
    last weights (the best after early stopping). The caller's random state is never touched.

    Args:
        config: what to train.
        data: a data set, which is then split as the config says, or splits that many trainings share.
        device: where to train; splits are already somewhere, and stay there.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        should_stop: asked about every 20 optimizer steps and between epochs; an outcome ends the training.
        metric: what the best epoch and early stopping go by; None is validation accuracy, or validation loss
            for regression. ``seconds`` says nothing of an epoch's worth: the default decides then, too.
        direction: maximize or minimize; None is the metric's own.
        telemetry: False leaves out what costs time; losses, accuracies and the first probes remain.

    Raises:
        ConfigurationError: for a metric that the task does not have, or a model that does not fit the data.
    """

    def __init__(
        self,
        config: TrainingConfig,
        data: Dataset | Splits,
        *,
        device: str | torch.device = "auto",
        model: ModelBuilder | None = None,
        should_stop: Callable[[], Outcome | None] = lambda: None,
        metric: str | None = None,
        direction: str | None = None,
        telemetry: bool = True,
    ) -> None:
        self.config = config
        self.splits = data if isinstance(data, Splits) else _split(config, data, device)
        self.step_zero: StepZeroProbe | None = None
        self.data_probe: DataProbe | None = None
        self.last_steps: StepReadings | None = None
        self._best = _best_of(metric, direction, self.splits)
        self.peak_learning_rate = peak_learning_rate(config, len(self.splits.train_x))
        """What ``learning_rate`` comes to for the batch, by ``batch_lr_rule``; schedules are factors of it."""
        self._should_stop = should_stop
        self._random = RandomStream(config.seed, self.splits.device)
        self.scaling = input_scaling(config, self.splits.train_x, self.splits.train_statistics)
        self.model = self._built(model)
        self._loss = training_loss(config, self.splits)
        self._optimizer = build_optimizer(config, self.model.parameters())
        self._plateau = plateau_of(config)
        self._trainer = EpochTrainer(
            config=config,
            splits=self.splits,
            model=self.model,
            optimizer=self._optimizer,
            loss=self._loss,
            scaling=self.scaling,
            should_stop=should_stop,
            reads_gradients=telemetry,
        )
        self._reader = EpochReader(
            model=self.model,
            splits=self.splits,
            scaling=self.scaling,
            clip_norm=self._trainer.clip_norm,
            is_complete=telemetry,
        )
        self._rows: list[EpochReadings] = []
        self._steps: list[StepReadings] = []
        self._outcome: Outcome | None = None
        self._has_diverged = False
        self._is_between_epochs = True

    def _built(self, builder: ModelBuilder | None) -> torch.nn.Module:
        splits = self.splits
        with self._random.active():
            model = build_model(self.config, splits.input_shape, splits.n_outputs, builder=builder)
            model = model.to(splits.device)
            # It also gives lazy modules their shapes before the optimizer looks.
            check_output(model, self.scaling(splits.train_x[:2]), splits.n_outputs)
        return model

    # -- while it runs --

    def epochs(self) -> Iterator[EpochReadings]:
        """Train, and yield each epoch's readings; epoch 0 is the untrained network.

        A run whose state was loaded goes on behind the epochs it has. It ends by itself; `outcome` says why.
        """
        if not self._rows:
            with self._random.active():
                self._rows.append(self._read_untrained())
            yield self._rows[-1]
        while (outcome := self._ending()) is None:
            with self._random.active():
                readings = self._train_epoch(len(self._rows))
            if readings is None:
                break
            yield readings
        else:
            self._outcome = outcome
        if self._outcome is Outcome.STOPPED_EARLY:
            self.restore_best()

    def stop(self, outcome: Outcome) -> None:
        """End the training before its next epoch, for instance because a pruner says so."""
        self._outcome = outcome

    # -- what came of it --

    @property
    def outcome(self) -> Outcome:
        """How the training ended.

        Raises:
            RuntimeError: while it has not.
        """
        if self._outcome is None:
            raise RuntimeError(
                "The training has not ended: iterate over epochs() to its end, or call stop()."
            )
        return self._outcome

    @property
    def metric(self) -> str:
        """What the best epoch and early stopping go by."""
        return self._best.metric

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best finite value of the metric, epoch 0 aside; None before there is one."""
        return self._best.epoch

    @property
    def best_weights(self) -> Weights | None:
        """The state dict of the model at the end of `best_epoch`."""
        return self._best.weights

    def restore_best(self) -> None:
        """Give the model the weights of the best epoch, if there is one."""
        if self._best.weights is not None:
            self.model.load_state_dict(self._best.weights)

    def value(self, metric: str) -> float | None:
        """``metric`` at the best epoch, or the seconds of all epochs; None before a finite value was read."""
        direction_of(metric)
        if self._best.epoch is None:
            return None
        if metric == "seconds":
            return sum(row.seconds for row in self._rows)
        return _finite(getattr(self._rows[self._best.epoch], metric))

    @property
    def n_epochs_done(self) -> int:
        """Trained epochs so far, those of a loaded state included."""
        return max(0, len(self._rows) - 1)

    def value_at(self, metric: str, epoch: int) -> float | None:
        """``metric`` at an epoch that was read, or the seconds up to its end; None when it is not finite."""
        direction_of(metric)
        if metric == "seconds":
            return sum(row.seconds for row in self._rows[: epoch + 1])
        return _finite(getattr(self._rows[epoch], metric))

    def latest(self, metric: str) -> float | None:
        """``metric`` at the last epoch read, or the seconds so far; None when it is not finite."""
        direction_of(metric)
        return self.value_at(metric, len(self._rows) - 1) if self._rows else None

    def telemetry(self) -> Telemetry:
        """All readings so far."""
        return Telemetry(
            epochs=tuple(self._rows), steps=tuple(self._steps), step_zero=self.step_zero, data=self.data_probe
        )

    def evaluate(self, split: str = "validation") -> Evaluation:
        """The model as it is now on ``train``, ``validation`` or ``test``.

        Raises:
            ConfigurationError: for a split that the data does not have.
        """
        splits = self.splits
        parts: dict[str, tuple[Tensor, Tensor]] = {
            "train": (splits.train_x, splits.train_y),
            "validation": (splits.validation_x, splits.validation_y),
        }
        if splits.test_x is not None and splits.test_y is not None:
            parts["test"] = (splits.test_x, splits.test_y)
        if split not in parts:
            raise ConfigurationError(f"split must be one of {', '.join(parts)}, but got {split!r}.")
        x, y = parts[split]
        return evaluate(self.model, self.scaling, x, y, kind=splits.kind)

    # -- to stop here and go on elsewhere --

    def state_dict(self) -> dict[str, Any]:
        """Everything a run of the same config on the same data needs to go on, bit for bit on the CPU.

        Raises:
            RuntimeError: when the training was stopped within an epoch; the state is that of an epoch's end.
        """
        if not self._is_between_epochs:
            raise RuntimeError(
                "The training stopped within an epoch: resume from the checkpoint of the last whole one."
            )
        return {
            "config": self.config.to_mapping(),
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "plateau": dataclasses.asdict(self._plateau) if self._plateau else None,
            "random": self._random.state_dict(),
            "best": self._best.state_dict(),
            "has_diverged": self._has_diverged,
            "telemetry": telemetry_to_state(self.telemetry()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken.

        Raises:
            ConfigurationError: when it was taken from a run of another config.
        """
        # A key that is newer than the checkpoint had its default's effect then.
        mine, theirs = self.config.to_mapping(), {**TrainingConfig().to_mapping(), **state["config"]}
        differences = [
            f"{key} was {theirs[key]} and is now {mine[key]}" for key in mine if mine[key] != theirs[key]
        ]
        if differences:
            raise ConfigurationError(
                f"A training resumes with the config it had, but {', '.join(differences)}."
            )
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._plateau is not None:
            self._plateau = dataclasses.replace(self._plateau, **state["plateau"])
        self._random.load_state_dict(state["random"])
        self._best.load_state_dict(state["best"])
        self._has_diverged = state["has_diverged"]
        telemetry = telemetry_from_state(state["telemetry"])
        self._rows, self._steps = list(telemetry.epochs), list(telemetry.steps)
        self.step_zero, self.data_probe = telemetry.step_zero, telemetry.data
        self.last_steps = self._steps[-1] if self._steps else None

    # -- one epoch --

    def _ending(self) -> Outcome | None:
        """Why the training does not go on to its next epoch; None when it does."""
        epoch = len(self._rows) - 1
        if self._outcome is not None:
            return self._outcome
        if self._has_diverged and (self.config.stop_on_divergence or epoch >= self.config.epochs):
            return Outcome.DIVERGED
        if epoch >= self.config.epochs:
            return Outcome.COMPLETED
        if self.config.patience and self._best.n_epochs_since(epoch) >= self.config.patience:
            return Outcome.STOPPED_EARLY
        return self._should_stop()

    def _read_untrained(self) -> EpochReadings:
        started = time.perf_counter()
        self.data_probe = self._reader.data()
        self.step_zero = self._reader.step_zero(self._loss, seed=self.config.seed)
        readings = self._reader.untrained(self.step_zero)
        return dataclasses.replace(readings, seconds=time.perf_counter() - started)

    def _train_epoch(self, epoch: int) -> EpochReadings | None:
        """Train one epoch; None when `should_stop` ended it half-way."""
        started = time.perf_counter()
        self._is_between_epochs = False
        learning_rates = self._learning_rates(epoch)
        probe = self._reader.update_probe()
        done = self._trainer.run(self._order(epoch), learning_rates, probe)
        if done.outcome not in {None, Outcome.DIVERGED}:
            self._outcome = done.outcome
            return None
        steps = self._reader.steps(epoch, done, learning_rates)
        self._has_diverged = not (
            np.isfinite(steps.train_loss).all() and self._reader.has_finite_parameters()
        )
        is_lost = self._has_diverged and self.config.stop_on_divergence
        readings = self._reader.epoch(done, steps, probe, with_validation=not is_lost)
        readings = dataclasses.replace(readings, seconds=time.perf_counter() - started)
        self._keep(readings, steps)
        self._is_between_epochs = True
        return readings

    def _keep(self, readings: EpochReadings, steps: StepReadings) -> None:
        self._rows.append(readings)
        self._steps.append(steps)
        self.last_steps = steps
        self._best.update(readings, self.model)
        if self._plateau is not None:
            self._plateau.update(readings.validation_loss)

    def _order(self, epoch: int) -> Tensor:
        seed = self.config.seed if self.config.order_seed is None else self.config.order_seed
        return data_order(len(self.splits.train_x), seed=seed, epoch=epoch).to(self.splits.device)

    def _learning_rates(self, epoch: int) -> list[float]:
        """Of each optimizer step of ``epoch``."""
        n = len(self._trainer.step_sizes)
        peak = self.peak_learning_rate * (self._plateau.factor if self._plateau else 1.0)
        first, n_steps = (epoch - 1) * n, self.config.epochs * n
        return [peak * learning_rate_factor(step, n_steps, self.config) for step in range(first, first + n)]


def _split(config: TrainingConfig, dataset: Dataset, device: str | torch.device) -> Splits:
    return split_dataset(
        dataset,
        split=config.split,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        device=device,
    )


def _best_of(metric: str | None, direction: str | None, splits: Splits) -> BestEpoch:
    default = "validation_loss" if splits.kind == "regression" else "validation_accuracy"
    if splits.kind == "regression" and metric in _NEEDS_CLASSES:
        raise ConfigurationError(
            f"{metric} needs classes, but {splits.name} is a regression; take validation_loss."
        )
    if metric is None or metric == "seconds":
        metric, direction = default, None
    return BestEpoch(metric=metric, is_maximized=(direction or direction_of(metric)) == "maximize")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
