"""Networks, data and a training loop that no threshold was calibrated on, with and without a fault.

A residual network with GELU and layer normalization on a table of 12 features and on three spirals, and a convolutional
one with batch normalization on 8x8 digits; trained by a plain PyTorch loop: DataLoader, `torch.optim`, a scheduler.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.diagnosis.runs import Run
from benchmarks.diagnosis.transfer.evaluating import evaluated, finished_run, probed_record
from benchmarks.diagnosis.transfer.first_recipe import Recipe, TaskName
from studies.records import StudyRecord
from tuner.training.datasets.digits import INK_MAXIMUM, read_digits

Arrays = dict[str, npt.NDArray[Any]]
"""x_train, y_train, x_validation, y_validation, x_test, y_test."""


# -- data --


def arrays_of(task: TaskName, *, seed: int) -> Arrays:
    """Train, validation and test parts, 3 : 1 : 1."""
    x, y = {"digits": _digits, "table": _table, "spirals": _spirals}[task]()
    order = np.random.default_rng([seed, 1]).permutation(len(x))
    first, second = int(0.6 * len(x)), int(0.8 * len(x))
    parts = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    return {f"{kind}_{part}": a[rows] for part, rows in parts.items() for kind, a in (("x", x), ("y", y))}


def _digits() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    x, y = read_digits()
    return (x / INK_MAXIMUM - 0.3).astype(np.float32).reshape(-1, 1, 8, 8), y


def _table() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """4,000 rows of 12 features, 5 of them without meaning; the class depends on products and ranges of the others."""
    random = np.random.default_rng(20)
    x = random.standard_normal((4000, 12))
    scores = np.stack(
        [
            x[:, 0] * x[:, 1] + x[:, 2],
            np.sin(2 * x[:, 3]) * 2 - x[:, 4],
            x[:, 5] ** 2 - 1 + x[:, 6] * x[:, 0],
            np.abs(x[:, 2] - x[:, 4]) - 1,
        ],
        axis=1,
    )
    return x.astype(np.float32), (scores + 0.2 * random.standard_normal(scores.shape)).argmax(1)


def _spirals() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """2,100 points of three arms that wind around each other once."""
    random = np.random.default_rng(30)
    y = np.arange(2100) % 3
    radius = random.uniform(0.1, 1.0, len(y))
    angle = 2 * np.pi * (radius + y / 3) + 0.15 * random.standard_normal(len(y))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32) * 1.7, y


def _replaced(arrays: Arrays, **changed: npt.NDArray[Any]) -> Arrays:
    return {**arrays, **changed}


def _noisy_labels(arrays: Arrays, random: np.random.Generator) -> Arrays:
    """40% of the labels of train and validation are drawn anew."""
    changed = {}
    for name in ("y_train", "y_validation"):
        y = arrays[name].copy()
        wrong = random.random(len(y)) < 0.4
        y[wrong] = random.integers(0, y.max() + 1, int(wrong.sum()))
        changed[name] = y
    return _replaced(arrays, **changed)


def _non_finite(arrays: Arrays, random: np.random.Generator) -> Arrays:
    x = arrays["x_train"].copy()
    x[random.integers(0, len(x), 5)] = np.nan
    return _replaced(arrays, x_train=x)


def _unscaled(arrays: Arrays, _random: np.random.Generator) -> Arrays:
    return _replaced(arrays, **{name: 500 * a + 2000 for name, a in arrays.items() if name.startswith("x")})


def _leaking(arrays: Arrays, _random: np.random.Generator) -> Arrays:
    """The label in the first pixel, but not in the test part."""
    changed = {}
    for part in ("train", "validation"):
        x = arrays[f"x_{part}"].copy()
        x[:, 0, 0, 0] = arrays[f"y_{part}"] / 9
        changed[f"x_{part}"] = x
    return _replaced(arrays, **changed)


def _overlapping(arrays: Arrays, _random: np.random.Generator) -> Arrays:
    """The validation samples are in the training data, too."""
    x, y = (np.concatenate([arrays[f"{kind}_train"], arrays[f"{kind}_validation"]]) for kind in "xy")
    return _replaced(arrays, x_train=x, y_train=y)


def _imbalanced(arrays: Arrays, random: np.random.Generator) -> Arrays:
    """2% of every second class, in train and validation."""
    changed = {}
    for part in ("train", "validation"):
        y = arrays[f"y_{part}"]
        kept = (y % 2 == 0) | (random.random(len(y)) < 0.02)
        changed |= {f"x_{part}": arrays[f"x_{part}"][kept], f"y_{part}": y[kept]}
    return _replaced(arrays, **changed)


def _missing_classes(arrays: Arrays, _random: np.random.Generator) -> Arrays:
    kept = arrays["y_train"] < 7
    return _replaced(arrays, x_train=arrays["x_train"][kept], y_train=arrays["y_train"][kept])


def _inverted(arrays: Arrays, _random: np.random.Generator) -> Arrays:
    """The training images alone."""
    return _replaced(arrays, x_train=0.4 - arrays["x_train"])


DATA_FAULTS: Mapping[str, Callable[[Arrays, np.random.Generator], Arrays]] = {
    "noisy_labels": _noisy_labels,
    "non_finite": _non_finite,
    "unscaled": _unscaled,
    "leaking": _leaking,
    "overlapping": _overlapping,
    "imbalanced": _imbalanced,
    "missing_classes": _missing_classes,
    "inverted": _inverted,
}


# -- networks --


class _Residual(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * width)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.outer(self.dropout(self.activation(self.inner(self.norm(x)))))
        return found


def _network(recipe: Recipe, n_features: int, n_classes: int) -> nn.Module:
    width, rate = recipe.width, recipe.dropout
    model: nn.Sequential
    if recipe.task == "digits":
        channels = max(width // 4, 1)
        model = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(rate),
            nn.Linear(32 * channels, n_classes),
        )
    else:
        blocks = [_Residual(width, rate) for _ in range(recipe.n_blocks)]
        model = nn.Sequential(
            nn.Linear(n_features, width), *blocks, nn.LayerNorm(width), nn.Linear(width, n_classes)
        )
    match recipe.fault:
        case "softmax":
            model.append(nn.Softmax(1))
        case "frozen":
            for parameter in itertools.chain(*(layer.parameters() for layer in model[:-1])):
                parameter.requires_grad = False
        case "large_weights":
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=1.0)
        case "equal_weights":
            for parameter in model.parameters():
                nn.init.constant_(parameter, 0.05)
    return model


# -- the loop --


def train(recipe: Recipe, name: str, *, seed: int, probed: bool = True) -> Run:
    """Train ``recipe`` under `tuner.watch`, and look at the test part; sets torch's global random state."""
    started = time.perf_counter()
    arrays = arrays_of(recipe.task, seed=seed)
    if recipe.n_train is not None:
        arrays = _replaced(
            arrays, **{name: arrays[name][: recipe.n_train] for name in ("x_train", "y_train")}
        )
    n_classes = int(arrays["y_train"].max()) + 1
    if recipe.fault in DATA_FAULTS:
        arrays = DATA_FAULTS[recipe.fault](arrays, np.random.default_rng([seed, 2]))
    tensors = {key: torch.from_numpy(value.copy()) for key, value in arrays.items()}
    torch.manual_seed(seed)
    loop = _Loop(recipe, tensors, n_classes)
    record, reported = loop.run(probed=probed, seed=seed)
    return finished_run(name, seed, record, loop.model, tensors, reported=reported, started=started)


class _Loop:
    """What a person writes in a notebook."""

    def __init__(self, recipe: Recipe, tensors: Mapping[str, Tensor], n_classes: int) -> None:
        self.recipe = recipe
        self.data = tensors
        self.model = _network(recipe, tensors["x_train"][0].numel(), n_classes)
        x, y = tensors["x_train"], tensors["y_train"]
        if recipe.fault == "sorted":
            order = torch.argsort(y, stable=True)
            x, y = x[order], y[order]
        self.loader = DataLoader(
            TensorDataset(x, y), batch_size=recipe.batch_size, shuffle=recipe.fault != "sorted"
        )
        kept = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer: torch.optim.Optimizer
        if recipe.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(
                kept, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
            )
        else:
            self.optimizer = torch.optim.AdamW(
                kept, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
            )
        self.scheduler = self._scheduler()

    def run(self, *, probed: bool, seed: int) -> tuple[StudyRecord, float]:
        """Train to the end; what the watch saw, and the validation accuracy as the loop itself reports it."""
        import tuner

        validation = (self.data["x_validation"], self.data["y_validation"])
        reports = self.recipe.fault == "train_mode_evaluation"
        reported = float("nan")
        with tuner.watch(
            self.model,
            self.optimizer,
            study=None,
            validation=None if reports else validation,
            quiet=True,
        ) as watch:
            for _epoch in range(self.recipe.epochs):
                self._train_epoch(watch)
                is_train_mode = self.recipe.fault == "train_mode_evaluation"
                loss, reported = evaluated(self.model, *validation, train_mode=is_train_mode)
                if reports:
                    watch.epoch(validation_loss=loss, validation_accuracy=reported)
                else:
                    watch.epoch()
        record = watch.record()
        if probed:
            record = probed_record(
                record,
                self.model,
                self.optimizer,
                (self.data["x_train"], self.data["y_train"]),
                seed=seed,
                batch_size=self.recipe.batch_size,
                clip_norm=self.recipe.clip_norm,
            )
        return record, reported

    def _train_epoch(self, watch: Any) -> None:
        if self.recipe.fault != "eval_mode_training":
            self.model.train()
        for inputs, targets in self.loader:
            if self.recipe.fault != "no_zero_grad":
                self.optimizer.zero_grad()
            loss = cross_entropy(self.model(inputs), targets, label_smoothing=self.recipe.label_smoothing)
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            watch.step(loss, inputs, targets)
            if self.recipe.clip_norm:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
            self.optimizer.step()
            if self.scheduler is not None:
                self.scheduler.step()

    def _scheduler(self) -> torch.optim.lr_scheduler.LRScheduler | None:
        n_steps = self.recipe.epochs * len(self.loader)
        match self.recipe.schedule:
            case "cosine":
                return torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=n_steps)
            case "one_cycle":
                return torch.optim.lr_scheduler.OneCycleLR(
                    self.optimizer,
                    max_lr=self.recipe.learning_rate,
                    total_steps=n_steps,
                    cycle_momentum=False,
                )
            case "tenth_every_epoch":
                return torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=len(self.loader), gamma=0.1)
        return None
