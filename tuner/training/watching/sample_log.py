"""What a loop trained on in its first epoch: a sample of it, all labels in their order, and a mark of every input."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from studies.readings import NAN

MOST_SAMPLES = 2000
MOST_BYTES = 64 * 2**20
"""Of the samples kept: 80 images of 224 x 224 in three colors, all 2,000 of MNIST's."""
N_MARKS = 3
GRID = 1e-4
"""Of the marks' deviation, within which two marks are one: a hundred times the rounding of float32, and by chance three
marks agree for one pair in 10^12."""
BLOCK = 32
"""Minibatches whose labels and marks become one tensor."""
_SEED = 20260101

Array = npt.NDArray[np.int64]


class SampleLog:
    """Sees the minibatches of the first epoch; evenly spaced samples of it are kept, about 1,000 to 2,000."""

    def __init__(self) -> None:
        self.n_seen = 0
        self.sizes: list[int] = []
        self._stride = 1
        self._x: list[Tensor] = []
        self._y: list[Tensor] = []
        self._n_kept = 0
        self._labels: list[Tensor] = []
        self._marks: list[Tensor] = []
        self._marker: Tensor | None = None
        self._can_keep = True

    def add(self, inputs: Tensor | None, targets: Tensor, labels: Tensor | None) -> None:
        """One minibatch. ``inputs`` is None where they are no tensor."""
        n = len(targets)
        if labels is not None:
            self._labels.append(labels)
            if len(self._labels) % BLOCK == 0:
                self._labels[-BLOCK:] = [torch.cat(self._labels[-BLOCK:])]
        if inputs is not None and self._can_keep:
            self._keep(inputs, targets if labels is None else labels)
            self._marks.append(self._marks_of(inputs))
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
        return int((~torch.cat(self._marks).isfinite()).any(1).sum()) if self._marks else 0

    @property
    def is_whole(self) -> bool:
        """Whether `samples` are all that were seen."""
        return self._n_kept == self.n_seen

    def overlap_fraction(self, inputs: Tensor) -> float:
        """Share of ``inputs`` that were trained on, all of the epoch's samples considered; NaN if not comparable."""
        copied = self.copied(inputs)
        return NAN if copied is None else float(copied.mean())

    def copied(self, inputs: Tensor) -> npt.NDArray[np.bool_] | None:
        """Which of ``inputs`` were trained on, [n]; None if not comparable."""
        marker = self._marker
        if marker is None or inputs[0].numel() != marker.shape[1]:
            return None
        seen = torch.cat(self._marks).double().cpu().numpy()
        unit = GRID * np.nanstd(np.where(np.isfinite(seen), seen, np.nan), axis=0)
        if not np.all(unit > 0):
            return None
        asked = self._marks_of(inputs.to(marker.device)).double().cpu().numpy()
        return np.isin(_numbers(asked / unit), _numbers(seen / unit))

    def _marks_of(self, inputs: Tensor) -> Tensor:
        """[n, N_MARKS]: products with fixed random vectors. Not finite where the input is not."""
        rows = inputs.detach().flatten(1) if inputs.ndim > 1 else inputs.detach()[:, None]
        if self._marker is None:
            generator = torch.Generator().manual_seed(_SEED)
            self._marker = torch.randn(N_MARKS, rows.shape[1], generator=generator).to(rows.device)
        return functional.linear(rows.float(), self._marker)

    def _keep(self, inputs: Tensor, targets: Tensor) -> None:
        """Every so many-th sample; twice as few from the moment when they are too many."""
        first = -self.n_seen % self._stride
        if first >= len(targets):
            return
        x, y = (part.detach()[first :: self._stride].clone() for part in (inputs, targets))
        if self._x and x.shape[1:] != self._x[0].shape[1:]:  # sequences of many lengths
            self._can_keep, self._x, self._y, self._marks, self._marker = False, [], [], [], None
            self._marks.append(torch.empty(0, N_MARKS))
            return
        self._x.append(x)
        self._y.append(y)
        self._n_kept += len(x)
        most = min(MOST_SAMPLES, max(MOST_BYTES // max(x[0].numel() * x.element_size(), 1), 1))
        while self._n_kept > most:
            every_other = [torch.cat(parts)[::2].clone() for parts in (self._x, self._y)]
            self._x, self._y = [every_other[0]], [every_other[1]]
            self._n_kept, self._stride = len(self._x[0]), self._stride * 2


def _numbers(places: npt.NDArray[np.float64]) -> Array:
    """One number for each row of grid places."""
    grid = np.nan_to_num(np.round(places), nan=0.0, posinf=0.0, neginf=0.0).astype(np.int64)
    factors = np.array([1, 0x9E3779B97F4A7C15 >> 2, 0x2545F4914F6CDD1D >> 1], dtype=np.int64)
    with np.errstate(over="ignore"):
        numbers: Array = (grid * factors).sum(1)
    return numbers


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
