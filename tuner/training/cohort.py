"""Many trainings in lockstep: lanes of one structure, one data pipeline, one program.

What a lane does equals what `loop.TrainingRun` does with its config, whoever sits beside it: data order, dropout,
schedule, early stopping, best weights, telemetry and ending are each lane's own.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search_spaces.errors import ConfigurationError
from studies.records import Outcome
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engines import ENGINES, ChosenEngine, EngineBuilder, can_take, engine_for
from tuner.training.lanes.lane import Lane, Seating
from tuner.training.lanes.lockstep import LanePass, LockstepPass
from tuner.training.lanes.minibatches import MinibatchSource
from tuner.training.lanes.readings import LaneReader
from tuner.training.lanes.structure import check_structure, structure_of
from tuner.training.lanes.untrained import read_untrained
from tuner.training.models import ModelBuilder
from tuner.training.one_epoch import EpochPlan
from tuner.training.precision import product_precision
from tuner.training.stopwatch import Stopwatch


class Cohort:
    """Lanes that are trained together, epoch by epoch, and come and go between epochs.

    ``admit`` trainings, then ``advance`` until no lane is left. The caller's random state is never touched. After an
    exception out of ``advance``, such as that of a user's model, the cohort is of no more use.

    Args:
        splits: the data, on the device that trains.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        metric: what best epochs and early stopping go by, as in `Course`.
        direction: maximize or minimize; None is the metric's own.
        telemetry: False leaves out what costs time; losses, accuracies and the first probes remain.
        should_stop: asked about every 20 optimizer steps and between epochs; an outcome ends all lanes.
        engine: auto, a name of `engines.ENGINES`, or a function that makes one.
        stopwatch: what counts the seconds by activity.
    """

    def __init__(
        self,
        splits: Splits,
        *,
        model: ModelBuilder | None = None,
        metric: str | None = None,
        direction: str | None = None,
        telemetry: bool = True,
        should_stop: Callable[[], Outcome | None] = lambda: None,
        engine: str | EngineBuilder = "auto",
        stopwatch: Stopwatch | None = None,
    ) -> None:
        self.splits = splits
        self._model = model
        self._metric = metric
        self._direction = direction
        self._is_complete = telemetry
        self._should_stop = should_stop
        self._asked_engine = engine
        self._stopwatch = stopwatch or Stopwatch()
        self._lanes: list[Lane] = []
        self._seating: Seating | None = None
        self._chosen: ChosenEngine | None = None
        self._n_chosen_for = 0
        """Lanes that there were when the engine was chosen."""
        self._resumed_engine = ""
        """What trained the lanes that go on."""

    # -- who is in --

    def admit(self, config: TrainingConfig) -> Lane:
        """Let the training of ``config`` join at the next `advance`.

        Raises:
            ConfigurationError: when it differs in structure from the lanes that are there, or cannot be trained; the
                cohort is then as it was.
            UserCodeError: when a user's model function raises.
        """
        lane = self._lane(config)
        self._lanes.append(lane)
        return lane

    def resume(self, config: TrainingConfig, state: dict[str, Any]) -> Lane:
        """Let a training go on from the ``state_dict`` of a `TrainingRun` or a lane, at the epoch it had.

        Raises:
            ConfigurationError: as `admit`, and when the state is that of another config.
        """
        lane = self._lane(config)
        lane.load_state_dict(state)
        lane.settle()
        self._lanes.append(lane)
        return lane

    def _lane(self, config: TrainingConfig) -> Lane:
        if self.lanes:
            check_structure(config, structure_of(self.lanes[0].config))
        return Lane(config, self.splits, model=self._model, metric=self._metric, direction=self._direction)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Those that have not ended, in order of admission."""
        return tuple(lane for lane in self._lanes if not lane.has_ended)

    @property
    def engine_name(self) -> str:
        """What trains the lanes; empty before the first epoch."""
        return self._chosen.name if self._chosen else ""

    @property
    def engine_reason(self) -> str:
        """Why that engine, for the log."""
        return self._chosen.reason if self._chosen else ""

    # -- one epoch --

    def advance(self) -> tuple[Lane, ...]:
        """Give every lane its next row: epoch 0 to the new ones, a trained epoch to the others.

        Returns:
            The lanes that got a row, in order of admission. Empty when none is left, or `should_stop` ended them.
        """
        trained = [lane for lane in self.lanes if lane.n_rows]
        if trained and (outcome := self._should_stop()) is not None:
            self._stop(outcome)
        self._lanes = list(self.lanes)
        if not self._lanes:
            self._seating = None
            return ()
        with product_precision(self._lanes[0].config, self.splits.device):
            for lane in self._lanes:
                if not lane.n_rows:
                    self._begin(lane)
                    lane.settle()
            read = set(self._lanes) - set(trained)
            if trained:
                read |= self._train(trained)
        return tuple(lane for lane in self._lanes if lane in read)

    def _stop(self, outcome: Outcome) -> None:
        for lane in self.lanes:
            lane.stop(outcome)

    def _begin(self, lane: Lane) -> None:
        with self._stopwatch.on("evaluation"):
            read_untrained(lane, has_own_model=self._model is not None, is_complete=self._is_complete)

    def _train(self, lanes: Sequence[Lane]) -> set[Lane]:
        """Train one epoch of each of ``lanes``; those that came to its end, or diverged on the way."""
        started = time.perf_counter()
        with self._stopwatch.on("training"):
            seating = self._seated(lanes)
        config, scaling = lanes[0].config, lanes[0].scaling
        plan = EpochPlan.of(config, len(self.splits.train_x))
        source = MinibatchSource(splits=self.splits, scaling=scaling, plan=plan, config=config)
        with self._stopwatch.on("data"):
            together = LockstepPass(
                seating=seating,
                source=source,
                should_stop=self._should_stop,
                reads_gradients=self._is_complete,
                stopwatch=self._stopwatch,
            )
        for lane in lanes:
            lane.set_out()
        outcome = together.run()
        done = [each for each in together.passes if outcome is None or each.is_lost]
        if done:
            self._read(seating, done, plan, together.seconds, started)
        if outcome is not None:
            self._stop(outcome)
        return {each.lane for each in done}

    def _read(
        self,
        seating: Seating,
        passes: Sequence[LanePass],
        plan: EpochPlan,
        training_seconds: float,
        started: float,
    ) -> None:
        """Give the lanes their rows, with their shares of the seconds since ``started``."""
        lane = passes[0].lane
        reader = LaneReader(
            splits=self.splits,
            scaling=lane.scaling,
            is_complete=self._is_complete,
            stopwatch=self._stopwatch,
        )
        with self._stopwatch.on("telemetry"):
            epochs = reader.read(seating.engine, passes, plan, training_seconds=training_seconds)
            seconds = (time.perf_counter() - started) / sum(each.n_steps for each in passes)
            for each, epoch in zip(passes, epochs, strict=True):
                row = dataclasses.replace(epoch.row, seconds=seconds * each.n_steps)
                each.lane.keep(row, epoch.steps, has_diverged=epoch.has_diverged)
                each.lane.settle()

    def _seated(self, lanes: Sequence[Lane]) -> Seating:
        """``lanes`` in an engine: those that ended are gone, and those that share minibatches are neighbors."""
        seating = self._seating
        if seating is not None:
            seating.keep([lane for lane in seating.lanes if lane in lanes])
        chosen = self._choose(lanes)
        if seating is None or chosen is not self._chosen:
            if seating is not None:
                seating.keep([])
            self._chosen = chosen
            self._seating = seating = Seating(chosen.engine)
        seating.add([lane for lane in lanes if lane not in seating.lanes])
        # By admission, not by former seats: a cohort that was resumed sits as the one that was not interrupted.
        first = {lane.order_key: position for position, lane in reversed(list(enumerate(lanes)))}
        seating.keep(sorted(lanes, key=lambda lane: first[lane.order_key]))
        return seating

    def _choose(self, lanes: Sequence[Lane]) -> ChosenEngine:
        """The engine that there is, unless it does not suit those who join, or was taken for fewer lanes."""
        starts = [lane.start for lane in lanes]
        current = self._chosen if self._seating is not None and self._seating.lanes else None
        has_grown = len(lanes) > self._n_chosen_for
        if current is not None and not has_grown and can_take(current.name, starts):
            return current
        asked = self._asked_engine
        if asked == "auto" and self._resumed_engine and can_take(self._resumed_engine, starts):
            asked = self._resumed_engine
        self._resumed_engine = ""
        self._n_chosen_for = len(lanes)
        chosen = engine_for(asked, starts, self.splits)
        return current if current is not None and current.name == chosen.name else chosen

    # -- to stop here and go on elsewhere --

    def state_dict(self) -> dict[str, Any]:
        """Everything a new cohort on the same data needs to go on, bit for bit on the CPU.

        Raises:
            RuntimeError: when it was stopped within an epoch.
        """
        return {"engine": self.engine_name, "lanes": [lane.state_dict() for lane in self.lanes]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take in the lanes of ``state``, in a cohort that has none.

        Raises:
            ConfigurationError: when there are lanes already.
        """
        if self.lanes:
            raise ConfigurationError(f"A cohort resumes before it has lanes, but it has {len(self.lanes)}.")
        self._resumed_engine = state["engine"] if state["engine"] in ENGINES else ""
        for each in state["lanes"]:
            self.resume(TrainingConfig.from_mapping(each["config"]), each)
