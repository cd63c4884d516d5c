"""What is read of the data: faults are planted in honest sets and must show in their reading, and in no other."""

import dataclasses
import math
import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from studies.readings import DataProbe
from tests.problems import blobs, images, line
from tuner.training import data_probe
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.data_probe import input_shift, overlap_fraction, probe_data, read_data
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.loop import TrainingRun


def splits_of(dataset: Dataset) -> Splits:
    return split_dataset(dataset, device="cpu")


def probe_of(splits: Splits, *, is_complete: bool = True, **keys: Any) -> DataProbe:
    config = TrainingConfig(**keys)
    scaling = input_scaling(config, splits.train_x, splits.train_statistics)
    return read_data(splits, scaling, config, is_complete=is_complete)


@pytest.fixture
def digits() -> Splits:
    return splits_of(load_dataset("digits"))


class TestSplits:
    def test_honest_digits_have_nothing_to_say(self, digits: Splits) -> None:
        """No copies, no leak, labels as their neighbors', and inputs of one distribution."""
        probe = probe_of(digits)
        assert probe.overlap_fraction == 0
        assert probe.leak_accuracy < 0.5
        assert probe.label_disagreement < 0.02
        assert probe.input_shift < 0.05
        assert math.isnan(probe.label_mixing)

    @pytest.mark.skipif("TUNER_DATA" not in os.environ, reason="needs the MNIST files, named by TUNER_DATA")
    def test_honest_mnist_has_nothing_to_say(self) -> None:
        """Nor has MNIST."""
        probe = probe_of(splits_of(load_dataset("mnist")))
        assert probe.overlap_fraction == 0
        assert probe.leak_accuracy < 0.5
        assert probe.label_disagreement < 0.03
        assert probe.input_shift < 0.05

    def test_a_regression_has_no_labels_to_look_at(self) -> None:
        """Copies and shift are read, the rest is NaN."""
        probe = probe_of(splits_of(line()))
        assert probe.overlap_fraction == 0
        assert math.isfinite(probe.input_shift)
        assert math.isnan(probe.leak_accuracy)
        assert math.isnan(probe.label_disagreement)
        assert probe.train_class_counts == ()

    def test_what_costs_time_is_left_out_without_telemetry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Scale and counts remain."""
        monkeypatch.setattr(data_probe, "sample_numbers", None)
        run = TrainingRun(TrainingConfig(epochs=0), images(), telemetry=False)
        next(run.epochs())
        assert run.data_probe is not None
        assert run.data_probe.train_class_counts == (16, 16, 16)
        assert math.isnan(run.data_probe.overlap_fraction)
        assert math.isnan(run.data_probe.input_shift)

    def test_trials_share_what_they_have_in_common(
        self, digits: Splits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another augmentation or scaling is another shift; copies, leaks and labels are read once."""
        read = []
        monkeypatch.setattr(data_probe, "find_leak", lambda *_: read.append("leak") or data_probe.Leak())
        monkeypatch.setattr(
            data_probe, "input_shift", lambda *args: read.append("shift") or input_shift(*args)
        )
        probes = [
            probe_of(digits, **keys)
            for keys in ({}, {"learning_rate": 1.0}, {"augmentation": 0.5}, {"input_scaling": "standardize"})
        ]
        assert sorted(read) == ["leak", "shift", "shift", "shift"]
        assert probes[0] is probes[1]
        assert probes[2].input_shift > probes[0].input_shift

    def test_the_callers_random_state_is_left_alone(self) -> None:
        """Also by augmentation; and two readings are one."""
        before = torch.get_rng_state()
        one, other = (probe_of(splits_of(load_dataset("digits")), augmentation=1.0) for _ in range(2))
        assert torch.equal(torch.get_rng_state(), before)
        assert repr(one) == repr(other)


class TestSamples:
    def test_samples_of_splits_say_what_the_splits_say(self) -> None:
        """The probe of samples as the network sees them is that of the whole splits, value for value."""
        splits = splits_of(blobs(n=600, spread=1.0))
        theirs = probe_of(splits, input_scaling="none")
        mine = probe_data(
            splits.train_x, splits.train_y, splits.validation_x, splits.validation_y,
            n_outputs=3, kind="classification",
        )  # fmt: skip
        assert repr(mine) == repr(theirs)

    def test_without_validation_its_readings_are_missing(self) -> None:
        """And the numbers that only the caller knows are kept."""
        x, y = torch.rand(300, 4), torch.arange(300) % 3
        probe = probe_data(
            x, y, None, None, n_outputs=None, kind="classification", n_train=9000, n_test=7, label_mixing=0.5
        )
        assert (probe.n_train, probe.n_validation, probe.n_test, probe.label_mixing) == (9000, 0, 7, 0.5)
        assert probe.train_class_counts == (100, 100, 100)
        assert probe.validation_class_counts == ()
        assert math.isnan(probe.overlap_fraction)
        assert math.isnan(probe.input_shift)
        assert probe.leak_accuracy < 0.6

    @pytest.mark.parametrize(
        "y",
        [torch.rand(300), torch.rand(300, 3), torch.zeros(300, 4, dtype=torch.int64), torch.full((300,), -1)],
        ids=["values", "rows", "many labels a sample", "a label below zero"],
    )
    def test_targets_that_are_no_class_numbers_are_no_classes(self, y: Tensor) -> None:
        """What the loop calls a classification may have any targets."""
        probe = probe_data(torch.rand(300, 4), y, None, None, n_outputs=3, kind="classification")
        assert probe.train_class_counts == ()
        assert math.isnan(probe.leak_accuracy)

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_values_that_are_not_finite_are_counted_and_break_nothing(self, bad: float) -> None:
        """All other readings are finite."""
        splits = splits_of(load_dataset("digits"))
        train_x, validation_x = splits.train_x.float().clone(), splits.validation_x.float().clone()
        train_x[::50, 0, 3, 3] = bad
        validation_x[0, 0, 0, 0] = bad
        probe = probe_data(
            train_x, splits.train_y, validation_x, splits.validation_y, n_outputs=10, kind="classification"
        )
        assert probe.n_non_finite == math.ceil(len(train_x) / 50) + 1
        readings = dataclasses.asdict(probe)
        del readings["label_mixing"], readings["leak_share"]
        assert all(np.isfinite(value).all() for value in readings.values())
        assert probe.label_disagreement < 0.02

    def test_samples_of_one_number_are_a_feature(self) -> None:
        """Inputs [n] are as good as [n, 1]."""
        probe = probe_data(
            torch.arange(200.0), torch.arange(200) % 2, torch.arange(50.0), torch.arange(50) % 2,
            n_outputs=2, kind="classification",
        )  # fmt: skip
        assert probe.overlap_fraction == 1


class TestOverlap:
    def test_every_copy_counts(self, digits: Splits) -> None:
        """Wherever it stands, and one changed pixel is no copy."""
        x = digits.validation_x.clone()
        x[5:65] = digits.train_x[100:160]
        assert overlap_fraction(digits.train_x, x) == pytest.approx(60 / len(x))
        x[5:65, 0, 0, 0] ^= 1
        assert overlap_fraction(digits.train_x, x) == 0

    def test_samples_of_other_shapes_cannot_be_compared(self) -> None:
        """Neither an error nor a zero."""
        assert math.isnan(overlap_fraction(torch.rand(4, 3), torch.rand(4, 2)))
        assert math.isnan(overlap_fraction(torch.rand(4, 3), torch.rand(4, 3).double()))


class TestShift:
    def test_halves_of_one_set_lie_together_and_inverted_images_do_not(self, digits: Splits) -> None:
        """Near 0 and far from it."""
        x = digits.train_x
        assert input_shift(x[::2], x[1::2]) < 0.05
        assert input_shift(255 - x[::2].int(), x[1::2].int()) > 0.5

    @pytest.mark.parametrize(
        ("change", "shift"),
        [
            (lambda x: x + 0.5, 0.5),
            (lambda x: x * 2, math.log(2)),
            (lambda x: x + torch.tensor([0.7, -0.7]), 0.7),
        ],
        ids=["mean", "deviation", "features"],
    )
    def test_each_kind_of_shift_is_in_deviations(self, change: Any, shift: float) -> None:
        """Of standard normal inputs, whose shift is known."""
        generator = torch.Generator().manual_seed(0)
        x, y = (torch.randn(1000, 2, generator=generator) for _ in range(2))
        assert input_shift(change(x), y) == pytest.approx(shift, abs=0.1)
        assert input_shift(10 * change(x), 10 * y) == pytest.approx(input_shift(change(x), y), rel=1e-3)

    def test_few_samples_are_no_shift(self) -> None:
        """What chance moves the features' means by is taken off."""
        generator = torch.Generator().manual_seed(0)
        x, y = (torch.randn(20, 500, generator=generator) for _ in range(2))
        naive = float((x.mean(0) - y.mean(0)).square().mean().sqrt())
        assert naive > 0.25
        assert input_shift(x, y) < 0.1

    def test_inputs_that_cannot_be_compared_have_none(self) -> None:
        """Of other shapes, or without any spread."""
        assert math.isnan(input_shift(torch.rand(5, 3), torch.rand(5, 2)))
        assert math.isnan(input_shift(torch.rand(5, 3), torch.zeros(5, 3)))


def test_large_inputs_are_read_on_fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is bounded by values, not by samples."""
    monkeypatch.setattr(data_probe, "MOST_VALUES", 1000)
    monkeypatch.setattr(data_probe, "FEWEST_SAMPLES", 20)
    x, y = torch.rand(500, 25), torch.arange(500)
    some_x, some_y = data_probe._some(400, x, y)
    assert len(some_x) == 40
    assert torch.equal(some_x, x[some_y])
    assert len(data_probe._some(400, torch.rand(500, 1000))[0]) == 20
