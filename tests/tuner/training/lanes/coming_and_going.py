"""Owed by every engine: lanes may come later, leave, be interrupted and go on, and stay the same training."""

import dataclasses
import io
from typing import Any

import pytest
import torch

from studies.records import Outcome
from tests.tuner.training.lanes.drawn_cohorts import RATES
from tests.tuner.training.lanes.engine_fixtures import EngineFixtures
from tests.tuner.training.lanes.twins import advanced, assert_same_bits, assert_same_course, config_of, digits
from tuner.training.cohort import Cohort
from tuner.training.lanes.engines import EngineBuilder
from tuner.training.loop import TrainingRun
from tuner.training.models import ModelBuilder


class ComingAndGoing(EngineFixtures):
    def test_a_lane_may_come_later(self, cohort_of: Any, alone: Any) -> None:
        """Admitted while others train, at whatever epoch: with its own order, it is itself, and so are they."""
        configs = [config_of(dropout=0.2), config_of(epochs=2, momentum=0.9)]
        late = [config_of(momentum=0.5, dropout=0.4), config_of(seed=3, epochs=2)]
        cohort, lanes = cohort_of(configs)
        for _ in range(3):
            cohort.advance()
        lanes.append(cohort.admit(late[0]))
        cohort.advance()
        lanes.append(cohort.admit(late[1]))
        advanced(cohort)
        for lane, config in zip(lanes, [*configs, *late], strict=True):
            assert_same_course(lane, alone(config))

    @pytest.mark.parametrize("optimizer", RATES)
    def test_resumed_equals_uninterrupted(self, cohort_of: Any, optimizer: str) -> None:
        """A cohort that goes on from its state, through a file, ends with the same bits."""
        configs = [
            config_of(
                optimizer=optimizer,
                learning_rate=RATES[optimizer] * factor,
                momentum=momentum,
                dropout=0.3 * factor,
                schedule=schedule,
                plateau_patience=0,
                augmentation=augmentation,
                epochs=4,
                precision="float32",
                normalization="batch",
            )
            for factor, momentum, schedule, augmentation in (
                (0.5, 0.9, "plateau", 0.0),
                (1.0, 0.0, "one_cycle", 0.3),
                (1.0, 0.5, "constant", 0.0),
            )
        ]
        cohort, lanes = cohort_of(configs)
        for _ in range(3):
            cohort.advance()
        file = io.BytesIO()
        torch.save(cohort.state_dict(), file)
        advanced(cohort)
        file.seek(0)
        resumed, _ = cohort_of([])
        resumed.load_state_dict(torch.load(file, weights_only=True))
        theirs = resumed.lanes
        advanced(resumed)
        for lane, other in zip(lanes, theirs, strict=True):
            assert other.n_epochs_done == 4
            assert other.best_epoch == lane.best_epoch
            assert_same_bits(other, lane)

    def test_who_left_holds_no_memory_of_the_others(self, cohort_of: Any) -> None:
        """Its parameters, which its optimizer knows, are tensors of their own."""
        cohort, lanes = cohort_of([config_of(epochs=epochs, momentum=0.9) for epochs in (1, 2, 2)])
        cohort.advance()
        cohort.advance()
        left = lanes[0]
        assert left.has_ended
        for mine, known in zip(left.model.parameters(), left._optimizer.parameters, strict=True):
            assert mine is known
            assert mine.untyped_storage().nbytes() == mine.numel() * mine.element_size()

    def test_interrupted_within_an_epoch_and_resumed(
        self, engine_of: EngineBuilder, cohort_of: Any, model_of: ModelBuilder | None
    ) -> None:
        """From the last whole epoch on, bit for bit: lanes of several orders, some gone, some that came later."""
        keys: dict[str, Any] = {"precision": "float32", "dropout": 0.2, "momentum": 0.9, "batch_size": 4}
        configs = [
            config_of(**keys, epochs=epochs, seed=seed, order_seed=order)
            for seed, (epochs, order) in enumerate([(1, 0), (5, 1), (5, 0), (4, 1), (5, 2)])
        ]
        courses = []
        for is_interrupted in (False, True):
            asked: list[None] = []

            def should_stop(asked: list[None] = asked, is_interrupted: bool = is_interrupted) -> Any:
                asked.append(None)
                return Outcome.INTERRUPTED if is_interrupted and len(asked) == 8 else None

            cohort = Cohort(digits(), model=model_of, engine=engine_of, should_stop=should_stop)
            lanes = [cohort.admit(config) for config in configs[:4]]
            state = io.BytesIO()
            while cohort.advance():
                if lanes[1].n_epochs_done == 1:
                    lanes.append(cohort.admit(configs[4]))
                state = io.BytesIO()
                torch.save(cohort.state_dict(), state)
            if is_interrupted:
                assert {lane.outcome for lane in lanes[1:]} == {Outcome.INTERRUPTED}
                with pytest.raises(RuntimeError, match="within an epoch"):
                    lanes[1].state_dict()
                resumed, _ = cohort_of([])
                state.seek(0)
                resumed.load_state_dict(torch.load(state, weights_only=True))
                lanes = [lanes[0], *resumed.lanes]
                advanced(resumed)
            courses.append(lanes)
        assert len(courses[0]) == len(courses[1]) == 5
        for mine, theirs in zip(*courses, strict=True):
            assert_same_bits(mine, theirs)

    def test_a_lane_goes_on_alone_and_back(
        self, cohort_of: Any, alone: Any, model_of: ModelBuilder | None
    ) -> None:
        """Out of a cohort into a TrainingRun, and from there into a cohort again: still the same training."""
        config = config_of(optimizer="adam", learning_rate=0.002, epsilon=1e-4, dropout=0.3, epochs=6)
        others = [dataclasses.replace(config, seed=seed) for seed in (1, 2)]
        cohort, lanes = cohort_of([others[0], config])
        for _ in range(3):
            cohort.advance()
        run = TrainingRun(config, digits(), model=model_of)
        run.load_state_dict(lanes[1].state_dict())
        for row in run.epochs():
            if row.epoch == 4:
                break
        other, _ = cohort_of([others[1]])
        other.advance()
        back = other.resume(config, run.state_dict())
        advanced(other)
        assert_same_course(back, alone(config))

    def test_the_face_of_a_live_lane_is_its_own(self, cohort_of: Any, alone: Any) -> None:
        """Its model, evaluation and weights are those of now, whatever position it has."""
        configs = [config_of(epochs=2, seed=seed, momentum=0.9) for seed in (0, 1)]
        cohort, lanes = cohort_of([*configs, config_of(epochs=5, seed=5)])
        for _ in range(3):
            cohort.advance()
        live = lanes[2]
        last = live.telemetry().epochs[-1]
        assert live.evaluate("validation").loss == pytest.approx(last.validation_loss, rel=1e-9)
        half_way = alone(config_of(epochs=5, seed=5))
        advanced(cohort)
        assert_same_course(live, half_way)
        live.restore_best()
        for name, tensor in live.model.state_dict().items():
            assert torch.equal(tensor, live.best_weights[name])
