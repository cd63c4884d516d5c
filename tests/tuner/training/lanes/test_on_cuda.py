"""What is promised of lanes on a GPU, held on one where there is one: the same contracts as on the CPU."""

import dataclasses
import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tuner.training.lanes.drawn_cohorts import RATES
from tests.tuner.training.lanes.modules import dropout_mlp
from tests.tuner.training.lanes.twins import LOOSE, advanced, assert_close, config_of, digits
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.capture import WARM_UP_STEPS, Recorder
from tuner.training.lanes.cuda_graphs import CudaGraphs
from tuner.training.lanes.engine import Engine, LaneStart, Minibatch
from tuner.training.lanes.functional import FunctionalEngine
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.lanes.replaying import recorder_for
from tuner.training.loop import TrainingRun
from tuner.training.models import ModelBuilder, build_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs are of CUDA devices")

N_STEPS = 50


def device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


@cache
def splits_there() -> Splits:
    """The digits on the GPU."""
    splits = digits()
    names = ("train_x", "train_y", "validation_x", "validation_y")
    return dataclasses.replace(splits, **{name: getattr(splits, name).to(device()) for name in names})


def starts_of(configs: list[TrainingConfig]) -> list[LaneStart]:
    splits, starts = splits_there(), []
    for config in configs:
        torch.manual_seed(config.seed)
        model = build_model(config, splits.input_shape, splits.n_outputs).to(device())
        if config.precision == "float64":
            model = model.double()
        generator = torch.Generator(device()).manual_seed(config.seed)
        starts.append(LaneStart(config=config, model=model, generator=generator))
    return starts


def engine_of(
    kind: Callable[..., Engine], configs: list[TrainingConfig], recorder: Recorder | None
) -> Engine:
    engine = kind(splits_there(), recorder=recorder)
    engine.add(starts_of(configs))
    return engine


def minibatches(number: int, n_lanes: int, size: int = 16) -> list[list[Minibatch]]:
    splits = splits_there()
    indices = torch.arange(number * size, (number + 1) * size, device=device()) % len(splits.train_x)
    x = splits.train_x.index_select(0, indices).float() / 16
    return [[Minibatch(first_lane=0, n_lanes=n_lanes, x=x, y=splits.train_y.index_select(0, indices))]]


def step(engine: Engine, number: int, size: int = 16) -> Any:
    rates = [1e-3 * (1 + lane + number % 5) for lane in range(engine.n_lanes)]
    parts = minibatches(number, engine.n_lanes, size)
    return engine.step(parts, rates, reads_norms=True, is_probed=False)


def state_of(engine: Engine) -> list[Tensor]:
    return [
        tensor
        for lane in range(engine.n_lanes)
        for tensor in (
            *engine.model_state(lane).values(),
            *chain.from_iterable(engine.optimizer_state(lane).values()),
        )
    ]


@contextmanager
def sync_is_an_error() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def lanes_of(optimizer: str, **keys: Any) -> list[TrainingConfig]:
    return [
        config_of(
            optimizer=optimizer,
            learning_rate=RATES[optimizer],
            momentum=0.5 if optimizer in {"sgd", "rmsprop"} else 0.0,
            epsilon=1e-3,
            dropout=dropout,
            clip_norm=clip_norm,
            weight_decay=1e-3,
            seed=seed,
            **keys,
        )
        for seed, (dropout, clip_norm) in enumerate([(0.0, 0.3), (0.3, 0.0), (0.5, 100.0)])
    ]


@pytest.mark.parametrize("kind", [MlpEngine, FunctionalEngine])
@pytest.mark.parametrize("optimizer", RATES)
def test_fifty_replayed_steps_are_those_that_python_issues(
    kind: Callable[..., Engine], optimizer: str
) -> None:
    """Readings, weights and state to 1e-9 in float64, a smaller last minibatch of each epoch included."""
    configs = lanes_of(optimizer, normalization="batch")
    replayed, issued = (engine_of(kind, configs, each) for each in (CudaGraphs(device()), None))
    for number in range(N_STEPS):
        size = 7 if number % 10 == 9 else 16
        mine, theirs = (step(engine, number, size) for engine in (replayed, issued))
        assert_close(mine.losses, theirs.losses, 1e-9)
        assert_close(mine.norms, theirs.norms, 1e-9)
    for tensor, expected in zip(state_of(replayed), state_of(issued), strict=True):
        assert_close(tensor, expected, 1e-9)


@pytest.mark.parametrize("kind", [MlpEngine, FunctionalEngine])
@pytest.mark.parametrize("is_recorded", [True, False])
def test_no_step_waits_for_the_device(kind: Callable[..., Engine], is_recorded: bool) -> None:
    """Neither a replayed one nor one that is issued, once libraries are warm."""
    engine = engine_of(kind, lanes_of("adam"), CudaGraphs(device()) if is_recorded else None)
    for number in range(WARM_UP_STEPS + 1):
        step(engine, number)
    prepared = [minibatches(number, 3) for number in range(5)]
    with sync_is_an_error():
        for parts in prepared:
            engine.step(parts, [1e-3] * 3, reads_norms=True, is_probed=False)


@pytest.mark.parametrize("optimizer", RATES)
def test_a_lane_is_the_training_alone(optimizer: str) -> None:
    """Of a cohort on the GPU, dropout and clipping included: the loss curve of every step within 1e-3 in float32."""
    configs = lanes_of(optimizer, epochs=2, precision="float32", order_seed=7)
    cohort = Cohort(splits_there())
    lanes = [cohort.admit(config) for config in configs]
    advanced(cohort)
    for lane, config in zip(lanes, configs, strict=True):
        run = TrainingRun(config, splits_there())
        for _ in run.epochs():
            pass
        mine, theirs = (course.telemetry().step_series("train_loss") for course in (lane, run))
        torch.testing.assert_close(torch.as_tensor(mine), torch.as_tensor(theirs), rtol=LOOSE, atol=0)


@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 0.01), ("bfloat16", 0.03)])
def test_short_factors_stay_near_float32(precision: str, tolerance: float) -> None:
    """The loss curve of float32 is the oracle of the shorter ones."""
    curves = []
    for name in ("float32", precision):
        cohort = Cohort(splits_there())
        lanes = [cohort.admit(config) for config in lanes_of("sgd", epochs=2, precision=name)]
        advanced(cohort)
        curves.append([torch.as_tensor(lane.telemetry().step_series("train_loss")) for lane in lanes])
    for exact, short in zip(*curves, strict=True):
        torch.testing.assert_close(short, exact, rtol=tolerance, atol=0)


@pytest.mark.parametrize("model", [None, dropout_mlp], ids=["mlp", "dropout_mlp"])
def test_a_cohort_that_lanes_leave_and_join_is_each_training_alone(model: ModelBuilder | None) -> None:
    """Recordings are made anew for those who are there; a user's module with torch's dropout is no exception."""
    configs = [dataclasses.replace(c, epochs=n) for c, n in zip(lanes_of("sgd"), (1, 3, 4), strict=True)]
    cohort = Cohort(splits_there(), model=model)
    lanes = [cohort.admit(config) for config in configs[:2]]
    for _ in range(3):
        cohort.advance()
    lanes.append(cohort.admit(configs[2]))
    advanced(cohort)
    for lane, config in zip(lanes, configs, strict=True):
        run = TrainingRun(config, splits_there(), model=model)
        for _ in run.epochs():
            pass
        for name, tensor in run.model.state_dict().items():
            assert_close(lane.model.state_dict()[name], tensor, 1e-6)


def test_a_cohort_resumes_on_the_gpu() -> None:
    """From its state, with dropout's streams where they were: the same training."""
    configs = lanes_of("adam", epochs=4)
    weights = []
    for is_interrupted in (False, True):
        cohort = Cohort(splits_there())
        lanes = [cohort.admit(config) for config in configs]
        for _ in range(3):
            cohort.advance()
        if is_interrupted:
            state = cohort.state_dict()
            cohort = Cohort(splits_there())
            cohort.load_state_dict(state)
            lanes = list(cohort.lanes)
        advanced(cohort)
        weights.append([lane.model.state_dict()["output.weight"] for lane in lanes])
    for mine, theirs in zip(*weights, strict=True):
        assert_close(mine, theirs, 1e-9)


def test_the_choice_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """In a sentence, with the times of both."""
    with caplog.at_level(logging.INFO):
        recorder_for("mlp", starts_of(lanes_of("sgd")), splits_there(), CudaGraphs(device()))
    assert any("if issued by Python" in record.message for record in caplog.records)


def test_memory_that_ends_is_told_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """A probe that finds no room for its copies says so, and Python issues the steps."""
    starts = starts_of(lanes_of("sgd", width=4096, depth=2))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with caplog.at_level(logging.INFO):
            assert recorder_for("mlp", starts, splits_there(), CudaGraphs(device())) is None
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "there is no memory for lanes to try it with." in caplog.text


def test_a_refused_recording_leaves_the_device_as_it_was() -> None:
    """The current stream and random numbers are as before, and what can be recorded still is, in the same pool."""
    graphs, x = CudaGraphs(device()), torch.ones(4, device=device())
    graphs.warm_up(lambda: (x + 1,))
    before = torch.cuda.current_stream()
    # It waits for the device, which ends the capture.
    with pytest.raises(RuntimeError, match="captur"):
        graphs.record(lambda: (x + float(x.sum()),))
    assert torch.cuda.current_stream() == before
    assert torch.rand(3, device=device()).isfinite().all()
    (found,), replay = graphs.record(lambda: (x + 1,))
    x.fill_(4)
    replay()
    assert found.tolist() == [5.0] * 4
    assert torch.cuda.current_stream() == before


def test_each_layout_of_a_step_has_its_recording() -> None:
    """Lanes that share their samples in one step and not in the next have the numbers of steps that are issued."""
    both = [engine_of(MlpEngine, lanes_of("sgd"), each) for each in (CudaGraphs(device()), None)]
    for number in range(12):
        shared, other = minibatches(number, 1)[0][0], minibatches(number + 5, 1)[0][0]
        part = [dataclasses.replace(shared, n_lanes=3)]
        if number % 2:
            part = [shared, dataclasses.replace(other, first_lane=1, n_lanes=2)]
        found = [engine.step([part], [1e-3] * 3, reads_norms=True, is_probed=False) for engine in both]
        assert_close(found[0].losses, found[1].losses, 1e-9)
