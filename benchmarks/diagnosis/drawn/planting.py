"""A way of planting a cause: which trainings it suits, and what becomes of such a training."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from benchmarks.diagnosis.case import Loop, Planted, Setup

Suits = Callable[[Setup], bool]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One of the ways in which a cause is planted."""

    suits: Suits
    plant: Callable[[Random, Setup], Setup]
    """The faulty training: the strength is drawn from the weakest that may hurt to a clear one."""


def configured(setup: Setup, **config: Any) -> Setup:
    return replace(setup, config={**setup.config, **config})


def seen(setup: Setup, name: str, strength: float, **config: Any) -> Setup:
    """With other data."""
    return replace(configured(setup, **config), data=(*setup.data, Planted(name=name, strength=strength)))


def started(setup: Setup, name: str, strength: float) -> Setup:
    """With a network that starts in another way."""
    return replace(setup, network=Planted(name=name, strength=strength))


def looped(setup: Setup, **changes: Any) -> Setup:
    return replace(setup, loop=replace(setup.loop or Loop(), **changes))


# -- which trainings a way suits --


def everything(_setup: Setup) -> bool:
    return True


def both(*conditions: Suits) -> Suits:
    """All of them."""
    return lambda setup: all(suits(setup) for suits in conditions)


def has(**config: Any) -> Suits:
    return lambda setup: all(setup.config.get(key) == value for key, value in config.items())


def is_watched(setup: Setup) -> bool:
    return setup.loop is not None


def gives_numbers(setup: Setup) -> bool:
    return setup.loop is not None and setup.loop.gives_numbers


def is_bare(setup: Setup) -> bool:
    """Without the normalization that hides much."""
    return bool(setup.config["normalization"] == "none")


def is_perceptron(setup: Setup) -> bool:
    return bool(setup.config["model"] == "mlp")


def may_lose_images(setup: Setup) -> bool:
    """Whatever number of images is left, no minibatch of one meets batch normalization."""
    return bool(setup.config["normalization"] != "batch")
