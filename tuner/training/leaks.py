"""Whether a handful of an input's features give the class away, as a label written into a corner of an image does.

No image of a digit is told by one pixel. Where one feature, or ten, tell nearly all the classes of samples that were
held out, the answer stands in the question. Features are cut into bins, half of the samples say which class each bin
has, and the other half is told by it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studies.readings import NAN

TELLING = 0.95
"""Accuracy from which the search for a leak ends."""
EASY = 0.85
"""Accuracy of ten middling features from which the data are easy: the ten best then tell no more than is honest."""
N_BINS = 64
"""Of a feature's values, each with as many samples. Those that two classes share cost ten classes 4 % of accuracy."""
N_HANDFUL = 10
"""Features that may tell the class together, as one-hot labels of ten classes do."""
FEWEST_FEATURES = 50
"""With fewer, ten of them are most of the input, and no handful."""
FEWEST_SAMPLES = 8
"""Of a class, to fit and to score: classes with fewer are left out."""
LEAST_ENTROPY = 0.05
"""Nats of a feature; one with less is nearly constant, and agrees with some class by chance."""
BLOCK_CELLS = 1 << 24
"""Cells of features by bins by classes that are counted at a time: 64 MiB of shares."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """How well so many features tell the class."""

    accuracy: float = NAN
    """Mean over the classes of the share told right, so that a frequent class counts no more than a rare one."""
    n_features: int = 0


def find_leak(x: Tensor, y: Tensor) -> Leak:
    """The fewest features, 1 or 10, that tell the class of held-out samples.

    ``x`` is [n, n_features] and finite, ``y`` [n], classes by any number. The mean of a sample is a feature, too. Where
    neither tells, or any ten would, the accuracy is that of the best single feature; NaN where fewer than two classes
    have samples enough.
    """
    _, y, n_of_class = torch.unique(y, return_inverse=True, return_counts=True)
    is_known = n_of_class >= FEWEST_SAMPLES
    if int(is_known.sum()) < 2:
        return Leak()
    order = y.argsort(stable=True)  # so that the samples of a class take turns to fit and to score
    order = order[is_known[y[order]]]
    labels = (is_known.cumsum(0) - 1)[y]
    features = torch.cat([x, x.mean(1, keepdim=True)], 1)
    fit, score = (_Half.of(features, labels, order[start::2]) for start in (0, 1))
    n_together = max(1, BLOCK_CELLS // (N_BINS * fit.n_classes))
    starts = range(0, features.shape[1], n_together)
    blocks = [_look_at(fit.block(start, n_together), score.block(start, n_together)) for start in starts]
    best = Leak(accuracy=max(block.best_accuracy for block in blocks), n_features=1)
    if best.accuracy >= TELLING or x.shape[1] < FEWEST_FEATURES:
        return best
    if _told_together(_Ranked.middle([block.ordinary for block in blocks]), fit, score) >= EASY:
        return best
    for handful in (
        _Ranked.best([block.informative for block in blocks]),
        _Ranked.best([block.pure for block in blocks]),
    ):
        together = _told_together(handful, fit, score)
        if together >= TELLING:
            return Leak(accuracy=together, n_features=N_HANDFUL)
    return best


@dataclass(frozen=True, kw_only=True)
class _Half:
    """The samples that fit, or those that score; features come first."""

    values: Tensor
    """[n_features, n]."""
    labels: Tensor
    """int64 [n]."""
    n_of_class: Tensor
    """[n_classes], none of them 0."""

    @staticmethod
    def of(features: Tensor, labels: Tensor, samples: Tensor) -> "_Half":
        labels = labels[samples]
        values = features.index_select(0, samples).T.contiguous()
        return _Half(values=values, labels=labels, n_of_class=torch.bincount(labels))

    @property
    def n_classes(self) -> int:
        return len(self.n_of_class)

    def block(self, start: int, n: int) -> "_Half":
        return dataclasses.replace(self, values=self.values[start : start + n])

    def accuracy(self, predicted: Tensor) -> Tensor:
        """Of predictions [..., n]: the mean over the classes of the share told right."""
        weights = self.n_of_class.float().reciprocal()[self.labels] / self.n_classes
        return ((predicted == self.labels).float() @ weights).clamp(max=1.0)  # rounding may be beyond


@dataclass(frozen=True, kw_only=True)
class _Ranked:
    """Features, and how high they rank for a handful."""

    ranks: Tensor
    shares: Tensor
    """[n_features, n_bins, n_classes]: of the samples of a class that fit, those in a bin."""
    bins: Tensor
    """int64 [n_features, n]: of the samples that score."""

    @staticmethod
    def best(parts: "Sequence[_Ranked]") -> "_Ranked":
        """The highest of all ``parts``: a handful."""
        return _Ranked.joined(parts).handful(0)

    @staticmethod
    def middle(parts: "Sequence[_Ranked]") -> "_Ranked":
        """Those in the middle of all ``parts``: a handful."""
        joined = _Ranked.joined(parts)
        return joined.handful(max(len(joined.ranks) - N_HANDFUL, 0) // 2)

    @staticmethod
    def joined(parts: "Sequence[_Ranked]") -> "_Ranked":
        return _Ranked(
            ranks=torch.cat([part.ranks for part in parts]),
            shares=torch.cat([part.shares for part in parts]),
            bins=torch.cat([part.bins for part in parts]),
        )

    def handful(self, start: int) -> "_Ranked":
        """From place ``start`` of the ranks on, the highest first."""
        chosen = self.ranks.argsort(descending=True)[start : start + N_HANDFUL]
        return _Ranked(ranks=self.ranks[chosen], shares=self.shares[chosen], bins=self.bins[chosen])


@dataclass(frozen=True, kw_only=True)
class _Block:
    """What some neighboring features say of the class."""

    best_accuracy: float
    """Of one of them alone."""
    informative: _Ranked
    """Those of the highest mutual information with the class."""
    pure: _Ranked
    """Those of which the class decides most: of each bit of theirs, the most is information of the class."""
    ordinary: _Ranked
    """Those of which the class decides a middling part: a label that was written in decides more."""


def _look_at(fit: _Half, score: _Half) -> _Block:
    edges = _edges(fit.values)
    shares = _shares(torch.searchsorted(edges, fit.values, right=True), fit)
    bins = torch.searchsorted(edges, score.values, right=True)
    predicted = shares.argmax(2).gather(1, bins)
    # With classes of equal weight: all these are of the shares within a class.
    entropy = _entropy(shares.mean(2))
    information = entropy - _entropy(shares).mean(1)
    purity = (information / entropy).where(entropy >= LEAST_ENTROPY, torch.zeros(()))
    by_purity = _Ranked(ranks=purity, shares=shares, bins=bins)
    return _Block(
        best_accuracy=float(score.accuracy(predicted).max()),
        informative=_Ranked.best([dataclasses.replace(by_purity, ranks=information)]),
        pure=_Ranked.best([by_purity]),
        ordinary=_Ranked.middle([by_purity]),
    )


def _edges(values: Tensor) -> Tensor:
    """The lowest value of each bin but the first, [n_features, n_bins - 1]; a bin for each value where they are few."""
    # NumPy sorts small floats several times as fast as torch.
    ordered = torch.from_numpy(np.sort(values.numpy(), axis=1))
    n = ordered.shape[1]
    edges = ordered[:, [place * n // N_BINS for place in range(1, N_BINS)]]
    ranks = torch.zeros(ordered.shape, dtype=torch.int64)
    ranks[:, 1:] = (ordered[:, 1:] > ordered[:, :-1]).cumsum(1)
    are_few = ranks[:, -1] < N_BINS
    of_rank = torch.full((int(are_few.sum()), N_BINS), torch.inf)
    of_rank.scatter_(1, ranks[are_few], ordered[are_few])
    edges[are_few] = of_rank[:, 1:]
    return edges.contiguous()


def _shares(bins: Tensor, fit: _Half) -> Tensor:
    """[n_features, n_bins, n_classes]: of the samples of a class that fit, those in a bin."""
    n_features = len(bins)
    cells = (torch.arange(n_features)[:, None] * N_BINS + bins) * fit.n_classes + fit.labels
    counts = torch.bincount(cells.flatten(), minlength=n_features * N_BINS * fit.n_classes)
    return counts.view(n_features, N_BINS, fit.n_classes) / fit.n_of_class


def _told_together(handful: _Ranked, fit: _Half, score: _Half) -> float:
    """The accuracy of naive Bayes on a handful of features."""
    # As if one more sample of each class were spread over all bins.
    smoothed = (handful.shares * fit.n_of_class + 1 / N_BINS) / (fit.n_of_class + 1)
    chosen = handful.bins[:, :, None].expand(-1, -1, fit.n_classes)
    evidence = smoothed.log().gather(1, chosen).sum(0)
    return float(score.accuracy(evidence.argmax(1)))


def _entropy(shares: Tensor) -> Tensor:
    """Over the bins, [n_features, n_bins, ...] to [n_features, ...], in nats."""
    return -torch.xlogy(shares, shares).sum(1)
