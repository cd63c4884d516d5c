"""A list of sound and of faulty trainings that no rule is tuned on, and what trains them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.diagnosis.runs import Run
from studies.diagnosis import CauseName


class AnyRecipe(Protocol):
    """One training as it is written down."""

    @property
    def family(self) -> str:
        """The name of its healthy twin among the sound recipes."""
        ...


@dataclass(frozen=True, kw_only=True)
class TransferSet:
    """Sound recipes and planted faults by name, each trained with every seed."""

    name: str
    about: str
    """What is in it, for a table's head."""
    healthy: Mapping[str, AnyRecipe]
    faulty: Mapping[str, tuple[CauseName, AnyRecipe]]
    healthy_seeds: tuple[int, ...]
    faulty_seeds: tuple[int, ...]
    train: Callable[[Any, str, int], Run]
    """A recipe, its name, a seed."""

    def __post_init__(self) -> None:
        without = {recipe.family for _, recipe in self.faulty.values()} - set(self.healthy)
        if without or not set(self.faulty_seeds) <= set(self.healthy_seeds):
            raise ValueError(
                f"Each fault needs a sound twin of its own seeds, but {self.name} lacks {without}."
            )
