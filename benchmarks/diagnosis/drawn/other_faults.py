"""Faults of the data, of networks before their first step and of a loop's own code, planted into drawn trainings."""

from collections.abc import Mapping
from random import Random

from benchmarks.diagnosis.case import Setup
from benchmarks.diagnosis.drawn.planting import (
    Suits,
    Way,
    both,
    everything,
    gives_numbers,
    has,
    is_bare,
    is_perceptron,
    is_watched,
    looped,
    may_lose_images,
    seen,
    started,
)
from benchmarks.diagnosis.drawn.ranges import log_integer, log_uniform, rounded
from studies.diagnosis import CauseName

TRANSFORMS = ("inverted", "turned", "rolled", "mirrored", "dimmed", "magnified")
FROZEN_BY = ("requires_grad", "optimizer", "detach")
N_LAYERS_OF_CNN = 3
"""Before its output layer."""


def _data(name: str, low: float, high: float, suits: Suits = everything, **config: str) -> Way:
    return Way(
        suits=suits,
        plant=lambda random, setup: seen(setup, name, log_uniform(random, low, high), **config),
    )


def _counted(name: str, low: int, high: int, suits: Suits = everything, **config: str) -> Way:
    """A strength that is a whole number."""
    return Way(
        suits=suits,
        plant=lambda random, setup: seen(setup, name, log_integer(random, low, high), **config),
    )


def _start(name: str, low: float, high: float, suits: Suits = is_bare) -> Way:
    return Way(suits=suits, plant=lambda random, setup: started(setup, name, log_uniform(random, low, high)))


_RELU = both(has(activation="relu"), is_bare)
_UNSCALED = both(has(optimizer="sgd"), is_bare)

DATA_WAYS: Mapping[CauseName, tuple[Way, ...]] = {
    CauseName.NON_FINITE_DATA: (_data("with_nan", 8e-4, 0.01), _data("with_infinity", 8e-4, 0.01)),
    CauseName.TRAIN_VALIDATION_OVERLAP: (
        _data("duplicated", 0.3, 1.0, may_lose_images),
        _data("repeated", 0.3, 0.8, may_lose_images),
        _data("moved_copies", 0.7, 1.0, may_lose_images),
    ),
    CauseName.TARGET_LEAKAGE: (
        _counted("label_in_corner", 6, 25),
        _counted("label_in_row", 80, 255),
        _counted("label_in_last_row", 80, 255),
        _counted("label_in_background", 3, 6),
    ),
    CauseName.CLASS_IMBALANCE: (
        _data("imbalanced", 0.01, 0.1, may_lose_images),
        _data("rare", 0.01, 0.04, may_lose_images),
    ),
    CauseName.UNSTRATIFIED_SPLIT: (_counted("sorted_at_end", 1, 10, split="last"),),
    CauseName.LABEL_NOISE: (_data("mislabeled", 0.15, 0.4), _data("mislabeled_next", 0.2, 0.35)),
    CauseName.UNNORMALIZED_INPUT: (
        _data("scaled", 30, 255, _UNSCALED, input_scaling="none"),
        _data("shifted", 1.5, 10, _UNSCALED, input_scaling="none"),
        _data("scaled", 0.003, 0.02, _UNSCALED, input_scaling="none"),
    ),
}

START_WAYS: Mapping[CauseName, tuple[Way, ...]] = {
    CauseName.BAD_INITIALIZATION: (
        _start("deviation", 0.5, 1.2),
        _start("deviation", 1e-4, 3e-3, both(is_bare, has(optimizer="sgd"))),
        _start("constant", 0.01, 0.06),
        _start("magnified", 12, 60),
        Way(
            suits=is_bare,
            plant=lambda random, setup: started(setup, "copied_units", random.randint(1, 4)),
        ),
    ),
    CauseName.DYING_RELU: (
        _start("negative_biases", 1, 5, _RELU),
        _start("negative_inner_biases", 1.5, 4, _RELU),
        _start("negative_weights", 0.9, 1.0, both(_RELU, is_perceptron)),
    ),
}


def _freeze(random: Random, setup: Setup) -> Setup:
    n_hidden = N_LAYERS_OF_CNN if setup.config["model"] == "cnn" else setup.config["depth"]
    return looped(
        setup, n_frozen=random.randint((n_hidden + 1) // 2, n_hidden), frozen_by=random.choice(FROZEN_BY)
    )


def _leave_gradients(random: Random, setup: Setup) -> Setup:
    every = 0 if random.random() < 0.2 else log_integer(random, 3, 100)
    return looped(setup, zeroes_every=every)


def _has_much_dropout(setup: Setup) -> bool:
    return bool(setup.config["dropout"] >= 0.15)


CODE_WAYS: Mapping[CauseName, tuple[Way, ...]] = {
    CauseName.FROZEN_LAYERS: (Way(suits=is_watched, plant=_freeze),),
    CauseName.DOUBLE_SOFTMAX: (
        Way(suits=is_watched, plant=lambda _random, setup: looped(setup, has_softmax=True)),
    ),
    CauseName.EVALUATION_MODE_BUG: (
        Way(
            suits=both(gives_numbers, _has_much_dropout),
            plant=lambda _random, setup: looped(setup, evaluates_in_train_mode=True),
        ),
        Way(
            suits=both(gives_numbers, has(normalization="batch")),
            plant=lambda _random, setup: looped(setup, stays_in_eval_mode=True),
        ),
    ),
    CauseName.STALE_GRADIENTS: (Way(suits=is_watched, plant=_leave_gradients),),
    CauseName.UNSHUFFLED_DATA: (
        Way(
            suits=is_watched,
            plant=lambda random, setup: looped(setup, shuffled=rounded(random.uniform(0, 0.6))),
        ),
    ),
    CauseName.AUGMENTATION_DRIFT: (
        Way(
            suits=is_watched,
            plant=lambda random, setup: looped(setup, transform=random.choice(TRANSFORMS)),
        ),
    ),
}

OTHER_WAYS: Mapping[CauseName, tuple[Way, ...]] = {**DATA_WAYS, **START_WAYS, **CODE_WAYS}
