"""What a leak adds to a network's validation accuracy."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tuner.training.finished_runs import finished
from tests.tuner.training.watching.loops import N_TRAIN, Loop, digits, validation, watched
from tuner.training.alone import TrainingAlone
from tuner.training.config import TrainingConfig
from tuner.training.data import Dataset, TaskData
from tuner.training.data_probe import leak_marks, probe_data
from tuner.training.datasets.splits import split_by_config
from tuner.training.datasets.user_data import check_data
from tuner.training.leak_harm import Inflation, LeakMarks, answers, inflations

N = 400


def marked(n_copies: int) -> LeakMarks:
    return LeakMarks.of(np.arange(N) < n_copies, None, ())


def right_in(n_right_copies: int, n_copies: int, n_right_rest: int) -> Inflation:
    """Of a network that answers so many of the copies, which come first, and of the rest rightly."""
    y = torch.zeros(N, dtype=torch.int64)
    said = torch.ones(1, N, dtype=torch.int64)
    said[0, :n_right_copies] = 0
    said[0, n_copies : n_copies + n_right_rest] = 0
    numbers = torch.arange(N)
    (found,) = inflations(marked(n_copies), lambda x: said[:, x], numbers, y)
    return found


def test_copies_learned_by_heart_inflate_by_their_share() -> None:
    """Half of the samples are copies and all right, of the others nine in ten: five points too many."""
    found = right_in(200, 200, 180)
    assert found.copy_inflation == pytest.approx(0.5 * 0.1)
    assert found.copy_inflation_error == pytest.approx(0.5 * math.sqrt(0.1 * 0.9 / 200), rel=0.15)
    assert math.isnan(found.telling_inflation)


def test_copies_that_are_answered_like_the_rest_inflate_nothing() -> None:
    """The error says how sure that is: less so of few."""
    many, few = right_in(180, 200, 180), right_in(9, 10, 351)
    assert many.copy_inflation == pytest.approx(0.0, abs=1e-12)
    assert few.copy_inflation == pytest.approx(0.0, abs=1e-12)
    assert 0.0 < few.copy_inflation_error < many.copy_inflation_error


def test_without_a_rest_there_is_nothing_to_compare_with() -> None:
    """All validation samples are copies."""
    assert math.isnan(right_in(400, 400, 0).copy_inflation)


def test_features_count_as_far_as_answers_hang_on_them() -> None:
    """One network reads the first feature, which is the label; another one the second, which tells half of it."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 2, (N,), generator=generator)
    x = torch.stack([y.float(), torch.randint(0, 2, (N,), generator=generator).float()], 1)
    marks = LeakMarks.of(None, None, (0,))
    reader, other = inflations(marks, lambda part: part.T.round().long(), x, y)
    assert reader.telling_inflation == pytest.approx(0.5, abs=0.06)
    assert reader.telling_inflation_error == pytest.approx(math.sqrt(0.25 / N), rel=0.1)
    assert other.telling_inflation == 0.0
    assert math.isnan(reader.copy_inflation)


def test_an_answer_that_is_not_finite_is_none() -> None:
    """It is right for no label."""
    assert answers(torch.tensor([[0.0, 1.0], [math.nan, 1.0]])).tolist() == [1, -1]


def images_with_copies(*, are_moved: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Noise to train on, and validation samples of which the first half are from it."""
    x = torch.rand(300, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    known = x[:50].roll(1, dims=3) if are_moved else x[:50]
    fresh = torch.rand(50, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    return x, torch.arange(300) % 3, torch.cat([known, fresh])


@pytest.mark.parametrize("are_moved", [False, True])
def test_the_copies_are_marked(are_moved: bool) -> None:
    """As they are or moved, and no others."""
    x, y, validation_x = images_with_copies(are_moved=are_moved)
    found = probe_data(x, y, validation_x, y[:100], n_outputs=3, kind="classification")
    marks = leak_marks(found, x, y, validation_x)
    assert sorted(marks.places[marks.are_copies].tolist()) == list(range(50))
    assert len(marks.places) == 100


def with_label_in_corner(n: int) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    y = torch.arange(n) % 4
    x[:, 0, 0, :2] = y[:, None] / 3
    return x, y


def test_all_pixels_that_tell_are_marked() -> None:
    """A copy of the label beside another one would tell all the same."""
    x, y = with_label_in_corner(800)
    found = probe_data(x, y, x[:100], y[:100], n_outputs=4, kind="classification")
    assert leak_marks(found, x, y, x[:100]).features == (0, 1)
    honest = torch.rand(800, 1, 8, 8)
    found = probe_data(honest, y, None, None, n_outputs=4, kind="classification")
    assert not leak_marks(found, honest, y, honest)


def leaking_dataset() -> Dataset:
    """Half of the samples twice, and all with the label in the corner."""
    x, y = with_label_in_corner(800)
    return dataset(torch.cat([x, x[:400]]), torch.cat([y, y[:400]]))


def dataset(x: Tensor, y: Tensor) -> Dataset:
    return check_data(TaskData(x=x.numpy(), y=y.numpy()), name="corners")


def test_a_training_reads_what_leaks() -> None:
    """The network lives by the corner; both kinds of leaks are read, and after each epoch."""
    run = finished(TrainingConfig(epochs=3, batch_size=32), leaking_dataset())
    untrained, *rows = run.telemetry().epochs
    assert math.isnan(untrained.copy_inflation)
    assert all(math.isfinite(row.copy_inflation_error) for row in rows)
    assert rows[-1].telling_inflation > 0.3


def test_a_lane_reads_the_same_as_a_training_alone() -> None:
    """Several networks are measured at once."""
    config = TrainingConfig(epochs=2, batch_size=32)
    splits = split_by_config(leaking_dataset(), config, device="cpu")
    lane = TrainingAlone(config, splits)
    rows = list(lane.epochs())
    expected = finished(config, splits).telemetry().epochs
    assert len(rows) == len(expected) == 3
    for name in (field.name for field in dataclasses.fields(Inflation)):
        assert [getattr(row, name) for row in rows[1:]] == [getattr(row, name) for row in expected[1:]]


def test_sound_data_cost_no_further_pass() -> None:
    """Nothing is marked, so nothing is read."""
    x, y = with_label_in_corner(800)
    run = finished(TrainingConfig(epochs=1, batch_size=32), dataset(torch.rand_like(x), y))
    assert math.isnan(run.telemetry().epochs[-1].copy_inflation)
    assert math.isnan(run.telemetry().epochs[-1].telling_inflation)


def test_a_watched_loop_is_read_from_its_second_epoch_on() -> None:
    """What leaks is known at the end of the first; of a sound loop nothing is read."""
    x, y = digits()
    some_of_train = x[N_TRAIN - 100 : N_TRAIN + 100], y[N_TRAIN - 100 : N_TRAIN + 100]
    _untrained, first, second = watched(Loop(), validation=some_of_train).telemetry.epochs
    assert math.isnan(first.copy_inflation)
    assert abs(second.copy_inflation) < 4 * second.copy_inflation_error
    assert math.isnan(watched(Loop(), validation=validation()).telemetry.epochs[-1].copy_inflation)
