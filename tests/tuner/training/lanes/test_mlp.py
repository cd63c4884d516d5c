import platform
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from tests.tuner.training.lanes.contracts import EngineContract
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import Engine, LaneStart, LaneSteps, Minibatch
from tuner.training.lanes.engines import EngineBuilder
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.lanes.one_by_one import OneByOneEngine
from tuner.training.models import build_model
from tuner.training.probes import watched_layers

N_INPUTS, N_CLASSES, N_SAMPLES = 9, 4, 48
N_STEPS = 50
RATE = 0.005
TIGHT = 1e-9
ACTIVATIONS = ("relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "selu")


class TestMlpEngine(EngineContract):
    @pytest.fixture
    def engine_of(self) -> EngineBuilder:
        return MlpEngine


def splits_of(kind: str = "classification") -> Splits:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N_SAMPLES, N_INPUTS, generator=generator)
    y = torch.randint(0, N_CLASSES, (N_SAMPLES,), generator=generator).pow(2).clamp(max=N_CLASSES - 1)
    if kind == "regression":
        y = torch.randn(N_SAMPLES, 2, generator=generator, dtype=torch.float64)
    parts = {"train_x": x, "train_y": y, "validation_x": x, "validation_y": y, "test_x": None, "test_y": None}
    n_outputs = 2 if kind == "regression" else N_CLASSES
    return Splits(name="t", kind=kind, n_outputs=n_outputs, split="last", fraction=0.5, seed=0, **parts)


def engine_with(
    builder: EngineBuilder, configs: Sequence[TrainingConfig], splits: Splits
) -> tuple[Engine, list[nn.Module]]:
    """An engine of lanes, and their modules."""
    engine, starts = builder(splits), []
    for config in configs:
        torch.manual_seed(config.seed)
        model = build_model(config, splits.input_shape, splits.n_outputs)
        model = model.double() if config.precision == "float64" else model
        generator = torch.Generator().manual_seed(config.seed)
        starts.append(LaneStart(config=config, model=model, generator=generator))
    engine.add(starts)
    return engine, [start.model for start in starts]


def parts_of(
    splits: Splits, step: int, *, groups: Sequence[int], sizes: Sequence[int]
) -> list[list[Minibatch]]:
    """One step's minibatches: a group's lanes share their samples; as many parts as ``sizes``."""
    generator, parts = torch.Generator().manual_seed(step), []
    for size in sizes:
        part, first = [], 0
        for n_lanes in groups:
            chosen = torch.randperm(N_SAMPLES, generator=generator)[:size]
            x, y = splits.train_x[chosen], splits.train_y[chosen]
            part.append(Minibatch(first_lane=first, n_lanes=n_lanes, x=x, y=y))
            first += n_lanes
        parts.append(part)
    return parts


def stepped(
    engine: Engine, splits: Splits, n_steps: int = 1, *, rate: float = RATE, **keys: Any
) -> LaneSteps:
    """What the last of some steps read; lane k's rate is (k + 1) times ``rate``."""
    keys = {"groups": [engine.n_lanes], "sizes": [16], **keys}
    rates = [rate * (lane + 1) for lane in range(engine.n_lanes)]
    for step in range(n_steps):
        parts, is_last = parts_of(splits, step, **keys), step == n_steps - 1
        read = engine.step(parts, rates, reads_norms=is_last, is_probed=is_last)
    return read


def relative_error(mine: Tensor, theirs: Tensor) -> float:
    return float((mine - theirs).norm() / theirs.norm().clamp(min=1e-300))


@st.composite
def configs_of_lanes(draw: st.DrawFn) -> list[TrainingConfig]:
    """Trainings in which rounding hardly grows, whatever is drawn.

    Layer norm divides by the spread of a sample's few units, and a step of an adaptive optimizer does not shrink with
    the gradient: of five units in three layers at the full rate, 50 steps made billions of times as much of a
    difference in the weights. With eight units at a tenth of the rate (`rate_of`) it is less than a hundred times.
    """
    normalization = draw(st.sampled_from(["none", "batch", "layer"]))
    optimizer = draw(st.sampled_from(["sgd", "adamw", "rmsprop"]))
    structure = {
        "precision": "float64",
        "depth": draw(st.integers(0, 3)),
        "width": draw(st.integers(8, 13) if normalization == "layer" else st.integers(4, 9)),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "normalization": normalization,
        "optimizer": optimizer,
        "class_weights": draw(st.sampled_from(["none", "balanced"])),
        # A bias before batch normalization has a gradient of pure rounding, which these would scale up to size.
        "epsilon": 1e-2,
        "weight_decay_kind": "decoupled" if optimizer != "sgd" else "auto",
    }
    return [
        TrainingConfig(
            **structure,
            seed=seed,
            momentum=draw(st.sampled_from([0.0, 0.5])),
            dropout=draw(st.sampled_from([0.0, 0.1, 0.5])),
            label_smoothing=draw(st.sampled_from([0.0, 0.2])),
            clip_norm=draw(st.sampled_from([0.0, 0.5])),
            weight_decay=draw(st.sampled_from([0.0, 0.01])),
        )
        for seed in range(3)
    ]


def rate_of(config: TrainingConfig) -> float:
    """At which the training of a config of `configs_of_lanes` is stable."""
    is_steep = config.normalization != "none" and config.optimizer != "sgd"
    return RATE / 10 if is_steep else RATE


class TestAgainstAutograd:
    @given(
        configs=configs_of_lanes(),
        kind=st.sampled_from(["classification", "regression"]),
        groups=st.sampled_from([[3], [1, 2], [1, 1, 1]]),
        sizes=st.sampled_from([[16], [13], [16, 16, 9]]),
    )
    # The same examples in every run: the worst of all is known to hold from runs of hundreds, too slow for every day.
    @settings(deadline=None, max_examples=15, derandomize=True)
    def test_fifty_steps_are_those_of_the_modules(
        self, configs: list[TrainingConfig], kind: str, groups: list[int], sizes: list[int]
    ) -> None:
        """Weights, statistics and readings equal those of nn.Module, autograd and the loop's optimizer to 1e-9."""
        splits = splits_of(kind)
        (mine, _), (twin, _) = (engine_with(b, configs, splits) for b in (MlpEngine, OneByOneEngine))
        keys = {"groups": groups, "sizes": sizes, "rate": rate_of(configs[0])}
        read, expected = (stepped(engine, splits, N_STEPS, **keys) for engine in (mine, twin))
        for name in ("losses", "norms", "layer_norms", "update_ratios"):
            # The twin's readings may be float32, whatever the precision of the training.
            assert_close(getattr(read, name).float(), getattr(expected, name).float(), rtol=1e-6, atol=1e-7)
        assert (read.hits is None) == (kind == "regression")
        assert read.hits is None or torch.equal(read.hits, expected.hits)
        assert relative_error(mine.outputs(splits.train_x), twin.outputs(splits.train_x)) < TIGHT
        for lane in range(3):
            theirs = twin.model_state(lane)
            for name, tensor in mine.model_state(lane).items():
                torch.testing.assert_close(tensor, theirs[name], rtol=TIGHT, atol=1e-9)

    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    def test_activities_and_outputs_are_those_of_the_modules(self, activation: str) -> None:
        """What is read of the layers, and what the networks say in eval mode, is each module's own."""
        configs = [
            TrainingConfig(
                depth=2, width=7, seed=s, activation=activation, normalization="batch", dropout=0.5
            )
            for s in range(3)
        ]
        splits = splits_of()
        (mine, models), (twin, _) = (engine_with(b, configs, splits) for b in (MlpEngine, OneByOneEngine))
        for engine in (mine, twin):
            stepped(engine, splits)
        for got, expected in zip(
            mine.probe_passes(splits.train_x), twin.probe_passes(splits.train_x), strict=True
        ):
            torch.testing.assert_close(got.outputs, expected.outputs)
            assert list(got.activities) == list(expected.activities)
            for name, activity in got.activities.items():
                assert vars(activity) == pytest.approx(vars(expected.activities[name]), rel=1e-4, nan_ok=True)
        torch.testing.assert_close(mine.outputs(splits.train_x)[1], models[1].eval()(splits.train_x))
        assert mine.layer_names == tuple(layer.name for layer in watched_layers(models[0]))

    def test_bfloat16_stays_near(self) -> None:
        """Products in bfloat16 make the same losses to two digits, and weights stay float32."""
        splits = splits_of()
        losses = {}
        for precision in ("float32", "bfloat16"):
            engine, models = engine_with(MlpEngine, [TrainingConfig(precision=precision)] * 2, splits)
            losses[precision] = stepped(engine, splits, 5).losses
            assert models[0].output.weight.dtype == torch.float32
        assert not torch.equal(losses["bfloat16"], losses["float32"])
        torch.testing.assert_close(losses["bfloat16"], losses["float32"], rtol=0.02, atol=0)


class TestLanes:
    def test_a_lane_that_is_not_finite_changes_no_bit_of_another(self) -> None:
        """A NaN in one lane's weights is in its loss and nowhere else; `are_finite` says where."""
        configs = [
            TrainingConfig(depth=2, width=6, dropout=0.2, clip_norm=1.0, normalization=normalization, seed=s)
            for s, normalization in enumerate(["layer"] * 3)
        ]
        splits, states = splits_of(), []
        for is_bad in (False, True):
            engine, models = engine_with(MlpEngine, configs, splits)
            if is_bad:
                with torch.no_grad():
                    models[1].hidden1.weight[0, 0] = torch.nan
            read = stepped(engine, splits, 3)
            states.append([engine.model_state(lane) for lane in (0, 2)])
        assert read.losses.isfinite().tolist() == [True, False, True]
        assert engine.are_finite().tolist() == [True, False, True]
        for before, after in zip(*states, strict=True):
            assert all(torch.equal(before[name], after[name]) for name in before)

    def test_lanes_leave_and_others_come(self) -> None:
        """Those who stay, wherever they stand, go on as the modules do; those who left keep their last weights."""
        configs = [TrainingConfig(momentum=0.9, dropout=0.3, seed=s, precision="float64") for s in range(3)]
        splits = splits_of()
        engines = [engine_with(builder, configs, splits) for builder in (MlpEngine, OneByOneEngine)]
        for engine, _ in engines:
            stepped(engine, splits, 2)
        left = engines[0][0].model_state(1)
        late = [engine_with(OneByOneEngine, [configs[0]], splits)[1][0] for _ in engines]
        for (engine, _), model in zip(engines, late, strict=True):
            engine.keep([2, 0])
            generator = torch.Generator().manual_seed(7)
            engine.add([LaneStart(config=configs[0], model=model, generator=generator)])
            stepped(engine, splits, 2)
        (mine, models), (twin, _) = engines
        assert mine.n_lanes == 3
        assert relative_error(mine.outputs(splits.train_x), twin.outputs(splits.train_x)) < TIGHT
        assert all(torch.equal(left[name], tensor) for name, tensor in models[1].state_dict().items())

    def test_all_lanes_may_leave(self) -> None:
        """An engine that is empty takes lanes in again."""
        splits = splits_of()
        engine, _ = engine_with(MlpEngine, [TrainingConfig()] * 2, splits)
        engine.keep([])
        assert (engine.n_lanes, engine.layer_names) == (0, ())
        other, _ = engine_with(lambda _: engine, [TrainingConfig(depth=0)], splits)
        assert stepped(other, splits).losses.shape == (1,)

    def test_states_are_loaded_where_they_belong(self) -> None:
        """A lane's weights and optimizer state go into another engine, at another position, and train on alike."""
        configs = [TrainingConfig(optimizer="adam", normalization="batch", seed=s) for s in range(2)]
        splits = splits_of()
        engine, _ = engine_with(MlpEngine, configs, splits)
        stepped(engine, splits, 3)
        other, models = engine_with(MlpEngine, configs[:1] * 2, splits)
        for lane in (0, 1):
            other.load_model_state(1 - lane, engine.model_state(lane))
            other.load_optimizer_state(1 - lane, engine.optimizer_state(lane))
        for each, rates in ((engine, [0.01, 0.02]), (other, [0.02, 0.01])):
            parts = parts_of(splits, 9, groups=[2], sizes=[16])
            each.step(parts, rates, reads_norms=False, is_probed=False)
        for name, tensor in engine.model_state(1).items():
            assert torch.equal(tensor, other.model_state(0)[name])
            assert torch.equal(tensor, models[0].state_dict()[name])

    def test_what_is_taken_out_is_a_copy(self) -> None:
        """A state that was taken does not change with later steps."""
        splits = splits_of()
        engine, _ = engine_with(MlpEngine, [TrainingConfig(momentum=0.9)], splits)
        stepped(engine, splits)
        model, optimizer = engine.model_state(0), engine.optimizer_state(0)
        kept = model["output.weight"].clone(), optimizer["momentum"][0].clone()
        stepped(engine, splits)
        assert torch.equal(model["output.weight"], kept[0])
        assert torch.equal(optimizer["momentum"][0], kept[1])

    def test_ties_count_as_the_first_class(self) -> None:
        """A network that says the same of all classes is right where the first one is, as argmax has it."""
        splits = splits_of()
        engine, models = engine_with(MlpEngine, [TrainingConfig(depth=0)], splits)
        with torch.no_grad():
            models[0].output.weight.zero_()
        parts = parts_of(splits, 0, groups=[1], sizes=[N_SAMPLES])
        read = engine.step(parts, [0.1], reads_norms=False, is_probed=False)
        assert read.hits.tolist() == [int((splits.train_y == 0).sum())]
        assert (read.norms, read.layer_norms, read.update_ratios) == (None, None, None)


_WARM_STEPS = """
import resource
import torch
from tests.tuner.training.lanes.test_mlp import engine_with, splits_of
from tuner.training.config import TrainingConfig
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.lanes.engine import Minibatch

torch.set_num_threads(1)
splits = splits_of()
engine, _ = engine_with(MlpEngine, [TrainingConfig(width=4096)] * 16, splits)
def step():
    batch = Minibatch(first_lane=0, n_lanes=16, x=splits.train_x, y=splits.train_y)
    engine.step([[batch]], [0.1] * 16, reads_norms=True, is_probed=False)
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the rule that is worked around")
def test_a_warm_step_asks_the_system_for_no_memory() -> None:
    """What a step frees stays with the process: fewer than ten pages a step are faulted in."""
    done = subprocess.run([sys.executable, "-c", _WARM_STEPS], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 10
