"""Continuations of trainings of ours."""

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from studies.diagnosis.counterfactuals import Change
from studies.readings import Counterfactual
from tests.problems import blobs, images
from tuner.training.alone import TrainingAlone
from tuner.training.config import TrainingConfig
from tuner.training.counterfactuals import of_course
from tuner.training.course import Course
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.loop import TrainingRun
from tuner.training.probes import probe_batch

HARD: dict[str, Any] = {"width": 16, "batch_size": 16, "epochs": 4, "learning_rate": 0.05}


@cache
def splits() -> Splits:
    return split_dataset(blobs(600, spread=1.5), device="cpu")


def ended(run: type[TrainingRun] | Callable[..., Any] = TrainingRun, **levers: Any) -> Course:
    config = TrainingConfig(**HARD | levers)
    training = run(config, splits())
    for _row in training.epochs():
        pass
    return training if isinstance(training, Course) else training.lane


def relative(rows: tuple[Counterfactual, ...]) -> dict[str, float]:
    return {row.change: row.loss_after / row.unchanged_loss_after for row in rows}


def test_the_unchanged_continuation_is_the_training_that_goes_on() -> None:
    """Step for step what the same config does when it is given more epochs."""
    config = TrainingConfig(**HARD | {"momentum": 0.9, "dropout": 0.0})
    run = TrainingRun(config, splits())
    for _row in run.epochs():
        pass
    (row,) = of_course(run, [Change.LOWER_RATE])
    longer = TrainingRun(dataclasses.replace(config, epochs=7), splits())
    losses = []
    for readings in longer.epochs():
        if readings.epoch in {4, 7}:
            x, y = probe_batch(splits())
            losses.append(float(cross_entropy(longer.model(longer.scaling(x)), y).detach()))
    assert len(splits().train_x) % 16 == 0  # so no minibatch is left out
    assert row.n_steps == 3 * 30
    assert row.loss_before == pytest.approx(losses[0])
    # The mean over the last third of the steps, the end among them.
    assert row.unchanged_loss_after == pytest.approx(losses[1], rel=0.05)


def test_a_cohorts_lane_answers_as_a_run_does() -> None:
    """Whatever engine has trained it."""
    changes = [Change.LOWER_RATE, Change.LARGER_BATCH]
    run, lane = of_course(ended(), changes), of_course(ended(TrainingAlone), changes)
    assert [row.change for row in run] == changes
    for one, other in zip(run, lane, strict=True):
        assert other.loss_after == pytest.approx(one.loss_after, rel=1e-3)


def test_the_same_training_has_the_same_answers_and_stays_as_it_was() -> None:
    """Weights, optimizer, random streams: the caller's too."""
    run = ended(dropout=0.3, momentum=0.95, augmentation=0.0)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = (of_course(run, list(Change)) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    after = run.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("levers", "change"),
    [
        ({"learning_rate": 2.0}, Change.LOWER_RATE),
        ({"batch_size": 1, "learning_rate": 0.2, "epochs": 2}, Change.LARGER_BATCH),
        ({"momentum": 0.99, "learning_rate": 0.1}, Change.LOWER_MOMENTUM),
        ({"weight_decay": 0.3}, Change.NO_WEIGHT_DECAY),
        ({"dropout": 0.9}, Change.NO_DROPOUT),
    ],
    ids=["rate", "batch", "momentum", "weight decay", "dropout"],
)
def test_undoing_a_fault_lowers_the_loss(levers: dict[str, Any], change: Change) -> None:
    """By a fifth and more, in a moment."""
    assert relative(of_course(ended(**levers), [change]))[change] < 0.8


def test_a_rate_that_is_too_low_falls_in_step_with_it() -> None:
    """Three times the rate, about three times the fall."""
    (row,) = of_course(ended(learning_rate=1e-4), [Change.HIGHER_RATE])
    fall = (row.loss_before - row.loss_after) / (row.loss_before - row.unchanged_loss_after)
    assert 2.5 < fall < 3.5


def test_after_a_schedule_the_peak_rate_is_tried() -> None:
    """Only where the rate has come down; a constant one is at its peak."""
    decayed = ended(schedule="step", step_size=1, step_gamma=0.1)
    assert [row.change for row in of_course(decayed, [Change.PEAK_RATE])] == [Change.PEAK_RATE]
    assert of_course(ended(), [Change.PEAK_RATE]) == ()


def test_what_is_not_there_cannot_be_taken_away() -> None:
    """No dropout, no decay, no augmentation, momentum as it should be, no larger batch than all samples."""
    changes = [
        Change.NO_DROPOUT,
        Change.NO_WEIGHT_DECAY,
        Change.NO_AUGMENTATION,
        Change.LOWER_MOMENTUM,
        Change.LARGER_BATCH,
    ]
    assert of_course(ended(batch_size="full"), changes) == ()
    assert of_course(ended(batch_size=200), changes) == ()
    assert of_course(ended(), []) == ()


def test_augmentation_is_taken_off() -> None:
    """The loss is read on the samples as they are."""
    data = split_dataset(images(120), device="cpu")
    run = TrainingRun(TrainingConfig(**HARD | {"augmentation": 1.0}), data)
    for _row in run.epochs():
        pass
    assert relative(of_course(run, [Change.NO_AUGMENTATION]))[Change.NO_AUGMENTATION] < 0.9


def test_a_diverged_training_has_none() -> None:
    """There is nothing to go on from; nor before the first epoch."""
    assert of_course(ended(learning_rate=1e30), list(Change)) == ()
    assert of_course(TrainingRun(TrainingConfig(**HARD), splits()), list(Change)) == ()


def test_an_odd_last_minibatch_is_left_out() -> None:
    """An epoch can then be taken in parts of any length."""
    assert len(of_course(ended(batch_size=37), [Change.LOWER_RATE, Change.LARGER_BATCH])) == 2
