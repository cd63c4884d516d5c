"""Recorded steps are the steps that Python would have issued, bit for bit."""

import logging
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.tuner.training.lanes.coming_and_going import ComingAndGoing
from tests.tuner.training.lanes.counted_generators import CountedGenerator
from tests.tuner.training.lanes.drawn_cohorts import RATES, SCHEDULES
from tests.tuner.training.lanes.modules import dropout_mlp
from tests.tuner.training.lanes.recorded_calls import RecordedCalls, no_host_sync
from tests.tuner.training.lanes.test_mlp import parts_of, splits_of
from tuner.training.architectures import counted_numbers
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.capture import WARM_UP_STEPS, Recorder, Results, Steps
from tuner.training.lanes.engine import Engine, LaneStart, LaneSteps
from tuner.training.lanes.engines import EngineBuilder
from tuner.training.lanes.functional import FunctionalEngine
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.models import ModelBuilder, build_model
from tuner.training.schedules import learning_rate_factor

N_STEPS = 50
NOT_SHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""An example takes a second: to find a simpler one would take minutes."""
CPU = torch.device("cpu")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the CPU draw as CUDA does."""
    monkeypatch.setattr(counted_numbers, "DEVICES", frozenset({"cpu", "cuda"}))


class Lanes:
    """An engine whose lanes are stacked, as on CUDA, with steps that are recorded or not."""

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        recorder: Recorder | None,
        kind: Callable[..., Engine] = MlpEngine,
    ) -> None:
        self.splits = splits_of()
        self.engine = kind(self.splits, stacks=True, recorder=recorder)
        self.add(configs)

    def add(self, configs: Sequence[TrainingConfig]) -> None:
        self.engine.add([start_of(config) for config in configs])

    def step(self, number: int, rates: Sequence[float], **keys: Any) -> LaneSteps:
        layout = {"groups": [self.engine.n_lanes], "sizes": [16], **keys}
        parts = parts_of(self.splits, number, **layout)
        return self.engine.step(parts, rates, reads_norms=True, is_probed=number % 17 == 16)

    def state(self) -> list[Tensor]:
        return [
            tensor
            for lane in range(self.engine.n_lanes)
            for tensor in (
                *self.engine.model_state(lane).values(),
                *chain.from_iterable(self.engine.optimizer_state(lane).values()),
            )
        ]


def start_of(config: TrainingConfig) -> LaneStart:
    torch.manual_seed(config.seed)
    model = build_model(config, (9,), 4)
    return LaneStart(config=config, model=model, generator=CountedGenerator(config.seed))


def assert_same(mine: Lanes, theirs: Lanes) -> None:
    for tensor, expected in zip(mine.state(), theirs.state(), strict=True):
        assert torch.equal(tensor, expected)


def assert_same_readings(mine: LaneSteps, theirs: LaneSteps) -> None:
    for found, expected in zip(mine.as_results(), theirs.as_results(), strict=True):
        assert (found is None) == (expected is None)
        assert found is None or torch.equal(found, expected)


@st.composite
def configs_of_lanes(draw: st.DrawFn) -> list[TrainingConfig]:
    optimizer = draw(st.sampled_from(sorted(RATES)))
    structure = {
        "optimizer": optimizer,
        "learning_rate": RATES[optimizer],
        "width": 6,
        "depth": draw(st.integers(0, 2)),
        "normalization": draw(st.sampled_from(["none", "batch", "layer"])),
        "class_weights": draw(st.sampled_from(["none", "balanced"])),
    }
    return [
        TrainingConfig(
            **structure,
            seed=seed,
            momentum=draw(st.sampled_from([0.0, 0.9])),
            nesterov=draw(st.booleans()),
            weight_decay=draw(st.sampled_from([0.0, 0.01])),
            dropout=draw(st.sampled_from([0.0, 0.2, 0.5])),
            label_smoothing=draw(st.sampled_from([0.0, 0.2])),
            clip_norm=draw(st.sampled_from([0.0, 0.3])),
            schedule=draw(st.sampled_from(SCHEDULES)),
        )
        for seed in range(draw(st.integers(1, 3)))
    ]


@pytest.mark.usefixtures("counted")
class TestReplayedSteps:
    @given(configs=configs_of_lanes(), sizes=st.sampled_from([[16], [13, 5]]), n_groups=st.integers(1, 3))
    @settings(deadline=None, max_examples=6, phases=NOT_SHRUNK)
    def test_fifty_steps_are_those_that_python_issues(
        self, configs: list[TrainingConfig], sizes: list[int], n_groups: int
    ) -> None:
        """Weights, statistics, state, and all readings of 50 steps, for any schedule, regularizer and data orders."""
        recorder = RecordedCalls()
        replayed, issued = Lanes(configs, recorder), Lanes(configs, None)
        groups = [1] * min(n_groups, len(configs) - 1) if len(configs) > 1 else []
        layout = {"groups": [*groups, len(configs) - len(groups)], "sizes": sizes}
        for number in range(N_STEPS):
            of_step = [
                config.learning_rate * learning_rate_factor(number, N_STEPS, config) for config in configs
            ]
            found = [lanes.step(number, of_step, **layout) for lanes in (replayed, issued)]
            assert_same_readings(*found)
        assert_same(replayed, issued)
        assert recorder.n_recorded == 1
        assert recorder.n_replayed == N_STEPS - N_STEPS // 17 - WARM_UP_STEPS

    @pytest.mark.parametrize("kind", [MlpEngine, FunctionalEngine])
    def test_lanes_leave_and_come(self, kind: Callable[..., Engine]) -> None:
        """Steps are recorded anew for those who are there now, and a form that comes seldom has its own recording."""
        configs = [
            TrainingConfig(width=6, optimizer="adam", dropout=rate, clip_norm=0.5, seed=seed)
            for seed, rate in enumerate([0.3, 0.0, 0.5])
        ]
        recorder = RecordedCalls()
        both = [Lanes(configs, recorder, kind), Lanes(configs, None, kind)]
        n_recorded = []
        for number in range(36):
            for lanes in both:
                if number == 12:
                    lanes.engine.keep([2, 0])
                if number == 24:
                    lanes.add([configs[1]])
            rates = [0.01 / (1 + lane) for lane in range(both[0].engine.n_lanes)]
            size = 5 if number % 3 == 2 else 16  # three steps an epoch, the last one smaller
            found = [lanes.step(number, rates, sizes=[size]) for lanes in both]
            assert_same_readings(*found)
            n_recorded.append(recorder.n_recorded)
        assert_same(*both)
        # Both forms of each of the three sets of lanes; a form is recorded at its fourth step.
        assert [n_recorded[number] for number in (3, 4, 11, 23, 35)] == [0, 1, 2, 4, 6]

    @pytest.mark.parametrize("optimizer", RATES)
    @pytest.mark.parametrize("kind", [MlpEngine, FunctionalEngine])
    def test_a_step_has_as_many_operators_for_any_lanes(
        self, kind: Callable[..., Engine], optimizer: str
    ) -> None:
        """Products, dropout, clipping and updates are of all lanes at once: two lanes have as many as nine."""
        lengths = []
        for n_lanes in (2, 9):
            recorder = RecordedCalls()
            configs = [
                TrainingConfig(width=6, optimizer=optimizer, dropout=0.3, clip_norm=0.5, seed=seed)
                for seed in range(n_lanes)
            ]
            lanes = Lanes(configs, recorder, kind)
            for number in range(WARM_UP_STEPS + 1):
                lanes.step(number, [0.01] * n_lanes)
            lengths += recorder.lengths
        assert lengths[0] == lengths[1]

    def test_a_lane_draws_what_it_draws_alone(self) -> None:
        """Beside others, with two layers and two parts a step, the streams are where each alone has them."""
        configs = [
            TrainingConfig(width=6, depth=2, dropout=rate, seed=seed)
            for seed, rate in enumerate([0.3, 0.0, 0.5])
        ]
        together = Lanes(configs, RecordedCalls())
        alone = [Lanes([config], None) for config in configs]
        for number in range(8):
            together.step(number, [0.01] * 3, sizes=[13, 5])
            for lanes in alone:
                lanes.step(number, [0.01], sizes=[13, 5])
        for position, lanes in enumerate(alone):
            mine, expected = together.engine.model_state(position), lanes.engine.model_state(0)
            for name, tensor in expected.items():
                torch.testing.assert_close(mine[name], tensor, rtol=1e-4, atol=1e-6)


class TestRecordedMlpEngine(ComingAndGoing):
    @pytest.fixture
    def engine_of(self) -> EngineBuilder:
        return recording(MlpEngine)


class TestRecordedFunctionalEngine(ComingAndGoing):
    @pytest.fixture
    def engine_of(self) -> EngineBuilder:
        return recording(FunctionalEngine)

    @pytest.fixture
    def model_of(self) -> ModelBuilder:
        return dropout_mlp


def recording(kind: Callable[..., Engine]) -> EngineBuilder:
    """torch's own numbers are drawn before the step, and are inputs of it."""

    def built(splits: Splits) -> Engine:
        return kind(splits, stacks=True, recorder=RecordedCalls())

    return built


class TestSteps:
    """What is owed to any step, on a toy of one: a weight that is moved along its input."""

    def setup_method(self) -> None:
        self.weight = torch.zeros(3)
        self.recorder = RecordedCalls()
        self.steps = Steps(CPU, self.recorder)
        self.n_python = 0

    def move(self, inputs: Sequence[Tensor]) -> Results:
        self.n_python += 1
        self.weight.add_(inputs[0] * 2)
        return self.weight.sum(), None

    def take(self, value: float, **keys: Any) -> Results:
        return self.steps.take("move", self.move, [torch.full((3,), value)], **keys)

    def test_python_runs_until_the_step_is_recorded(self) -> None:
        """Once for each step of the warm-up, once to record, and never again."""
        sums = [float(self.take(value)[0]) for value in range(10)]
        assert sums == [6.0 * sum(range(n + 1)) for n in range(10)]
        assert self.n_python == WARM_UP_STEPS + 1
        assert self.recorder.n_replayed == 10 - WARM_UP_STEPS

    def test_results_are_the_callers_own(self) -> None:
        """A later replay leaves them as they were."""
        results = [self.take(1.0)[0] for _ in range(WARM_UP_STEPS + 3)]
        assert [float(result) for result in results] == [6.0 * (n + 1) for n in range(WARM_UP_STEPS + 3)]

    def test_a_step_that_is_not_worth_it_is_issued(self) -> None:
        """Between replays, too, on the same weights."""
        for _ in range(WARM_UP_STEPS + 2):
            self.take(1.0)
        before = self.recorder.n_replayed
        total, _ = self.take(1.0, may_record=False)
        assert float(total) == 6.0 * (WARM_UP_STEPS + 3)
        assert self.recorder.n_replayed == before
        assert float(self.take(1.0)[0]) == 6.0 * (WARM_UP_STEPS + 4)

    def test_what_cannot_be_recorded_is_issued_and_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """A step that waits for the device only now and then still trains: each step has moved the weight once."""
        waits = [False]

        def step(inputs: Sequence[Tensor]) -> Results:
            if waits[0] and self.weight.sum().item() < 0:
                return (None,)
            return self.move(inputs)

        with caplog.at_level(logging.WARNING):
            for number in range(8):
                waits[0] = number >= WARM_UP_STEPS
                total = self.steps.take("waits", step, [torch.ones(3)])[0]
                assert float(total) == 6.0 * (number + 1)
        (record,) = caplog.records
        assert record.message == (
            "A step of the lanes is issued anew each time: "
            "it cannot be recorded (RuntimeError: item waits for the device)."
        )

    def test_memory_that_is_freed_is_noticed(self) -> None:
        """A recording that outlives what it writes to would write to someone else's: the stand-in says so."""
        room = [torch.zeros(3)]

        def step(inputs: Sequence[Tensor]) -> Results:
            return (room[0].add_(inputs[0]).sum(),)

        for _ in range(WARM_UP_STEPS + 1):
            self.steps.take("room", step, [torch.ones(3)])
        room.clear()
        with pytest.raises(RuntimeError, match="freed"):
            self.steps.take("room", step, [torch.ones(3)])

    @pytest.mark.parametrize(
        "waits",
        [
            Tensor.item,
            Tensor.tolist,
            lambda x: bool(x > 0),
            Tensor.cpu,
            lambda x: x.view(1).nonzero(),
            lambda x: x.view(1)[x.view(1) > 0],
            lambda x: torch.equal(x, x),
            lambda x: torch.tensor([1.0]) * x,
            torch.rand_like,
        ],
        ids=["item", "tolist", "bool", "cpu", "nonzero", "mask", "equal", "tensor", "rand"],
    )
    def test_the_watch_sees_whatever_waits(self, waits: Callable[[Tensor], Any]) -> None:
        """No step of the CUDA path passes with any of these in it."""
        with no_host_sync(), pytest.raises(RuntimeError, match="waits"):
            waits(torch.ones(()) * 2)
