"""What a watch sees of the data that a loop trains on."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from studies.readings import DataProbe
from tests.tuner.training.watching.loops import BATCH, N_TRAIN, Loop, digits, validation, watched
from tuner.training.watching.sample_log import MOST_SAMPLES, SampleLog, label_mixing


def data_of(loop: Loop, given: object = None) -> DataProbe:
    data = watched(loop, validation=given).telemetry.data
    assert data is not None
    return data


def test_the_first_epoch_is_probed() -> None:
    """Counts of all of it, scale and labels of a sample."""
    data = data_of(Loop(), validation())
    y = digits()[1]
    assert (data.n_train, data.n_validation) == (N_TRAIN, 320)
    assert data.train_class_counts == tuple(torch.bincount(y[:N_TRAIN], minlength=10).tolist())
    assert data.validation_class_counts == tuple(torch.bincount(validation()[1], minlength=10).tolist())
    assert (data.input_min, data.input_max) == (0.0, 1.0)
    assert data.label_disagreement < 0.03
    assert data.input_shift < 0.2
    assert data.overlap_fraction == 0.0


def test_a_loader_is_as_good_as_tensors() -> None:
    """The same samples, the same probe."""
    loader = DataLoader(TensorDataset(*validation()), batch_size=50)
    assert data_of(Loop(), loader) == data_of(Loop(), validation())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_copies_of_training_samples_are_found_exactly(share: float) -> None:
    """Value for value, all samples of the epoch considered."""
    x, y = validation()
    n = int(share * len(x))
    mixed = torch.cat([digits()[0][:n], x[n:]])
    assert data_of(Loop(), (mixed, y)).overlap_fraction == share


def test_label_mixing_tells_sorted_from_shuffled() -> None:
    """About 1 for shuffled minibatches, about 0 for one class after another."""
    y = digits()[1]
    assert data_of(Loop()).label_mixing == pytest.approx(1.0, abs=0.05)
    assert data_of(Loop(order=lambda: y[:N_TRAIN].argsort(stable=True))).label_mixing < 0.1


def test_label_mixing_is_unknown_where_it_says_nothing() -> None:
    """One class, minibatches of one sample, labels that were not seen."""
    assert math.isnan(label_mixing(np.zeros(64, dtype=np.int64), [32, 32]))
    assert math.isnan(label_mixing(np.arange(10), [1] * 10))
    assert math.isnan(label_mixing(np.empty(0, dtype=np.int64), [32]))
    assert label_mixing(np.tile(np.arange(4), 16), [4] * 16) > 1.0


def logged(x: Tensor, batch: int = BATCH) -> SampleLog:
    log = SampleLog()
    for part in x.split(batch):
        log.add(part, torch.zeros(len(part), dtype=torch.int64), torch.zeros(len(part), dtype=torch.int64))
    return log


@pytest.mark.parametrize("n", [100, 2_000, 2_001, 9_999])
def test_the_kept_samples_are_evenly_spaced(n: int) -> None:
    """Every so many-th of the epoch, however long it turns out to be."""
    kept = logged(torch.arange(n, dtype=torch.float32)[:, None]).samples()
    assert kept is not None
    places = kept[0].flatten()
    assert min(n, MOST_SAMPLES // 2) <= len(places) <= MOST_SAMPLES
    assert set(places.diff().tolist()) <= {float(-(-n // MOST_SAMPLES)), *(2.0**k for k in range(4))}
    assert len(set(places.diff().tolist())) == 1


def test_values_that_are_not_finite_are_counted() -> None:
    """In all samples of the epoch, kept or not."""
    x = torch.rand(5_000, 3)
    x[4_321, 1] = math.nan
    x[17, 2] = math.inf
    assert logged(x).n_bad_samples() == 2


def test_sequences_of_many_lengths_are_not_kept() -> None:
    """They have no common shape; their labels are counted all the same."""
    log = SampleLog()
    for length in (3, 5, 4):
        log.add(torch.rand(8, length), torch.arange(8), torch.arange(8))
    assert log.samples() is None
    assert len(log.labels()) == 24
    assert log.n_bad_samples() == 0


def test_a_loop_that_validates_by_itself_shows_on_how_many_samples() -> None:
    """What it runs through the model without gradients tells how noisy its accuracy is."""
    assert data_of(Loop()).n_validation == len(validation()[1])
