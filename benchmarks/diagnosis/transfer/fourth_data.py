"""Data of the fourth transfer set, made without a network, and what may be wrong with them."""

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.diagnosis.transfer.fourth_recipe import TaskName
from benchmarks.diagnosis.transfer.second_data import DATA_FAULTS as SECOND_DATA_FAULTS
from benchmarks.diagnosis.transfer.second_data import Arrays, Samples
from tuner.training.datasets.digits import INK_MAXIMUM, read_digits

N_WORDS = 120
"""Of the topics' vocabulary."""


def arrays_of(task: TaskName, *, seed: int) -> Arrays:
    """Train, validation and test parts, 2 : 1 : 1."""
    x, y = _TASKS[task]()
    order = np.random.default_rng([seed, 31]).permutation(len(x))
    first, second = len(x) // 2, 3 * len(x) // 4
    parts = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    return {f"{kind}_{part}": a[rows] for part, rows in parts.items() for kind, a in (("x", x), ("y", y))}


def _sweeps() -> Samples:
    """3,600 noisy tones of 48 samples, one channel: the pitch stays, rises, falls, or rises and falls again."""
    random = np.random.default_rng(61)
    y = np.arange(3600) % 4
    time = np.linspace(0, 1, 48)
    courses = np.stack([0.5 + 0 * time, time, 1 - time, 1 - np.abs(2 * time - 1)])
    low, span = random.uniform(2.5, 4.5, (len(y), 1)), random.uniform(4.0, 6.0, (len(y), 1))
    turns = np.cumsum(low + span * courses[y], 1) / len(time)
    x = np.sin(2 * np.pi * (turns + random.random((len(y), 1))))
    return (1.2 * (x + 0.5 * random.standard_normal(x.shape))).astype(np.float32)[:, None], y


def _gratings() -> Samples:
    """2,800 noisy pictures of 12 x 12: stripes of some width and place, in one of five directions."""
    random = np.random.default_rng(62)
    y = np.arange(2800) % 5
    angle = (np.pi * (y + random.uniform(-0.3, 0.3, len(y))) / 5)[:, None, None]
    wave = 2 * np.pi / random.uniform(3.5, 7.0, (len(y), 1, 1))
    down, right = np.mgrid[:12, :12].astype(float)
    x = np.sin(wave * (right * np.cos(angle) + down * np.sin(angle)) + 2 * np.pi * random.random(wave.shape))
    return ((x + 0.9 * random.standard_normal(x.shape)) / 1.15).astype(np.float32)[:, None], y


def _topics() -> Samples:
    """4,000 texts of 24 words out of 120, as their numbers: each of five topics likes some words more."""
    random = np.random.default_rng(63)
    y = np.arange(4000) % 5
    liked, usual = random.dirichlet(np.full(N_WORDS, 0.3), 5), random.dirichlet(np.full(N_WORDS, 3.0))
    x = np.stack([random.choice(N_WORDS, 24, p=0.35 * liked[topic] + 0.65 * usual) for topic in y])
    return x, y


def _gates() -> Samples:
    """6,000 rows of 10 features, four without meaning: the first two say which two of the others add up."""
    random = np.random.default_rng(64)
    x = random.standard_normal((6000, 10))
    at = (x[:, 0] > 0) + 2 * (x[:, 1] > 0)
    chosen = np.stack([x[:, 2] + x[:, 3], x[:, 4] + x[:, 5], x[:, 2] - x[:, 5], x[:, 4] - x[:, 3]])
    quantity = chosen[at, np.arange(len(x))]
    return x.astype(np.float32), np.searchsorted(np.quantile(quantity, (1 / 3, 2 / 3)), quantity)


def _shells() -> Samples:
    """4,000 points in four dimensions on three shells around two centers, and two features without meaning."""
    random = np.random.default_rng(65)
    y = np.arange(4000) % 3
    away = random.standard_normal((len(y), 4))
    away *= ((0.5 + 0.6 * y + 0.07 * random.standard_normal(len(y))) / np.linalg.norm(away, axis=1))[:, None]
    away[:, 0] += np.where(random.random(len(y)) < 0.5, -1.9, 1.9)
    x = np.concatenate([away, random.standard_normal((len(y), 2))], 1)
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32), y


def _relations() -> Samples:
    """6,000 pairs of six numbers: the second is the first again, reversed, negated, or nothing to do with it."""
    random = np.random.default_rng(66)
    y = np.arange(6000) % 4
    first, other = random.standard_normal((2, len(y), 6))
    second = np.stack([first, first[:, ::-1], -first, other])[y, np.arange(len(y))]
    second = 0.9 * second + 0.45 * random.standard_normal(second.shape)
    return np.stack([first, second], 1).astype(np.float32), y


def _walks() -> Samples:
    """3,200 walks of 20 steps in the plane: straying, drawn back, swinging, or with a liking for the last direction."""
    random = np.random.default_rng(67)
    y = np.arange(3200) % 4
    pull, memory = np.array([0.0, 0.6, 0.0, 0.0])[y, None], np.array([0.0, 0.0, -0.7, 0.7])[y, None]
    place, step, places = np.zeros((len(y), 2)), np.zeros((len(y), 2)), []
    for _ in range(20):
        step = memory * step - pull * place + 0.8 * random.standard_normal(place.shape)
        place = place + step
        places.append(place)
    x = np.stack(places, 1)
    return (x / x.std()).astype(np.float32), y


def _remainders() -> Samples:
    """Digits as 16 patches of 2 x 2: what is left of the digit when it is divided by three."""
    x, digit = read_digits()
    pictures = ((x / INK_MAXIMUM - 0.3) / 0.37).astype(np.float32).reshape(-1, 4, 2, 4, 2)
    return pictures.transpose(0, 1, 3, 2, 4).reshape(-1, 16, 4).copy(), digit % 3


_TASKS: Mapping[TaskName, Callable[[], Samples]] = {
    "sweeps": _sweeps,
    "gratings": _gratings,
    "topics": _topics,
    "gates": _gates,
    "shells": _shells,
    "relations": _relations,
    "walks": _walks,
    "remainders": _remainders,
}


# -- faults: of the arrays, by a strength, at random --


def _shuffled_labels(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A share of the labels of train and validation has changed places among each other."""
    changed = {}
    for name in ("y_train", "y_validation"):
        changed[name] = arrays[name].copy()
        rows = np.flatnonzero(random.random(len(arrays[name])) < share)
        changed[name][rows] = arrays[name][random.permutation(rows)]
    return {**arrays, **changed}


def _raw_units(arrays: Arrays, scale: float, _random: np.random.Generator) -> Arrays:
    """As they were measured: all positive or nearly so, in a unit that is small; everywhere the same."""
    return {
        name: (scale * (a + 1.5)).astype(np.float32) if name.startswith("x") else a
        for name, a in arrays.items()
    }


def _wiped(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A share of the values of every training sample is wiped out, and what is left is made larger for it."""
    x = arrays["x_train"]
    kept = random.random(x.shape) >= share
    return {**arrays, "x_train": (x * kept / (1 - share)).astype(np.float32)}


def _told(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """The second value of a share of train and validation is the label; it is what it was in the test part."""
    changed = {}
    for part in ("train", "validation"):
        x, y = arrays[f"x_{part}"].copy(), arrays[f"y_{part}"]
        rows = random.random(len(x)) < share
        x.reshape(len(x), -1)[rows, 1] = 2.0 * y[rows] - y.max()
        changed[f"x_{part}"] = x
    return {**arrays, **changed}


def _log_of_zero(arrays: Arrays, n_values: float, random: np.random.Generator) -> Arrays:
    """Single values of the training data are minus infinity."""
    x = arrays["x_train"].copy()
    x.reshape(-1)[random.choice(x.size, int(n_values), replace=False)] = -np.inf
    return {**arrays, "x_train": x}


DATA_FAULTS: Mapping[str, Callable[[Arrays, float, np.random.Generator], Arrays]] = {
    "shuffled_labels": _shuffled_labels,
    "raw_units": _raw_units,
    "wiped": _wiped,
    "told": _told,
    "log_of_zero": _log_of_zero,
    **{name: SECOND_DATA_FAULTS[name] for name in ("overlapping", "imbalanced", "missing_classes")},
}
