"""Leaks are planted in honest data and must be found with as many features as they take; honest data has none."""

import os

import pytest
import torch
from torch import Tensor

from tuner.training.data import load_dataset
from tuner.training.leaks import FEWEST_FEATURES, N_BINS, TELLING, find_leak


def told(x: Tensor, y: Tensor) -> tuple[float, int]:
    """The accuracy of the leak, and how many features it takes."""
    leak = find_leak(x, y)
    return leak.accuracy, leak.n_features


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Rows of 64 pixels in 0..255, and their classes."""
    dataset = load_dataset("digits")
    return dataset.x_train.flatten(1).float(), dataset.y_train


def test_honest_digits_have_no_leak(digits: tuple[Tensor, Tensor]) -> None:
    """No pixel, nor ten, tell a digit."""
    leak = find_leak(*digits)
    assert leak.n_features == 1
    assert 0.15 < leak.accuracy < 0.5


@pytest.mark.skipif("TUNER_DATA" not in os.environ, reason="needs the MNIST files, named by TUNER_DATA")
def test_honest_mnist_has_no_leak() -> None:
    """No pixel, nor ten, tell a digit here either."""
    dataset = load_dataset("mnist")
    leak = find_leak(dataset.x_train[:2000].flatten(1).float(), dataset.y_train[:2000])
    assert leak.accuracy < 0.5


def test_a_label_in_a_corner_is_one_feature(digits: tuple[Tensor, Tensor]) -> None:
    """Its value is the class, exactly or up to noise."""
    x, y = digits[0].clone(), digits[1]
    x[:, 0] = 25.0 * y
    assert told(x, y) == (1.0, 1)
    x[:, 0] += 20 * torch.rand(len(y), generator=torch.Generator().manual_seed(0))
    leak = find_leak(x, y)
    assert leak.n_features == 1
    assert leak.accuracy >= TELLING


def test_a_label_in_the_brightness_is_one_feature(digits: tuple[Tensor, Tensor]) -> None:
    """No pixel tells it, but the mean of all does."""
    x, y = digits
    leak = find_leak(x + 30 * y[:, None], y)
    assert leak.n_features == 1
    assert leak.accuracy >= TELLING


def test_a_one_hot_label_is_ten_features(digits: tuple[Tensor, Tensor]) -> None:
    """None of its pixels tells more than one class, all together tell all."""
    x, y = digits[0].clone(), digits[1]
    x[:, :10] = 255.0 * torch.nn.functional.one_hot(y, 10)
    leak = find_leak(x, y)
    assert leak.n_features == 10
    assert leak.accuracy >= 0.99


def test_of_a_few_dozen_columns_only_copies_of_the_label_are_a_leak(digits: tuple[Tensor, Tensor]) -> None:
    """Ten of them that were measured are the data themselves; a one-hot label is none, unless nothing else is there."""
    x, y = digits[0][:, : FEWEST_FEATURES - 1].clone(), digits[1]
    noise = torch.randn(len(x), 10, generator=torch.Generator().manual_seed(0))
    x[:, :10] = 10.0 * torch.nn.functional.one_hot(y, 10) + noise
    assert find_leak(x, y).n_features == 1
    x[:, :10] = 255.0 * torch.nn.functional.one_hot(y, 10)
    assert find_leak(x, y).n_features == 10
    assert find_leak(x[:, :19], y).n_features == 1


def test_a_frequent_class_alone_is_no_leak() -> None:
    """Always saying the class that 98% have is right for one class of two."""
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(1000) % 50 == 0).long()
    assert find_leak(torch.randn(1000, 60, generator=generator), y).accuracy < 0.8


def test_a_leak_of_a_rare_class_is_found_in_rare_values() -> None:
    """Bins are the values themselves where these are few, however rare."""
    y = (torch.arange(1000) % 50 == 0).long()
    x = torch.zeros(1000, 60)
    x[:, 7] = y.float()
    assert told(x, y) == (1.0, 1)


@pytest.mark.parametrize("n", [0, 10])
def test_too_few_samples_say_nothing(n: int) -> None:
    """Neither an accuracy nor an error."""
    leak = find_leak(torch.randn(n, 60), torch.zeros(n, dtype=torch.int64))
    assert leak.n_features == 0
    assert leak.accuracy != leak.accuracy


def test_blocks_of_features_are_one(digits: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful may lie in several blocks."""
    x, y = digits[0].clone(), digits[1]
    x[:, 3:63:6] = 255.0 * torch.nn.functional.one_hot(y, 10)
    whole = find_leak(x, y)
    monkeypatch.setattr("tuner.training.leaks.BLOCK_CELLS", 7 * N_BINS * 10)
    parted = find_leak(x, y)
    assert parted.n_features == whole.n_features == 10
    assert parted.accuracy == pytest.approx(whole.accuracy)


@pytest.mark.parametrize("deviation", [1.0, 3.0])
def test_data_that_any_features_tell_is_easy_and_no_leak(deviation: float) -> None:
    """Ten clusters far apart in 64 dimensions: ten features tell all of them, and so do ten others."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(2000) % 10
    centers = torch.rand(10, 64, generator=generator) * 20.0
    x = centers[y] + deviation * torch.randn(2000, 64, generator=generator)
    assert find_leak(x, y).n_features <= 1
    written = torch.cat([x + 100.0 * torch.randn(2000, 64, generator=generator), torch.eye(10)[y]], 1)
    leak = find_leak(written, y)
    assert (leak.n_features, leak.accuracy) == (10, pytest.approx(1.0))


def blobs(n_classes: int, n_features: int, seed: int, n_samples: int = 2000) -> tuple[Tensor, Tensor]:
    """Clusters of deviation 1, with centers anywhere in a cube of side 20."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n_samples) % n_classes
    centers = torch.rand(n_classes, n_features, generator=generator) * 20.0
    return centers[y] + torch.randn(n_samples, n_features, generator=generator), y


@pytest.mark.parametrize("n_classes", [3, 4, 5, 6])
@pytest.mark.parametrize("n_features", [60, 200])
def test_easy_data_have_no_leak_for_their_best_features(n_classes: int, n_features: int) -> None:
    """The best of many good features tells three classes, one for each tells six, and neither was written in."""
    for seed in range(3):
        assert not find_leak(*blobs(n_classes, n_features, seed)).accuracy >= TELLING


@pytest.mark.parametrize("n_written", [1, 5])
def test_a_copy_of_the_label_is_a_leak_of_easy_data_too(n_written: int) -> None:
    """One column of it, or one for each class: no measurement has as many values as there are classes."""
    x, y = blobs(5, 200, seed=0)
    x[:, :n_written] = y[:, None].float() if n_written == 1 else torch.eye(5)[y]
    assert told(x, y) == (1.0, n_written)


@pytest.mark.parametrize("n_good", [20, 100])
def test_good_features_among_noise_are_no_leak(n_good: int) -> None:
    """Between the best and the noise, others are nearly as good."""
    for seed in range(4):
        x, y = blobs(4, 500, seed)
        x[:, n_good:] = 5.0 * torch.randn(2000, 500 - n_good, generator=torch.Generator().manual_seed(1))
        assert not find_leak(x, y).accuracy >= TELLING


@pytest.mark.parametrize("n_classes", [2, 10])
def test_what_a_large_part_shows_is_the_data(n_classes: int) -> None:
    """Squares in two or ten places, and in each a hundred pixels that only its class has."""
    x, y = torch.zeros(2000, 1000), torch.arange(2000) % n_classes
    for kind in range(n_classes):
        x[y == kind, 100 * kind : 100 * kind + 100] = 1.0
    assert not find_leak(x, y).accuracy >= TELLING


@pytest.mark.parametrize("is_exact", [True, False])
def test_a_patch_is_one_feature(digits: tuple[Tensor, Tensor], is_exact: bool) -> None:
    """Nine pixels, each of which tells."""
    x, y = digits[0].clone(), digits[1]
    noise = 4.0 * torch.randn(len(y), 9, generator=torch.Generator().manual_seed(0))
    patch = [8 * row + column for row in range(3) for column in range(3)]
    x[:, patch] = 25.0 * y[:, None] + (0.0 if is_exact else noise)
    leak = find_leak(x, y)
    assert leak.n_features == 1
    assert leak.accuracy >= TELLING


def test_a_label_in_the_mean_alone_is_found(digits: tuple[Tensor, Tensor]) -> None:
    """Where every image has its class's mean, and no pixel tells."""
    x, y = digits
    leak = find_leak(x - x.mean(1, keepdim=True) + 20.0 * y[:, None], y)
    assert leak.n_features == 1
    assert leak.accuracy > 0.99


@pytest.mark.parametrize("brightness", [120.0, 255.0])
def test_one_hot_labels_written_over_an_image_are_found(
    digits: tuple[Tensor, Tensor], brightness: float
) -> None:
    """One pixel is bright for each class, the others are as they were; honest ones may be as bright."""
    x, y = digits[0].clone(), digits[1]
    x[torch.arange(len(y)), y] = brightness
    leak = find_leak(x, y)
    assert leak.n_features == 10
    assert leak.accuracy >= 0.97


def test_the_last_class_needs_no_pixel(digits: tuple[Tensor, Tensor]) -> None:
    """It is where no other is, among pixels or noise."""
    y = digits[1]
    for x in (digits[0].clone(), torch.randn(len(y), 64, generator=torch.Generator().manual_seed(0))):
        x[:, :9] = 255.0 * torch.nn.functional.one_hot(y, 10)[:, :9] + x[:, :9] / 100
        assert find_leak(x, y).accuracy >= TELLING


@pytest.mark.parametrize("n_features", [1, 2, 9])
def test_of_few_features_only_a_copy_of_the_label_is_a_leak(n_features: int) -> None:
    """A good column may be what was measured; nothing is there to compare it with."""
    y = torch.arange(2000) % 5
    noise = torch.randn(2000, n_features, generator=torch.Generator().manual_seed(0))
    x = torch.cat([10.0 * y[:, None] + noise[:, :1], noise[:, 1:]], 1)
    assert not find_leak(x, y).accuracy >= TELLING
    if n_features > 1:
        x[:, 0] = y
        assert told(x, y) == (1.0, 1)


def test_classes_are_told_by_any_number(digits: tuple[Tensor, Tensor]) -> None:
    """Numbers as of a vocabulary cost no memory, and change nothing."""
    x, y = digits
    assert find_leak(x, 10**9 * y) == find_leak(x, y)


def test_the_features_that_tell_are_named(digits: tuple[Tensor, Tensor]) -> None:
    """A copy of the label beside it tells as well, and is one of them; the mean of a sample is none."""
    x, y = digits[0].clone(), digits[1]
    x[:, 40:42] = 20.0 * y[:, None]
    assert find_leak(x, y).features == (40, 41)
    x[:, :10] = 255.0 * torch.nn.functional.one_hot(y, 10)
    x[:, 40:42] = 0.0
    assert find_leak(x, y).features == tuple(range(10))
