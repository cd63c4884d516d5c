"""In how many cases of the benchmark a change of a lever repaired a fault: the evidence for the order of the remedies.

The table beside this file is written by ``python -m benchmarks.diagnosis.remedy_order`` and only read here.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("benchmarked.json")


@dataclass(frozen=True, kw_only=True)
class Benchmarked:
    """One change of a lever against one cause, over the cases in which it was trained."""

    n_repaired: int
    """Cases in which it recovered 80% of the gap to the healthy twin on unseen samples, and the symptom was gone."""
    n_tried: int

    def __post_init__(self) -> None:
        if not 0 <= self.n_repaired <= self.n_tried or self.n_tried == 0:
            raise ValueError(
                f"What was benchmarked repaired 0 to n of n cases, n at least 1, but got "
                f"{self.n_repaired} of {self.n_tried}."
            )

    @property
    def text(self) -> str:
        """For a person: a clause."""
        cases = "case" if self.n_tried == 1 else "cases"
        return f"repaired {self.n_repaired} of {self.n_tried} {cases} in the benchmark"

    def to_json(self) -> dict[str, int]:
        return {"repaired": self.n_repaired, "tried": self.n_tried}


def benchmarked(cause: str, lever: str) -> Benchmarked | None:
    """What became of a cause's change of ``lever`` where the cause was the likeliest; None where it was not trained."""
    return _all().get((cause, lever))


@functools.cache
def _all() -> Mapping[tuple[str, str], Benchmarked]:
    read: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return {
        (cause, lever): Benchmarked(n_repaired=row["repaired"], n_tried=row["tried"])
        for cause, rows in read["causes"].items()
        for lever, row in rows.items()
    }
