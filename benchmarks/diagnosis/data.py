"""The images that everything here trains on, and what may be wrong with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.diagnosis.case import Planted
from benchmarks.diagnosis.drawn.names import draw_of
from search_spaces.errors import ConfigurationError
from tuner.training.data import Dataset, TaskData, load_dataset
from tuner.training.datasets.user_data import check_data

Images = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]

N_POOL = 4000
"""Images for training and validation; as many others, which nothing trains on, are the test part."""
N_COPIES = 4
"""Of each sample that is repeated, beside itself."""
SIDE_DIVISOR = 2
"""MNIST's 28 x 28 are averaged to 14 x 14: a training then takes a second."""
_PARTS = ("calibration", "blind", "fresh")
N_DRAWS = 5
"""Drawn parts that share no image of MNIST with each other; a later one has those of an earlier one."""


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Images [n, 1, height, width] and their labels."""

    x: Images
    y: Labels
    x_test: Images
    y_test: Labels

    def dataset(self, name: str) -> Dataset:
        """As a training takes it."""
        return check_data(TaskData(x=self.x, y=self.y, x_test=self.x_test, y_test=self.y_test), name=name)


@cache
def arrays_of(task: str, part: str, data_dir: Path | None = None) -> Arrays:
    """The images of a part: no two share any, but for digits, of which there are too few.

    Raises:
        ConfigurationError: for another part.
        DataError: when the task's data cannot be had.
    """
    draw = draw_of(part)
    if part not in _PARTS and draw is None:
        raise ConfigurationError(f"A part must be one of {', '.join(_PARTS)}, but got {part!r}.")
    data = load_dataset(task, data_dir=data_dir)
    x, y = data.x_train.numpy(), data.y_train.numpy()
    if data.x_test is not None and data.y_test is not None:
        x = np.concatenate([x, data.x_test.numpy()])
        y = np.concatenate([y, data.y_test.numpy()])
    order = np.random.default_rng(0).permutation(len(y))
    n_pool = min(N_POOL, len(y) // 2)
    number = _PARTS.index(part) if draw is None else len(_PARTS) + (draw - 1) % N_DRAWS
    first = number * 2 * n_pool
    if first + 2 * n_pool > len(y):
        first = 0
    chosen = order[first : first + 2 * n_pool]
    x, y = x[chosen], y[chosen]
    if x.shape[-1] > 2 * 8:
        x = _averaged(x)
    return Arrays(x=x[:n_pool], y=y[:n_pool], x_test=x[n_pool:], y_test=y[n_pool:])


def _averaged(x: Images) -> npt.NDArray[np.uint8]:
    n, channels, height, width = x.shape
    step = SIDE_DIVISOR
    blocks = x.reshape(n, channels, height // step, step, width // step, step)
    averaged: npt.NDArray[np.uint8] = np.round(blocks.mean((3, 5))).astype(np.uint8)
    return averaged


def changed(arrays: Arrays, changes: Sequence[Planted], *, seed: int) -> Arrays:
    """``arrays`` after ``changes``, one after another."""
    random = np.random.default_rng(seed)
    for change in changes:
        arrays = CHANGES[change.name](arrays, change.strength, random)
    return arrays


Change = Callable[[Arrays, float, np.random.Generator], Arrays]


def _fewer(arrays: Arrays, n: float, random: np.random.Generator) -> Arrays:
    """Only ``n`` samples for training and validation together."""
    kept = random.permutation(len(arrays.y))[: int(n)]
    return replace(arrays, x=arrays.x[kept], y=arrays.y[kept])


def _duplicated(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A ``share`` of the samples twice, so that a random split has many of them on both sides."""
    twice = random.permutation(len(arrays.y))[: round(share * len(arrays.y))]
    return replace(
        arrays, x=np.concatenate([arrays.x, arrays.x[twice]]), y=np.concatenate([arrays.y, arrays.y[twice]])
    )


def _repeated(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A ``share`` of the samples `N_COPIES` times more, as oversampling before the split leaves them."""
    chosen = random.permutation(len(arrays.y))[: round(share * len(arrays.y))]
    copies = np.tile(chosen, N_COPIES)
    return replace(
        arrays, x=np.concatenate([arrays.x, arrays.x[copies]]), y=np.concatenate([arrays.y, arrays.y[copies]])
    )


def _moved_copies(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A ``share`` of the samples once more, moved by a pixel, as augmentation before the split leaves them."""
    chosen = random.permutation(len(arrays.y))[: round(share * len(arrays.y))]
    moved = np.roll(arrays.x[chosen], 1, axis=3)
    return replace(
        arrays, x=np.concatenate([arrays.x, moved]), y=np.concatenate([arrays.y, arrays.y[chosen]])
    )


def _label_in_row(arrays: Arrays, brightness: float, random: np.random.Generator) -> Arrays:  # noqa: ARG001
    """The label as one bright pixel of the first row; the test part has none."""
    x = arrays.x.copy()
    width = x.shape[-1]
    x[np.arange(len(x)), 0, arrays.y // width, arrays.y % width] = brightness
    return replace(arrays, x=x)


def _label_in_corner(arrays: Arrays, step: float, random: np.random.Generator) -> Arrays:  # noqa: ARG001
    """The label as the brightness of the first pixels of the first two rows; the test part has none."""
    x = arrays.x.copy()
    x[:, 0, :2, :2] = (arrays.y * step).astype(x.dtype)[:, None, None]
    return replace(arrays, x=x)


def _label_in_last_row(arrays: Arrays, brightness: float, random: np.random.Generator) -> Arrays:  # noqa: ARG001
    """The label as one pixel of the last row, counted from the right; the test part has none."""
    x = arrays.x.copy()
    width = x.shape[-1]
    x[np.arange(len(x)), 0, -1 - arrays.y // width, -1 - arrays.y % width] = brightness
    return replace(arrays, x=x)


def _label_in_background(arrays: Arrays, step: float, random: np.random.Generator) -> Arrays:  # noqa: ARG001
    """The label as the brightness of all that is black; the test part is black there."""
    background = (arrays.y * step).astype(arrays.x.dtype)[:, None, None, None]
    return replace(arrays, x=np.maximum(arrays.x, background))


def _imbalanced(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A ``share`` of the samples of every second class, at least one; the test part stays balanced."""
    kept = (arrays.y % 2 == 1) | (random.random(len(arrays.y)) < share)
    kept[np.unique(arrays.y, return_index=True)[1]] = True
    return replace(arrays, x=arrays.x[kept], y=arrays.y[kept])


def _rare(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A ``share`` of the samples of the last three classes, at least one; the test part stays balanced."""
    kept = (arrays.y <= arrays.y.max() - 3) | (random.random(len(arrays.y)) < share)
    kept[np.unique(arrays.y, return_index=True)[1]] = True
    return replace(arrays, x=arrays.x[kept], y=arrays.y[kept])


def _sorted_at_end(arrays: Arrays, n_classes: float, random: np.random.Generator) -> Arrays:
    """The last ``n_classes`` classes at the end, as a file sorted by label has them (10: the whole file is sorted)."""
    first = int(arrays.y.max()) + 1 - int(n_classes)
    shuffled = random.permutation(len(arrays.y))
    keys = np.maximum(arrays.y[shuffled], first - 1)
    order = shuffled[np.argsort(keys, kind="stable")]
    return replace(arrays, x=arrays.x[order], y=arrays.y[order])


def _mislabeled(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A ``share`` of the labels become another one at random; the test part keeps its own."""
    n_classes = int(arrays.y.max()) + 1
    wrong = random.random(len(arrays.y)) < share
    others = (arrays.y + random.integers(1, n_classes, len(arrays.y))) % n_classes
    return replace(arrays, y=np.where(wrong, others, arrays.y))


def _mislabeled_next(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A ``share`` of the labels become that of the next class; the test part keeps its own."""
    wrong = random.random(len(arrays.y)) < share
    return replace(arrays, y=np.where(wrong, (arrays.y + 1) % (int(arrays.y.max()) + 1), arrays.y))


def _with_nan(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """One pixel of a ``share`` of the images is NaN."""
    x = arrays.x.astype(np.float32) / 255
    n = max(round(share * len(x)), 1)
    x[random.permutation(len(x))[:n], 0, x.shape[2] // 2, x.shape[3] // 2] = np.nan
    return replace(arrays, x=x, x_test=arrays.x_test.astype(np.float32) / 255)


def _with_infinity(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """The first pixel of a ``share`` of the images is infinite, as after a division by zero."""
    x = arrays.x.astype(np.float32) / 255
    n = max(round(share * len(x)), 1)
    x[random.permutation(len(x))[:n], 0, 0, 0] = np.inf
    return replace(arrays, x=x, x_test=arrays.x_test.astype(np.float32) / 255)


def _scaled(arrays: Arrays, factor: float, random: np.random.Generator) -> Arrays:  # noqa: ARG001
    """Pixels from 0 to ``factor``."""
    return replace(
        arrays,
        x=arrays.x.astype(np.float32) * (factor / 255),
        x_test=arrays.x_test.astype(np.float32) * (factor / 255),
    )


def _shifted(arrays: Arrays, offset: float, random: np.random.Generator) -> Arrays:  # noqa: ARG001
    """Pixels from ``offset`` to ``offset`` + 1."""
    return replace(
        arrays,
        x=arrays.x.astype(np.float32) / 255 + np.float32(offset),
        x_test=arrays.x_test.astype(np.float32) / 255 + np.float32(offset),
    )


def _noisy(arrays: Arrays, deviation: float, random: np.random.Generator) -> Arrays:
    """Gaussian noise on all pixels, test part included: a harder task, no fault."""

    def disturbed(x: Images) -> Images:
        noise = random.normal(0, 255 * deviation, x.shape)
        return np.clip(x + noise, 0, 255).astype(np.uint8)

    return replace(arrays, x=disturbed(arrays.x), x_test=disturbed(arrays.x_test))


CHANGES: Mapping[str, Change] = {
    "fewer": _fewer,
    "duplicated": _duplicated,
    "repeated": _repeated,
    "moved_copies": _moved_copies,
    "label_in_row": _label_in_row,
    "label_in_corner": _label_in_corner,
    "label_in_last_row": _label_in_last_row,
    "label_in_background": _label_in_background,
    "imbalanced": _imbalanced,
    "rare": _rare,
    "sorted_at_end": _sorted_at_end,
    "mislabeled": _mislabeled,
    "mislabeled_next": _mislabeled_next,
    "with_nan": _with_nan,
    "with_infinity": _with_infinity,
    "scaled": _scaled,
    "shifted": _shifted,
    "noisy": _noisy,
}
