"""Whether a feature gives away the class of a part of the samples: those in which it has one of a few exact values.

What is measured hardly takes the same value twice; where it does and the value tells the class, as of records that
somebody filled in from the label, the rest of the samples keeps the feature's accuracy low.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from studies.readings import NAN

MANY_VALUES = 64
"""Different values of a feature, above which it is measured: of one with fewer, values that tell may be honest."""
REPEATED = 0.02
"""Of the samples have the same value: far more than of anything measured, one class of ten with a fifth of it told."""
FEWEST_REPEATS = 8
PURE = 0.99
"""Share of the samples with such a value that are of one class."""
TOLD = 0.2
"""Of the samples of each class but one: fewer, and the leak decides little."""


@dataclass(frozen=True, kw_only=True)
class PartialLeak:
    """What the exact values of one feature tell."""

    accuracy: float = NAN
    """On the held-out samples that have one of these values; NaN where there is no such feature."""
    share: float = NAN
    """Of the held-out samples."""


def find_partial_leak(x: Tensor, y: Tensor) -> PartialLeak:
    """The feature whose repeated values tell most held-out samples. ``x`` is [n, n_features] and finite, ``y`` [n]."""
    order = y.argsort(stable=True).numpy()  # so that the samples of a class take turns to fit and to score
    rows, labels = x.numpy()[order], np.unique(y.numpy()[order], return_inverse=True)[1]
    n_classes = int(labels[-1]) + 1 if len(labels) else 0
    if n_classes < 2:
        return PartialLeak()
    found = (_told(rows[:, feature], labels, n_classes) for feature in _repeating(rows[::2], n_classes))
    return max(found, key=lambda leak: np.nan_to_num(leak.share), default=PartialLeak())


def _repeating(rows: npt.NDArray[np.float32], n_classes: int) -> npt.NDArray[np.int64]:
    """The features with many values of which some are repeated often enough, one for each class but one."""
    n_least = _n_least(len(rows))
    if len(rows) <= max(MANY_VALUES, n_least):
        return np.empty(0, dtype=np.int64)
    ordered = np.sort(rows, axis=0)
    is_new = np.diff(ordered, axis=0) != 0
    # The last of a run that is just long enough, or longer; a run counts once: where it began so many before.
    is_run = ordered[n_least - 1 :] == ordered[: len(ordered) - n_least + 1]
    n_runs = is_run[0] + (is_run[1:] & ~is_run[:-1]).sum(0)
    has_enough = (is_new.sum(0) + 1 > MANY_VALUES) & (n_runs >= n_classes - 1)
    return np.flatnonzero(has_enough)


def _told(values: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], n_classes: int) -> PartialLeak:
    known, places = np.unique(values[::2], return_inverse=True)
    counts = np.zeros((len(known), n_classes))
    np.add.at(counts, (places, labels[::2]), 1)
    total = counts.sum(1)
    tells = (total >= _n_least(len(places))) & (counts.max(1) >= PURE * total)
    at = np.searchsorted(known, values[1::2]).clip(max=len(known) - 1)
    is_told = (known[at] == values[1::2]) & tells[at]
    truth = labels[1::2]
    of_class = np.bincount(truth[is_told], minlength=n_classes) / np.bincount(
        truth, minlength=n_classes
    ).clip(1)
    if not np.sort(of_class)[1] >= TOLD:
        return PartialLeak()
    is_right = counts[at].argmax(1) == truth
    return PartialLeak(accuracy=float(is_right[is_told].mean()), share=float(is_told.mean()))


def _n_least(n: int) -> int:
    """Samples of ``n`` with the same value that make it a repeated one."""
    return max(FEWEST_REPEATS, round(REPEATED * n))
