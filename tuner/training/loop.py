"""One training, epoch by epoch: its consumer sees each epoch's readings, and may end it in between."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from studies.readings import EpochReadings
from studies.records import Outcome
from tuner.training.config import TrainingConfig
from tuner.training.course import Course
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import Splits, split_by_config
from tuner.training.evaluation import UNREAD
from tuner.training.leak_harm import NO_INFLATION
from tuner.training.losses import training_loss
from tuner.training.models import ModelBuilder
from tuner.training.one_epoch import EpochTrainer
from tuner.training.precision import product_precision
from tuner.training.readings import EpochReader, epoch_readings, untrained_readings


class TrainingRun(Course):
    """One training of one config, alone.

    Iterate over `epochs`; meanwhile `last_steps`, `step_zero` and `data_probe` have what else was read, and
    `stop` ends the training between two epochs. Afterwards `outcome` says how it ended, and `model` has the
    last weights (the best after early stopping). The caller's random state is never touched.

    Args:
        config: what to train.
        data: a data set, which is then split as the config says, or splits that many trainings share.
        device: where to train; splits are already somewhere, and stay there.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        should_stop: asked about every 20 optimizer steps and between epochs; an outcome ends the training.
        metric: what the best epoch and early stopping go by, as in `Course`.
        direction: maximize or minimize; None is the metric's own.
        telemetry: False leaves out what costs time; losses, accuracies and the first probes remain.

    Raises:
        ConfigurationError: for a metric that the task does not have, a model that does not fit the data, or a
            precision that the device does not have.
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
        splits = data if isinstance(data, Splits) else split_by_config(data, config, device=device)
        super().__init__(config, splits, model=model, metric=metric, direction=direction)
        self._should_stop = should_stop
        self._loss = training_loss(config, splits)
        self._trainer = EpochTrainer(
            config=config,
            splits=splits,
            model=self._model,
            optimizer=self._optimizer,
            loss=self._loss,
            scaling=self.scaling,
            should_stop=should_stop,
            reads_gradients=telemetry,
        )
        self._reader = EpochReader(
            model=self._model, splits=splits, scaling=self.scaling, config=config, is_complete=telemetry
        )

    def epochs(self) -> Iterator[EpochReadings]:
        """Train, and yield each epoch's readings; epoch 0 is the untrained network.

        A run whose state was loaded goes on behind the epochs it has. It ends by itself; `outcome` says why.
        """
        if not self._rows:
            with self._active():
                self._rows.append(self._read_untrained())
            yield self._rows[-1]
        while (outcome := self._ending() or self._should_stop()) is None:
            with self._active():
                readings = self._train_epoch(len(self._rows))
            if readings is None:
                break
            yield readings
        else:
            self._outcome = outcome
        if self._outcome is Outcome.STOPPED_EARLY:
            self.restore_best()

    @contextlib.contextmanager
    def _active(self) -> Iterator[None]:
        with self._random.active(), product_precision(self.config, self.splits.device):
            yield

    def _read_untrained(self) -> EpochReadings:
        started = time.perf_counter()
        self.data_probe = self._reader.data()
        self.step_zero = self._reader.step_zero(self._loss, seed=self.config.seed)
        readings = untrained_readings(self._reader.untrained(), self.step_zero)
        return dataclasses.replace(readings, seconds=time.perf_counter() - started)

    def _train_epoch(self, epoch: int) -> EpochReadings | None:
        """Train one epoch; None when `should_stop` ended it half-way."""
        started = time.perf_counter()
        self._is_between_epochs = False
        learning_rates = self._learning_rates(epoch, len(self._trainer.step_sizes))
        probe = self._reader.update_probe()
        done = self._trainer.run(self._order(epoch), learning_rates, probe)
        if done.outcome not in {None, Outcome.DIVERGED}:
            self._outcome = done.outcome
            return None
        trained = self._reader.steps(done, learning_rates)
        steps = trained.readings(epoch, self.config)
        has_diverged = not (np.isfinite(steps.train_loss).all() and self._reader.has_finite_parameters())
        is_lost = has_diverged and self.config.stop_on_divergence
        validation = UNREAD if is_lost else self._reader.validation()
        inflation = NO_INFLATION if is_lost else self._reader.inflation()
        seen = self._reader.probe_pass()
        readings = epoch_readings(
            trained,
            steps,
            self.config,
            validation=validation,
            probe=UNREAD if is_lost or seen is None else self._reader.probe_evaluation(seen),
            layers=() if probe is None or seen is None else probe.readings(seen.activities),
            training_seconds=done.seconds,
            inflation=inflation,
        )
        readings = dataclasses.replace(readings, seconds=time.perf_counter() - started)
        self._keep(readings, steps, has_diverged=has_diverged)
        return readings
