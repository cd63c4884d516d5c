"""Owed by every engine: no lane touches another, whether it blows up, is replaced or ends."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from studies.records import Outcome
from tests.tuner.training.lanes.drawn_cohorts import RATES
from tests.tuner.training.lanes.engine_fixtures import EngineFixtures
from tests.tuner.training.lanes.twins import LOOSE, advanced, assert_same_bits, assert_same_course, config_of

EXPLOSIVE: Mapping[str, Any] = {"depth": 3, "activation": "leaky_relu"}
"""With a rate of 1e30 beyond the numbers of float64 within a few steps."""


class UntouchedNeighbors(EngineFixtures):
    @pytest.mark.parametrize("optimizer", RATES)
    def test_a_lane_that_blows_up_changes_no_bit_of_another(self, cohort_of: Any, optimizer: str) -> None:
        """While it stays, its infinities and NaN reach no one."""
        keys: dict[str, Any] = {
            "optimizer": optimizer,
            "learning_rate": RATES[optimizer],
            "dropout": 0.2,
            "clip_norm": 1.0,
            "precision": "float32",
            "stop_on_divergence": False,
        }
        sound = [config_of(**keys, seed=seed, order_seed=0) for seed in (0, 1, 2)]
        mad = dataclasses.replace(sound[1], learning_rate=1e30)
        courses = []
        for configs in (sound, [sound[0], mad, sound[2]]):
            cohort, lanes = cohort_of(configs)
            advanced(cohort)
            courses.append(lanes)
        assert courses[1][1].outcome is Outcome.DIVERGED
        for position in (0, 2):
            assert_same_bits(courses[1][position], courses[0][position])

    def test_a_lane_of_other_numbers_changes_no_bit_of_another(self, cohort_of: Any) -> None:
        """Neither its rates, its dropout, its seed nor its schedule are felt by its neighbors."""
        first, last = (config_of(precision="float32", seed=seed, dropout=0.3) for seed in (0, 2))
        middles = (
            config_of(precision="float32", order_seed=0),
            config_of(
                precision="float32", dropout=0.5, order_seed=0, seed=5, schedule="cosine", clip_norm=0.1
            ),
        )
        courses = []
        for middle in middles:
            cohort, lanes = cohort_of([first, middle, last])
            advanced(cohort)
            courses.append(lanes)
        for position in (0, 2):
            assert_same_bits(courses[1][position], courses[0][position])

    @pytest.mark.parametrize("optimizer", RATES)
    def test_a_lane_that_is_pruned_and_replaced_changes_no_bit_of_another(
        self, cohort_of: Any, optimizer: str
    ) -> None:
        """As many lanes as before, another one among them."""
        keys: dict[str, Any] = {"optimizer": optimizer, "learning_rate": RATES[optimizer], "dropout": 0.2}
        configs = [config_of(**keys, precision="float32", seed=seed) for seed in range(4)]
        courses = []
        for is_pruned in (False, True):
            cohort, lanes = cohort_of(configs[:3])
            for _ in range(3):
                cohort.advance()
            if is_pruned:
                lanes[1].stop(Outcome.PRUNED)
                state = cohort_of(configs[3:])[1][0].state_dict()
                cohort.resume(configs[3], state)
            advanced(cohort)
            courses.append(lanes)
        for position in (0, 2):
            assert_same_bits(courses[1][position], courses[0][position])

    def test_a_smaller_cohort_has_the_same_loss_curve_in_float32(self, cohort_of: Any, alone: Any) -> None:
        """Where five lanes become two, those two are within 1e-3 of the trainings alone."""
        configs = [
            config_of(
                epochs=epochs, seed=epochs, dropout=0.2, momentum=0.5, order_seed=0, precision="float32"
            )
            for epochs in (1, 4, 2, 5, 1)
        ]
        cohort, lanes = cohort_of(configs)
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            assert_same_course(lane, alone(config), LOOSE)

    def test_numbers_are_finite_however_large(self, cohort_of: Any, alone: Any) -> None:
        """Weights of 1e21 are no divergence, though their squares are infinite in float32."""
        keys: dict[str, Any] = {"depth": 0, "precision": "float32", "epochs": 2}
        configs = [config_of(**keys, learning_rate=rate) for rate in (1e22, 0.05)]
        cohort, lanes = cohort_of(configs)
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            assert lane.outcome is alone(config).outcome is Outcome.COMPLETED
        assert float(lanes[0].model.state_dict()["output.weight"].abs().max()) > 1e20

    def test_those_who_stay_are_as_they_were(self, cohort_of: Any, alone: Any) -> None:
        """One lane is pruned, one diverges, one stops early, one is done first: the last one is still itself."""
        configs = [
            config_of(**EXPLOSIVE, **keys)
            for keys in (
                {"momentum": 0.5, "seed": 1},
                {"learning_rate": 1e30},
                {"epochs": 9, "patience": 1, "learning_rate": 0.3, "seed": 2},
                {"epochs": 2, "dropout": 0.5},
                {"epochs": 9, "dropout": 0.3, "momentum": 0.9, "seed": 1},
            )
        ]
        cohort, lanes = cohort_of(configs)
        n_lanes = []
        while got := cohort.advance():
            n_lanes.append(len(got))
            if lanes[0].n_epochs_done == 1:
                lanes[0].stop(Outcome.PRUNED)
        assert n_lanes[0] == 5
        assert n_lanes[-1] == 1
        assert lanes[0].outcome is Outcome.PRUNED
        assert len(lanes[0].telemetry().epochs) == 2
        for lane, config in zip(lanes[1:], configs[1:], strict=True):
            assert_same_course(lane, alone(config))
        assert [lane.outcome for lane in lanes[1:]] == [
            Outcome.DIVERGED,
            Outcome.STOPPED_EARLY,
            Outcome.COMPLETED,
            Outcome.COMPLETED,
        ]

    def test_divergence_ends_a_lane_within_its_epoch(self, cohort_of: Any, alone: Any) -> None:
        """At the same step, and with the same readings, as alone; the others train on through that epoch."""
        keys: dict[str, Any] = {"batch_size": 2, "epochs": 1, "learning_rate": 0.01, **EXPLOSIVE}
        mad = config_of(**{**keys, "learning_rate": 1e30})
        configs = [config_of(**keys), mad, config_of(**keys, seed=1)]
        cohort, lanes = cohort_of(configs)
        advanced(cohort)
        for lane, config in zip(lanes, configs, strict=True):
            expected = alone(config)
            assert len(lane.last_steps) == len(expected.last_steps)
            assert lane.outcome is expected.outcome
        assert len(lanes[1].last_steps) < len(lanes[0].last_steps)
        for lane, config in zip(lanes[::2], configs[::2], strict=True):
            assert_same_course(lane, alone(config))
