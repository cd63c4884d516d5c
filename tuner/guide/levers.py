"""Which config keys a guide may change, and to which values: what is fixed stays, and a space restricts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search_spaces import Lever, Space
from search_spaces.lever import is_same

GRID_OF_A_RANGE = 4
"""Points of a lever's range that stand in where none of the guide's own values lies in it."""


@dataclass(frozen=True, kw_only=True)
class Levers:
    """What a guide may touch."""

    space: Space | None = None
    """None is everything that the guide knows of."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Config keys that someone has decided, over those that the space fixes."""

    def may_change(self, key: str) -> bool:
        return not self.why_not(key)

    def why_not(self, key: str) -> str:
        """Why the key stays as it is, as a clause; empty where it may change."""
        if key in self.fixed:
            return f"{key} is fixed at {self.fixed[key]}"
        if self.space is None:
            return ""
        if key in self.space.fixed:
            return f"the space fixes {key} at {self.space.fixed[key]}"
        return "" if self._lever(key) is not None else f"{key} is no lever of the space {self.space.name}"

    def allows(self, changes: Mapping[str, Any]) -> bool:
        """Whether every one of these keys may take its value."""
        return all(self.may_change(key) and self._contains(key, value) for key, value in changes.items())

    def values(self, key: str, wanted: Sequence[Any]) -> list[Any]:
        """Those of ``wanted`` that the lever holds; its range's grid where fewer than two are; none if it is fixed."""
        if not self.may_change(key):
            return []
        held = [value for value in wanted if self._contains(key, value)]
        lever = self._lever(key)
        if len(held) >= 2 or lever is None:
            return held
        grid = [lever.to_config(value) for value in lever.grid(GRID_OF_A_RANGE)]
        return held + [value for value in grid if not any(is_same(value, other) for other in held)]

    def nearest(self, key: str, value: Any) -> Any:
        """``value``, or what the baseline takes where the space does not hold it: the default, else the middle."""
        lever = self._lever(key)
        if lever is None or lever.contains(value):
            return value
        if lever.contains(lever.default):
            return lever.default
        points = [lever.to_config(point) for point in lever.grid(3)]
        return points[len(points) // 2]

    def _contains(self, key: str, value: Any) -> bool:
        lever = self._lever(key)
        return lever is None or lever.contains(value)

    def _lever(self, key: str) -> Lever | None:
        if self.space is None:
            return None
        return next((lever for lever in self.space if lever.key == key), None)
