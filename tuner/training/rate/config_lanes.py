"""The training of a config as a range test needs it: sweeps with seeds of their own are lanes that train together."""

import dataclasses
from collections.abc import Mapping, Sequence

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.stepping import SteppedLanes, Untrained
from tuner.training.models import ModelBuilder
from tuner.training.rate.learner import Floats, copy_of
from tuner.training.schedules import peak_learning_rate


class ConfigLanes:
    """Trainings of a config, step by step as `TrainingRun` takes them, without schedule, warmup and validation.

    A rate is a ``learning_rate`` of this config: ``batch_lr_rule`` then carries it to the batch, as in a training. The
    smaller last step of an epoch is left out: the noise of its loss is not that of the others.

    Args:
        config: what is trained; weights, data order and dropout are the seed's that a lane is started with.
        splits: the data; its device is the one that trains.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        engine: as of `Cohort`.

    Raises:
        ConfigurationError: when a lane is started whose model cannot be built, does not fit the data, or cannot be
            copied.
    """

    def __init__(
        self,
        config: TrainingConfig,
        splits: Splits,
        *,
        model: ModelBuilder | None = None,
        engine: str = "auto",
    ) -> None:
        self._factor = peak_learning_rate(config, len(splits.train_x)) / config.learning_rate
        self._lanes = SteppedLanes(
            dataclasses.replace(config, order_seed=None),
            splits,
            model=model,
            engine=engine,
            reads_norms=False,
            has_whole_steps=True,
        )
        self._beginnings: dict[int, Untrained] = {}

    def start(self, position: int, seed: int) -> None:
        known = self._beginnings.get(position)
        if known is None or known.config.seed != seed:
            known = self._beginnings[position] = self._lanes.untrained(seed)
        self._lanes.start(position, dataclasses.replace(known, model=copy_of(known.model)))

    def end(self, position: int) -> None:
        self._lanes.end(position)
        del self._beginnings[position]

    def advance(self, learning_rates: Mapping[int, Sequence[float]]) -> dict[int, Floats]:
        peaks = {at: [self._factor * rate for rate in rates] for at, rates in learning_rates.items()}
        losses = self._lanes.advance(peaks)
        return {position: each.double().cpu().numpy() for position, each in losses.items()}
