"""The trials of one structure trained together: after each epoch they are noted, judged and told as one."""

import logging
import time
from collections.abc import Callable, Sequence

from studies.readings import EpochReadings
from studies.records import HANDED_BACK, Outcome
from tuner.searching.curves import Curve, CurveHistory, losses_of
from tuner.searching.desk import STORAGE_ERRORS, Desk, HeldTrial
from tuner.searching.failures import Failures
from tuner.searching.objective import Objective, Trained
from tuner.searching.pruners import CohortPruner
from tuner.searching.sparing import NO_SPARING, Sparing
from tuner.searching.weights import WeightsOfBest
from tuner.training.cohort import Cohort
from tuner.training.lanes.lane import Lane
from tuner.training.stopwatch import Stopwatch

FLUSH_SECONDS = 0.25
"""Between two writings of readings. Epochs that are longer are written one by one; of shorter ones a transaction each
would take more time than their training."""

_log = logging.getLogger(__name__)

Refill = Callable[[int], Sequence[HeldTrial]]
"""Up to so many more trials of the same structure."""


def no_refill(_n: int) -> Sequence[HeldTrial]:
    """For cohorts that end before others are asked for."""
    return ()


class CohortTrainer:
    """Trains held trials as lanes, and tells each as it ends.

    Args:
        objective: makes the cohorts.
        desk: where the trials come from and go back to.
        pruner: judges the lanes after each epoch.
        sparing: says which of the lanes that it condemns run on, to check it.
        failures: asked whether the same exception keeps coming.
        weights: keeps those of the best trial.
        should_stop: an outcome ends all lanes, whose trials are handed back.
        stopwatch: counts the seconds by activity.
        on_epoch: called after each epoch of each lane, with the trial's number.
    """

    def __init__(  # noqa: PLR0913 - one keyword per concern
        self,
        objective: Objective,
        desk: Desk,
        pruner: CohortPruner,
        *,
        failures: Failures,
        weights: WeightsOfBest,
        should_stop: Callable[[], Outcome | None],
        stopwatch: Stopwatch,
        sparing: Sparing = NO_SPARING,
        on_epoch: Callable[[int, EpochReadings], None] = lambda _number, _readings: None,
    ) -> None:
        self._objective = objective
        self._desk = desk
        self._pruner = pruner
        self._sparing = sparing
        self._failures = failures
        self._weights = weights
        self._should_stop = should_stop
        self._stopwatch = stopwatch
        self._on_epoch = on_epoch
        self._history = CurveHistory(desk.study)
        self._flushed_at = time.monotonic()

    def train(self, trials: Sequence[HeldTrial], refill: Refill = no_refill) -> None:
        """Train the trials, which agree in structure, until each has ended; not those that are lost already."""
        cohort = self._objective.cohort(should_stop=self._should_stop, stopwatch=self._stopwatch)
        lanes = self._admit(cohort, [held for held in trials if not held.is_lost])
        while lanes:
            try:
                been_through = cohort.advance()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - what a user's model raises fails its trial
                self._after_an_exception(list(lanes.values()), error)
                return
            self._note({lane: lanes[lane] for lane in been_through})
            self._judge(lanes)
            n_ended = self._settle(lanes)
            if n_ended and lanes:
                lanes |= self._admit(cohort, refill(n_ended))

    # -- how lanes begin --

    def _admit(self, cohort: Cohort, trials: Sequence[HeldTrial]) -> dict[Lane, HeldTrial]:
        """A lane for each trial whose model can be built; the others fail."""
        lanes: dict[Lane, HeldTrial] = {}
        for place, held in enumerate(trials):
            try:
                with self._stopwatch.on("training"):
                    lanes[cohort.admit(held.asked_for.config)] = held
            except (Exception, SystemExit) as error:  # noqa: BLE001 - as in `train`
                self._failures.tell(held, error)
                if not lanes and self._failures.repeated() is not None:
                    self._desk.hand_back(trials[place + 1 :], Outcome.INTERRUPTED)
                    break
        return lanes

    # -- after each epoch --

    def _note(self, lanes: dict[Lane, HeldTrial]) -> None:
        with self._stopwatch.on("telemetry"):
            for lane, held in lanes.items():
                self._desk.note_epoch(held, lane, self._objective.reading(lane))
        for lane, held in lanes.items():
            self._on_epoch(held.number, lane.last_readings)

    def _judge(self, lanes: dict[Lane, HeldTrial]) -> None:
        """Stop the lanes that the pruner condemns and nobody spares, all of them looked at together."""
        direction = self._desk.study.direction
        with self._stopwatch.on("sampler"):
            judged = {
                held.number: (lane, held)
                for lane, held in lanes.items()
                if held.values and not lane.has_ended and lane.n_epochs_done < lane.config.epochs
            }
            if not judged:
                return
            curves = {held.number: held.values for held in lanes.values() if held.values}
            in_hand = [
                Curve(number=number, losses=losses_of(values, direction)) for number, values in curves.items()
            ]
            condemned = self._pruner.condemned(
                [curve for curve in in_hand if curve.number in judged],
                [
                    *self._history.others(curves),
                    *(curve for curve in in_hand if curve.number not in judged),
                ],
            )
            for number in condemned:
                self._end_or_spare(*judged[number])

    def _end_or_spare(self, lane: Lane, held: HeldTrial) -> None:
        epoch = lane.n_epochs_done
        # What has no finite value is no misjudged late bloomer.
        if held.values[epoch] is not None and self._sparing.spares(held.number):
            self._desk.spare(held, epoch)
        else:
            lane.stop(Outcome.PRUNED)

    def _settle(self, lanes: dict[Lane, HeldTrial]) -> int:
        """Tell the lanes that have ended, write what is due, and let go of what is no longer ours; how many ended."""
        ended = {lane: held for lane, held in lanes.items() if lane.has_ended}
        if ended or time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self._write(ended)
        lost = {lane: held for lane, held in lanes.items() if held.is_lost}
        for lane in lost:
            if not lane.has_ended:
                lane.stop(Outcome.LOST)
        for lane in ended.keys() | lost.keys():
            del lanes[lane]
        return len(ended.keys() | lost.keys())

    def _write(self, ended: dict[Lane, HeldTrial]) -> None:
        self._flushed_at = time.monotonic()
        if not ended:
            self._desk.flush()
            return
        for outcome in HANDED_BACK:
            self._desk.hand_back([held for lane, held in ended.items() if lane.outcome is outcome], outcome)
        told: list[tuple[HeldTrial, Trained]] = []
        for lane, held in ended.items():
            if lane.outcome not in HANDED_BACK and not held.is_lost:
                self._add_result(told, lane, held)
        if told:
            self._desk.tell(told)
            self._history.forget_age()
            self._weights.keep(told)

    def _add_result(self, told: list[tuple[HeldTrial, Trained]], lane: Lane, held: HeldTrial) -> None:
        try:
            with self._stopwatch.on("evaluation"):
                told.append((held, self._objective.trained(lane)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - of the test split, by a user's model
            self._failures.tell(held, error)

    # -- when something raises --

    def _after_an_exception(self, trials: list[HeldTrial], error: BaseException) -> None:
        """Find the guilty one: the trials are trained again one at a time, and only it fails."""
        if isinstance(error, STORAGE_ERRORS):
            raise error  # the machine's fault, not the config's: never counted as a bad value
        if len(trials) == 1:
            self._failures.tell(trials[0], error)
            return
        _log.warning(
            "%s in a cohort of %d; its trials are trained again, each alone.",
            type(error).__name__,
            len(trials),
        )
        for place, held in enumerate(trials):
            reason = self._should_stop()
            if reason is None and self._failures.repeated() is not None:
                reason = Outcome.INTERRUPTED
            if reason is not None:
                self._desk.hand_back(trials[place:], reason)
                return
            held.values.clear()
            self.train([held])
