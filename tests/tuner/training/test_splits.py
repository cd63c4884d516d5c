from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import ConfigurationError, DataError
from tests.problems import blobs, images, line
from tuner.training.config import TrainingConfig
from tuner.training.data import TaskData
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.input_scaling import channel_statistics, input_scaling
from tuner.training.datasets.splits import split_dataset
from tuner.training.datasets.user_data import check_data
from tuner.training.devices import resolve_device


def numbered(y: npt.NDArray[np.int64]) -> Dataset:
    """A data set whose x tells each sample's index."""
    x = np.arange(len(y), dtype=np.float32)[:, None]
    return check_data(TaskData(x=x, y=y), name="numbered")


@settings(deadline=None, max_examples=50)
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=5).filter(lambda counts: sum(counts) >= 6),
    fraction=st.floats(0.2, 0.7),
    seed=st.integers(0, 5),
)
def test_stratified_split_is_exact_disjoint_and_whole(counts: list[int], fraction: float, seed: int) -> None:
    """Whatever the classes: every sample in one part, the size exact, each class within one of its share."""
    y = np.repeat(np.arange(len(counts)), counts)
    splits = split_dataset(numbered(y), validation_fraction=fraction, seed=seed)
    parts = [splits.train_x.flatten().tolist(), splits.validation_x.flatten().tolist()]
    assert sorted(parts[0] + parts[1]) == list(range(len(y)))
    assert len(parts[1]) == round(len(y) * fraction)
    got = torch.bincount(splits.validation_y, minlength=len(counts)).numpy()
    assert (np.abs(got - np.array(counts) * len(parts[1]) / len(y)) < 1).all()
    assert (y[np.array(parts[0], dtype=int)] == splits.train_y.numpy()).all()


def test_the_seed_decides_a_stratified_split() -> None:
    """One seed gives one split, another seed another."""
    data = blobs()
    first, same, other = (split_dataset(data, seed=seed).validation_x for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_last_takes_the_last_samples_as_they_lie() -> None:
    """split=last is Keras' validation_split: the tail, unshuffled."""
    splits = split_dataset(numbered(np.arange(10) % 2), split="last")
    assert splits.train_x.flatten().tolist() == list(range(8))
    assert splits.validation_x.flatten().tolist() == [8, 9]
    assert splits.describe() == {
        "kind": "last",
        "fraction": 0.2,
        "seed": 0,
        "n_train": 8,
        "n_validation": 2,
        "n_test": 0,
    }


def test_the_test_part_is_untouched() -> None:
    """The test part is the data set's own, whatever the split."""
    data = blobs(n_test=9)
    splits = split_dataset(data, seed=3)
    assert torch.equal(splits.test_x, data.x_test)
    assert splits.n_test == 9


def test_a_regression_is_split_at_random() -> None:
    """Without classes a stratified split is a random one, and says so."""
    assert split_dataset(line()).describe()["kind"] == "random"


def test_an_empty_part_is_refused() -> None:
    """A fraction that leaves nothing to validate on is an error."""
    with pytest.raises(DataError, match="of 120 samples is 0"):
        split_dataset(blobs(), validation_fraction=0.001)


def test_images_stay_uint8() -> None:
    """No float copy of the data is made."""
    assert split_dataset(images()).train_x.dtype == torch.uint8


@pytest.mark.parametrize("make", [blobs, images])
def test_statistics_equal_numpy(make: Callable[[], Dataset]) -> None:
    """Mean and deviation per channel or feature are numpy's."""
    x = make().x_train
    axes = (0, *range(2, x.ndim))
    known = channel_statistics(x)
    values = x.numpy().astype(np.float64)
    np.testing.assert_allclose(known.mean, values.mean(axes), rtol=1e-6)
    np.testing.assert_allclose(known.std, values.std(axes), rtol=1e-6)
    np.testing.assert_array_equal(known.low, values.min(axes))
    np.testing.assert_array_equal(known.high, values.max(axes))


def test_statistics_leave_out_what_is_not_finite() -> None:
    """NaN and infinity are counted, and the rest is described."""
    known = channel_statistics(torch.tensor([[1.0, torch.nan], [3.0, 5.0], [torch.inf, 7.0]]))
    assert known.n_non_finite == 2
    assert known.mean.tolist() == [2.0, 6.0]
    assert known.high.tolist() == [3.0, 7.0]


def test_unit_scaling_divides_bytes_and_leaves_floats() -> None:
    """unit is /255 for uint8 and nothing for float data."""
    splits = split_dataset(images())
    scale = input_scaling(TrainingConfig(), splits.train_x, splits.train_statistics)
    torch.testing.assert_close(scale(splits.train_x), splits.train_x.float() / 255)
    floats = split_dataset(blobs())
    scale = input_scaling(TrainingConfig(), floats.train_x, floats.train_statistics)
    assert scale(floats.train_x) is floats.train_x


def test_standardize_takes_the_train_part_only() -> None:
    """Each feature of the train part gets mean 0 and deviation 1; a constant one becomes 0."""
    data = blobs()
    data.x_train[:, 0] = 7.0
    splits = split_dataset(data)
    config = TrainingConfig(input_scaling="standardize")
    scaled = input_scaling(config, splits.train_x, splits.train_statistics)(splits.train_x)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0)[1:], torch.ones(3))
    assert (scaled[:, 0] == 0).all()


def test_none_only_makes_floats() -> None:
    """input_scaling=none hands the bytes on as floats."""
    splits = split_dataset(images())
    scale = input_scaling(TrainingConfig(input_scaling="none"), splits.train_x, splits.train_statistics)
    assert torch.equal(scale(splits.train_x), splits.train_x.float())


def test_a_device_that_is_not_here_is_refused() -> None:
    """An unknown device and one this machine lacks are told with what there is."""
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigurationError, match="device must be one of auto, cpu"):
        resolve_device("gpu")
    with pytest.raises(ConfigurationError, match="that this machine has"):
        resolve_device("cuda:99")
