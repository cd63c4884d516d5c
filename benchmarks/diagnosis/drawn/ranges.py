"""What the trainings of a drawn part are drawn from: broad ranges around what suits each optimizer."""

import math
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from benchmarks.diagnosis.case import Architecture, Loop, Planted, Setup

Kind = Literal["sgd", "nesterov", "plain_sgd", "adam", "adamw", "rmsprop"]
LoopKind = Literal["own", "watched", "numbers"]
Schedule = Literal["constant", "cosine", "linear", "late_step", "one_cycle", "warmup"]

NORMED = "benchmarks.diagnosis.fresh.convolutions:convolutional"
MODELS: dict[Architecture, str] = {"mlp": "mlp", "cnn": "cnn", "normed_cnn": NORMED}
GOOD_RATES: dict[Kind, float] = {
    "sgd": 0.05, "nesterov": 0.05, "plain_sgd": 0.3, "adam": 2e-3, "adamw": 2e-3, "rmsprop": 1e-3
}  # fmt: skip
"""At a batch of 64 and a momentum of 0.9; where a draw begins, not what is kept: `soundness` says that."""
FITTING = {"relu": "he", "gelu": "he", "tanh": "glorot", "elu": "he", "leaky_relu": "he"}
VALIDATION_FRACTIONS = (0.15, 0.2, 0.25)


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """Pairs are bounds, both of them drawn; other tuples are choices, and what is in one twice comes twice as often."""

    architectures: tuple[Architecture, ...] = (*("mlp",) * 6, "cnn", "normed_cnn")
    kinds: tuple[Kind, ...] = ("sgd", "nesterov", "plain_sgd", "adam", "adamw", "rmsprop")
    loops: tuple[LoopKind, ...] = ("own", "own", "watched", "numbers")
    n_images: tuple[int, int] = (2700, 4000)
    """For training and validation."""
    batch_size: tuple[int, int] = (16, 256)
    rate: tuple[float, float] = (0.6, 5)
    """Factors of a good one."""
    depth: tuple[int, int] = (1, 5)
    width: tuple[int, int] = (32, 256)
    epochs: tuple[int, int] = (8, 25)
    convolutional_epochs: tuple[int, int] = (8, 11)
    """Shorter: they cost more and learn in fewer."""
    schedules: tuple[Schedule, ...] = ("constant", "cosine", "linear", "late_step", "one_cycle", "warmup")
    warmup: tuple[float, float] = (0.02, 0.08)
    normalizations: tuple[str, ...] = ("none", "none", "batch", "layer")
    dropout: tuple[float, float] = (0.1, 0.3)
    no_dropout: float = 0.5
    """The share without any."""
    decays: tuple[float, ...] = (0.0, 1e-5, 1e-4)
    """Of the weights; adamw's are a hundred times as large."""
    augmentation: tuple[float, float] | None = None


BROAD = Ranges()


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training that was drawn."""

    architecture: Architecture
    setup: Setup


def log_uniform(random: Random, low: float, high: float) -> float:
    """Three digits: what is written down is what is trained."""
    return rounded(math.exp(random.uniform(math.log(low), math.log(high))))


def log_integer(random: Random, low: int, high: int) -> int:
    """From ``low`` to ``high``."""
    return min(max(round(math.exp(random.uniform(math.log(low), math.log(high)))), low), high)


def rounded(value: float) -> float:
    """To three digits."""
    return float(f"{value:.3g}")


def drawn_training(random: Random, ranges: Ranges = BROAD) -> Training:
    """The next of ``random``, sound or not."""
    architecture = random.choice(ranges.architectures)
    kind = random.choice(ranges.kinds)
    n_images = random.randint(*ranges.n_images)
    validation_fraction = random.choice(VALIDATION_FRACTIONS)
    n_train = n_images - round(n_images * validation_fraction)
    batch_size = _batch_size(log_integer(random, *ranges.batch_size), n_train)
    epochs = log_integer(random, *(ranges.epochs if architecture == "mlp" else ranges.convolutional_epochs))
    network = _network(random, ranges, architecture)
    config = {
        **network,
        **_optimizer(random, ranges, kind, batch_size, network["depth"]),
        **_schedule(random, ranges, epochs),
        "dropout": 0.0 if random.random() < ranges.no_dropout else rounded(random.uniform(*ranges.dropout)),
        "batch_size": batch_size,
        "epochs": epochs,
        "validation_fraction": validation_fraction,
    }
    loop = random.choice(ranges.loops)
    if ranges.augmentation is not None:
        config["augmentation"] = rounded(random.uniform(*ranges.augmentation))
    return Training(
        architecture=architecture,
        setup=Setup(
            config=config,
            data=(Planted(name="fewer", strength=n_images),),
            loop=None if loop == "own" else Loop(gives_numbers=loop == "numbers"),
        ),
    )


def _batch_size(size: int, n_train: int) -> int:
    """None that leaves a single sample for the last minibatch, which batch normalization cannot take."""
    return size + 1 if n_train % size == 1 else size


def _network(random: Random, ranges: Ranges, architecture: Architecture) -> dict[str, Any]:
    activation = random.choice(list(FITTING))
    depth = random.randint(*ranges.depth)
    width = log_integer(random, *ranges.width)
    if architecture == "normed_cnn":
        depth, width = random.randint(2, 4), log_integer(random, 8, 20)
    return {
        "model": MODELS[architecture],
        "depth": 2 if architecture == "cnn" else depth,
        "width": width,
        "activation": activation,
        "initialization": FITTING[activation],
        "normalization": random.choice(ranges.normalizations),
    }


def _optimizer(random: Random, ranges: Ranges, kind: Kind, batch_size: int, depth: int) -> dict[str, Any]:
    is_sgd = kind in ("sgd", "nesterov", "plain_sgd")
    momentum = random.choice((0.8, 0.9, 0.95)) if kind in ("sgd", "nesterov") else 0.0
    by_batch = min(batch_size / 64, 2.0) if is_sgd else min(math.sqrt(batch_size / 64), 1.5)
    by_momentum = (1 - momentum) / 0.1 if momentum else 1.0
    good = GOOD_RATES[kind] * by_batch * by_momentum * min(2 / depth, 1.0)
    low, high = ranges.rate
    return {
        "optimizer": "sgd" if is_sgd else kind,
        "momentum": momentum,
        "nesterov": kind == "nesterov",
        "learning_rate": log_uniform(random, low * good, high * good),
        "weight_decay": random.choice(ranges.decays) * (100 if kind == "adamw" else 1),
    }


def _schedule(random: Random, ranges: Ranges, epochs: int) -> dict[str, Any]:
    drawn = random.choice(ranges.schedules)
    warmup = rounded(random.uniform(*ranges.warmup))
    if drawn == "warmup":
        return {"schedule": random.choice(("constant", "cosine", "linear")), "warmup_fraction": warmup}
    if drawn == "late_step":
        at = max(1, round(epochs * random.uniform(0.6, 0.85)))
        return {"schedule": "step", "step_size": at, "step_gamma": log_uniform(random, 0.1, 0.4)}
    return {"schedule": drawn}
