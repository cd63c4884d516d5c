import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from search_spaces.errors import ConfigurationError
from studies.records import Outcome
from tests.problems import blobs, linear_model
from tests.tuner.training.lanes.twins import assert_same_bits, assert_same_course, trained_alone
from tests.tuner.training.test_checkpoint import assert_same_telemetry
from tuner.training.checkpoint import lane_states, load_checkpoint, save_checkpoint, save_trained
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.lanes import engines, untrained
from tuner.training.lanes.engine import LaneStart
from tuner.training.lanes.one_by_one import OneByOneEngine
from tuner.training.loop import TrainingRun
from tuner.training.one_epoch import POLL_STEPS
from tuner.training.stopwatch import Stopwatch


def splits_of(n: int = 120, **keywords: Any) -> Splits:
    return split_dataset(blobs(n, spread=1.2, **keywords), device="cpu")


def config_of(**keys: Any) -> TrainingConfig:
    return TrainingConfig(**{"epochs": 3, "batch_size": 16, "width": 8, **keys})


def advanced(cohort: Cohort) -> None:
    while cohort.advance():
        pass


class TestAdvancing:
    def test_epoch_0_comes_first_and_the_end_is_empty(self) -> None:
        """Each advance gives every lane one row, in order of admission; behind the last there is nothing."""
        cohort = Cohort(splits_of())
        lanes = [cohort.admit(config_of(epochs=epochs, order_seed=epochs % 2)) for epochs in (2, 1, 3)]
        rows = []
        while got := cohort.advance():
            rows.append([(lanes.index(lane), lane.telemetry().epochs[-1].epoch) for lane in got])
        assert rows == [
            [(0, 0), (1, 0), (2, 0)],
            [(0, 1), (1, 1), (2, 1)],
            [(0, 2), (2, 2)],
            [(2, 3)],
        ]
        assert all(lane.outcome is Outcome.COMPLETED for lane in lanes)
        assert cohort.lanes == ()
        assert cohort.advance() == ()

    def test_no_epochs_is_the_untrained_network(self) -> None:
        """epochs=0 ends with epoch 0."""
        cohort = Cohort(splits_of())
        lane = cohort.admit(config_of(epochs=0))
        assert cohort.advance() == (lane,)
        assert lane.outcome is Outcome.COMPLETED
        assert cohort.lanes == ()

    def test_a_lane_stops_when_told(self) -> None:
        """It is out of the cohort at once, and its rows are those it had."""
        cohort = Cohort(splits_of())
        lanes = [cohort.admit(config_of(seed=seed)) for seed in (0, 1)]
        cohort.advance()
        lanes[0].stop(Outcome.PRUNED)
        assert cohort.lanes == (lanes[1],)
        advanced(cohort)
        assert [len(lane.telemetry().epochs) for lane in lanes] == [1, 4]

    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_automatic_equals_one_by_one(self, optimizer: str) -> None:
        """Whatever engine is taken, the training is the same."""
        configs = [
            config_of(optimizer=optimizer, learning_rate=rate, dropout=0.2, precision="float64", epsilon=1e-4)
            for rate in (0.01, 0.02)
        ]
        splits = splits_of()
        cohort = Cohort(splits)
        lanes = [cohort.admit(config) for config in configs]
        advanced(cohort)
        assert cohort.engine_name == "mlp"
        assert cohort.engine_reason
        for lane, config in zip(lanes, configs, strict=True):
            assert_same_course(lane, trained_alone(config, splits))

    def test_without_telemetry_it_is_the_same_training(self) -> None:
        """What is left out is what `TrainingRun` leaves out."""
        splits, config = splits_of(), config_of(precision="float64", dropout=0.3, clip_norm=0.5)
        free = dataclasses.replace(config, clip_norm=0.0, seed=1)
        cohort = Cohort(splits, telemetry=False)
        lanes = [cohort.admit(each) for each in (config, free)]
        advanced(cohort)
        for lane, each in zip(lanes, (config, free), strict=True):
            run = TrainingRun(each, splits, telemetry=False)
            assert len(list(run.epochs())) == 4
            np.testing.assert_allclose(
                lane.telemetry().series("validation_loss"), run.telemetry().series("validation_loss")
            )
            assert lane.telemetry().epochs[1].layers == ()
            assert math.isnan(lane.telemetry().epochs[1].calibration_error)
        assert np.isfinite(lanes[0].last_steps.gradient_norm).all()
        assert np.isnan(lanes[1].last_steps.gradient_norm).all()

    def test_an_own_metric_decides(self) -> None:
        """The best epoch is that of the cohort's metric and direction."""
        cohort = Cohort(splits_of(), metric="train_loss", direction="maximize")
        lane = cohort.admit(config_of(epochs=4))
        advanced(cohort)
        assert lane.metric == "train_loss"
        assert lane.best_epoch == 1

    def test_the_callers_random_state_is_untouched(self) -> None:
        """Neither admitting nor training draws from the caller's generator, whatever the engine."""
        for engine in ("mlp", "functional", "one_by_one"):
            torch.manual_seed(5)
            before = torch.get_rng_state()
            cohort = Cohort(splits_of(), engine=engine)
            cohort.admit(config_of(dropout=0.5, epochs=1))
            cohort.admit(config_of(dropout=0.2, epochs=1, seed=2))
            advanced(cohort)
            assert torch.equal(torch.get_rng_state(), before), engine


class TestAdmission:
    def test_lanes_agree_on_structure(self) -> None:
        """Another width is refused while there are lanes, and welcome when there are none; the lanes go on."""
        cohort = Cohort(splits_of())
        first = cohort.admit(config_of(epochs=1))
        with pytest.raises(ConfigurationError, match="width is 9 where the others have 8"):
            cohort.admit(config_of(width=9))
        advanced(cohort)
        assert first.outcome is Outcome.COMPLETED
        wider = cohort.admit(config_of(width=9, epochs=1))
        advanced(cohort)
        assert wider.outcome is Outcome.COMPLETED

    def test_a_bad_config_concerns_no_other(self) -> None:
        """A model function that raises for one config leaves the cohort as it was."""

        def fussy(config: TrainingConfig, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
            if config.seed == 1:
                raise ValueError("not this one")
            return linear_model(config, shape, n_outputs)

        cohort = Cohort(splits_of(), model=fussy)
        good = cohort.admit(config_of(epochs=1))
        with pytest.raises(Exception, match="not this one"):
            cohort.admit(config_of(seed=1))
        advanced(cohort)
        assert good.outcome is Outcome.COMPLETED

    def test_an_engine_that_does_not_fit_is_changed(self) -> None:
        """A user's function builds a perceptron for one config and something else for a later one."""

        def moody(config: TrainingConfig, _shape: tuple[int, ...], n_outputs: int) -> nn.Module:
            model = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, n_outputs))
            return nn.Sequential(model, nn.Softplus()) if config.seed else model

        splits, configs = splits_of(), [config_of(seed=seed, precision="float64") for seed in (0, 1)]
        cohort = Cohort(splits, model=moody)
        lanes = [cohort.admit(configs[0])]
        cohort.advance()
        cohort.advance()
        assert cohort.engine_name == "mlp"
        lanes.append(cohort.admit(configs[1]))
        advanced(cohort)
        assert cohort.engine_name != "mlp"
        for lane, config in zip(lanes, configs, strict=True):
            assert_same_course(lane, trained_alone(config, splits, moody))

    def test_an_engine_for_one_lane_is_changed_when_there_are_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first lane trained by itself; when a second one joins, the choice is made anew."""

        def chosen(starts: Sequence[LaneStart], _splits: Splits) -> tuple[str, str]:
            return ("functional" if len(starts) > 1 else "one_by_one"), "of how many there are"

        monkeypatch.setattr(engines, "choose_engine", chosen)
        splits, configs = splits_of(), [config_of(seed=seed, precision="float64") for seed in (0, 1)]
        cohort = Cohort(splits, model=linear_model)
        lanes = [cohort.admit(configs[0])]
        cohort.advance()
        cohort.advance()
        assert cohort.engine_name == "one_by_one"
        lanes.append(cohort.admit(configs[1]))
        cohort.advance()
        cohort.advance()
        assert cohort.engine_name == "functional"
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            assert_same_course(lane, trained_alone(config, splits, linear_model))

    def test_engines_are_known_by_name(self) -> None:
        """An unknown one is refused with the names there are; the mlp's is refused for another model."""
        cohort = Cohort(splits_of(), engine="quick")
        cohort.admit(config_of())
        cohort.advance()
        with pytest.raises(ConfigurationError, match="mlp, functional, one_by_one"):
            cohort.advance()
        cohort = Cohort(
            splits_of(), engine="mlp", model=lambda *_: nn.Sequential(nn.Linear(4, 3), nn.Softplus())
        )
        cohort.admit(config_of())
        cohort.advance()
        with pytest.raises(ConfigurationError, match="take engine=auto"):
            cohort.advance()


class TestUntrained:
    def test_equal_networks_are_read_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lanes of one seed share epoch 0's passes over the data, in this cohort and the next; other seeds don't."""
        read = []

        class Counting(untrained.EpochReader):
            def untrained(self) -> Any:
                read.append(self.config.seed)
                return super().untrained()

        monkeypatch.setattr(untrained, "EpochReader", Counting)
        splits = splits_of()
        for _ in range(2):
            cohort = Cohort(splits)
            lanes = [cohort.admit(config_of(seed=seed, dropout=0.1 * seed)) for seed in (0, 0, 1)]
            cohort.advance()
        cohort.admit(config_of(initialization="he"))
        cohort.advance()
        assert read == [0, 1, 0]
        rows = [lane.telemetry().epochs[0].validation_loss for lane in lanes]
        assert rows[0] == rows[1] != rows[2]

    def test_a_users_models_are_read_each_time(self) -> None:
        """A function may build what it likes from any key."""

        def scaled(config: TrainingConfig, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
            model = linear_model(config, shape, n_outputs)
            with torch.no_grad():
                model[1].weight.mul_(config.learning_rate)
            return model

        cohort = Cohort(splits_of(), model=scaled)
        lanes = [cohort.admit(config_of(learning_rate=rate)) for rate in (0.1, 0.2)]
        cohort.advance()
        assert len({lane.telemetry().epochs[0].validation_loss for lane in lanes}) == 2


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


class TestMinibatches:
    @pytest.mark.parametrize(
        ("keys", "n_orders"),
        [
            ([{}, {}, {"dropout": 0.5}], 1),
            ([{}, {"order_seed": 1}, {"seed": 7, "order_seed": 0}], 2),
            ([{"seed": 1}, {"seed": 2}, {"seed": 1, "learning_rate": 0.2}], 2),
        ],
    )
    def test_lanes_of_one_order_share_them(self, keys: list[dict[str, Any]], n_orders: int) -> None:
        """However they were admitted, lanes that see the samples alike sit side by side and share each minibatch."""
        seen: list[list[int]] = []

        class Watching(OneByOneEngine):
            def step(self, parts: Any, learning_rates: Any, **keywords: Any) -> Any:
                seen.append([minibatch.n_lanes for minibatch in parts[0]])
                return super().step(parts, learning_rates, **keywords)

        cohort = Cohort(splits_of(), engine=Watching)
        for each in keys:
            cohort.admit(config_of(epochs=2, **each))
        advanced(cohort)
        assert {len(counts) for counts in seen} == {n_orders}
        assert {sum(counts) for counts in seen} == {3}


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
