"""What a loop ran through its network: a sample of it, all labels in their order, and a mark of every input."""

import numpy as np
import torch
from torch import Tensor

from studies.readings import NAN
from tuner.training.datasets.moved_copies import are_rich, middle, moved_middles, reaches_of
from tuner.training.watching.marks import Array, Marks

MOST_SAMPLES = 2000
MOST_BYTES = 64 * 2**20
"""Of the samples kept: 80 images of 224 x 224 in three colors, all 2,000 of MNIST's."""
BLOCK = 32
"""Minibatches whose labels and marks become one tensor."""
_SEED = 20260101


class SampleLog:
    """Sees minibatches, of the first epoch or of an evaluation; evenly spaced samples are kept, 1,000 to 2,000.

    Args:
        keeps_middles: whether `moved_twins` will be asked for.
    """

    def __init__(self, *, keeps_middles: bool = True) -> None:
        self.n_seen = 0
        self.sizes: list[int] = []
        self._stride = 1
        self._x: list[Tensor] = []
        self._y: list[Tensor] = []
        self._n_kept = 0
        self._labels: list[Tensor] = []
        self._marks = Marks()
        self._middles = Marks()
        """Of what is left of a sample where it may have been moved."""
        self._keeps_middles = keeps_middles
        self._can_keep = True

    def add(self, inputs: Tensor | None, targets: Tensor, labels: Tensor | None) -> None:
        """One minibatch. ``inputs`` is None where they are no tensor."""
        n = len(targets)
        if labels is not None:
            self._labels.append(labels)
            if len(self._labels) % BLOCK == 0:
                self._labels[-BLOCK:] = [torch.cat(self._labels[-BLOCK:])]
        if inputs is not None and self._x and inputs.shape[1:] != self._x[0].shape[1:]:
            self._let_go()  # sequences of many lengths
        if inputs is not None and self._can_keep:
            self._keep(inputs, targets if labels is None else labels)
            self._marks.add(inputs)
            if self._keeps_middles and (reaches := self._reaches(inputs)) is not None:
                self._middles.add(middle(inputs, reaches))
        self.sizes.append(n)
        self.n_seen += n

    def samples(self) -> tuple[Tensor, Tensor] | None:
        """The kept inputs and their targets; None where there are none."""
        return (torch.cat(self._x), torch.cat(self._y)) if self._x else None

    def labels(self) -> Array:
        """All labels in the order they came; empty where they are no class numbers."""
        return torch.cat(self._labels).cpu().numpy() if self._labels else np.empty(0, dtype=np.int64)

    def n_bad_samples(self) -> int:
        """Samples with a value that is not finite."""
        return int((~self._marks.tensor.isfinite()).any(1).sum())

    @property
    def is_whole(self) -> bool:
        """Whether `samples` are all that were seen."""
        return self._n_kept == self.n_seen

    @property
    def is_marked(self) -> bool:
        """Whether the places of twins are those of `labels`."""
        return len(self._marks.tensor) == self.n_seen

    def twins(self, inputs: Tensor) -> Array | None:
        """For each of ``inputs`` a place of the same sample here, else -1; None if not comparable."""
        return self._marks.places(inputs) if self._marks else None

    def twins_of(self, others: "SampleLog") -> Array | None:
        """As `twins`, of all that ``others`` have seen."""
        return self._marks.places_of(others.marks) if self._marks and others.marks else None

    @property
    def marks(self) -> Marks:
        """Of all samples whose inputs were seen."""
        return self._marks

    def moved_twins(self, inputs: Tensor) -> Array | None:
        """For each of ``inputs`` a place of the sample that it is after a move by a pixel or two, or a reflection.

        -1 where there is none, and where it is here as it is; None of samples without sides, or not comparable.
        """
        reaches = self._reaches(inputs)
        if not self._middles or reaches is None or not len(inputs):
            return None
        same, *moved = (self._middles.places(part) for part in moved_middles(inputs, reaches))
        if same is None:
            return None
        found = np.max(np.stack([places for places in moved if places is not None]), axis=0)
        is_moved = (same < 0) & are_rich(middle(inputs, reaches))
        twins: Array = np.where(is_moved, found, -1)
        return twins

    def _reaches(self, inputs: Tensor) -> tuple[int, int] | None:
        """How far samples may be moved; None of those that have no sides, or another shape than what was seen."""
        is_alike = not self._x or inputs.shape[1:] == self._x[0].shape[1:]
        return reaches_of(inputs) if is_alike else None

    def _let_go(self) -> None:
        self._can_keep, self._x, self._y = False, [], []
        self._marks, self._middles = Marks(), Marks()

    def _keep(self, inputs: Tensor, targets: Tensor) -> None:
        """Every so many-th sample; twice as few from the moment when they are too many."""
        first = -self.n_seen % self._stride
        if first >= len(targets):
            return
        x, y = (part.detach()[first :: self._stride].clone() for part in (inputs, targets))
        self._x.append(x)
        self._y.append(y)
        self._n_kept += len(x)
        most = min(MOST_SAMPLES, max(MOST_BYTES // max(x[0].numel() * x.element_size(), 1), 1))
        while self._n_kept > most:
            every_other = [torch.cat(parts)[::2].clone() for parts in (self._x, self._y)]
            self._x, self._y = [every_other[0]], [every_other[1]]
            self._n_kept, self._stride = len(self._x[0]), self._stride * 2


def label_mixing(labels: Array, sizes: list[int]) -> float:
    """Entropy of the labels within minibatches over that of the same labels shuffled, a mean over the minibatches.

    NaN for one class, for minibatches of one sample, and where the labels are not known.
    """
    if len(labels) != sum(sizes) or not len(labels):
        return NAN
    classes, numbers = np.unique(labels, return_inverse=True)
    batches = np.repeat(np.arange(len(sizes)), sizes)
    shuffled = np.random.default_rng(_SEED).permutation(numbers)
    expected = _mean_entropy(shuffled, batches, len(classes))
    return _mean_entropy(numbers, batches, len(classes)) / expected if expected > 0 else NAN


def _mean_entropy(labels: Array, batches: Array, n_classes: int) -> float:
    counts = np.bincount(batches * n_classes + labels, minlength=(batches[-1] + 1) * n_classes)
    shares = counts.reshape(-1, n_classes) / np.bincount(batches)[:, None]
    entropies = -(shares * np.log(shares, out=np.zeros_like(shares), where=shares > 0)).sum(1)
    return float(entropies.mean())
