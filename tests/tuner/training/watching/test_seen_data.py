"""What a watch sees of the data that a loop trains on."""

import math
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import tuner
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


class Counting(nn.Module):
    """Digits whose 17 levels of ink are numbers to a linear layer, or names in a table."""

    def __init__(self, *, has_table: bool) -> None:
        super().__init__()
        self.levels = nn.Embedding(17, 1) if has_table else nn.Identity()
        self.linear = nn.Linear(64, 10)

    def forward(self, levels: Tensor) -> Tensor:
        seen = self.levels(levels).squeeze(-1) if isinstance(self.levels, nn.Embedding) else levels / 16
        return cast("Tensor", self.linear(seen))


@pytest.mark.parametrize(
    ("has_table", "kind", "has_scale"),
    [(True, torch.int64, False), (False, torch.int64, True), (False, torch.float32, True)],
    ids=["looked up", "integers that are sizes", "measured"],
)
def test_integers_that_are_looked_up_are_names_without_a_scale(
    has_table: bool, kind: torch.dtype, has_scale: bool
) -> None:
    """A mean of word numbers says nothing, nor who has near ones."""
    torch.manual_seed(0)
    model = Counting(has_table=has_table)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = (16 * digits()[0][:N_TRAIN]).to(kind), digits()[1][:N_TRAIN]
    with tuner.watch(model, optimizer) as watch:
        for places in torch.arange(N_TRAIN).split(BATCH):
            loss = functional.cross_entropy(model(x[places]), y[places])
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            optimizer.step()
            optimizer.zero_grad()
            watch.step(loss, inputs=x[places], targets=y[places])
        watch.epoch(validation_accuracy=0.5)
    data = watch.telemetry.data
    assert data is not None
    for value in (data.input_mean, data.input_std, data.label_disagreement):
        assert math.isfinite(value) is has_scale
