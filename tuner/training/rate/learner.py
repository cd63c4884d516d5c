"""What a range test works on: anything that can start again and be stepped; here the training of a config."""

import copy
import dataclasses
import pickle
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from search_spaces.errors import ConfigurationError
from tuner.training.config import TrainingConfig
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits
from tuner.training.losses import training_loss
from tuner.training.models import ModelBuilder, build_model, check_output
from tuner.training.one_epoch import EpochTrainer
from tuner.training.optimizers import build_optimizer
from tuner.training.reproducibility import RandomStream, data_order
from tuner.training.schedules import peak_learning_rate

Floats = npt.NDArray[np.float64]


class Learner(Protocol):
    """A training that can start again as often as one likes."""

    def reset(self, seed: int) -> None:
        """Start again, with the data order, dropout and (where they are ours to draw) initial weights of ``seed``."""

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        """Take an optimizer step at each rate; the minibatch losses before the updates, [len(learning_rates)]."""


Copied = TypeVar("Copied")


def copy_of(trained: Copied, *, what: str = "model") -> Copied:
    """A deep copy of a model, or of ``what`` else is trained with it.

    Raises:
        ConfigurationError: when it cannot be copied.
    """
    try:
        return copy.deepcopy(trained)
    except (RuntimeError, TypeError, ValueError, pickle.PicklingError) as error:
        raise ConfigurationError(
            f"The range test trains copies of the model, so copy.deepcopy({what}) must work, but got: {error}"
        ) from error


class ConfigLearner:
    """The training of a config, step by step as `TrainingRun` takes them, without schedule, warmup and validation.

    A rate is a ``learning_rate`` of this config: ``batch_lr_rule`` then carries it to the batch, as in a training.

    Raises:
        ConfigurationError: when the model cannot be built or does not fit the data, or cannot be copied.
    """

    def __init__(self, config: TrainingConfig, splits: Splits, *, model: ModelBuilder | None = None) -> None:
        # A loss that is not finite is for the range test to judge: it must not end the steps early.
        self._config = dataclasses.replace(config, stop_on_divergence=False)
        self._splits = splits
        self._builder = model
        self._factor = peak_learning_rate(config, len(splits.train_x)) / config.learning_rate
        self._scaling = input_scaling(config, splits.train_x, splits.train_statistics)
        self._loss = training_loss(config, splits)
        self._seed: int | None = None
        self.reset(config.seed)

    def reset(self, seed: int) -> None:
        if seed != self._seed:
            self._seed = seed
            self._untrained, self._initial_random = self._built(seed)
        self._random = RandomStream(seed, self._splits.device)
        self._random.load_state_dict(self._initial_random)
        model = copy_of(self._untrained)
        self._trainer = EpochTrainer(
            config=dataclasses.replace(self._config, seed=seed),
            splits=self._splits,
            model=model,
            optimizer=build_optimizer(self._config, model.parameters()),
            loss=self._loss,
            scaling=self._scaling,
            should_stop=lambda: None,
            reads_gradients=False,
        )
        self._epoch = 0
        self._order = self._next_order(seed)

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        peaks = [self._factor * rate for rate in learning_rates]
        # The smaller last step of an epoch is left out: the noise of its loss is not that of the others.
        n_samples = self._trainer.step_sizes[0]
        losses: list[Tensor] = []
        with self._random.active():
            while peaks:
                if len(self._order) < n_samples:
                    self._order = self._next_order(self._trainer.config.seed)
                n_steps = min(len(peaks), len(self._order) // n_samples)
                done = self._trainer.run(self._order, peaks[:n_steps], None)
                losses.extend(done.losses)
                self._order, peaks = self._order[done.n_samples :], peaks[n_steps:]
        return torch.cat(losses).double().cpu().numpy()

    def _next_order(self, seed: int) -> Tensor:
        self._epoch += 1
        order = data_order(len(self._splits.train_x), seed=seed, epoch=self._epoch)
        return order.to(self._splits.device)

    def _built(self, seed: int) -> tuple[nn.Module, dict[str, Tensor]]:
        """The untrained model of ``seed``, and the random state after it was built."""
        splits, config = self._splits, dataclasses.replace(self._config, seed=seed)
        random = RandomStream(seed, splits.device)
        with random.active():
            model = build_model(config, splits.input_shape, splits.n_outputs, builder=self._builder)
            model = model.to(splits.device)
            check_output(model, self._scaling(splits.train_x[:2]), splits.n_outputs)
        return model, random.state_dict()
