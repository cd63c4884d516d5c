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
from itertools import product
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studies.records import Outcome
from tests.tuner.training.lanes.twins import (
    LOOSE,
    advanced,
    assert_same_bits,
    assert_same_course,
    config_of,
    digits,
    regression,
    trained_alone,
)
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engines import EngineBuilder
from tuner.training.lanes.lane import Lane
from tuner.training.loop import TrainingRun
from tuner.training.models import ModelBuilder

EXPLOSIVE: Mapping[str, Any] = {"depth": 3, "activation": "leaky_relu"}
"""With a rate of 1e30 beyond the numbers of float64 within a few steps."""
N_EXAMPLES = 8
SCHEDULES = get_args(get_type_hints(TrainingConfig)["schedule"])
RATES = {"sgd": 0.05, "adam": 0.002, "adamw": 0.002, "rmsprop": 0.001}
REGULARIZERS: Mapping[str, Mapping[str, Any]] = {
    "l2": {"weight_decay": 1e-3, "weight_decay_kind": "l2"},
    "decoupled": {"weight_decay": 1e-2, "weight_decay_kind": "decoupled"},
    "dropout": {"dropout": 0.3},
    "label smoothing": {"label_smoothing": 0.1},
    "augmentation": {"augmentation": 0.5},
    "clipping": {"clip_norm": 0.3},
    "early stopping": {"patience": 1},
}


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
