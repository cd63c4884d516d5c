"""Owed by every engine: each lane has the numbers of the training alone, whatever its levers."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.tuner.training.lanes.drawn_cohorts import RATES, REGULARIZERS, SCHEDULES, cohorts
from tests.tuner.training.lanes.engine_fixtures import EngineFixtures
from tests.tuner.training.lanes.twins import LOOSE, advanced, assert_same_course, config_of, regression
from tuner.training.config import TrainingConfig

N_EXAMPLES = 8


class SameNumbers(EngineFixtures):
    # The fixtures hold nothing that an example could leave behind.
    @settings(
        deadline=None,
        max_examples=N_EXAMPLES,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(configs=cohorts())
    def test_every_lane_is_the_training_alone(
        self, cohort_of: Any, alone: Any, configs: list[TrainingConfig]
    ) -> None:
        """For every optimizer, schedule and regularizer, with data orders shared and own: 1e-9 after 50 steps."""
        cohort, lanes = cohort_of(configs)
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            assert_same_course(lane, alone(config))

    @pytest.mark.parametrize("optimizer", RATES)
    def test_every_schedule_with_every_regularizer(self, cohort_of: Any, alone: Any, optimizer: str) -> None:
        """With every optimizer, none left to chance; half of the lanes share a data order, half have their own."""
        configs = [
            config_of(
                optimizer=optimizer,
                learning_rate=RATES[optimizer],
                momentum=0.5 if optimizer in {"sgd", "rmsprop"} else 0.0,
                epsilon=1e-3,
                schedule=schedule,
                plateau_patience=0,
                step_size=2,
                milestones=(2, 4),
                restart_period=2,
                order_seed=7 if number % 2 else number,
                **keys,
            )
            for number, (schedule, (name, keys)) in enumerate(product(SCHEDULES, REGULARIZERS.items()))
            if not (optimizer == "adamw" and name == "l2")
        ]
        cohort, lanes = cohort_of(configs)
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            assert_same_course(lane, alone(config))

    @pytest.mark.parametrize("optimizer", RATES)
    def test_float32_has_the_same_loss_curve(self, cohort_of: Any, alone: Any, optimizer: str) -> None:
        """Every step's loss over two epochs is within 1e-3 of the training alone."""
        rate = RATES[optimizer]
        configs = [
            config_of(
                optimizer=optimizer,
                learning_rate=rate * factor,
                dropout=dropout,
                momentum=0.9,
                epsilon=1e-4,
                epochs=2,
                precision="float32",
            )
            for factor, dropout in ((0.5, 0.0), (1.0, 0.3), (0.2, 0.5))
        ]
        cohort, lanes = cohort_of(configs)
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            expected = alone(config).telemetry()
            for name in ("train_loss", "gradient_norm"):
                np.testing.assert_allclose(
                    lane.telemetry().step_series(name), expected.step_series(name), rtol=LOOSE
                )
            np.testing.assert_allclose(
                lane.telemetry().series("validation_loss"), expected.series("validation_loss"), rtol=LOOSE
            )

    def test_bfloat16_has_nearly_the_same_loss_curve(self, cohort_of: Any, alone: Any) -> None:
        """What is rounded, and when, is an engine's own, to two digits or so."""
        configs = [config_of(epochs=2, dropout=dropout, precision="bfloat16") for dropout in (0.0, 0.3)]
        cohort, lanes = cohort_of(configs)
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            expected = alone(config).telemetry()
            np.testing.assert_allclose(
                lane.telemetry().step_series("train_loss"), expected.step_series("train_loss"), rtol=0.03
            )

    @pytest.mark.parametrize("keys", [{"batch_size": "full"}, {"batch_size": 53}, {"batch_size": 159}])
    def test_minibatches_of_any_size(self, cohort_of: Any, alone: Any, keys: dict[str, Any]) -> None:
        """The whole split at once, an uneven last minibatch, and a left-over sample that joins the one before."""
        configs = [config_of(**keys, dropout=dropout, seed=seed) for dropout, seed in ((0.0, 0), (0.2, 1))]
        cohort, lanes = cohort_of(configs)
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            assert_same_course(lane, alone(config))

    @pytest.mark.parametrize("steps", [1, 2])
    def test_a_regression(self, cohort_of: Any, alone: Any, steps: int) -> None:
        """Mean squared error, no accuracies."""
        configs = [
            config_of(learning_rate=0.01 * n, momentum=0.5, seed=n, order_seed=0, accumulation_steps=steps)
            for n in (1, 2)
        ]
        cohort, lanes = cohort_of(configs, regression())
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            assert_same_course(lane, alone(config, regression()))
            assert math.isnan(lane.telemetry().epochs[1].train_accuracy)
