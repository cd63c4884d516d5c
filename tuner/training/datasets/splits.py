"""Train, validation and test parts of a data set, on the device that trains.

The test part is the data set's own; no split ever touches it.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from search_spaces.errors import DataError
from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset, Kind
from tuner.training.datasets.input_scaling import ChannelStatistics, channel_statistics
from tuner.training.devices import resolve_device

Split = Literal["stratified", "last"]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The parts of one data set. Shapes and types as in `Dataset`."""

    name: str
    kind: Kind
    n_outputs: int
    train_x: Tensor
    train_y: Tensor
    validation_x: Tensor
    validation_y: Tensor
    test_x: Tensor | None
    test_y: Tensor | None
    split: str
    """stratified, last, or random (what stratified means for regression)."""
    fraction: float
    seed: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.train_x.shape[1:])

    @property
    def device(self) -> torch.device:
        return self.train_x.device

    @property
    def n_test(self) -> int:
        return len(self.test_x) if self.test_x is not None else 0

    @cached_property
    def train_statistics(self) -> ChannelStatistics:
        """Of the train part, taken once for all trials on it."""
        return channel_statistics(self.train_x)

    @cached_property
    def known(self) -> dict[Hashable, Any]:
        """What was read once of these data, or of untrained networks on them, for all trials."""
        return {}

    def describe(self) -> dict[str, Any]:
        """How the data was split, for the study's record."""
        return {
            "kind": self.split,
            "fraction": self.fraction,
            "seed": self.seed,
            "n_train": len(self.train_x),
            "n_validation": len(self.validation_x),
            "n_test": self.n_test,
        }


def split_by_config(dataset: Dataset, config: TrainingConfig, *, device: str | torch.device) -> Splits:
    """`split_dataset` as ``config`` says, by its own seed."""
    return split_dataset(
        dataset,
        split=config.split,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        device=device,
    )


def split_dataset(
    dataset: Dataset,
    *,
    split: Split = "stratified",
    validation_fraction: float = 0.2,
    seed: int = 0,
    device: str | torch.device = "auto",
) -> Splits:
    """Set ``validation_fraction`` of the training data aside.

    stratified draws by ``seed``, each class by its share; last takes the last samples as they lie, as Keras'
    ``validation_split`` does.

    Raises:
        DataError: when a part would be empty.
    """
    device = resolve_device(device)
    n = len(dataset.x_train)
    n_validation = round(n * validation_fraction)
    if not 0 < n_validation < n:
        raise DataError(
            f"Train and validation must both hold samples, but validation_fraction={validation_fraction} "
            f"of {n} samples is {n_validation}."
        )
    if split == "last":
        order = np.arange(n)
        validation, train, kind = order[n - n_validation :], order[: n - n_validation], "last"
    elif dataset.kind == "regression":
        validation, train = _random(n, n_validation, seed)
        kind = "random"
    else:
        validation, train = stratified_parts(dataset.y_train.numpy(), n_validation, seed=seed)
        kind = "stratified"
    x_test, y_test = dataset.x_test, dataset.y_test
    return Splits(
        name=dataset.name,
        kind=dataset.kind,
        n_outputs=dataset.n_outputs,
        train_x=_part(dataset.x_train, train, device),
        train_y=_part(dataset.y_train, train, device),
        validation_x=_part(dataset.x_train, validation, device),
        validation_y=_part(dataset.y_train, validation, device),
        test_x=x_test.to(device) if x_test is not None else None,
        test_y=y_test.to(device) if y_test is not None else None,
        split=kind,
        fraction=validation_fraction,
        seed=seed,
    )


def stratified_parts(y: npt.NDArray[np.int64], n_held_out: int, *, seed: int) -> tuple[Indices, Indices]:
    """Indices of the ``n_held_out`` samples and of the rest; each class is within one sample of its exact share."""
    random = np.random.default_rng(seed)
    exact = np.bincount(y) * (n_held_out / len(y))
    quotas = np.floor(exact).astype(np.int64)
    # The largest remainders get what rounding down left over; a stable sort settles ties by class order.
    leftover = n_held_out - int(quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[:leftover]] += 1
    chosen = [random.permutation(np.flatnonzero(y == label))[:quota] for label, quota in enumerate(quotas)]
    held_out = np.sort(np.concatenate(chosen))
    return held_out, np.setdiff1d(np.arange(len(y)), held_out, assume_unique=True)


def _part(values: Tensor, indices: Indices, device: torch.device) -> Tensor:
    return values.index_select(0, torch.from_numpy(indices)).to(device)


def _random(n: int, n_validation: int, seed: int) -> tuple[Indices, Indices]:
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[:n_validation]), np.sort(order[n_validation:])
