"""Copies that were moved or mirrored before the split."""

import math

import pytest
import torch
from torch import Tensor

from tuner.training.data_probe import probe_data
from tuner.training.datasets.moved_copies import moved_fraction


def images(n: int, side: int = 16, seed: int = 0) -> Tensor:
    """Grey levels at random, [n, 1, side, side]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 1, side, side), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(("down", "right"), [(0, 1), (-1, 0), (2, -2)])
def test_moved_copies_are_found(down: int, right: int) -> None:
    """Half of the validation samples are train samples that were moved."""
    train = images(60)
    moved = train[:10].roll((down, right), (2, 3))
    assert moved_fraction(train, torch.cat([moved, images(10, seed=1)])) == 0.5
    assert moved_fraction(train / 255.0, moved / 255.0) == 1.0


def test_mirrored_copies_are_found() -> None:
    """Left is right."""
    assert moved_fraction(images(60), images(60)[:10].flip(3)) == 1.0


def test_a_series_is_moved_along_its_only_side() -> None:
    """[n, channels, steps]: there are no rows to move."""
    series = torch.randn(50, 1, 32, generator=torch.Generator().manual_seed(0))
    assert moved_fraction(series, series[:20].roll(2, 2)) == 1.0


def test_other_samples_and_plain_copies_are_not_moved() -> None:
    """What is in the train split value for value is counted elsewhere."""
    assert moved_fraction(images(60), images(60, seed=1)) == 0.0
    assert moved_fraction(images(60), images(60)) == 0.0


def test_samples_of_few_values_are_alike_by_chance() -> None:
    """Blank images, masks and boards tell nothing."""
    blank = torch.zeros(20, 1, 16, 16)
    blank[:, 0, 8, 8] = 1.0
    assert moved_fraction(blank, blank.roll(1, 3)) == 0.0


def test_rows_of_features_cannot_be_moved() -> None:
    """Nor can what is of another shape, or too small, be compared."""
    assert math.isnan(moved_fraction(torch.randn(9, 30), torch.randn(9, 30)))
    assert math.isnan(moved_fraction(images(9), images(9, side=17)))
    assert math.isnan(moved_fraction(images(9, side=7), images(9, side=7)))
    assert math.isnan(moved_fraction(images(9), images(0)))


def test_the_data_probe_reads_it() -> None:
    """Besides the overlap, which is none."""
    x, y = images(60).float(), torch.arange(60) % 3
    probe = probe_data(x, y, x[:20].roll(1, 3), y[:20], n_outputs=3, kind="classification")
    assert (probe.overlap_fraction, probe.moved_fraction) == (0.0, 1.0)
