"""Data of the third transfer set, made without a network, and what may be wrong with them."""

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.diagnosis.transfer.second_data import DATA_FAULTS as SECOND_DATA_FAULTS
from benchmarks.diagnosis.transfer.second_data import Arrays, Samples
from benchmarks.diagnosis.transfer.third_recipe import TaskName
from tuner.training.datasets.digits import INK_MAXIMUM, read_digits

N_LETTERS = 8


def arrays_of(task: TaskName, *, seed: int) -> Arrays:
    """Train, validation and test parts, 2 : 1 : 1."""
    x, y = _TASKS[task]()
    order = np.random.default_rng([seed, 21]).permutation(len(x))
    first, second = len(x) // 2, 3 * len(x) // 4
    parts = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    return {f"{kind}_{part}": a[rows] for part, rows in parts.items() for kind, a in (("x", x), ("y", y))}


def _intervals() -> Samples:
    """3,600 rows of 4 features, two without meaning: how many of the others are in the middle of their range."""
    random = np.random.default_rng(51)
    x = random.uniform(-1, 1, (3600, 4))
    y = (np.abs(x[:, :2]) < 0.6).sum(1)
    return (x / 0.58).astype(np.float32), y


def _clusters() -> Samples:
    """4,000 points in 20 dimensions, six classes of three Gaussian clusters each."""
    random = np.random.default_rng(52)
    centers = 0.85 * random.standard_normal((18, 20))
    which = np.arange(4000) % 18
    x = centers[which] + 0.9 * random.standard_normal((len(which), 20))
    return (x / x.std()).astype(np.float32), which % 6


def _symbols() -> Samples:
    """3,000 words of 16 letters, one-hot: the class is the letter after the only marker, of four that may be there."""
    random = np.random.default_rng(53)
    letters = random.integers(1, N_LETTERS, (3000, 16))
    y = np.arange(len(letters)) % 4
    at, rows = random.integers(0, 15, len(letters)), np.arange(len(letters))
    letters[rows, at], letters[rows, at + 1] = 0, y + 1
    return np.eye(N_LETTERS, dtype=np.float32)[letters], y


def _shapes() -> Samples:
    """2,400 noisy pictures of 12 x 12: a disk, a ring, a cross or a bar of some size somewhere."""
    random = np.random.default_rng(54)
    y = np.arange(2400) % 4
    size = random.uniform(2.2, 4.0, (len(y), 1, 1))
    grid = np.arange(12.0)
    right = grid[None, None, :] - random.uniform(4.0, 7.0, (len(y), 1, 1))
    down = grid[None, :, None] - random.uniform(4.0, 7.0, (len(y), 1, 1))
    far, square = np.hypot(right, down), np.maximum(np.abs(right), np.abs(down))
    thin = np.minimum(np.abs(right), np.abs(down)) < 0.8
    drawn = np.stack(
        [
            far < size,
            np.abs(far - size + 0.5) < 0.7,
            thin & (square < size),
            (np.abs(down) < 0.8) & (np.abs(right) < size),
        ]
    )[y, np.arange(len(y))]
    x = drawn + 0.2 * random.standard_normal(drawn.shape)
    return ((x - 0.2) / 0.5).astype(np.float32)[:, None], y


def _sizes() -> Samples:
    """Digits: odd or even, and below five or not."""
    x, digit = read_digits()
    return ((x / INK_MAXIMUM - 0.3) / 0.37).astype(np.float32).reshape(len(x), -1), digit % 2 + 2 * (
        digit > 4
    )


def _moons() -> Samples:
    """3,000 rows of 6 features: two noisy moons, and four features without meaning."""
    random = np.random.default_rng(56)
    y = np.arange(3000) % 2
    angle = random.uniform(0, np.pi, len(y))
    moons = np.stack([np.cos(angle) + y - 0.5, np.where(y == 0, np.sin(angle), 0.5 - np.sin(angle))], 1)
    moons += 0.15 * random.standard_normal(moons.shape)
    x = np.concatenate([(moons - moons.mean(0)) / moons.std(0), random.standard_normal((len(y), 4))], 1)
    return x.astype(np.float32), y


def _bags() -> Samples:
    """2,400 sets of 12 points in the plane, in any order: on a circle, on a line, in one heap or in two."""
    random = np.random.default_rng(57)
    y = np.arange(2400) % 4
    turn = random.uniform(0, 2 * np.pi, (len(y), 1))
    angle, along = random.uniform(0, 2 * np.pi, (len(y), 12)), random.uniform(-1.6, 1.6, (len(y), 12))
    heap = 0.7 * random.standard_normal((2, len(y), 12))
    side = np.where(random.random((len(y), 12)) < 0.5, 1.1, -1.1)
    right = np.stack([np.cos(angle), along, heap[0], 0.4 * heap[0] + side])[y, np.arange(len(y))]
    down = np.stack([np.sin(angle), 0 * along, heap[1], 0.4 * heap[1]])[y, np.arange(len(y))]
    x = np.stack([right * np.cos(turn) - down * np.sin(turn), right * np.sin(turn) + down * np.cos(turn)], 2)
    x += 0.12 * random.standard_normal(x.shape)
    return (x / 0.8).astype(np.float32), y


_TASKS: Mapping[TaskName, Callable[[], Samples]] = {
    "intervals": _intervals,
    "clusters": _clusters,
    "symbols": _symbols,
    "shapes": _shapes,
    "sizes": _sizes,
    "moons": _moons,
    "bags": _bags,
}


# -- faults: of the arrays, by a strength, at random --


def _neighboring_labels(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A share of the labels of train and validation is that of the next class."""
    changed, n_classes = {}, int(arrays["y_test"].max()) + 1
    for name in ("y_train", "y_validation"):
        wrong = random.random(len(arrays[name])) < share
        changed[name] = (arrays[name] + wrong) % n_classes
    return {**arrays, **changed}


def _raw_features(arrays: Arrays, decades: float, random: np.random.Generator) -> Arrays:
    """Every feature in its own unit, that many decades apart at most, and far from zero; everywhere the same."""
    shape = arrays["x_train"].shape[1:]
    unit = 10 ** random.uniform(0, decades, shape)
    return {
        name: (unit * (a + 2)).astype(np.float32) if name.startswith("x") else a for name, a in arrays.items()
    }


def _dimmed(arrays: Arrays, strength: float, _random: np.random.Generator) -> Arrays:
    """The training samples alone are shrunk and moved."""
    return {**arrays, "x_train": (arrays["x_train"] / (1 + strength) + strength).astype(np.float32)}


def _telling_feature(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """The last value tells the label in a share of train and validation; it is noise in the test part."""
    changed = {}
    for part in ("train", "validation"):
        x, y = arrays[f"x_{part}"].copy(), arrays[f"y_{part}"]
        rows = random.random(len(x)) < share
        flat = x.reshape(len(x), -1)
        flat[rows, -1] = 1.5 * (y[rows] - y.mean()) + 0.05 * random.standard_normal(rows.sum())
        changed[f"x_{part}"] = flat.reshape(x.shape)
    return {**arrays, **changed}


def _missing_values(arrays: Arrays, n_values: float, random: np.random.Generator) -> Arrays:
    """Single values of the training data are not a number."""
    x = arrays["x_train"].copy()
    flat = x.reshape(-1)
    flat[random.choice(len(flat), int(n_values), replace=False)] = np.nan
    return {**arrays, "x_train": x}


DATA_FAULTS: Mapping[str, Callable[[Arrays, float, np.random.Generator], Arrays]] = {
    "neighboring_labels": _neighboring_labels,
    "raw_features": _raw_features,
    "dimmed": _dimmed,
    "telling_feature": _telling_feature,
    "missing_values": _missing_values,
    **{name: SECOND_DATA_FAULTS[name] for name in ("overlapping", "imbalanced", "missing_classes")},
}
