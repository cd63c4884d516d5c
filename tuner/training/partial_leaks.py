"""Whether a feature gives away the class of a part of the samples: by a few exact values, or by a tight clump for each.

What is measured hardly takes the same value twice; where it does and the value tells the class, as of records that
somebody filled in from the label, the rest of the samples keeps the feature's accuracy low. Filled in with a little
noise, no value comes twice; but those of a class lie together, far from those of the next.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from studies.readings import NAN
from tuner.training.leaks import accuracy_without

MANY_VALUES = 64
"""Different values of a feature, above which it is measured: of one with fewer, values that tell may be honest."""
REPEATED = 0.02
"""Of the samples have the same value: far more than of anything measured, one class of ten with a fifth of it told."""
FEWEST_REPEATS = 8
PURE = 0.99
"""Share of the samples with such a value that are of one class."""
TOLD = 0.2
"""Of the samples of each class but one: fewer, and the leak decides little."""
CLUMP = 0.4
"""Of the samples of a class, as many as lie closest together: their middle and width are those of its clump."""
FAR = 6.0
"""Widths of a clump from each one to the next: Gaussians are so 6.3 deviations apart, all neighbors of them. At most
3.2 in any honest feature of benchmarks/diagnosis/transfer, 20 and more where the label was written in with noise."""
FAR_FEW_CLASSES = 10.0
"""The same of two to four classes, of which two far apart are no rarity: 10.5 deviations."""
FEW_CLASSES = 4
FEWEST_FEATURES = 4
"""With fewer, one is no exception."""
CLUMP_PURE = 0.8
"""Share of the held-out samples in a clump that are of its class; the rest are those that nobody filled in. One clump
of three or more may have less: it may lie where the feature is empty."""
ALL_TOLD = 0.95
"""Accuracy of ten of the other features from which the data themselves are clumps, as blobs of little spread are."""
N_LOOKED_AT = 5
"""Of the features with clumps, the farthest apart."""
MOST_CLUMPED = 0.05
"""Of the features, or one: more, and it is what the data are."""


@dataclass(frozen=True, kw_only=True)
class PartialLeak:
    """What the exact values of one feature tell."""

    accuracy: float = NAN
    """On the held-out samples that have one of these values; NaN where there is no such feature."""
    share: float = NAN
    """Of the held-out samples."""
    feature: int = -1


def find_partial_leak(x: Tensor, y: Tensor) -> PartialLeak:
    """The feature whose repeated values, else whose clumps, tell most held-out samples.

    ``x`` is [n, n_features] and finite, ``y`` [n], classes by any number.
    """
    order = y.argsort(stable=True).numpy()  # so that the samples of a class take turns to fit and to score
    rows, labels = x.numpy()[order], np.unique(y.numpy()[order], return_inverse=True)[1]
    n_classes = int(labels[-1]) + 1 if len(labels) else 0
    if n_classes < 2:
        return PartialLeak()
    repeating = _repeating(rows[::2], n_classes)
    found = _most(_told(rows[:, feature], int(feature), labels, n_classes) for feature in repeating)
    return found if found.share > 0.0 else _clumped(rows, labels, n_classes)


def _most(found: Iterable[PartialLeak]) -> PartialLeak:
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


def _told(
    values: npt.NDArray[np.float32], feature: int, labels: npt.NDArray[np.int64], n_classes: int
) -> PartialLeak:
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
    return PartialLeak(accuracy=float(is_right[is_told].mean()), share=float(is_told.mean()), feature=feature)


def _n_least(n: int) -> int:
    """Samples of ``n`` with the same value that make it a repeated one."""
    return max(FEWEST_REPEATS, round(REPEATED * n))


# -- clumps --


@dataclass(frozen=True, kw_only=True)
class _Clumps:
    """Where a class lies closest together, of some features: [n_features, n_classes]."""

    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

    @property
    def separation(self) -> npt.NDArray[np.float64]:
        """Distance of neighboring middles over the wider one's width, the least of each feature."""
        middle, width = (self.low + self.high) / 2, self.high - self.low
        order = np.argsort(middle, axis=1)
        middle, width = (np.take_along_axis(of_class, order, axis=1) for of_class in (middle, width))
        distance = np.diff(middle, axis=1)
        wider = np.maximum(width[:, 1:], width[:, :-1])
        # Clumps of one value each are as far apart as can be, unless it is the same value.
        ratio = np.divide(distance, wider, out=np.where(distance > 0, np.inf, 0.0), where=wider > 0)
        least: npt.NDArray[np.float64] = ratio.min(axis=1)
        return least


def _clumped(rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], n_classes: int) -> PartialLeak:
    """The feature in which every class has a clump of its own, far from all others, where few features have that."""
    fewest = np.bincount(labels[::2], minlength=n_classes).min()
    if rows.shape[1] < FEWEST_FEATURES or fewest < FEWEST_REPEATS:
        return PartialLeak()
    clumps = _clumps_of(rows[::2], labels[::2], n_classes)
    separation = clumps.separation
    far = FAR_FEW_CLASSES if n_classes <= FEW_CLASSES else FAR
    clumped = np.flatnonzero(separation >= far)
    found = _most(
        _told_by_clumps(rows[1::2, feature], clumps, int(feature), labels[1::2])
        for feature in clumped[np.argsort(-separation[clumped])][:N_LOOKED_AT]
        if len(np.unique(rows[:, feature])) > MANY_VALUES
    )
    is_what_data_are = len(clumped) > max(1, MOST_CLUMPED * rows.shape[1])
    if not found.share > 0.0 or is_what_data_are:
        return PartialLeak()
    others = accuracy_without(torch.from_numpy(rows), torch.from_numpy(labels), clumped.tolist())
    return PartialLeak() if others >= ALL_TOLD else found


def _clumps_of(rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], n_classes: int) -> _Clumps:
    low, high = (np.empty((rows.shape[1], n_classes)) for _ in range(2))
    for label in range(n_classes):
        ordered = np.sort(rows[labels == label], axis=0)
        n_together = math.ceil(CLUMP * len(ordered))
        widths = ordered[n_together - 1 :] - ordered[: len(ordered) - n_together + 1]
        first = widths.argmin(axis=0)[None]
        low[:, label] = np.take_along_axis(ordered, first, axis=0)[0]
        high[:, label] = np.take_along_axis(ordered, first + n_together - 1, axis=0)[0]
    return _Clumps(low=low, high=high)


def _told_by_clumps(
    values: npt.NDArray[np.float32], clumps: _Clumps, feature: int, labels: npt.NDArray[np.int64]
) -> PartialLeak:
    """Of held-out samples: those in a clump, or half of its width beside it."""
    low, high = clumps.low[feature], clumps.high[feature]
    beside = (high - low) / 2
    is_in = (values[:, None] >= low - beside) & (values[:, None] <= high + beside)
    said = is_in.argmax(axis=1)
    counts = np.zeros((len(low), len(low)), dtype=np.int64)  # by clump and class
    np.add.at(counts, (said[is_in.any(axis=1)], labels[is_in.any(axis=1)]), 1)
    purity = counts.diagonal() / counts.sum(axis=1).clip(1)
    is_pure = purity >= CLUMP_PURE
    told = counts[is_pure]
    share_of_class = counts.diagonal() / np.bincount(labels, minlength=len(low)).clip(1)
    n_most = 1 if len(low) > 2 else 0
    if (~is_pure).sum() > n_most or share_of_class[is_pure].min() < TOLD:
        return PartialLeak()
    accuracy = float(counts.diagonal()[is_pure].sum() / told.sum())
    return PartialLeak(accuracy=accuracy, share=float(told.sum() / len(labels)), feature=feature)
