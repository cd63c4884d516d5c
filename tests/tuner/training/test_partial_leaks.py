"""Features whose exact values tell the class of a part of the samples."""

import math

import pytest
import torch
from torch import Tensor

from tuner.training.data_probe import probe_data
from tuner.training.partial_leaks import find_partial_leak


def measured(n: int = 1200, n_classes: int = 4) -> tuple[Tensor, Tensor]:
    """Eight measurements that tell a little of the class."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % n_classes
    x = torch.randn(n, 8, generator=generator)
    x[:, 3] += y
    return x, y


def filled_in(x: Tensor, y: Tensor, share: float) -> Tensor:
    """The label in the first feature of a share of the samples."""
    rows = torch.rand(len(x), generator=torch.Generator().manual_seed(1)) < share
    leaking = x.clone()
    leaking[rows, 0] = (y[rows] + 1) / 4
    return leaking


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_values_filled_in_from_the_label_are_found(share: float) -> None:
    """In a part of the samples only, of which the others look as ever."""
    x, y = measured()
    found = find_partial_leak(filled_in(x, y, share), y)
    assert found.accuracy == 1.0
    assert found.share == pytest.approx(share, abs=0.05)


def test_measurements_tell_no_part() -> None:
    """No value comes twice; nor do repeated values tell that come with all classes."""
    x, y = measured()
    assert math.isnan(find_partial_leak(x, y).share)
    x[::3, 0] = 0.0
    x[1::3, 0] = 1.0
    assert math.isnan(find_partial_leak(x, y).share)


def test_few_different_values_may_be_honest() -> None:
    """Petals are measured in steps, and some widths come with one species alone."""
    _, y = measured(n_classes=3)
    widths = (y * 10 + torch.arange(len(y)) % 7).float()[:, None]
    assert math.isnan(find_partial_leak(widths, y).share)


def test_one_class_or_few_samples_tell_nothing() -> None:
    """There is nothing to tell, or nothing to tell it by."""
    x, y = measured(40)
    assert math.isnan(find_partial_leak(x, y).share)
    assert math.isnan(find_partial_leak(x, torch.zeros_like(y)).share)


@pytest.mark.parametrize(("n_classes", "share"), [(2, 0.8), (3, 1.0), (6, 0.5), (6, 0.8)])
def test_a_label_filled_in_with_noise_is_found(n_classes: int, share: float) -> None:
    """No value comes twice, but those of a class lie together."""
    x, y = measured(n_classes=n_classes)
    generator = torch.Generator().manual_seed(2)
    rows = torch.rand(len(x), generator=generator) < share
    x[rows, 5] = 1.5 * y[rows] - 2 + 0.05 * torch.randn(int(rows.sum()), generator=generator)
    found = find_partial_leak(x, y)
    assert found.accuracy > 0.9
    assert found.feature == 5
    assert found.share > 0.3


@pytest.mark.parametrize(("n_classes", "distance"), [(2, 8.0), (6, 5.0)])
def test_classes_that_are_told_well_may_be_honest(n_classes: int, distance: float) -> None:
    """One measurement that hardly errs, eight and five deviations apart, is no copy of the label."""
    x, y = measured(n_classes=n_classes)
    x[:, 5] += distance * y
    assert math.isnan(find_partial_leak(x, y).share)


def test_blobs_of_little_spread_are_what_the_data_are() -> None:
    """Where other features tell the classes too, one that tells them best is no leak."""
    _, y = measured(n_classes=3)
    generator = torch.Generator().manual_seed(3)
    centers = torch.tensor([[0.0, 0, 0, 0, 0], [1, 3, 1, 2, 0], [2, 1, 4, 1, 3]])
    x = 20 * centers[y] + torch.randn(len(y), 5, generator=generator)
    assert math.isnan(find_partial_leak(x, y).share)
    lonely = torch.cat([x[:, :1], torch.randn(len(y), 4, generator=generator)], 1)
    assert find_partial_leak(lonely, y).feature == 0


def test_the_data_probe_says_of_which_part() -> None:
    """The leak's accuracy is that on the part; without one it is that of the best feature on all samples."""
    x, y = measured()
    probe = probe_data(filled_in(x, y, 0.7), y, None, None, n_outputs=4, kind="classification")
    assert (probe.leak_accuracy, probe.n_leak_features) == (1.0, 1)
    assert probe.leak_share == pytest.approx(0.7, abs=0.05)
    honest = probe_data(x, y, None, None, n_outputs=4, kind="classification")
    assert honest.leak_accuracy < 0.9
    assert math.isnan(honest.leak_share)


@pytest.mark.parametrize("place", [6, 7])
def test_a_class_of_one_sample_tells_nothing_and_breaks_nothing(place: int) -> None:
    """Whichever half it falls into, the last of the classes too."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2000, 10, generator=generator), torch.arange(2000) % 3
    y[place] = 3
    probe = probe_data(x, y, None, None, n_outputs=None, kind="classification")
    assert math.isnan(probe.leak_share) or probe.leak_share == 0.0
