"""Which engine trains some lanes."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.tuner.training.lanes.modules import (
    VECTORIZING,
    CountsItsCalls,
    DependsOnTheConfig,
    DropsEverySecondTime,
    ForeignDraws,
    FunctionalDropout,
    LooksAtInputs,
    LooksAtValues,
    OwnDraws,
    RaisesInTraining,
    RefusesTheWordy,
    dropout_mlp,
    residual,
)
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.lanes import choosing
from tuner.training.lanes.choosing import choose_engine
from tuner.training.lanes.comparing import LONGEST_REASON, paces_of, reason_against_stacking
from tuner.training.lanes.engine import LaneStart, Minibatch
from tuner.training.lanes.engines import engine_for
from tuner.training.models import ModelBuilder, untrained_model
from tuner.training.reproducibility import RandomStream

BASE = TrainingConfig(width=12, batch_size=16, momentum=0.9, dropout=0.3)
CONFIGS = (
    BASE,
    dataclasses.replace(BASE, learning_rate=0.5, dropout=0.5, label_smoothing=0.1, weight_decay=0.01, seed=1),
)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return split_dataset(load_dataset("digits"), device="cpu")


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_KNOWN", choosing._Known())


def starts_of(
    builder: ModelBuilder | None, splits: Splits, configs: Sequence[TrainingConfig] = CONFIGS
) -> list[LaneStart]:
    starts = []
    for config in configs:
        scaling = input_scaling(config, splits.train_x, splits.train_statistics)
        random = RandomStream(config.seed, splits.device)
        model = untrained_model(config, splits, scaling, random, builder=builder)
        starts.append(LaneStart(config=config, model=model, generator=random.generator()))
    return starts


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("builder", VECTORIZING, ids=lambda builder: builder.__name__)
def test_networks_that_must_share_a_pass_do(builder: ModelBuilder, optimizer: str, splits: Splits) -> None:
    """Networks with batch norm, layer norm, dropout, residual connections and convolutions pass the probe.

    Also under optimizers that take a whole step along a gradient of pure rounding.
    """
    configs = [dataclasses.replace(config, optimizer=optimizer) for config in CONFIGS]
    assert reason_against_stacking(starts_of(builder, splits, configs), splits) is None


@pytest.mark.parametrize("precision", ["bfloat16", "float64"])
def test_other_precisions_share_a_pass_too(precision: str, splits: Splits) -> None:
    """The probe runs in the numbers that the lanes have."""
    configs = [dataclasses.replace(config, precision=precision) for config in CONFIGS]
    assert reason_against_stacking(starts_of(dropout_mlp, splits, configs), splits) is None


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        (OwnDraws, "torch.func cannot stack OwnDraws: RuntimeError: vmap: called random operation"),
        (FunctionalDropout, "torch.func cannot stack FunctionalDropout: RuntimeError: vmap: called random"),
        (LooksAtValues, "torch.func cannot stack LooksAtValues: RuntimeError: vmap: It looks like"),
        (LooksAtInputs, "torch.func cannot stack LooksAtInputs: RuntimeError: vmap: It looks like"),
        (CountsItsCalls, "a forward pass changes the attributes of CountsItsCalls, which lanes cannot share"),
        (ForeignDraws, "in one pass, losses are "),
        (DropsEverySecondTime, "in one pass, the lanes draw other random numbers than each alone"),
        (RaisesInTraining, "torch.func cannot stack RaisesInTraining: ValueError: my own bug"),
        (DependsOnTheConfig, "the lanes differ in attribute 'factor' of DependsOnTheConfig"),
    ],
)
def test_what_cannot_share_a_pass_trains_in_turn_and_says_why(
    builder: ModelBuilder, reason: str, splits: Splits
) -> None:
    """A pass for all lanes that fails, or gives a lane other numbers than it has alone, is not taken."""
    name, said = choose_engine(starts_of(builder, splits), splits)
    assert name == "one_by_one"
    assert said.startswith(reason)


@pytest.mark.parametrize(
    "keys", [{"order_seed": 5}, {"augmentation": 0.5}], ids=lambda keys: next(iter(keys))
)
def test_lanes_that_look_at_inputs_train_though_each_has_its_own(
    keys: dict[str, Any], splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lane fails in its first epoch because the probe had looked at shared samples only."""
    monkeypatch.setattr(choosing, "paces_of", lambda _starts, _splits: (1.0, 2.0))
    cohort = Cohort(splits, model=LooksAtInputs)
    for config in (BASE, dataclasses.replace(BASE, **keys)):
        cohort.admit(dataclasses.replace(config, epochs=1))
    cohort.advance()
    assert len(cohort.advance()) == 2
    assert cohort.engine_name == "one_by_one"


@pytest.mark.parametrize(
    ("builder", "ending"),
    [
        (LooksAtValues, "in some data-dependent control flow. …"),
        (RefusesTheWordy, " words words …"),
        (RaisesInTraining, "ValueError: my own bug"),
    ],
)
def test_a_long_reason_ends_with_a_sentence_or_a_word(
    builder: ModelBuilder, ending: str, splits: Splits
) -> None:
    """And with an ellipsis, which tells that more was said."""
    reason = reason_against_stacking(starts_of(builder, splits), splits)
    assert reason.endswith(ending)
    assert len(reason) <= LONGEST_REASON


def test_a_users_exception_is_told_when_its_lane_trains(splits: Splits) -> None:
    """The choice does not raise; the training raises what the training alone does."""
    starts = starts_of(RaisesInTraining, splits)
    chosen = engine_for("auto", starts, splits)
    chosen.engine.add(starts)
    batch = Minibatch(first_lane=0, n_lanes=2, x=splits.train_x[:16].float(), y=splits.train_y[:16])
    with pytest.raises(ValueError, match=r"^my own bug$"):
        chosen.engine.step([[batch]], [0.1, 0.1], reads_norms=True, is_probed=False)


def test_the_built_in_mlp_has_its_own_engine(splits: Splits) -> None:
    """Whatever a probe would say."""
    assert choose_engine(starts_of(None, splits), splits)[0] == "mlp"


def test_a_single_lane_trains_by_itself(splits: Splits) -> None:
    """It has no other to share a pass with, and nothing is probed."""
    name, reason = choose_engine(starts_of(residual, splits)[:1], splits)
    assert (name, reason) == ("one_by_one", "a single lane has no other to share a pass with")


@pytest.mark.parametrize(
    ("paces", "expected"),
    [((0.001, 0.002), "functional"), ((0.002, 0.001), "one_by_one"), ((1.0, 1.01), "one_by_one")],
)
def test_the_faster_way_is_taken(
    paces: tuple[float, float], expected: str, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass for all must be faster than lanes in turn by more than a timing's noise; the reason has both."""
    monkeypatch.setattr(choosing, "paces_of", lambda _starts, _splits: paces)
    name, reason = choose_engine(starts_of(residual, splits), splits)
    assert name == expected
    assert f"{paces[0] * 1e3:.2f} ms in one pass and {paces[1] * 1e3:.2f} ms in turn" in reason


def test_an_answer_is_kept_for_lanes_of_the_same_form(
    splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probed once a structure, timed once a power of two of lanes, and both again for another structure."""
    probed, timed = [], []
    monkeypatch.setattr(
        choosing, "reason_against_stacking", lambda starts, _splits: probed.append(len(starts))
    )
    monkeypatch.setattr(choosing, "paces_of", lambda starts, _splits: timed.append(len(starts)) or (1.0, 2.0))
    others = [dataclasses.replace(config, optimizer="adam") for config in CONFIGS]
    for configs in (CONFIGS, CONFIGS * 2, [*CONFIGS * 2, BASE], others):
        choose_engine(starts_of(residual, splits, configs), splits)
    assert probed == [2, 2]
    assert timed == [2, 4, 2]


def test_probing_changes_nothing(splits: Splits) -> None:
    """Weights, buffers and random streams of the lanes, and the caller's random state, stay as they were."""
    starts = starts_of(residual, splits)
    weights = [
        {name: tensor.clone() for name, tensor in start.model.state_dict().items()} for start in starts
    ]
    streams = [start.generator.get_state() for start in starts]
    callers = torch.get_rng_state()
    choose_engine(starts, splits)
    assert torch.equal(torch.get_rng_state(), callers)
    for start, before, stream in zip(starts, weights, streams, strict=True):
        assert torch.equal(start.generator.get_state(), stream)
        assert all(torch.equal(tensor, before[name]) for name, tensor in start.model.state_dict().items())


def test_the_log_says_which_engine_and_why(splits: Splits, caplog: pytest.LogCaptureFixture) -> None:
    """One line, however many cohorts come with the same answer."""
    with caplog.at_level(logging.INFO, logger=choosing.__name__):
        for n_lanes in (2, 2, 4):
            choose_engine(starts_of(OwnDraws, splits, CONFIGS[:1] * n_lanes), splits)
    (line,) = caplog.messages
    assert line.startswith("Lanes of OwnDraws, engine one_by_one: torch.func cannot stack OwnDraws")
    assert line.endswith("randomness error mode. …")


def test_seconds_of_a_step_are_measured_for_both_ways(splits: Splits) -> None:
    """Of all lanes at once; more lanes take longer in turn."""
    stacked, in_turn = paces_of(starts_of(residual, splits, CONFIGS * 4), splits)
    _, of_two = paces_of(starts_of(residual, splits), splits)
    assert stacked > 0
    assert in_turn > of_two
