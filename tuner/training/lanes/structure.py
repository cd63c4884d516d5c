"""What the lanes of a cohort must agree on: whatever changes shapes, the program, or the data they share."""

from collections.abc import Mapping
from typing import Any

from search_spaces import Space
from search_spaces.errors import ConfigurationError
from tuner.training.config import TrainingConfig

STRUCTURAL = (
    "model",
    "depth",
    "width",
    "activation",
    "normalization",
    "optimizer",
    "batch_size",
    "accumulation_steps",
    "input_scaling",
    "class_weights",
    "precision",
    "split",
    "validation_fraction",
)
"""Config keys. Every other one is a number, or a choice between numbers, that each lane has for itself."""


def structure_of(config: TrainingConfig) -> Mapping[str, Any]:
    """The keys that lanes of a cohort must agree on, with their values."""
    return {key: getattr(config, key) for key in STRUCTURAL}


def structural_levers(space: Space) -> tuple[str, ...]:
    """The names of the levers whose values lanes must agree on, whatever a space file of someone's own says of them."""
    return tuple(lever.name for lever in space if lever.key in STRUCTURAL)


def check_structure(config: TrainingConfig, structure: Mapping[str, Any]) -> None:
    """Look whether ``config`` can be a lane among those of ``structure``.

    Raises:
        ConfigurationError: naming every key in which it differs.
    """
    mine = structure_of(config)
    differences = [
        f"{key} is {mine[key]!r} where the others have {structure[key]!r}"
        for key in STRUCTURAL
        if mine[key] != structure[key]
    ]
    if differences:
        raise ConfigurationError(
            f"The lanes of a cohort share their structure, but {', '.join(differences)}."
        )
