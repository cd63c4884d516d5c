"""What a step did, what it left out, and why: the lines of its checklist."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from search_spaces.edits import Edit
from studies.diagnosis import Finding, diagnose_record
from studies.encoding import jsonable
from tuner.guide.rounds import Round
from tuner.proving import Proof


class ItemState(StrEnum):
    """Whether an item was done."""

    DONE = "done"
    SKIPPED = "skipped"
    WARNING = "warning"
    """Done, and the answer asks for someone's attention."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of a checklist."""

    name: str
    state: ItemState
    why: str
    """What came of it, or why it was left out: one sentence with its numbers."""
    edits: tuple[Edit, ...] = ()
    """What it changes in the space of what follows."""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The item as JSON's own types."""
        return {
            "item": self.name,
            "state": self.state.value,
            "why": self.why,
            "edits": [edit.to_json() for edit in self.edits],
            "numbers": jsonable(self.numbers),
        }


@dataclass(kw_only=True)
class Notes:
    """What a step writes down while it runs."""

    step: str
    items: list[Item] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    """Of remedies that were tried between rounds."""

    def done(self, name: str, why: str, **numbers: Any) -> None:
        self.items.append(Item(name=name, state=ItemState.DONE, why=why, numbers=numbers))

    def skipped(self, name: str, why: str, **numbers: Any) -> None:
        self.items.append(Item(name=name, state=ItemState.SKIPPED, why=why, numbers=numbers))

    def warned(self, name: str, why: str, **numbers: Any) -> None:
        self.items.append(Item(name=name, state=ItemState.WARNING, why=why, numbers=numbers))

    @property
    def findings(self) -> list[Finding]:
        """Of all rounds of the step, worst first in each."""
        return [finding for each in self.rounds for finding in diagnose_record(each.record)]
