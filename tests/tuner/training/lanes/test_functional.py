"""Lanes of a user's modules: the same numbers as each module alone, in one pass for all."""

import dataclasses
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tuner.training.lanes.contracts import EngineContract
from tests.tuner.training.lanes.modules import (
    VECTORIZING,
    AddedWeights,
    DependsOnTheConfig,
    batch_norm_mlp,
    dropout_mlp,
    partly_frozen,
    plain_mlp,
    residual,
    two_convolutions,
)
from tests.tuner.training.lanes.modules_alone import Alone, Together
from tests.tuner.training.lanes.twins import assert_same_course, config_of, trained_alone
from tests.tuner.training.lanes.twins import digits as few_digits
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.lanes.engine import Minibatch
from tuner.training.lanes.engines import EngineBuilder
from tuner.training.lanes.functional import FunctionalEngine
from tuner.training.lanes.programs import difference
from tuner.training.models import ModelBuilder, build_cnn
from tuner.training.probes import probe_pass, watched_layers

BASE = TrainingConfig(
    width=12, batch_size=16, learning_rate=0.05, momentum=0.9, dropout=0.3, precision="float64"
)
UNEQUAL = (
    dataclasses.replace(BASE, weight_decay=1e-3, label_smoothing=0.1),
    dataclasses.replace(BASE, learning_rate=0.1, momentum=0.5, dropout=0.5, clip_norm=0.2, seed=1),
    dataclasses.replace(BASE, nesterov=True, weight_decay_kind="decoupled", weight_decay=0.01, seed=2),
)


@cache
def digits() -> Splits:
    return split_dataset(load_dataset("digits"), device="cpu")


@pytest.fixture
def splits() -> Splits:
    return digits()


class TestFunctionalEngine(EngineContract):
    @pytest.fixture
    def engine_of(self) -> EngineBuilder:
        return FunctionalEngine


@pytest.mark.parametrize("builder", [*VECTORIZING, build_cnn], ids=lambda builder: builder.__name__)
@pytest.mark.parametrize("has_own_samples", [False, True], ids=["shared", "own"])
def test_lanes_of_a_users_module_do_what_each_does_alone(
    builder: ModelBuilder, has_own_samples: bool, splits: Splits
) -> None:
    """Over 50 steps in float64 losses, norms, layers, weights, buffers and optimizer agree within 1e-9."""
    together = Together([Alone(config, builder, splits) for config in UNEQUAL], splits)
    assert together.steps(50, has_own_samples=has_own_samples) == {}
    assert together.states_apart() == {}


@pytest.mark.parametrize("n_lanes", [1, 3])
@pytest.mark.parametrize("stacks", [False, True], ids=["in_turn", "stacked"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_gradients_that_share_memory_are_used_once_each(
    optimizer: str, stacks: bool, n_lanes: int, splits: Splits
) -> None:
    """autograd has one tensor for both parameters of a sum: clipping and decay count once for each of the two."""
    configs = [
        dataclasses.replace(
            config, optimizer=optimizer, weight_decay=0.01, clip_norm=0.2, epsilon=1e-3, nesterov=False
        )
        for config in UNEQUAL[:n_lanes]
    ]
    together = Together([Alone(config, AddedWeights, splits) for config in configs], splits, stacks=stacks)
    assert together.steps(6) == {}
    assert together.states_apart() == {}


@pytest.mark.parametrize("builder", VECTORIZING, ids=lambda builder: builder.__name__)
def test_a_cohort_of_a_users_module_is_each_training_alone(builder: ModelBuilder) -> None:
    """In every reading of 50 steps in float64, two lanes with one data order and one with its own."""
    configs = [
        config_of(**{**keys, "seed": seed, "learning_rate": 0.02 * (seed + 1), "momentum": 0.5})
        for seed, keys in enumerate(
            ({"order_seed": 7, "dropout": 0.3}, {"order_seed": 7, "clip_norm": 0.3}, {"schedule": "cosine"})
        )
    ]
    cohort = Cohort(few_digits(), model=builder, engine="functional")
    lanes = [cohort.admit(config) for config in configs]
    while cohort.advance():
        pass
    for lane, config in zip(lanes, configs, strict=True):
        assert_same_course(lane, trained_alone(config, few_digits(), builder))


@settings(deadline=None, max_examples=20)
@given(
    optimizer=st.sampled_from([{"optimizer": name} for name in ("sgd", "adam", "adamw", "rmsprop")]),
    shared=st.fixed_dictionaries({"class_weights": st.sampled_from(["none", "balanced"])}),
    lanes=st.lists(
        st.fixed_dictionaries(
            {
                "learning_rate": st.sampled_from([1e-3, 1e-2]),
                "momentum": st.sampled_from([0.0, 0.8]),
                "weight_decay": st.sampled_from([0.0, 1e-3]),
                "clip_norm": st.sampled_from([0.0, 0.1]),
                "label_smoothing": st.sampled_from([0.0, 0.2]),
                "dropout": st.sampled_from([0.0, 0.4]),
                "seed": st.integers(0, 3),
            }
        ),
        min_size=1,
        max_size=3,
    ),
    n_parts=st.integers(1, 3),
)
def test_every_optimizer_and_regularizer_is_each_lanes_own(
    optimizer: dict[str, Any], shared: dict[str, Any], lanes: list[dict[str, Any]], n_parts: int
) -> None:
    """Any mixture of the numbers of lanes, with and without accumulation, gives each lane what it has alone."""
    data = digits()
    base = dataclasses.replace(BASE, accumulation_steps=n_parts, **optimizer, **shared)
    configs = [dataclasses.replace(base, **lane) for lane in lanes]
    together = Together([Alone(config, dropout_mlp, data) for config in configs], data)
    assert together.steps(6, n_parts=n_parts) == {}
    assert together.states_apart() == {}


def test_regression_lanes_do_what_each_does_alone() -> None:
    """The mean squared error over several outputs, too, is each lane's own."""
    rows = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    values = rows[:, :2] * 3 + rows[:, 2:4]
    data = split_dataset(
        Dataset(
            name="rows",
            kind="regression",
            n_outputs=2,
            x_train=rows,
            y_train=values,
            x_test=None,
            y_test=None,
        ),
        device="cpu",
    )
    together = Together([Alone(config, plain_mlp, data) for config in UNEQUAL], data)
    assert together.steps(10) == {}
    assert together.states_apart() == {}


def test_float32_lanes_keep_to_the_loss_of_each_alone(splits: Splits) -> None:
    """In float32 the losses of 50 steps agree within 1e-3."""
    configs = [dataclasses.replace(config, precision="float32") for config in UNEQUAL]
    together = Together([Alone(config, residual, splits) for config in configs], splits)
    assert together.steps(50, tolerance=1e-3) == {}


def test_lanes_of_different_programs_train_side_by_side(splits: Splits) -> None:
    """Lanes whose modules differ in more than tensors have passes of their own, whoever stands between them."""
    configs = [dataclasses.replace(UNEQUAL[0], weight_decay=decay) for decay in (0.0, 0.0, 0.01, 0.0)]
    together = Together([Alone(config, DependsOnTheConfig, splits) for config in configs], splits)
    assert [len(run.lanes) for run in together.engine._runs] == [2, 1, 1]
    assert together.steps(5) == {}
    assert together.steps(5, has_own_samples=True) == {}
    assert together.states_apart() == {}


def test_frozen_and_unused_parameters_stay_as_they_are(splits: Splits) -> None:
    """A frozen layer, and one that the loss does not depend on, are neither decayed nor moved."""
    together = Together([Alone(config, partly_frozen, splits) for config in UNEQUAL], splits)
    before = together.engine.model_state(0)
    assert together.steps(5) == {}
    assert together.states_apart() == {}
    after = together.engine.model_state(0)
    is_equal = {name: torch.equal(before[name], after[name]) for name in before}
    assert {name.split(".")[0] for name, same in is_equal.items() if same} == {"stem", "unused"}


def test_lanes_come_and_go(splits: Splits) -> None:
    """A lane that leaves or joins changes no other lane; one that stays keeps its optimizer and random stream."""
    alone = [Alone(config, dropout_mlp, splits) for config in UNEQUAL]
    together = Together(alone, splits)
    assert together.steps(3) == {}
    together.engine.keep([2, 0])
    together.alone = [alone[2], alone[0]]
    assert together.steps(3) == {}
    newcomer = Alone(dataclasses.replace(BASE, seed=7, dropout=0.0), dropout_mlp, splits)
    together.engine.add([newcomer.start()])
    together.alone.append(newcomer)
    assert together.steps(3, has_own_samples=True) == {}
    assert together.states_apart() == {}


def test_a_lane_that_blows_up_touches_no_other(splits: Splits) -> None:
    """With a lane of NaN beside them, the others have bit for bit what they have beside a sound one."""
    states = []
    for rate in (0.05, 1e30):
        engine = FunctionalEngine(splits)
        configs = [dataclasses.replace(config, precision="float32") for config in UNEQUAL]
        engine.add([Alone(config, residual, splits).start() for config in configs])
        x = splits.train_x[:16].float() / 255
        batch = Minibatch(first_lane=0, n_lanes=3, x=x, y=splits.train_y[:16])
        for _ in range(6):
            engine.step([[batch]], [0.05, rate, 0.05], reads_norms=True, is_probed=False)
        assert engine.are_finite().tolist() == [True, rate < 1, True]
        states.append([engine.model_state(0), engine.model_state(2), {"outputs": engine.outputs(x)[[0, 2]]}])
    for mine, theirs in zip(*states, strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_state_that_was_saved_is_gone_on_from_bit_for_bit(splits: Splits) -> None:
    """Lanes that take over weights, optimizers and random streams do what those they came from do."""
    configs = [dataclasses.replace(config, optimizer="adam") for config in UNEQUAL]
    together = Together([Alone(config, dropout_mlp, splits) for config in configs], splits)
    assert together.steps(3) == {}
    resumed = FunctionalEngine(splits)
    starts = [Alone(config, dropout_mlp, splits).start() for config in configs]
    resumed.add(starts)
    for k, start in enumerate(starts):
        resumed.load_model_state(k, together.engine.model_state(k))
        resumed.load_optimizer_state(k, together.engine.optimizer_state(k))
        start.generator.set_state(together.engine._lanes[k].generator.get_state())
    x, y = together.samples()
    batch = Minibatch(first_lane=0, n_lanes=3, x=x, y=y)
    for engine in (together.engine, resumed):
        engine.step([[batch]], [0.01] * 3, reads_norms=False, is_probed=False)
    for k in range(3):
        mine, theirs = together.engine.model_state(k), resumed.model_state(k)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("builder", [batch_norm_mlp, two_convolutions], ids=lambda builder: builder.__name__)
def test_eval_mode_and_activities_are_those_of_each_module(builder: ModelBuilder, splits: Splits) -> None:
    """Outputs in eval mode and what is read of activations are the module's own, after training as before."""
    together = Together([Alone(config, builder, splits) for config in UNEQUAL], splits)
    for n_steps in (0, 4):
        assert together.steps(n_steps) == {}
        x, _ = together.samples(n=40)
        outputs, passes = together.engine.outputs(x), together.engine.probe_passes(x)
        for k, lane in enumerate(together.alone):
            lane.model.eval()
            torch.testing.assert_close(outputs[k], lane.model(x), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(passes[k].outputs, outputs[k], rtol=1e-9, atol=1e-9)
            expected = probe_pass(lane.model, watched_layers(lane.model), x).activities
            assert together.engine.layer_names == tuple(expected)
            for name, activity in passes[k].activities.items():
                assert activity.output_std == pytest.approx(expected[name].output_std, rel=1e-9)
                assert activity.dead_fraction == pytest.approx(expected[name].dead_fraction, nan_ok=True)
                assert activity.weight_norm == pytest.approx(expected[name].weight_norm, rel=1e-9)


def test_modules_are_one_program_unless_their_code_could_do_something_else(splits: Splits) -> None:
    """Tensors and dropout rates may differ; layers, shapes and attributes may not."""
    wide = dataclasses.replace(BASE, width=13)
    models = {
        name: Alone(config, builder, splits).model
        for name, config, builder in (
            ("one", UNEQUAL[0], residual),
            ("same", UNEQUAL[1], residual),
            ("wide", wide, residual),
            ("other", BASE, plain_mlp),
            ("small", dataclasses.replace(BASE, weight_decay=0.1), DependsOnTheConfig),
            ("large", dataclasses.replace(BASE, weight_decay=0.2), DependsOnTheConfig),
        )
    }
    assert difference(models["one"], models["same"]) is None
    assert difference(models["one"], models["wide"]) == "the shapes of stem"
    assert difference(models["one"], models["other"]) == "the layers"
    assert difference(models["small"], models["large"]) == "attribute 'factor' of DependsOnTheConfig"
