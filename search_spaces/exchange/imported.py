"""What comes of a file of another tool: a space, settings of the search, and every word on what changed."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from search_spaces.errors import ConfigurationError
from search_spaces.space import Space

LARGEST_NUMBER = 1e15
"""Beyond it a float no longer tells whole numbers apart, and no hyperparameter is as large."""


class Source(StrEnum):
    """What kind of file it was."""

    SPACE = "space"
    WANDB = "wandb"
    OPTUNA = "optuna"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a file says of the search besides its space; None is whatever ``tuner search`` does by itself."""

    sampler: str | None = None
    pruner: str | None = None
    metric: str | None = None
    direction: str | None = None
    trials: int | None = None
    epochs: int | None = None
    seed: int | None = None

    def options(self) -> str:
        """The settings as options of ``tuner search``."""
        return " ".join(f"--{name} {value}" for name, value in asdict(self).items() if value is not None)


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A space from a file, and all that one should know of how it became one."""

    source: Source
    space: Space
    settings: Settings = field(default_factory=Settings)
    notes: tuple[str, ...] = ()
    """What was renamed, a sentence each."""
    warnings: tuple[str, ...] = ()
    """Where the file may not mean what its writer thinks, or the space differs from it, a sentence each."""
    not_carried: tuple[str, ...] = ()
    """What of the file has no place in the space or the settings, a sentence each."""

    def to_json(self) -> dict[str, Any]:
        """As JSON's own types."""
        return {
            "source": self.source.value,
            "space": self.space.to_json(),
            "settings": asdict(self.settings),
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "not_carried": list(self.not_carried),
        }


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A space in another tool's form, and what of it that form cannot hold."""

    data: dict[str, Any]
    text: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user decided where a file leaves room.

    Raises:
        ConfigurationError: for a ``log_uniform_as`` that is none of its two words.
    """

    rename: bool = True
    """Names of other tools become config keys: ``lr`` is ``learning_rate``."""
    truncate: bool = False
    """Unbounded distributions become ranges instead of being refused."""
    log_uniform_as: str | None = None
    """``exponents`` or ``values``: what the bounds of ``log_uniform`` are; None refuses those that look wrong."""

    def __post_init__(self) -> None:
        if self.log_uniform_as not in {None, "exponents", "values"}:
            raise ConfigurationError(
                f"log_uniform_as must be exponents or values, but got {self.log_uniform_as!r}."
            )


@dataclass
class Remarks:
    """What a reading collects on its way; it goes on after a fault, to tell them all."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    not_carried: list[str] = field(default_factory=list)

    def plain_name(self, name: str) -> str:
        """A space's name in the letters that a study's name may have, and that a shell takes as they are."""
        plain = re.sub(r"[^\w.-]+", "-", name).strip("-") or "imported"
        if plain != name:
            self.notes.append(f"name {name!r} is {plain} here")
        return plain

    def refuse_faults(self, rule: str) -> None:
        """Raise a ConfigurationError with all faults, if there are any."""
        if self.faults:
            raise ConfigurationError(f"{rule}, but:\n{listed(self.faults)}")


def listed(sentences: Sequence[str]) -> str:
    """One line each, with a dash."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
