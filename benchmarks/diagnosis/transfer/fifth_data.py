"""Data of the fifth transfer set, made without a network, and what may be wrong with them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.diagnosis.transfer.fifth_recipe import TaskName
from benchmarks.diagnosis.transfer.second_data import DATA_FAULTS as SECOND_DATA_FAULTS
from benchmarks.diagnosis.transfer.second_data import Arrays, Samples
from tuner.training.datasets.digits import INK_MAXIMUM, read_digits


def arrays_of(task: TaskName, *, seed: int) -> Arrays:
    """Train, validation and test parts, 3 : 1 : 1."""
    x, y = _TASKS[task]()
    order = np.random.default_rng([seed, 41]).permutation(len(x))
    first, second = 3 * len(x) // 5, 4 * len(x) // 5
    parts = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    return {f"{kind}_{part}": a[rows] for part, rows in parts.items() for kind, a in (("x", x), ("y", y))}


def _patients() -> Samples:
    """5,000 people with 10 measured values that go together and 3 yes-or-no answers: one in four is ill."""
    random = np.random.default_rng(71)
    hidden = random.standard_normal((5000, 4))
    measured = hidden @ random.standard_normal((4, 10)) + 0.7 * random.standard_normal((5000, 10))
    answers = random.random((5000, 3)) < (0.5, 0.3, 0.2)
    risk = (
        hidden[:, 0] + hidden[:, 1] * hidden[:, 2] + 0.8 * answers[:, 0] - 1.2 * answers[:, 1] * hidden[:, 3]
    )
    risk += 0.25 * random.standard_normal(5000)
    x = np.concatenate([measured / measured.std(0), 2.0 * answers - 1.0], 1)
    return x.astype(np.float32), (risk > np.quantile(risk, 0.75)).astype(int)


def _records() -> Samples:
    """12,000 rows of three categories, one-hot (4 + 5 + 6 columns), and 6 weak numbers: the best of four scores."""
    random = np.random.default_rng(72)
    kinds = [random.integers(0, n, 12000) for n in (4, 5, 6)]
    numbers = random.standard_normal((12000, 6))
    scores = 0.5 * random.gumbel(size=(12000, 4))
    for kind in kinds:
        slopes = random.standard_normal((int(kind.max()) + 1, 6, 4))
        scores += 1.2 * random.standard_normal((int(kind.max()) + 1, 4))[kind]
        scores += 0.6 * np.einsum("nf,nfc->nc", numbers, slopes[kind])
    x = np.concatenate([numbers, *(2.0 * np.eye(int(kind.max()) + 1)[kind] for kind in kinds)], 1)
    return x.astype(np.float32), scores.argmax(1)


def _graphs() -> Samples:
    """3,600 graphs of 14 nodes and 28 edges, in any order, as adjacency rows: random, with hubs, or along a ring."""
    random = np.random.default_rng(73)
    y = np.arange(3600) % 3
    nodes = np.arange(14)
    away = np.abs(nodes[:, None] - nodes)
    liking = 0.7 * random.standard_normal((3600, 14))
    leaning = np.where((y == 1)[:, None, None], liking[:, :, None] + liking[:, None], 0.0)
    leaning = leaning - np.where((y == 2)[:, None, None], 1.5 * np.minimum(away, 14 - away), 0.0)
    above = np.triu_indices(14, 1)
    leaning = (leaning + random.gumbel(size=leaning.shape))[:, *above]
    x = np.zeros((3600, 14, 14), np.float32)
    x[:, *above] = leaning >= np.sort(leaning, 1)[:, -28:-27]
    x += x.transpose(0, 2, 1)
    order = random.random((3600, 14)).argsort(1)
    return np.take_along_axis(np.take_along_axis(x, order[:, :, None], 1), order[:, None], 2), y


def _pulses() -> Samples:
    """3,000 noisy records of 60 samples with a pulse every 15 or so: regular, one early, one left out, or one wide."""
    random = np.random.default_rng(74)
    y = np.arange(3000) % 4
    places = random.uniform(4, 12, (3000, 1)) + 14 * np.arange(4) + 0.7 * random.standard_normal((3000, 4))
    heights, widths = random.uniform(0.8, 1.2, (3000, 4)), np.full((3000, 4), 1.5)
    rows, odd = np.arange(3000), random.integers(1, 3, 3000)
    places[rows, odd] -= 4.5 * (y == 1)
    heights[rows, odd] *= y != 2
    widths[rows, odd] += 1.5 * (y == 3)
    away = (np.arange(60) - places[:, :, None]) / widths[:, :, None]
    x = (heights[:, :, None] * np.exp(-0.5 * away**2)).sum(1) + 0.2 * random.standard_normal((3000, 60))
    return ((x - x.mean()) / x.std()).astype(np.float32)[:, None], y


def _maps() -> Samples:
    """3,000 maps of 14 x 14 with 24 points: anywhere, in heaps, along a line, or kept apart from each other."""
    random = np.random.default_rng(75)
    y = np.arange(3000) % 4
    x = np.zeros((3000, 14, 14))
    for row, kind in enumerate(y):
        points: npt.NDArray[Any] = random.uniform(0, 14, (24, 2))
        if kind == 1:
            points = random.uniform(2, 12, (4, 2))[random.integers(0, 4, 24)] + 1.3 * random.standard_normal(
                (24, 2)
            )
        elif kind == 2:
            start, end = random.uniform(0, 14, (2, 2))
            points[:12] = (
                start + random.random((12, 1)) * (end - start) + 0.3 * random.standard_normal((12, 2))
            )
        elif kind == 3:
            points = np.stack(np.meshgrid(np.arange(5), np.arange(5)), -1).reshape(-1, 2)[:24] * 2.8 + 1.4
            points += random.uniform(-1.0, 1.0, 2) + 0.35 * random.standard_normal((24, 2))
        np.add.at(x[row], tuple((points % 14).astype(int).T), 1.0)
    return ((x - x.mean()) / x.std()).astype(np.float32)[:, None], y


def _strings() -> Samples:
    """4,800 strings of 24 letters out of 8, one-hot: four languages, by which letter likes to follow which."""
    random = np.random.default_rng(76)
    y = np.arange(4800) % 4
    follows = random.dirichlet(np.full(8, 0.9), (4, 8)).cumsum(-1)
    letters = [random.integers(0, 8, 4800)]
    for _ in range(23):
        letters.append((random.random((4800, 1)) > follows[y, letters[-1]][:, :7]).sum(1))
    return (2.5 * np.eye(8, dtype=np.float32))[np.stack(letters, 1)], y


def _surveys() -> Samples:
    """6,000 answers from 1 to 5 to 16 questions on three traits: the level, of three, of a quantity made of those."""
    random = np.random.default_rng(77)
    traits = random.standard_normal((6000, 3))
    loads = 1.6 * np.eye(3)[np.arange(16) % 3] * random.choice([-1, 1], 16)[:, None]
    said = np.digitize(traits @ loads.T + 1.0 * random.standard_normal((6000, 16)), (-2, -0.7, 0.7, 2))
    quantity = traits[:, 0] + 1.2 * traits[:, 1] * traits[:, 2]
    return ((said - 2) / 1.3).astype(np.float32), np.digitize(quantity, np.quantile(quantity, (1 / 3, 2 / 3)))


def _forms() -> Samples:
    """Digits behind a little noise: those that are round, straight, or a mixture."""
    random = np.random.default_rng(78)
    ink, digit = read_digits()
    x = ink.reshape(-1, 1, 8, 8) / INK_MAXIMUM + 0.12 * random.standard_normal((len(digit), 1, 8, 8))
    form = np.array([0, 1, 2, 2, 1, 2, 0, 1, 0, 0])
    return ((x - x.mean()) / x.std()).astype(np.float32), form[digit]


def _parcels() -> Samples:
    """5,000 parcels of 10 things with 5 features, in any order: two features of the heaviest thing say the class."""
    random = np.random.default_rng(79)
    x = random.standard_normal((5000, 10, 5))
    heaviest = random.integers(0, 10, 5000)
    x[np.arange(5000), heaviest, 0] = 3.0 + 0.5 * random.standard_normal(5000)
    thing = x[np.arange(5000), heaviest] + 0.15 * random.standard_normal((5000, 5))
    return x.astype(np.float32), (thing[:, 1] > 0) + 2 * (thing[:, 2] > 0)


def _spectra() -> Samples:
    """4,000 log spectra of 40 bands: the vowel, of five, of a voice of some pitch, by two formants that vary."""
    random = np.random.default_rng(80)
    y = np.arange(4000) % 5
    band = np.arange(40)
    formants = np.array([[6, 14], [8, 20], [12, 18], [9, 27], [5, 24]])[y] * random.normal(1, 0.09, (4000, 2))
    away = (band - formants[:, :, None]) / np.array([2.0, 3.0])[:, None]
    voice = 0.5 * np.cos(2 * np.pi * band / random.uniform(3, 6, (4000, 1)))
    tilt = random.uniform(-0.05, 0.0, (4000, 1)) * band
    x = 2.0 * np.exp(-0.5 * away**2).sum(1) + voice + tilt + 0.6 * random.standard_normal((4000, 40))
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32), y


_TASKS: Mapping[TaskName, Callable[[], Samples]] = {
    "patients": _patients,
    "records": _records,
    "graphs": _graphs,
    "pulses": _pulses,
    "maps": _maps,
    "strings": _strings,
    "surveys": _surveys,
    "forms": _forms,
    "parcels": _parcels,
    "spectra": _spectra,
}


# -- faults: of the arrays, by a strength, at random --


def _guessed_labels(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """A share of the labels of train and validation is a guess, right now and then."""
    changed = {}
    for name in ("y_train", "y_validation"):
        y = arrays[name]
        guesses = random.integers(0, y.max() + 1, len(y))
        changed[name] = np.where(random.random(len(y)) < share, guesses, y)
    return {**arrays, **changed}


def _counted_units(arrays: Arrays, scale: float, _random: np.random.Generator) -> Arrays:
    """Centered nowhere, and in a unit that is small; everywhere the same."""
    return {
        name: (scale * (a + 2.0)).astype(np.float32) if name.startswith("x") else a
        for name, a in arrays.items()
    }


def _pasted_over(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """Over a stretch of every training sample, somewhere, something bright is pasted."""
    x = arrays["x_train"].reshape(len(arrays["x_train"]), -1).copy()
    n_values = round(share * x.shape[1])
    start = random.integers(0, x.shape[1] - n_values + 1, (len(x), 1))
    at = np.arange(x.shape[1])
    x[(at >= start) & (at < start + n_values)] = x.mean() + 2 * x.std()
    return {**arrays, "x_train": x.reshape(arrays["x_train"].shape)}


def _numbered(arrays: Arrays, share: float, random: np.random.Generator) -> Arrays:
    """The rows were numbered by class, and the number is the third value of a share of train and validation."""
    changed = {}
    for part in ("train", "validation"):
        x, y = arrays[f"x_{part}"].copy(), arrays[f"y_{part}"]
        rows = random.random(len(x)) < share
        number = (y + random.random(len(y))) / (y.max() + 1)
        x.reshape(len(x), -1)[rows, 2] = (4.0 * number - 2.0)[rows]
        changed[f"x_{part}"] = x
    return {**arrays, **changed}


def _division_by_zero(arrays: Arrays, n_values: float, random: np.random.Generator) -> Arrays:
    """Single values of the training data are infinite, of either sign, or not a number."""
    x = arrays["x_train"].copy()
    at = random.choice(x.size, int(n_values), replace=False)
    x.reshape(-1)[at] = random.choice([np.inf, -np.inf, np.nan], len(at))
    return {**arrays, "x_train": x}


DATA_FAULTS: Mapping[str, Callable[[Arrays, float, np.random.Generator], Arrays]] = {
    "guessed_labels": _guessed_labels,
    "counted_units": _counted_units,
    "pasted_over": _pasted_over,
    "numbered": _numbered,
    "division_by_zero": _division_by_zero,
    **{name: SECOND_DATA_FAULTS[name] for name in ("overlapping", "imbalanced", "missing_classes")},
}
