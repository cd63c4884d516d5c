"""What every engine owes: a lane of a cohort has the numbers of the training alone, whoever sits beside it.

A test module of an engine is three lines::

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def engine_of(self) -> EngineBuilder:
            return MyEngine
"""

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from studies.records import Outcome
from tests.problems import line
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.course import Course
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.lanes.engines import EngineBuilder
from tuner.training.lanes.lane import Lane
from tuner.training.loop import TrainingRun
from tuner.training.models import ModelBuilder

TIGHT = 1e-9
"""Relative error in float64 after some 50 steps of a stable training."""
LOOSE = 1e-3
"""Of a float32 loss over two epochs."""
STABLE: Mapping[str, Any] = {"epochs": 5, "batch_size": 16, "width": 12, "learning_rate": 0.05}
EXPLOSIVE: Mapping[str, Any] = {"depth": 3, "activation": "leaky_relu"}
"""With a rate of 1e30 beyond the numbers of float64 within a few steps."""
N_EXAMPLES = 8
SCHEDULES = get_args(get_type_hints(TrainingConfig)["schedule"])
RATES = {"sgd": 0.05, "adam": 0.002, "adamw": 0.002, "rmsprop": 0.001}


@cache
def digits() -> Splits:
    """160 samples to train on, 40 to validate; ten steps of 16 an epoch."""
    dataset = load_dataset("digits")
    few = dataclasses.replace(dataset, x_train=dataset.x_train[:200], y_train=dataset.y_train[:200])
    return split_dataset(few, device="cpu")


@cache
def regression() -> Splits:
    return split_dataset(line(), device="cpu")


def config_of(**keys: Any) -> TrainingConfig:
    return TrainingConfig(**{**STABLE, "precision": "float64", **keys})


def trained_alone(
    config: TrainingConfig, splits: Splits | None = None, model: ModelBuilder | None = None
) -> TrainingRun:
    run = TrainingRun(config, splits or digits(), model=model)
    for _ in run.epochs():
        pass
    return run


def advanced(cohort: Cohort) -> None:
    """To the end of all lanes."""
    while cohort.advance():
        pass


def assert_close(mine: Tensor, theirs: Tensor, tolerance: float) -> None:
    """To ``tolerance`` of the tensor's largest number, NaN where NaN.

    A bias before batch normalization is nothing but rounding: what is smaller than any weight counts as 0.01.
    """
    scale = max(float(theirs.double().abs().nan_to_num(0).max()), 0.01)
    torch.testing.assert_close(mine.double(), theirs.double(), rtol=0, atol=tolerance * scale, equal_nan=True)


def assert_same_course(mine: Course, theirs: Course, tolerance: float = TIGHT) -> None:
    """Ending, weights and every reading but the clock's; step readings, which are kept in float32, to its precision."""
    assert mine.outcome is theirs.outcome
    assert mine.best_epoch == theirs.best_epoch
    for name, tensor in theirs.model.state_dict().items():
        assert_close(mine.model.state_dict()[name], tensor, tolerance)
    for name, tensor in (theirs.best_weights or {}).items():
        assert_close(mine.best_weights[name], tensor, tolerance)
    ours, other = mine.telemetry(), theirs.telemetry()
    assert len(ours.epochs) == len(other.epochs)
    for row, expected in zip(ours.epochs, other.epochs, strict=True):
        assert_same_row(row, expected, max(tolerance, 1e-6))
    for name in ("train_loss", "learning_rate", "gradient_norm", "clipped"):
        np.testing.assert_allclose(
            ours.step_series(name), other.step_series(name), rtol=max(tolerance, 1e-5), atol=1e-7
        )
    assert ours.data == other.data
    assert_same_row(ours.step_zero, other.step_zero, 1e-9)


def assert_same_row(row: Any, expected: Any, tolerance: float) -> None:
    mine, theirs = (dataclasses.asdict(each) for each in (row, expected))
    layers, expected_layers = mine.pop("layers"), theirs.pop("layers")
    for clock in ("seconds", "samples_per_second"):
        mine.pop(clock, None)
        theirs.pop(clock, None)
    assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance, nan_ok=True)
    assert len(layers) == len(expected_layers)
    for layer, expected_layer in zip(layers, expected_layers, strict=True):
        assert layer.pop("name") == expected_layer.pop("name")
        assert layer == pytest.approx(expected_layer, rel=tolerance, abs=tolerance, nan_ok=True)


def assert_same_bits(mine: Course, theirs: Course) -> None:
    for name, tensor in theirs.model.state_dict().items():
        assert torch.equal(mine.model.state_dict()[name], tensor), name
    for name in ("train_loss", "gradient_norm"):
        np.testing.assert_array_equal(
            mine.telemetry().step_series(name), theirs.telemetry().step_series(name)
        )
    for name in ("validation_loss", "calibration_error"):
        np.testing.assert_array_equal(mine.telemetry().series(name), theirs.telemetry().series(name))


@st.composite
def structures(draw: st.DrawFn) -> dict[str, Any]:
    optimizer = draw(st.sampled_from(sorted(RATES)))
    return {
        "optimizer": optimizer,
        "learning_rate": RATES[optimizer],
        "depth": draw(st.integers(0, 2)),
        "normalization": draw(st.sampled_from(["none", "batch", "layer"])),
        "activation": draw(st.sampled_from(["relu", "tanh", "gelu"])),
        "accumulation_steps": draw(st.sampled_from([1, 1, 2, 3])),
        "class_weights": draw(st.sampled_from(["none", "balanced"])),
        "input_scaling": draw(st.sampled_from(["unit", "standardize"])),
    }


@st.composite
def lane_levers(draw: st.DrawFn, optimizer: str, rate: float) -> dict[str, Any]:
    """Whatever a lane may have for itself."""
    kinds = ["auto", "decoupled"] if optimizer == "adamw" else ["auto", "l2", "decoupled"]
    return {
        "learning_rate": rate * draw(st.sampled_from([0.5, 1.0, 1.5])),
        "momentum": draw(st.sampled_from([0.0, 0.5, 0.9])) if optimizer in {"sgd", "rmsprop"} else 0.0,
        "nesterov": draw(st.booleans()),
        "beta1": draw(st.sampled_from([0.8, 0.9])),
        "beta2": draw(st.sampled_from([0.99, 0.999])),
        "alpha": draw(st.sampled_from([0.9, 0.99])),
        "epsilon": draw(st.sampled_from([1e-4, 1e-3])),
        "weight_decay": draw(st.sampled_from([0.0, 1e-3])),
        "weight_decay_kind": draw(st.sampled_from(kinds)),
        "clip_norm": draw(st.sampled_from([0.0, 0.3, 100.0])),
        "dropout": draw(st.sampled_from([0.0, 0.2, 0.5])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1])),
        "augmentation": draw(st.sampled_from([0.0, 0.0, 0.0, 0.5])),
        "schedule": draw(st.sampled_from(SCHEDULES)),
        "plateau_patience": 0,
        "warmup_fraction": draw(st.sampled_from([0.0, 0.1])),
        "initialization": draw(st.sampled_from(["default", "glorot", "he", "lecun"])),
        "seed": draw(st.integers(0, 3)),
        "order_seed": draw(st.sampled_from([None, 7, 7])),
        "patience": draw(st.sampled_from([0, 0, 1])),
    }


@st.composite
def cohorts(draw: st.DrawFn) -> list[TrainingConfig]:
    structure = draw(structures())
    each = lane_levers(structure["optimizer"], structure["learning_rate"])
    return [config_of(**{**structure, **draw(each)}) for _ in range(draw(st.integers(1, 4)))]


class EngineContract:
    @pytest.fixture
    def engine_of(self) -> EngineBuilder:
        raise NotImplementedError

    @pytest.fixture
    def model_of(self) -> ModelBuilder | None:
        """A model to train instead of the built-in mlp."""
        return None

    @pytest.fixture
    def cohort_of(self, engine_of: EngineBuilder, model_of: ModelBuilder | None) -> Any:
        """Makes a cohort with lanes of the configs."""

        def made(
            configs: Sequence[TrainingConfig], splits: Splits | None = None
        ) -> tuple[Cohort, list[Lane]]:
            cohort = Cohort(splits or digits(), model=model_of, engine=engine_of)
            return cohort, [cohort.admit(config) for config in configs]

        return made

    @pytest.fixture
    def alone(self, model_of: ModelBuilder | None) -> Any:
        """Trains a config alone."""
        return lambda config, splits=None: trained_alone(config, splits, model_of)

    # -- the same numbers --

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

    # -- no lane touches another --

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

    # -- coming, going, and going on --

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
