"""One training in a cohort, and where in the engine it sits."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from studies.readings import DataProbe, EpochReadings, StepReadings, StepZeroProbe
from studies.records import Outcome
from tuner.training.augmentation import augmentation
from tuner.training.best import Weights
from tuner.training.config import TrainingConfig
from tuner.training.course import Course
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import Engine, LaneStart
from tuner.training.lanes.minibatches import SampleOrder
from tuner.training.models import ModelBuilder
from tuner.training.optimizers import build_optimizer
from tuner.training.probes import watched_layers


@dataclass(frozen=True, kw_only=True)
class Seat:
    """The place of a lane in an engine."""

    engine: Engine
    position: int


class Lane(Course):
    """One training in a cohort. It shows the same face as `TrainingRun`, and has the same numbers.

    While it trains, its network lives in the cohort's engine, and ``model`` is how it is now; it may change with the
    next epoch. A lane that has ended has taken its network back.

    ``seconds`` and ``samples_per_second`` of its epochs are its share of the cohort's wall time, by samples: the lanes'
    seconds add up to what passed.
    """

    def __init__(
        self,
        config: TrainingConfig,
        splits: Splits,
        *,
        model: ModelBuilder | None = None,
        metric: str | None = None,
        direction: str | None = None,
    ) -> None:
        super().__init__(config, splits, model=model, metric=metric, direction=direction)
        self.layer_names = tuple(layer.name for layer in watched_layers(self._model))
        self._augmentation = augmentation(config, splits.input_shape)
        self._generator = self._random.generator()
        self._seat: Seat | None = None

    @property
    def model(self) -> nn.Module:
        """The network as it is now."""
        self._read_seat()
        return self._model

    def stop(self, outcome: Outcome) -> None:
        """End the training before its next epoch, for instance because a pruner says so."""
        super().stop(outcome)
        self.leave()

    def restore_best(self) -> None:
        """Give the model the weights of the best epoch, if there is one."""
        super().restore_best()
        if self._seat is not None:
            self._seat.engine.load_model_state(self._seat.position, self._model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """As of `Course`: a `TrainingRun` goes on from it as well."""
        self._read_seat()
        self._random.take(self._generator)
        return super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken, alone or in a cohort; before the lane has a seat."""
        super().load_state_dict(state)
        self._generator = self._random.generator()

    # -- for its cohort --

    @property
    def n_rows(self) -> int:
        """Epochs that were read, the untrained one included."""
        return len(self._rows)

    @property
    def generator(self) -> torch.Generator:
        """The lane's random stream."""
        return self._generator

    @property
    def start(self) -> LaneStart:
        """What it brings into an engine."""
        return LaneStart(config=self.config, model=self._model, generator=self._generator)

    @property
    def order_key(self) -> Hashable:
        """Lanes of equal keys see their next epoch's samples alike."""
        if self._augmentation is not None:
            return id(self)
        return self._order_seed, self.n_rows

    def next_order(self) -> SampleOrder:
        """How it sees the samples of its next epoch."""
        is_changed = self._augmentation is not None
        return SampleOrder(
            indices=self._order(self.n_rows),
            augmentation=self._augmentation,
            generator=self._generator if is_changed else None,
        )

    def learning_rates_of_next_epoch(self, n_steps: int) -> list[float]:
        """Of each of its ``n_steps`` optimizer steps."""
        return self._learning_rates(self.n_rows, n_steps)

    def begin(self, row: EpochReadings, step_zero: StepZeroProbe, data: DataProbe) -> None:
        """Take in epoch 0."""
        self._rows.append(row)
        self.step_zero, self.data_probe = step_zero, data

    def set_out(self) -> None:
        """From now to the end of the epoch there is no state to go on from."""
        self._is_between_epochs = False

    def keep(self, row: EpochReadings, steps: StepReadings, *, has_diverged: bool) -> None:
        """Take in a trained epoch."""
        self._keep(row, steps, has_diverged=has_diverged)

    def take_seat(self, seat: Seat) -> None:
        """Sit in ``seat``, in which the engine has been given `start`; the optimizer's state comes along."""
        is_new = self._seat is None
        self._seat = seat
        if is_new and self.n_rows > 1:
            seat.engine.load_optimizer_state(seat.position, self._optimizer.state_dict())

    def leave(self) -> None:
        """Take the network back from the engine, in tensors that are no part of the engine's."""
        if self._seat is None:
            return
        engine, position = self._seat.engine, self._seat.position
        self._model.load_state_dict(engine.model_state(position), assign=True)
        # A new one: the former one's parameters are views of what the engine has of all lanes.
        self._optimizer = build_optimizer(self.config, self._model.parameters())
        self._optimizer.load_state_dict(engine.optimizer_state(position))
        self._seat = None

    def settle(self) -> None:
        """End, if the training says so itself."""
        outcome = self._ending()
        if outcome is None or self.has_ended:
            return
        self.stop(outcome)
        if outcome is Outcome.STOPPED_EARLY:
            self.restore_best()

    def _read_seat(self) -> None:
        if self._seat is None:
            return
        engine, position = self._seat.engine, self._seat.position
        self._model.load_state_dict(engine.model_state(position))
        self._optimizer.load_state_dict(engine.optimizer_state(position))

    def _copied_weights(self) -> Weights:
        if self._seat is None:
            return super()._copied_weights()
        return self._seat.engine.model_state(self._seat.position)


class Seating:
    """The lanes that are in an engine, by position."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.lanes: list[Lane] = []

    def add(self, lanes: Sequence[Lane]) -> None:
        """Take ``lanes`` in behind those that are there."""
        if not lanes:
            return
        self.engine.add([lane.start for lane in lanes])
        self.lanes.extend(lanes)
        self._assign()

    def keep(self, lanes: Sequence[Lane]) -> None:
        """Keep ``lanes``, in that order; the others leave with their networks."""
        if list(lanes) == self.lanes:
            return
        for lane in self.lanes:
            if lane not in lanes:
                lane.leave()
        positions = {lane: position for position, lane in enumerate(self.lanes)}
        self.engine.keep([positions[lane] for lane in lanes])
        self.lanes = list(lanes)
        self._assign()

    def _assign(self) -> None:
        for position, lane in enumerate(self.lanes):
            lane.take_seat(Seat(engine=self.engine, position=position))
