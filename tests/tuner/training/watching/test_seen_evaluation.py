"""What a watch makes of the samples that a loop evaluates by itself."""

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import tuner
from studies.diagnosis import CauseName
from studies.readings import DataProbe, Telemetry
from tests.tuner.training.watching.loops import N_TRAIN, Loop, digits, validation, watched
from tuner.training.data_probe import overlap_fraction
from tuner.training.datasets.copies import are_told_apart
from tuner.training.datasets.moved_copies import moved_copies
from tuner.training.leak_harm import NO_INFLATION
from tuner.training.watching.sample_log import SampleLog
from tuner.training.watching.seen_evaluation import are_mixed, n_right, seen_inflation
from tuner.training.watching.watch import Watch

N = len(validation()[1])


def mixed(share: float) -> Callable[[], tuple[Tensor, Tensor]]:
    """Validation samples of which so many are in the train split; every second one at 0.5, so that none is a block."""

    def samples() -> tuple[Tensor, Tensor]:
        x, y = validation()
        are_copies = (torch.arange(N) * share) % 1.0 >= 1.0 - share - 1e-9
        copies = torch.arange(N) % N_TRAIN
        trained_x, trained_y = digits()[0][copies], digits()[1][copies]
        return torch.where(are_copies[:, None], trained_x, x), torch.where(are_copies, trained_y, y)

    return samples


def images(x: Tensor) -> Tensor:
    """[n, 1, 12, 12]: room to move."""
    return functional.pad(x.reshape(-1, 1, 8, 8), (2, 2, 2, 2))


def image_network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, 10))


def moved(share: float) -> Callable[[], tuple[Tensor, Tensor]]:
    """As `mixed`, of images, with the copies a pixel further down."""

    def samples() -> tuple[Tensor, Tensor]:
        x, y = mixed(share)()
        are_new = (x == validation()[0]).all(1)
        return torch.where(are_new[:, None, None, None], images(x), images(x).roll(1, 2)), y

    return samples


def told(loop: Loop) -> Telemetry:
    return watched(loop).telemetry


def data_of(telemetry: Telemetry) -> DataProbe:
    assert telemetry.data is not None
    return telemetry.data


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_loop_that_tells_its_accuracy_shows_what_one_shows_that_gives_its_samples(share: float) -> None:
    """Copies, shift and what the copies add: the slow twin is the same loop with ``validation=``."""
    given = watched(Loop(epochs=4, validated=mixed(share)), validation=mixed(share)()).telemetry
    heard = told(Loop(epochs=4, validated=mixed(share)))
    assert data_of(heard).overlap_fraction == data_of(given).overlap_fraction == share
    assert data_of(heard).input_shift == data_of(given).input_shift
    assert data_of(heard).moved_fraction == pytest.approx(data_of(given).moved_fraction, nan_ok=True)
    for one, other in zip(heard.epochs[1:], given.epochs[1:], strict=True):
        assert one.validation_accuracy == pytest.approx(other.validation_accuracy)
        assert one.copy_inflation == pytest.approx(other.copy_inflation, nan_ok=True)
        assert one.copy_inflation_error == pytest.approx(other.copy_inflation_error, nan_ok=True)
    is_measured = math.isfinite(heard.epochs[-1].copy_inflation)
    assert is_measured is (0.0 < share < 1.0)


@pytest.mark.parametrize("is_given", [True, False], ids=["given", "told"])
def test_moved_copies_are_found_among_all_samples_and_weighed(is_given: bool) -> None:
    """Against the slow twin, which has all samples at hand; what they add is a loss here."""
    loop = Loop(epochs=12, model=image_network, inputs=images, validated=moved(0.5))
    x, y = moved(0.5)()
    watch = watched(loop, validation=(x, y) if is_given else None)
    found = moved_copies(images(digits()[0][:N_TRAIN]), x)
    assert found is not None
    assert data_of(watch.telemetry).moved_fraction == found.mean() == pytest.approx(0.5, abs=0.05)
    for row in watch.telemetry.epochs[2:]:
        assert 0.0 < row.copy_inflation_error < 0.05
        assert row.copy_inflation < 0.0  # a pixel further down an 8 x 8 digit is another one to this network


def test_given_and_told_weigh_moved_copies_alike() -> None:
    """One reads the answers by itself, the other hears them."""
    loop = {"epochs": 4, "model": image_network, "inputs": images, "validated": moved(0.5)}
    x, y = moved(0.5)()
    given = watched(Loop(**loop), validation=(x, y)).telemetry
    heard = told(Loop(**loop))
    for one, other in zip(heard.epochs[2:], given.epochs[2:], strict=True):
        assert one.copy_inflation == pytest.approx(other.copy_inflation)
        assert one.copy_inflation_error == pytest.approx(other.copy_inflation_error)


def test_moved_twins_are_places() -> None:
    """Of the very sample that was moved; none of those that stand there as they are."""
    x = images(digits()[0][:200])
    log = SampleLog()
    for part in x.split(32):
        log.add(part, torch.zeros(len(part)), None)
    twins = log.moved_twins(
        torch.cat([x[:50].roll(1, 2), x[50:100].flip(3), x[:10], images(validation()[0][:10])])
    )
    assert twins is not None
    assert twins[:100].tolist() == list(range(100))
    assert twins[100:].tolist() == [-1] * 20
    alike = (x[:10] + x[:10].flip(3)) / 2  # each its own mirror image
    log.add(alike, torch.zeros(10), None)
    twins = log.moved_twins(alike)
    assert twins is not None
    assert twins.tolist() == [-1] * 10
    assert SampleLog().moved_twins(x) is None
    assert log.moved_twins(torch.rand(3, 1, 9, 9)) is None


def test_copies_are_named() -> None:
    """A loop that validates on what it trains on is told so."""
    watch = watched(Loop(epochs=4, validated=mixed(1.0)))
    (finding,) = [each for each in watch.findings() if each.symptom == "leaking_data"]
    assert finding.causes[0].name is CauseName.TRAIN_VALIDATION_OVERLAP


@pytest.mark.parametrize(
    "loop",
    [
        Loop(evaluates_also=lambda: digits()[0][: N_TRAIN - 3]),
        Loop(
            evaluates_also=lambda: digits()[0][:N_TRAIN]
        ),  # as many as make a whole number of any right answers
        Loop(evaluates_also=lambda: digits()[0][:32]),
        Loop(rounded=3),
    ],
    ids=["the train split too", "twice as many of it", "a minibatch of it too", "rounded"],
)
def test_an_accuracy_of_other_samples_is_not_taken_for_one_of_these(loop: Loop) -> None:
    """A loop that also runs its train split for a train accuracy leaks nothing."""
    data = data_of(told(loop))
    assert math.isnan(data.overlap_fraction)
    assert math.isnan(data.input_shift)


def test_copies_in_one_piece_are_another_pass() -> None:
    """A random split leaves copies among the others."""
    one_piece = np.arange(1000) < 800
    assert not are_mixed(one_piece)
    assert are_mixed(np.random.default_rng(0).permutation(one_piece))
    assert are_mixed(np.ones(9, dtype=np.bool_))
    assert are_mixed(np.zeros(9, dtype=np.bool_))
    assert not are_mixed(np.tile(np.repeat([True, False], 32), 10))  # minibatches of both in turns


def spoiling(log: Callable[[nn.Module], None]) -> Watch:
    """A sound loop that runs something else through its network before it validates."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return cast("Tensor", x if x.shape[-1] != 64 else self.body(x))

    torch.manual_seed(0)
    model = Odd()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = digits()
    with tuner.watch(model, optimizer, quiet=True) as watch:
        for _ in range(2):
            for places in torch.randperm(N_TRAIN).split(32):
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(x[places]), y[places])
                loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
                watch.step(loss, x[places], y[places])
                optimizer.step()
            with torch.no_grad():
                log(model)
                hits = model(validation()[0]).argmax(1).eq(validation()[1])
            watch.epoch(validation_accuracy=float(hits.float().mean()))
    return watch


@pytest.mark.parametrize(
    "log",
    [
        lambda model: [model(torch.rand(n, 7)) for n in (3, 1)] + [model(torch.rand(2, 9))],
        lambda model: model(torch.zeros(0)),
        lambda model: model(torch.zeros(4, 3, dtype=torch.bool)),
        lambda model: model(torch.zeros(4, 3, dtype=torch.complex64)),
        lambda model: model(torch.rand(3, 5, 7)),
    ],
    ids=["of other lengths", "nothing", "yes and no", "complex", "sequences"],
)
def test_whatever_a_loop_evaluates_it_goes_on(log: Callable[[nn.Module], None]) -> None:
    """What cannot be read is left out, and the epochs are there."""
    telemetry = spoiling(log).telemetry
    assert [row.epoch for row in telemetry.epochs] == [0, 1, 2]
    assert telemetry.data is not None
    assert telemetry.data.n_train == N_TRAIN


def test_half_precision_of_the_loop_is_none_of_the_marks() -> None:
    """Under autocast samples are found as without."""
    x = digits()[0][:200]
    plain = logged(x)
    with torch.autocast("cpu"):
        half = logged(x[:50])
    twins = plain.twins_of(half)
    assert twins is not None
    assert twins.tolist() == list(range(50))


def test_samples_of_few_values_are_no_copies() -> None:
    """Five grades of three are alike by chance, 64 pixels are not, nor are two measurements."""
    generator = torch.Generator().manual_seed(0)
    assert not are_told_apart(torch.randint(3, (800, 5), generator=generator))
    assert are_told_apart(torch.rand(800, 2, generator=generator))
    assert are_told_apart(digits()[0])
    grades = torch.randint(3, (800, 5), generator=generator).float()
    assert math.isnan(overlap_fraction(grades[:600], grades[600:]))


def test_inputs_of_another_shape_are_no_copies() -> None:
    """Nothing is known of samples that cannot be compared."""
    one, other = logged(torch.rand(8, 3)), logged(torch.rand(8, 4))
    assert one.twins_of(other) is None
    assert one.twins_of(SampleLog()) is None


def test_twins_are_found_whatever_their_order() -> None:
    """For each sample the place of the same one, or none."""
    x = torch.rand(200, 5)
    places = torch.randperm(200)[:50]
    asked = torch.cat([x[places], torch.rand(10, 5)])
    twins = logged(x).twins_of(logged(asked))
    assert twins is not None
    assert twins.tolist() == [*places.tolist(), *[-1] * 10]


@pytest.mark.parametrize(
    ("n", "accuracy", "right"),
    [
        (320, 300 / 320, 300),
        (320, float(torch.tensor(300 / 320, dtype=torch.float32)), 300),
        (321, 100 / 321, 100),
        (320, 0.9381, None),
        (320, math.nan, None),
        (320, None, None),
        (320, 1.0, None),
        (320, 0.0, None),
        (0, 0.5, None),
        (1_000_000, 0.5, None),
    ],
)
def test_a_told_accuracy_is_a_whole_number_of_right_answers(
    n: int, accuracy: float | None, right: int | None
) -> None:
    """Of a million samples rounding hides it."""
    assert n_right(logged(torch.zeros(n, 2)), accuracy) == right


def test_answers_that_cannot_be_those_of_the_told_accuracy_say_nothing() -> None:
    """All copies are answered right, and less than that is told."""
    x, y = torch.rand(100, 4), torch.arange(100) % 5
    train, evaluated = SampleLog(), SampleLog()
    train.add(x, y, y)
    evaluated.add(
        torch.cat([x[:50], torch.rand(50, 4)]), torch.cat([y[:50], y[:50]]), torch.cat([y[:50], y[:50]])
    )
    assert seen_inflation(train, evaluated, 0.4) == NO_INFLATION
    assert seen_inflation(train, evaluated, 0.8).copy_inflation == pytest.approx(0.5 * (1.0 - 0.6))


def logged(x: Tensor) -> SampleLog:
    log = SampleLog()
    for part in x.split(32):
        labels = torch.zeros(len(part), dtype=torch.int64)
        log.add(part, labels, labels)
    return log
