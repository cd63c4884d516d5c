"""Lanes of a cohort: joining it, before their first step, and advancing together."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.errors import ConfigurationError
from studies.records import Outcome
from tests.problems import linear_model
from tests.tuner.training.lanes.twins import assert_same_course, trained_alone
from tests.tuner.training.small_cohorts import advanced, config_of, splits_of
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes import engines, untrained
from tuner.training.lanes.engine import LaneStart
from tuner.training.lanes.one_by_one import OneByOneEngine
from tuner.training.loop import TrainingRun


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
