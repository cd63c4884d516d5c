"""Which samples are the same, value for value, within a part of the data and across parts."""

import numpy as np
import numpy.typing as npt
from torch import Tensor

Numbers = npt.NDArray[np.int64]

_BLOCK_BYTES = 1 << 21
"""Bytes that are hashed at a time: they and their products stay in the processor's cache."""
_SEED = 20260101
MOST_COUNTED = 1000
"""Samples and"""
MOST_FEATURES = 1000
"""features whose values are counted."""
FEWEST_COUNTED = 20
NEARLY_ALL = 0.9
"""Of a feature's values are different if it is a measurement: so many and more of normal float32 numbers."""
BITS_TO_SPARE = 10
"""Of a thousand samples one has a double by chance then."""


def sample_numbers(*parts: Tensor) -> tuple[Numbers, ...]:
    """A number for each sample of each part: equal numbers, equal samples, byte for byte; and the reverse.

    Samples of all parts must have one type and shape. A fast hash finds whatever may be equal, and the bytes decide:
    MNIST's 70,000 images take a few hundredths of a second.
    """
    rows = [_bytes_of(x) for x in parts]
    hashes = np.concatenate([_hashes(part) for part in rows])
    _, numbers, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    numbers = numbers.astype(np.int64).reshape(-1)
    ends = np.cumsum([len(part) for part in rows])
    seen: dict[bytes, int] = {}
    for place in np.flatnonzero(counts[numbers] > 1):
        part = int(np.searchsorted(ends, place, side="right"))
        sample = rows[part][place - ends[part]].tobytes()
        numbers[place] = seen.setdefault(sample, len(numbers) + len(seen))
    return tuple(np.split(numbers, ends[:-1]))


def are_told_apart(x: Tensor) -> bool:
    """Whether samples [n, ...] take so many values that two are hardly ever equal by chance.

    By what their features could tell if they had nothing to do with each other: ten bits more than number the samples,
    or a feature nearly all of whose values are different. Five answers of three grades tell no person from another.
    """
    rows = (
        x.detach()[:MOST_COUNTED]
        .reshape(min(len(x), MOST_COUNTED), -1)[:, :MOST_FEATURES]
        .cpu()
        .double()
        .numpy()
    )
    n_values = (np.diff(np.sort(rows, axis=0), axis=0) != 0).sum(0) + 1
    has_measure = bool((n_values > NEARLY_ALL * len(rows)).any()) and len(rows) >= FEWEST_COUNTED
    return has_measure or float(np.log2(n_values).sum()) > np.log2(max(len(x), 1)) + BITS_TO_SPARE


def _bytes_of(x: Tensor) -> npt.NDArray[np.uint8]:
    """[n, bytes of a sample]."""
    values = np.ascontiguousarray(x.detach().cpu().numpy()).reshape(len(x), -1)
    return values.view(np.uint8)


def _hashes(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """64 bits of each row: its words, mixed, times random odd numbers, summed modulo 2**64."""
    n_words = -(-rows.shape[1] // 8)
    factors = np.random.default_rng(_SEED).integers(0, 2**63, n_words, dtype=np.uint64) * 2 + 1
    block = max(1, _BLOCK_BYTES // max(8 * n_words, 1))
    hashes = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), block):
        words = _words(rows[start : start + block], n_words)
        # Floats of few digits differ in their high bits only, which a product alone would leave high.
        words = words ^ (words >> np.uint64(29))
        words *= factors
        hashes[start : start + block] = words.sum(1, dtype=np.uint64)
    return hashes


def _words(rows: npt.NDArray[np.uint8], n_words: int) -> npt.NDArray[np.uint64]:
    """[n, n_words], zeros behind the end."""
    if rows.shape[1] < 8 * n_words:
        padded = np.zeros((len(rows), 8 * n_words), dtype=np.uint8)
        padded[:, : rows.shape[1]] = rows
        rows = padded
    return np.ascontiguousarray(rows).view(np.uint64)
