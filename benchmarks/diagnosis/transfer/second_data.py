"""Data of the second transfer set, made without a network, and what may be wrong with them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.diagnosis.transfer.second_recipe import TaskName
from tuner.training.datasets.digits import INK_MAXIMUM, read_digits

Samples = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
Arrays = dict[str, npt.NDArray[Any]]
"""x_train, y_train, x_validation, y_validation, x_test, y_test."""


def arrays_of(task: TaskName, *, seed: int) -> Arrays:
    """Train, validation and test parts, 3 : 1 : 1."""
    x, y = _TASKS[task]()
    order = np.random.default_rng([seed, 11]).permutation(len(x))
    first, second = int(0.6 * len(x)), int(0.8 * len(x))
    parts = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    return {f"{kind}_{part}": a[rows] for part, rows in parts.items() for kind, a in (("x", x), ("y", y))}


def _waves() -> Samples:
    """3,000 noisy waves of 32 samples: the class is the pitch; phase, loudness and a little of the pitch vary."""
    random = np.random.default_rng(41)
    y = np.arange(3000) % 5
    pitch = (y + 1.0 + random.uniform(-0.25, 0.25, len(y)))[:, None]
    phase, loudness = random.uniform(0, 2 * np.pi, (len(y), 1)), random.uniform(0.6, 1.4, (len(y), 1))
    x = loudness * np.sin(2 * np.pi * pitch * np.arange(32) / 32 + phase)
    return (x + 0.4 * random.standard_normal(x.shape)).astype(np.float32)[:, :, None], y


def _board() -> Samples:
    """4,000 points on a board of 3 x 3 fields in three colors."""
    random = np.random.default_rng(42)
    x = random.uniform(0, 3, (4000, 2))
    column, row = np.floor(x).astype(np.int64).T
    x += 0.04 * random.standard_normal(x.shape)
    return ((x - 1.5) / 0.87).astype(np.float32), (column + 2 * row) % 3


def _words() -> Samples:
    """4,000 texts of 30 to 80 words out of 200, as log counts: each subject has words that it likes."""
    random = np.random.default_rng(43)
    liked = random.dirichlet(np.full(200, 0.6), 6)
    common = random.dirichlet(np.full(200, 2.0))
    y = np.arange(4000) % 6
    lengths = random.integers(30, 80, len(y))
    counts = np.stack(
        [
            random.multinomial(n, 0.3 * liked[label] + 0.7 * common)
            for n, label in zip(lengths, y, strict=True)
        ]
    )
    return np.log1p(counts).astype(np.float32), y


def _ranges() -> Samples:
    """4,000 rows of 8 features, three of them without meaning: the quarter of a smooth quantity (a regression)."""
    random = np.random.default_rng(44)
    x = random.uniform(-1, 1, (4000, 8))
    quantity = 2 * np.sin(2 * x[:, 0] * x[:, 1] + x[:, 2]) + 2 * x[:, 3] ** 2 + x[:, 4]
    quantity += 0.05 * random.standard_normal(len(x))
    return (x / 0.58).astype(np.float32), np.searchsorted(np.quantile(quantity, (0.25, 0.5, 0.75)), quantity)


def _digits() -> Samples:
    """Every digit as a sequence of its eight rows."""
    x, y = read_digits()
    return ((x / INK_MAXIMUM - 0.3) / 0.37).astype(np.float32).reshape(-1, 8, 8), y


_TASKS: Mapping[TaskName, Callable[[], Samples]] = {
    "waves": _waves,
    "board": _board,
    "words": _words,
    "ranges": _ranges,
    "digits": _digits,
}


# -- faults: of the arrays, by a strength, at random --


def _noisy_labels(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A share of the labels of train and validation is that of some other class."""
    changed, n_classes = {}, int(arrays["y_train"].max()) + 1
    for name in ("y_train", "y_validation"):
        wrong = random.random(len(arrays[name])) < share
        changed[name] = (arrays[name] + wrong * random.integers(1, n_classes, len(wrong))) % n_classes
    return {**arrays, **changed}


def _unscaled(arrays: Arrays, scale: float, _random: np.random.Generator) -> Arrays:
    return {name: scale * (a + 3) if name.startswith("x") else a for name, a in arrays.items()}


def _drifted(arrays: Arrays, strength: float, random: np.random.Generator) -> Arrays:
    """The training samples alone are shifted, and blurred by noise."""
    x = arrays["x_train"]
    return {**arrays, "x_train": (x + strength * (1 + random.standard_normal(x.shape))).astype(np.float32)}


def _leaking(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """The label in the first feature of a share of train and validation; never in the test part."""
    changed = {}
    n_classes = int(arrays["y_train"].max()) + 1
    for part in ("train", "validation"):
        x, y = arrays[f"x_{part}"].copy(), arrays[f"y_{part}"]
        rows = random.random(len(x)) < share
        flat = x.reshape(len(x), -1)
        flat[rows, 0] = 4.0 * (y[rows] + 1) / n_classes
        changed[f"x_{part}"] = flat.reshape(x.shape)
    return {**arrays, **changed}


def _overlapping(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A share of the validation samples is in the training data, too."""
    rows = random.random(len(arrays["x_validation"])) < share
    return {
        **arrays,
        **{
            f"{kind}_train": np.concatenate([arrays[f"{kind}_train"], arrays[f"{kind}_validation"][rows]])
            for kind in "xy"
        },
    }


def _imbalanced(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """Of all classes but the first, only ``share`` is left in train and validation."""
    changed = {}
    for part in ("train", "validation"):
        y = arrays[f"y_{part}"]
        kept = (y == 0) | (random.random(len(y)) < share)
        changed |= {f"x_{part}": arrays[f"x_{part}"][kept], f"y_{part}": y[kept]}
    return {**arrays, **changed}


def _missing_classes(arrays: Arrays, n_missing: float, _random: np.random.Generator) -> Arrays:
    """The training part lacks the last classes, which validation has."""
    kept = arrays["y_train"] <= arrays["y_train"].max() - n_missing
    return {**arrays, "x_train": arrays["x_train"][kept], "y_train": arrays["y_train"][kept]}


def _non_finite(arrays: Arrays, n_rows: float, random: np.random.Generator) -> Arrays:
    x = arrays["x_train"].copy()
    x[random.choice(len(x), int(n_rows), replace=False)] = np.inf
    return {**arrays, "x_train": x}


DATA_FAULTS: Mapping[str, Callable[[Arrays, float, np.random.Generator], Arrays]] = {
    "noisy_labels": _noisy_labels,
    "unscaled": _unscaled,
    "drifted": _drifted,
    "leaking": _leaking,
    "overlapping": _overlapping,
    "imbalanced": _imbalanced,
    "missing_classes": _missing_classes,
    "non_finite": _non_finite,
}
