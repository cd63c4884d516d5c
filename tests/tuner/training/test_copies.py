"""Equal numbers, equal samples."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from tuner.training.datasets import copies
from tuner.training.datasets.copies import sample_numbers


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2)), min_size=2, max_size=30
    ),
    dtype=st.sampled_from([torch.uint8, torch.float32, torch.float64, torch.int64]),
)
@settings(deadline=None)
def test_numbers_are_equal_where_samples_are(rows: list[tuple[int, int, int]], dtype: torch.dtype) -> None:
    """Within a part and across parts, for any type: what comparing all pairs says."""
    x = torch.tensor(rows).to(dtype)
    parts = (x[: len(x) // 2], x[len(x) // 2 :])
    numbers = np.concatenate(sample_numbers(*parts))
    expected = (x[:, None] == x[None]).all(2).numpy()
    np.testing.assert_array_equal(numbers[:, None] == numbers[None], expected)


def test_samples_that_share_a_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the hash says, the bytes decide."""

    def always_one(rows: Any) -> Any:
        return np.ones(len(rows), dtype=np.uint64)

    monkeypatch.setattr(copies, "_hashes", always_one)
    one, other = sample_numbers(torch.tensor([[1.0], [2.0], [1.0]]), torch.tensor([[2.0], [3.0]]))
    assert one[0] == one[2] != one[1] == other[0]
    assert len({*one, *other}) == 3


def test_hashes_of_samples_that_differ_in_one_value_differ() -> None:
    """Images apart by one pixel, rows of few digits: hardly one of 4,000 hashes is met twice."""
    pixels = torch.zeros(4000, 1, 28, 28, dtype=torch.uint8)
    places = torch.arange(4000)
    pixels.view(4000, -1)[places, places % 784] = (1 + places // 784).to(torch.uint8)
    digits = torch.stack([places % 64, places // 64], 1).float()
    for x in (pixels, digits):
        assert len(np.unique(copies._hashes(copies._bytes_of(x)))) >= 3999


def test_samples_that_are_not_finite_are_equal_to_themselves() -> None:
    """A NaN is a value like another here."""
    x = torch.tensor([[torch.nan, 1.0], [torch.nan, 1.0], [1.0, 1.0]])
    (numbers,) = sample_numbers(x)
    assert numbers[0] == numbers[1] != numbers[2]
