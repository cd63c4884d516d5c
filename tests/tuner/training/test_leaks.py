"""Leaks are planted in honest data and must be found with as many features as they take; honest data has none."""

import os

import pytest
import torch
from torch import Tensor

from tuner.training.data import load_dataset
from tuner.training.leaks import FEWEST_FEATURES, N_BINS, N_HANDFUL, TELLING, Leak, find_leak


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
    assert find_leak(x, y) == Leak(accuracy=1.0, n_features=1)
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
    assert leak.n_features == N_HANDFUL
    assert leak.accuracy >= 0.99


def test_rows_of_few_features_are_not_asked_for_a_handful(digits: tuple[Tensor, Tensor]) -> None:
    """Ten of a few dozen columns are the data themselves."""
    x, y = digits[0][:, : FEWEST_FEATURES - 1].clone(), digits[1]
    x[:, :10] = 255.0 * torch.nn.functional.one_hot(y, 10)
    assert find_leak(x, y).n_features == 1


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
    assert find_leak(x, y) == Leak(accuracy=1.0, n_features=1)


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
    assert parted.n_features == whole.n_features == N_HANDFUL
    assert parted.accuracy == pytest.approx(whole.accuracy)


@pytest.mark.parametrize("deviation", [1.0, 3.0])
def test_data_that_any_features_tell_is_easy_and_no_leak(deviation: float) -> None:
    """Ten clusters far apart in 64 dimensions: ten features tell all of them, and so do ten others."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(2000) % 10
    centers = torch.rand(10, 64, generator=generator) * 20.0
    x = centers[y] + deviation * torch.randn(2000, 64, generator=generator)
    assert find_leak(x, y).n_features == 1
    written = torch.cat([x + 100.0 * torch.randn(2000, 64, generator=generator), torch.eye(10)[y]], 1)
    leak = find_leak(written, y)
    assert (leak.n_features, leak.accuracy) == (10, pytest.approx(1.0))


def test_classes_are_told_by_any_number(digits: tuple[Tensor, Tensor]) -> None:
    """Numbers as of a vocabulary cost no memory, and change nothing."""
    x, y = digits
    assert find_leak(x, 10**9 * y) == find_leak(x, y)
