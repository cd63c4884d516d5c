"""Statistics of bytes by counting, against the sums that they stand for."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.training.datasets.input_scaling import STATISTICS_BLOCK, channel_statistics


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    n=st.sampled_from([1, 7, STATISTICS_BLOCK + 3]),
    n_channels=st.integers(1, 3),
    low=st.integers(0, 100),
    span=st.integers(1, 156),
)
def test_counted_bytes_have_the_statistics_of_their_sums(
    seed: int, n: int, n_channels: int, low: int, span: int
) -> None:
    """Bit for bit: mean, deviation, lowest and highest of each channel."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(low, low + span, (n, n_channels, 2, 2), generator=generator, dtype=torch.uint8)
    counted, summed = channel_statistics(x), channel_statistics(x.float())
    for name in ("mean", "std", "low", "high"):
        assert torch.equal(getattr(counted, name), getattr(summed, name)), name
    assert counted.n_non_finite == summed.n_non_finite == 0
