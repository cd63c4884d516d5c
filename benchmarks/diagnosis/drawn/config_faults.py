"""Faults that a lever mends, planted into drawn trainings; the ways are those of the older parts."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from benchmarks.diagnosis.case import Setup
from benchmarks.diagnosis.drawn.planting import (
    Way,
    both,
    configured,
    everything,
    has,
    is_bare,
    is_perceptron,
    started,
)
from benchmarks.diagnosis.drawn.ranges import BROAD, Ranges, log_integer, log_uniform, rounded
from studies.diagnosis import CauseName


def _has_momentum(setup: Setup) -> bool:
    return bool(setup.config["momentum"] > 0)


def _is_toolkit_cnn(setup: Setup) -> bool:
    return bool(setup.config["model"] == "cnn")


def _is_long(setup: Setup) -> bool:
    return bool(setup.config["epochs"] >= 12)


def _is_deep(setup: Setup) -> bool:
    return bool(setup.config["depth"] >= 3)


_IS_SGD = has(optimizer="sgd")
_IS_CONSTANT = has(schedule="constant")


def _rate(random: Random, setup: Setup, low: float, high: float) -> Setup:
    factor = log_uniform(random, low, high)
    return configured(setup, learning_rate=rounded(setup.config["learning_rate"] * factor))


def _growing_steps(random: Random, setup: Setup) -> Setup:
    """The rate becomes many times what it was, in a few steps."""
    n = random.randint(2, 6)
    size = max(1, setup.config["epochs"] // (n + 1))
    gamma = rounded(log_uniform(random, 30, 1000) ** (1 / n))
    return configured(setup, schedule="step", step_size=size, step_gamma=gamma)


def _growing_milestones(random: Random, setup: Setup) -> Setup:
    epochs = setup.config["epochs"]
    at = tuple(sorted(random.sample(range(2, epochs - 1), 2)))
    return configured(setup, schedule="multistep", milestones=at, step_gamma=log_uniform(random, 4, 12))


def _harsh_restarts(random: Random, setup: Setup) -> Setup:
    harsh = _rate(random, setup, 6, 20)
    return configured(harsh, schedule="restarts", restart_period=random.randint(1, 3))


def _early_milestones(random: Random, setup: Setup) -> Setup:
    return configured(
        setup, schedule="multistep", milestones=(1, 2), step_gamma=log_uniform(random, 0.03, 0.15)
    )


def _decoupled_decay(random: Random, setup: Setup) -> Setup:
    """What is taken from a weight at each step counts, which is the decay times the rate."""
    decay = log_uniform(random, 0.006, 0.06) / setup.config["learning_rate"]
    return configured(setup, weight_decay=rounded(decay))


RATE: Mapping[CauseName, tuple[Way, ...]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (
        Way(suits=is_bare, plant=lambda random, setup: _rate(random, setup, 6, 60)),
    ),
    CauseName.LEARNING_RATE_TOO_LOW: (
        Way(suits=everything, plant=lambda random, setup: _rate(random, setup, 1 / 300, 1 / 10)),
    ),
    CauseName.MOMENTUM_TOO_HIGH: (
        Way(
            suits=both(_has_momentum, is_bare),
            plant=lambda random, setup: configured(
                setup, momentum=round(1 - log_uniform(random, 0.003, 0.02), 5)
            ),
        ),
    ),
    CauseName.CLIPPING_TOO_TIGHT: (
        Way(
            suits=_IS_SGD,
            plant=lambda random, setup: configured(setup, clip_norm=log_uniform(random, 0.003, 0.06)),
        ),
    ),
    CauseName.BATCH_TOO_SMALL: (
        Way(
            suits=is_bare,
            plant=lambda random, setup: configured(setup, batch_size=log_integer(random, 2, 6)),
        ),
    ),
    CauseName.BATCH_TOO_LARGE: (
        Way(
            suits=everything,
            plant=lambda random, setup: configured(setup, batch_size=log_integer(random, 600, 2200)),
        ),
    ),
}

DEPTH: Mapping[CauseName, tuple[Way, ...]] = {
    CauseName.VANISHING_GRADIENTS: (
        Way(
            suits=both(is_perceptron, is_bare, _is_deep),
            plant=lambda _random, setup: configured(setup, activation="sigmoid", initialization="glorot"),
        ),
    ),
    CauseName.EXPLODING_GRADIENTS: (
        Way(
            suits=both(is_perceptron, is_bare, _is_deep),
            plant=lambda random, setup: started(
                setup, "gain", rounded(log_uniform(random, 40, 5000) ** (1 / setup.config["depth"]))
            ),
        ),
    ),
    CauseName.MISSING_WARMUP: (
        Way(suits=everything, plant=lambda _random, setup: configured(setup, warmup_fraction=0.0)),
    ),
}

SCHEDULE: Mapping[CauseName, tuple[Way, ...]] = {
    CauseName.TOO_FEW_EPOCHS: (
        Way(
            suits=_is_long,
            plant=lambda random, setup: configured(
                setup, epochs=max(1, round(setup.config["epochs"] * log_uniform(random, 0.04, 0.2)))
            ),
        ),
    ),
    CauseName.WARMUP_TOO_LONG: (
        Way(
            suits=everything,
            plant=lambda random, setup: configured(
                setup, warmup_fraction=rounded(random.uniform(0.65, 0.98))
            ),
        ),
    ),
    CauseName.SCHEDULE_SPIKES: (
        Way(suits=both(_IS_CONSTANT, is_bare), plant=_growing_steps),
        Way(suits=both(_IS_CONSTANT, is_bare), plant=_growing_milestones),
        Way(suits=is_bare, plant=_harsh_restarts),
    ),
    CauseName.PREMATURE_DECAY: (
        Way(
            suits=_IS_CONSTANT,
            plant=lambda random, setup: configured(
                setup, schedule="step", step_size=1, step_gamma=log_uniform(random, 0.01, 0.25)
            ),
        ),
        Way(suits=_IS_CONSTANT, plant=_early_milestones),
        Way(
            suits=_IS_CONSTANT,
            plant=lambda random, setup: configured(
                setup, schedule="exponential", final_lr_fraction=log_uniform(random, 1e-10, 1e-6)
            ),
        ),
    ),
}

FIT: Mapping[CauseName, tuple[Way, ...]] = {
    CauseName.OVERFITTING: (
        Way(suits=everything, plant=lambda _random, setup: configured(setup, augmentation=0.0, dropout=0.0)),
    ),
    CauseName.OVERCONFIDENCE: (
        Way(
            suits=everything,
            plant=lambda random, setup: configured(
                setup, epochs=round(setup.config["epochs"] * log_uniform(random, 4, 9))
            ),
        ),
    ),
    CauseName.OVER_REGULARIZED: (
        Way(
            suits=both(_IS_SGD, is_bare),
            plant=lambda random, setup: configured(setup, weight_decay=log_uniform(random, 0.025, 0.25)),
        ),
        Way(suits=both(has(optimizer="adamw"), is_bare), plant=_decoupled_decay),
        Way(
            suits=everything,
            plant=lambda random, setup: configured(setup, dropout=rounded(random.uniform(0.75, 0.92))),
        ),
    ),
    CauseName.UNDERCAPACITY: (
        Way(
            suits=is_perceptron,
            plant=lambda random, setup: configured(setup, width=log_integer(random, 2, 9)),
        ),
        Way(
            suits=_is_toolkit_cnn,
            plant=lambda random, setup: configured(setup, width=log_integer(random, 2, 4)),
        ),
    ),
}

CONFIG_WAYS: Mapping[CauseName, tuple[Way, ...]] = {**RATE, **DEPTH, **SCHEDULE, **FIT}

_SHORT = replace(BROAD, epochs=(5, 8), convolutional_epochs=(4, 6))
OWN_RANGES: Mapping[CauseName, Ranges] = {
    CauseName.BATCH_TOO_SMALL: replace(
        _SHORT,
        kinds=("sgd", "nesterov"),
        architectures=("mlp",),
        n_images=(2700, 3200),
        batch_size=(16, 64),
        normalizations=("none",),
    ),
    CauseName.MISSING_WARMUP: replace(
        BROAD,
        kinds=("adam", "adamw", "rmsprop"),
        rate=(4, 14),
        depth=(3, 6),
        batch_size=(128, 256),
        schedules=("warmup",),
        warmup=(0.15, 0.25),
        normalizations=("none",),
    ),
    CauseName.WARMUP_TOO_LONG: replace(_SHORT, rate=(0.2, 1), schedules=("warmup",), batch_size=(16, 64)),
    CauseName.OVERFITTING: replace(
        BROAD,
        architectures=("mlp",),
        loops=("own",),
        n_images=(250, 800),
        width=(128, 256),
        depth=(1, 3),
        batch_size=(16, 64),
        epochs=(50, 90),
        normalizations=("none",),
        dropout=(0.15, 0.3),
        no_dropout=0.0,
        decays=(0.0,),
        augmentation=(0.35, 0.5),
    ),
    CauseName.OVERCONFIDENCE: replace(
        _SHORT,
        architectures=("mlp",),
        kinds=("adam", "adamw", "rmsprop"),
        epochs=(6, 8),
        n_images=(2700, 3200),
        batch_size=(32, 128),
        schedules=("constant",),
        no_dropout=1.0,
        decays=(0.0,),
    ),
}
"""Of the causes whose sound twin is no ordinary training: it is drawn for them, and is not on the healthy list."""
