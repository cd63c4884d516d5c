"""Marks of samples, by which the same ones are found again: products with fixed random vectors.

A loop's minibatches come and go; three numbers of each sample stay.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

N_MARKS = 3
GRID = 1e-4
"""Of the marks' deviation, within which two marks are one: a hundred times the rounding of float32, and by chance three
marks agree for one pair in 10^12."""
_SEED = 20260101

Array = npt.NDArray[np.int64]


class Marks:
    """The marks of samples of one shape, in the order in which they came."""

    def __init__(self) -> None:
        self._marks: list[Tensor] = []
        self._marker: Tensor | None = None
        self._unit: npt.NDArray[np.float64] | None = None
        self._known: Array = np.empty(0, dtype=np.int64)
        self._order: Array = np.empty(0, dtype=np.int64)

    def __bool__(self) -> bool:
        return bool(self._marks)

    @property
    def n_features(self) -> int | None:
        """Of a sample; None before the first."""
        return None if self._marker is None else self._marker.shape[1]

    @property
    def tensor(self) -> Tensor:
        """[n, N_MARKS]; not finite where the sample is not."""
        return torch.cat(self._marks) if self._marks else torch.empty(0, N_MARKS)

    def add(self, inputs: Tensor) -> None:
        """Of a minibatch."""
        self._marks.append(self.of(inputs))
        self._unit = None

    def of(self, inputs: Tensor) -> Tensor:
        """[n, N_MARKS], of samples that need not be among these."""
        rows = inputs.detach().flatten(1) if inputs.ndim > 1 else inputs.detach()[:, None]
        if self._marker is None:
            generator = torch.Generator().manual_seed(_SEED)
            self._marker = torch.randn(N_MARKS, rows.shape[1], generator=generator).to(rows.device)
        with torch.autocast(rows.device.type, enabled=False):  # in half precision all samples would be alike
            return functional.linear(rows.float(), self._marker)

    def places(self, inputs: Tensor) -> Array | None:
        """For each of ``inputs`` the place of the same sample among these, else -1; None if not comparable."""
        if self._marker is None or inputs[0].numel() != self._marker.shape[1]:
            return None
        return self._places(self.of(inputs.to(self._marker.device)))

    def places_of(self, others: "Marks") -> Array | None:
        """As `places`, of samples that are known by their marks alone."""
        is_comparable = self.n_features is not None and self.n_features == others.n_features
        return self._places(others.tensor) if is_comparable else None

    def _places(self, marks: Tensor) -> Array | None:
        if self._unit is None:
            self._sort()
        if self._unit is None or not np.all(self._unit > 0):
            return None
        asked = _numbers(marks.double().cpu().numpy() / self._unit)
        nearest = np.searchsorted(self._known, asked).clip(max=len(self._known) - 1)
        places: Array = np.where(self._known[nearest] == asked, self._order[nearest], -1)
        return places

    def _sort(self) -> None:
        seen = self.tensor.double().cpu().numpy()
        self._unit = GRID * np.nanstd(np.where(np.isfinite(seen), seen, np.nan), axis=0)
        if np.all(self._unit > 0):
            numbers = _numbers(seen / self._unit)
            self._order = numbers.argsort(kind="stable")
            self._known = numbers[self._order]


def _numbers(places: npt.NDArray[np.float64]) -> Array:
    """One number for each row of grid places."""
    grid = np.nan_to_num(np.round(places), nan=0.0, posinf=0.0, neginf=0.0).astype(np.int64)
    factors = np.array([1, 0x9E3779B97F4A7C15 >> 2, 0x2545F4914F6CDD1D >> 1], dtype=np.int64)
    with np.errstate(over="ignore"):
        numbers: Array = (grid * factors).sum(1)
    return numbers
