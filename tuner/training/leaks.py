"""Whether a handful of an input's features give the class away, as a label written into a corner of an image does.

No image of a digit is told by one pixel. Where one feature, or one for each class, tells nearly all the classes of
samples that were held out, the answer stands in the question: unless the data are so easy that others tell it as well.
Features are cut into bins, half of the samples say which class each bin has, and the other half is told by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studies.readings import NAN

TELLING = 0.9
"""Accuracy from which a few features tell the class. A label under a little noise, of which a perfect reader gets 0.96,
tells 0.92."""
EASY = 0.8
"""Accuracy of ten ordinary features from which the data are easy, and the best features no leak for being good: 0.96
and more of Gaussian blobs (3 to 10 classes, 10 to 1,000 features); of ten classes at most 0.65 of digits, 0.3 of MNIST,
both with a label in a pixel or a patch."""
N_ORDINARY = 10
"""Features that are drawn to see whether the data are easy."""
LARGEST_PATCH = 0.05
"""Of the features, or ten: more that tell are no corner that somebody wrote into, but what the data are."""
N_DRAWS = 5
"""Of ordinary features; their median counts."""
GAP = 0.6
"""Of the way from the median feature to the best: the widest stretch without a feature. A label under noise in digits
and MNIST leaves 0.85 and more; where honest features are good, bad and all between, 0.6 is rare."""
PURE = 0.9
"""Share of what a feature says that is the class: from here on it is the class under another name, and no
measurement. What is measured fills all bins: even if it tells ten classes, these are ln(10) / ln(64) = 0.55 of it."""
RIVALRY = 0.3
"""Error of a class's own feature over that of the next best, median over the classes: at most 0.1 where labels were
written into digits and MNIST, one pixel each; 0.77 and more of Gaussian blobs of 60 features and more."""
LEAST_ERROR = 0.01
"""Added to both, so that a few samples are no ratio."""
N_BINS = 64
"""Of a feature's values, each with as many samples. Those that two classes share cost ten classes 4 % of accuracy."""
FEW_FEATURES = 10
"""With fewer, nothing is ordinary: only a pure feature can be a leak."""
FEWEST_FEATURES = 50
"""With fewer, one for each class are most of the input: only pure ones can be a leak, and half of them at most."""
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
    features: tuple[int, ...] = ()
    """All that tell it, of the flattened input, copies of each other too; empty where it is the mean of the sample."""


def find_leak(x: Tensor, y: Tensor) -> Leak:
    """The fewest features, 1 or one for each class, that tell the class of held-out samples and have no business to.

    ``x`` is [n, n_features] and finite, ``y`` [n], classes by any number. The mean of a sample is a feature, too. Where
    none tells, the accuracy is that of the best single feature. NaN where fewer than two classes have samples enough,
    and where the data are so easy that no leak can be told from an honest feature.
    """
    data = _Data.of(x, y)
    if data is None:
        return Leak()
    brightness = data.of_features(data.x.mean(1, keepdim=True)).told()
    told = data.told()
    best = max(float(told.alone.max()), float(brightness.alone.max()))
    if best >= TELLING and _stands_out(told, data):
        return Leak(accuracy=best, n_features=1, features=_telling(told, data))
    if best >= TELLING and _is_brightness(told, brightness, data):
        return Leak(accuracy=best, n_features=1)
    together = _told_by_one_each(told, data)
    if together.accuracy >= TELLING:
        return together
    return Leak(accuracy=best, n_features=1) if best < TELLING else Leak()


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What each feature tells of the class."""

    alone: Tensor
    """Accuracy by this feature, [n_features]."""
    of_class: Tensor
    """The same of a class against all others, [n_features, n_classes]; 0.5 is chance."""
    purity: Tensor
    """Share of its entropy that is information of the class, [n_features]."""

    @staticmethod
    def joined(parts: "Sequence[_Told]") -> "_Told":
        return _Told(
            alone=torch.cat([part.alone for part in parts]),
            of_class=torch.cat([part.of_class for part in parts]),
            purity=torch.cat([part.purity for part in parts]),
        )

    @property
    def heights(self) -> Tensor:
        """Each feature's place on the way from the median feature, 0, to the best, 1."""
        median, best = self.alone.median(), self.alone.max()
        return (self.alone - median) / (best - median).clamp(min=1e-6)


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Samples in the order of their classes: every second one fits, the others score."""

    x: Tensor
    """[n, n_features]."""
    labels: Tensor
    """int64 [n], from 0."""

    @staticmethod
    def of(x: Tensor, y: Tensor) -> "_Data | None":
        """The samples of classes that have enough of them; None where these are fewer than two."""
        _, y, n_of_class = torch.unique(y, return_inverse=True, return_counts=True)
        is_known = n_of_class >= FEWEST_SAMPLES
        if int(is_known.sum()) < 2:
            return None
        order = y.argsort(stable=True)  # so that the samples of a class take turns to fit and to score
        order = order[is_known[y[order]]]
        return _Data(x=x[order], labels=(is_known.cumsum(0) - 1)[y[order]])

    def of_features(self, x: Tensor) -> "_Data":
        """The same samples with other features."""
        return _Data(x=x, labels=self.labels)

    @property
    def n_features(self) -> int:
        return self.x.shape[1]

    @property
    def n_classes(self) -> int:
        return int(self.labels[-1]) + 1

    def told(self) -> _Told:
        n_together = max(1, BLOCK_CELLS // (N_BINS * self.n_classes))
        return _Told.joined(
            [
                _told(self._binned(self.x[:, i : i + n_together]))
                for i in range(0, self.n_features, n_together)
            ]
        )

    def binned(self, features: Tensor) -> "_Binned":
        """Those of these numbers."""
        return self._binned(self.x[:, features])

    def _binned(self, x: Tensor) -> "_Binned":
        fit, score = x[::2].T.contiguous(), x[1::2].T.contiguous()
        edges = _edges(fit)
        return _Binned(
            fit=torch.searchsorted(edges, fit, right=True),
            score=torch.searchsorted(edges, score, right=True),
            fit_labels=self.labels[::2],
            score_labels=self.labels[1::2],
        )


@dataclass(frozen=True, kw_only=True)
class _Binned:
    """The bins of some features, [n_features, n], and the classes, [n], of the samples that fit or score."""

    fit: Tensor
    score: Tensor
    fit_labels: Tensor
    score_labels: Tensor

    def log_likelihoods(self) -> Tensor:
        """Of the classes in the bins of the samples that score, [n_features, n, n_classes]."""
        # As if one more sample of each class were spread over all bins.
        n_of_class = torch.bincount(self.fit_labels)
        smoothed = (_shares(self.fit, self.fit_labels) * n_of_class + 1 / N_BINS) / (n_of_class + 1)
        return smoothed.log().gather(1, self.score[:, :, None].expand(-1, -1, len(n_of_class)))

    def accuracy(self, evidence: Tensor) -> float:
        """Of telling by the most evidence, [n, n_classes]: the mean over the classes of the share told right."""
        n_of_class = torch.bincount(self.score_labels)
        is_right = evidence.argmax(1) == self.score_labels
        return float(
            (torch.bincount(self.score_labels[is_right], minlength=len(n_of_class)) / n_of_class).mean()
        )


def _stands_out(told: _Told, data: _Data) -> bool:
    """Whether a few features tell the class and are unlike the others: the class itself, or far above them."""
    n_most = _n_most(data)
    is_pure = (told.alone >= TELLING) & (told.purity >= PURE)
    if 0 < int(is_pure.sum()) <= min(n_most, data.n_features / 2):
        return True
    is_high = told.heights > 0.5
    if data.n_features < FEW_FEATURES or float(told.alone.max()) < TELLING or int(is_high.sum()) > n_most:
        return False
    upper = told.heights[told.heights >= 0].sort().values
    return float(upper.diff().max()) >= GAP and not _is_easy(data, without=is_high)


def _telling(told: _Told, data: _Data) -> tuple[int, ...]:
    """The features that stand out: those in the upper half if they are few, else those that tell the class alone."""
    is_telling = told.heights > 0.5
    if int(is_telling.sum()) > _n_most(data):
        is_telling = told.alone >= TELLING
    return tuple(is_telling.nonzero()[:, 0].tolist())


def _n_most(data: _Data) -> float:
    """Features that may tell and still be a leak."""
    return max(N_ORDINARY, LARGEST_PATCH * data.n_features)


def _is_brightness(told: _Told, brightness: _Told, data: _Data) -> bool:
    """Whether the class is told by the mean, or by any feature, and hardly where all samples have the same mean."""
    if data.n_features < FEW_FEATURES:
        return False
    # Features that tell alone may owe it to the brightness only where the others owe it the same.
    is_told = float(brightness.alone) >= TELLING or _is_easy(data, without=told.heights > 0.5)
    deviations = data.x - data.x.mean(1, keepdim=True)
    alike = deviations / deviations.square().mean(1, keepdim=True).sqrt().clamp(min=1e-12)
    return is_told and not _is_easy(
        data.of_features(alike), without=torch.zeros(data.n_features, dtype=torch.bool)
    )


def _told_by_one_each(told: _Told, data: _Data) -> Leak:
    """Every class told by a feature of its own that no other feature comes near: a pure one, or one of any kind."""
    pure = told.of_class.where((told.purity >= PURE)[:, None], torch.full((), 0.5))
    kinds = [(pure, True), (told.of_class, False)]
    if data.n_features < FEWEST_FEATURES:
        kinds = kinds[:1] if data.n_features >= max(FEW_FEATURES, 2 * data.n_classes) else []
    for of_class, may_be_easy in kinds:
        best = of_class.topk(2, dim=0)
        errors = 1.0 - best.values + LEAST_ERROR
        own = best.indices[0]
        n_own = len(torch.unique(own))
        # The last class may have none: it is where no other is.
        if n_own < data.n_classes - 1 or float((errors[0] / errors[1]).median()) > RIVALRY:
            continue
        leak = Leak(accuracy=_accuracy_of_own(own, data), n_features=n_own, features=tuple(set(own.tolist())))
        is_own = torch.zeros(data.n_features, dtype=torch.bool).index_fill(0, own, value=True)
        if leak.accuracy >= TELLING and (may_be_easy or not _is_easy(data, without=is_own)):
            return leak
    return Leak()


def _accuracy_of_own(own: Tensor, data: _Data) -> float:
    """Of asking for each class one feature, [n_classes]: how much likelier it is than the other classes."""
    binned = data.binned(own)
    likelihoods = binned.log_likelihoods()
    likeliness = likelihoods - _of_others(likelihoods.exp()).log()
    classes = torch.arange(data.n_classes)
    return binned.accuracy(likeliness[classes, :, classes].T)


def accuracy_without(x: Tensor, y: Tensor, features: Sequence[int]) -> float:
    """How well ten features drawn from all but these tell the class, as in `find_leak`; 1 where there are no others."""
    data = _Data.of(x, y)
    if data is None:
        return NAN
    without = torch.zeros(data.n_features, dtype=torch.bool)
    without[list(features)] = True
    return _accuracy_without(data, without)


def _is_easy(data: _Data, *, without: Tensor) -> bool:
    """Whether ten features drawn from all but some tell the class; so they do where there are none but those."""
    return _accuracy_without(data, without) >= EASY


def _accuracy_without(data: _Data, without: Tensor) -> float:
    others = (~without).nonzero()[:, 0]
    if not len(others):
        return 1.0
    generator = torch.Generator().manual_seed(0)
    accuracies = []
    for _ in range(N_DRAWS):
        drawn = data.binned(others[torch.randperm(len(others), generator=generator)[:N_ORDINARY]])
        accuracies.append(drawn.accuracy(drawn.log_likelihoods().sum(0)))  # naive Bayes
    return float(np.median(accuracies))


def _told(binned: _Binned) -> _Told:
    # With classes of equal weight: all these are of the shares within a class.
    fit = _shares(binned.fit, binned.fit_labels)
    score = _shares(binned.score, binned.score_labels)
    n_classes = fit.shape[2]
    right = score.gather(2, fit.argmax(2, keepdim=True)).sum((1, 2)) / n_classes
    is_said = (fit > _of_others(fit)).float()
    entropy = _entropy(fit.mean(2))
    information = entropy - _entropy(fit).mean(1)
    return _Told(
        alone=right.clamp(max=1.0),  # rounding may be beyond
        of_class=(0.5 + 0.5 * (is_said * (score - _of_others(score))).sum(1)).clamp(max=1.0),
        purity=(information / entropy).where(entropy >= LEAST_ENTROPY, torch.zeros(())),
    )


def _of_others(shares: Tensor) -> Tensor:
    """For each class the mean share of the other classes."""
    return (shares.sum(2, keepdim=True) - shares) / (shares.shape[2] - 1)


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


def _shares(bins: Tensor, labels: Tensor) -> Tensor:
    """[n_features, n_bins, n_classes]: of the samples of a class, those in a bin."""
    n_of_class = torch.bincount(labels)
    n_features, n_classes = len(bins), len(n_of_class)
    cells = (torch.arange(n_features)[:, None] * N_BINS + bins) * n_classes + labels
    counts = torch.bincount(cells.flatten(), minlength=n_features * N_BINS * n_classes)
    return counts.view(n_features, N_BINS, n_classes) / n_of_class


def _entropy(shares: Tensor) -> Tensor:
    """Over the bins, [n_features, n_bins, ...] to [n_features, ...], in nats."""
    return -torch.xlogy(shares, shares).sum(1)
