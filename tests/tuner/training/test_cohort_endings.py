"""Lanes of a cohort: how they end, the time that they took, and going on from a checkpoint."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search_spaces.errors import ConfigurationError
from studies.records import Outcome
from tests.problems import linear_model
from tests.tuner.training.lanes.twins import assert_same_bits, assert_same_course, trained_alone
from tests.tuner.training.small_cohorts import advanced, config_of, splits_of
from tests.tuner.training.test_checkpoint import assert_same_telemetry
from tuner.training.checkpoint import lane_states, load_checkpoint, save_checkpoint, save_trained
from tuner.training.cohort import Cohort
from tuner.training.loop import TrainingRun
from tuner.training.one_epoch import POLL_STEPS
from tuner.training.stopwatch import Stopwatch


class TestEndings:
    def test_should_stop_is_heard_between_epochs(self) -> None:
        """Epoch 0 is always read; then all lanes end, those that were just admitted too."""
        cohort = Cohort(splits_of(), should_stop=lambda: Outcome.OUT_OF_TIME)
        first = cohort.admit(config_of())
        assert cohort.advance() == (first,)
        late = cohort.admit(config_of(seed=1))
        assert cohort.advance() == ()
        assert {lane.outcome for lane in (first, late)} == {Outcome.OUT_OF_TIME}
        assert cohort.lanes == ()
        first.state_dict()

    def test_should_stop_is_heard_within_an_epoch(self) -> None:
        """All lanes end in mid-epoch, without a row of it, and none has a state; one that diverged has its row."""
        asked = []

        def should_stop() -> Outcome | None:
            asked.append(None)
            return Outcome.INTERRUPTED if len(asked) == 2 else None

        keys: dict[str, Any] = {"batch_size": 1, "depth": 3, "activation": "leaky_relu"}
        cohort = Cohort(splits_of(2000), should_stop=should_stop)
        sound, mad = (cohort.admit(config_of(**keys, learning_rate=rate)) for rate in (1e-3, 1e30))
        cohort.advance()
        assert cohort.advance() == (mad,)
        assert (sound.outcome, mad.outcome) == (Outcome.INTERRUPTED, Outcome.DIVERGED)
        assert len(sound.telemetry().epochs) == 1
        assert len(mad.last_steps) >= POLL_STEPS
        with pytest.raises(RuntimeError, match="within an epoch"):
            sound.state_dict()
        assert cohort.lanes == ()

    def test_early_stopping_restores_the_best_weights(self) -> None:
        """The lane's model is that of its best epoch, while others go on."""
        cohort = Cohort(splits_of())
        stopped = cohort.admit(config_of(epochs=50, patience=2, learning_rate=0.5))
        cohort.admit(config_of(epochs=12))
        advanced(cohort)
        assert stopped.outcome is Outcome.STOPPED_EARLY
        best = stopped.telemetry().epochs[stopped.best_epoch]
        assert stopped.evaluate("validation").loss == pytest.approx(best.validation_loss, rel=1e-5)

    def test_a_users_exception_comes_through(self) -> None:
        """As it was raised, so that whoever trains can find the guilty lane."""

        class Breaking(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear = nn.Linear(4, 3)

            def forward(self, x: Tensor) -> Tensor:
                if self.training and len(x) == 16:
                    raise ValueError("sixteen")
                return self.linear(x)

        cohort = Cohort(splits_of(), model=lambda *_: Breaking())
        cohort.admit(config_of())
        cohort.advance()
        with pytest.raises(ValueError, match="sixteen"):
            cohort.advance()


class TestTime:
    def test_seconds_are_shares(self) -> None:
        """The lanes' seconds of an epoch add up to no more than what passed, and all have one pace."""
        watch = Stopwatch()
        cohort = Cohort(splits_of(), stopwatch=watch)
        lanes = [cohort.admit(config_of(seed=seed)) for seed in (0, 1, 2)]
        cohort.advance()
        before = sum(watch.seconds.values())
        cohort.advance()
        passed = sum(watch.seconds.values()) - before
        rows = [lane.telemetry().epochs[1] for lane in lanes]
        assert sum(row.seconds for row in rows) == pytest.approx(passed, rel=0.5)
        assert len({row.samples_per_second for row in rows}) == 1
        assert len({row.seconds for row in rows}) == 1

    def test_activities_are_counted(self) -> None:
        """Data, training, evaluation and telemetry each take some time."""
        watch = Stopwatch()
        cohort = Cohort(splits_of(), stopwatch=watch)
        cohort.admit(config_of())
        advanced(cohort)
        counted = {activity for activity, seconds in watch.seconds.items() if seconds > 0}
        assert counted == {"data", "training", "evaluation", "telemetry"}


class TestCheckpoints:
    def test_a_cohort_goes_on_from_its_checkpoint(self, tmp_path: Path) -> None:
        """Bit for bit, telemetry too; lanes that had ended are not in it."""
        splits, path = splits_of(), tmp_path / "checkpoint.pt"
        cohort = Cohort(splits)
        lanes = [
            cohort.admit(config_of(epochs=epochs, dropout=0.3, momentum=0.9, normalization="batch"))
            for epochs in (1, 4, 5)
        ]
        for _ in range(3):
            cohort.advance()
        save_checkpoint(path, cohort)
        advanced(cohort)
        resumed = Cohort(splits)
        load_checkpoint(path, resumed)
        theirs = resumed.lanes
        assert [lane.config.epochs for lane in theirs] == [4, 5]
        advanced(resumed)
        for lane, other in zip(lanes[1:], theirs, strict=True):
            assert_same_bits(other, lane)
            assert_same_telemetry(other.telemetry(), lane.telemetry())
            assert torch.equal(other.generator.get_state(), lane.generator.get_state())

    def test_a_resumed_cohort_sits_as_the_one_that_went_on(self) -> None:
        """Lanes have the same neighbors, and so the same bits, whoever sat there before."""
        splits = splits_of()
        cohort = Cohort(splits)
        for epochs, order_seed in ((2, 0), (5, 1), (5, 0)):
            cohort.admit(config_of(epochs=epochs, order_seed=order_seed))
        for _ in range(3):
            cohort.advance()
        resumed = Cohort(splits)
        resumed.load_state_dict(cohort.state_dict())
        seats = []
        for each in (cohort, resumed):
            each.advance()
            seats.append([lane.config.order_seed for lane in each._seating.lanes])
        assert seats[0] == seats[1]

    def test_a_resumed_cohort_keeps_its_engine(self) -> None:
        """What is left of lanes that shared a pass goes on in one, to the bit, though a single lane would not."""
        splits = splits_of()
        cohort = Cohort(splits, model=linear_model, engine="functional")
        lanes = [cohort.admit(config_of(epochs=epochs)) for epochs in (1, 4)]
        for _ in range(3):
            cohort.advance()
        resumed = Cohort(splits, model=linear_model)
        resumed.load_state_dict(cohort.state_dict())
        (other,) = resumed.lanes
        for each in (cohort, resumed):
            advanced(each)
        assert resumed.engine_name == "functional"
        assert_same_bits(other, lanes[1])

    def test_a_lane_of_a_checkpoint_goes_on_alone(self, tmp_path: Path) -> None:
        """Each lane's state is one that a TrainingRun takes."""
        splits, path = splits_of(), tmp_path / "checkpoint.pt"
        config = config_of(
            precision="float64", dropout=0.3, optimizer="adam", learning_rate=0.01, epsilon=1e-4
        )
        cohort = Cohort(splits)
        cohort.admit(config_of(precision="float64", optimizer="adam"))
        cohort.admit(config)
        cohort.advance()
        cohort.advance()
        save_checkpoint(path, cohort)
        run = TrainingRun(config, splits)
        run.load_state_dict(lane_states(path)[1])
        assert [row.epoch for row in run.epochs()] == [2, 3]
        assert_same_course(run, trained_alone(config, splits))

    def test_what_a_checkpoint_holds_is_not_mistaken(self, tmp_path: Path) -> None:
        """A run does not load a cohort, nor a cohort a run, nor a cohort with lanes anything."""
        splits, path = splits_of(), tmp_path / "checkpoint.pt"
        cohort = Cohort(splits)
        cohort.admit(config_of())
        save_checkpoint(path, cohort)
        with pytest.raises(ConfigurationError, match=r"must hold a run, but .* holds a cohort"):
            load_checkpoint(path, TrainingRun(config_of(), splits))
        with pytest.raises(ConfigurationError, match="before it has lanes, but it has 1"):
            load_checkpoint(path, cohort)
        save_checkpoint(path, TrainingRun(config_of(), splits))
        with pytest.raises(ConfigurationError, match=r"must hold a cohort, but .* holds a run"):
            lane_states(path)

    def test_another_config_is_no_lane(self) -> None:
        """A state resumes with its own config only, and the cohort is as it was."""
        cohort = Cohort(splits_of())
        state = cohort.admit(config_of()).state_dict()
        with pytest.raises(ConfigurationError, match=r"learning_rate was 0.1 and is now 0.2"):
            cohort.resume(config_of(learning_rate=0.2), state)
        assert len(cohort.lanes) == 1

    def test_a_finished_lane_has_nothing_left_to_do(self) -> None:
        """Resumed from its last epoch it has ended, and trains nothing."""
        splits = splits_of()
        run = trained_alone(config_of(), splits)
        cohort = Cohort(splits)
        lane = cohort.resume(config_of(), run.state_dict())
        assert lane.outcome is Outcome.COMPLETED
        assert cohort.advance() == ()

    def test_a_lane_is_saved_like_a_run(self, tmp_path: Path) -> None:
        """save_trained takes it, and its weights are the lane's best."""
        splits = splits_of()
        cohort = Cohort(splits)
        lane = cohort.admit(config_of())
        advanced(cohort)
        save_trained(tmp_path, lane.config, lane)
        saved = torch.load(tmp_path / "weights.pt", weights_only=True)["weights"]
        assert all(torch.equal(saved[name], tensor) for name, tensor in lane.best_weights.items())
