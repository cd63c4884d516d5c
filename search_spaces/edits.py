"""The ways a space may change: data that a remedy carries, a person reads, and ``apply`` carries out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self, cast

from search_spaces import catalog
from search_spaces.errors import ConfigurationError, unknown_name
from search_spaces.lever import Lever, Scale, Value, choices_of, is_number, is_value
from search_spaces.space import Condition, Space


class EditKind(StrEnum):
    """What an edit does to a lever."""

    FIX = "fix"
    WIDEN = "widen"
    NARROW = "narrow"
    FREE = "free"
    ADD = "add"
    DROP = "drop"


_RANGE_KINDS = frozenset({EditKind.WIDEN, EditKind.NARROW})


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change of a space.

    ``lever`` is a lever's name or a config key; value and bounds are in the terms of what is named:
    ``momentum`` at 0.9 and ``one_minus_momentum`` at 0.1 are one edit.

    Raises:
        ConfigurationError: for parts that do not belong to the kind, or are missing.
    """

    kind: EditKind
    lever: str
    value: Value | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[Value, ...] | None = None

    def __post_init__(self) -> None:
        if self.choices is not None:
            object.__setattr__(self, "choices", tuple(self.choices))
        bounds, choices = (self.low, self.high) != (None, None), self.choices is not None
        if (self.value is not None) != (self.kind is EditKind.FIX):
            raise ConfigurationError(f"An edit must have a value if it fixes, and only then, but got {self}.")
        if (bounds or choices) != (self.kind in _RANGE_KINDS) or (bounds and choices):
            raise ConfigurationError(
                "An edit must have either bounds or choices if it widens or narrows, and neither otherwise, "
                f"but got {self}."
            )
        given = [part for part in (self.value, *(self.choices or ())) if part is not None]
        numbers = [bound for bound in (self.low, self.high) if bound is not None]
        if not all(map(is_value, given)) or not all(map(is_number, numbers)):
            raise ConfigurationError(f"An edit must have words and finite numbers, but got {self}.")

    def sentence(self) -> str:
        """The edit as an instruction for a person."""
        match self.kind:
            case EditKind.FIX:
                return f"Fix {self.lever} at {_said(self.value)}."
            case EditKind.WIDEN | EditKind.NARROW:
                return f"{self.kind.capitalize()} {self.lever} {self._range_said()}."
            case EditKind.FREE:
                return f"Search {self.lever} again instead of fixing it."
            case EditKind.ADD:
                return f"Add {self.lever} to the search."
            case EditKind.DROP:
                return f"Stop searching {self.lever}; its default rules."

    def to_json(self) -> dict[str, Any]:
        """The edit as JSON's own types: only what is set."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        data: dict[str, Any] = {"kind": self.kind.value, "lever": self.lever}
        data |= {name: part for name, part in parts.items() if part is not None}
        return data if self.choices is None else {**data, "choices": list(self.choices)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The edit that ``to_json`` wrote."""
        return cls(**{**data, "kind": EditKind(data["kind"])})

    def _range_said(self) -> str:
        if self.choices is not None:
            return f"to {' or '.join(_said(choice) for choice in self.choices)}"
        if self.low is not None and self.high is not None:
            return f"to {_said(self.low)}..{_said(self.high)}"
        from_low, to_high = (
            ("down to", "up to") if self.kind is EditKind.WIDEN else ("to at least", "to at most")
        )
        return f"{to_high} {_said(self.high)}" if self.low is None else f"{from_low} {_said(self.low)}"


def apply(space: Space, edit: Edit) -> Space:
    """The space with one edit made; levers that can no longer exist go.

    Raises:
        ConfigurationError: if the edit does not fit the space.
    """
    match edit.kind:
        case EditKind.FIX:
            return _fixed(space, edit)
        case EditKind.WIDEN | EditKind.NARROW:
            return _ranged(space, edit)
        case EditKind.FREE:
            return _freed(space, edit)
        case EditKind.ADD:
            return _added(space, edit)
        case EditKind.DROP:
            return _dropped(space, edit)


def apply_all(space: Space, edits: Iterable[Edit]) -> Space:
    """The space with all edits made, in order."""
    for edit in edits:
        space = apply(space, edit)
    return space


def _fixed(space: Space, edit: Edit) -> Space:
    value = cast(Value, edit.value)  # an edit that fixes has one
    known = {lever.name: lever for lever in (*catalog.LEVERS, *space.levers)}
    lever = known.get(edit.lever)
    if lever is None or lever.scale is Scale.IDENTITY:
        return catalog.decided(space, edit.lever if lever is None else lever.key, value)
    if not is_number(value):
        raise ConfigurationError(f"{lever.name} must be fixed at a number, but got {value!r}.")
    return catalog.decided(space, lever.key, lever.to_config(value))


def _ranged(space: Space, edit: Edit) -> Space:
    old = _lever(space, edit)
    new = old.among(edit.choices) if edit.choices is not None else old.within(**_bounds(old, edit))
    larger, smaller = (new, old) if edit.kind is EditKind.WIDEN else (old, new)
    if not _covers(larger, smaller):
        rule = (
            "Widening must keep all of the old range"
            if larger is new
            else "Narrowing must stay in the old range"
        )
        raise ConfigurationError(f"{rule} ({old.key}: {old.range_text}), but got {new.range_text}.")
    return space.rebuilt(levers=[new if lever is old else lever for lever in space.levers])


def _freed(space: Space, edit: Edit) -> Space:
    lever = _catalog_lever(edit)
    if lever.key not in space.fixed:
        raise ConfigurationError(
            f"A key to free must be fixed ({', '.join(space.fixed) or 'none is'}), but got {lever.key!r}."
        )
    fixed = {key: value for key, value in space.fixed.items() if key != lever.key}
    return _with(space, lever, fixed)


def _added(space: Space, edit: Edit) -> Space:
    lever = _catalog_lever(edit)
    if space.find(lever.key):
        raise ConfigurationError(
            f"A lever to add must be new, but {lever.name} is in the space {space.name!r} already."
        )
    if lever.key in space.fixed:
        raise ConfigurationError(
            f"A lever to add must not be fixed, but {lever.key} is {space.fixed[lever.key]!r} (free it)."
        )
    return _with(space, lever, space.fixed)


def _dropped(space: Space, edit: Edit) -> Space:
    lever = _lever(space, edit)
    # The default rules from now on, so it decides what hangs on the lever.
    if lever.default is None:
        decided = space.rebuilt(levers=[kept for kept in space if kept is not lever])
    else:
        decided = space.fix(lever.key, lever.default)
    conditions = {name: cond for name, cond in decided.conditions.items() if cond.key != lever.key}
    return decided.rebuilt(conditions=conditions, fixed=space.fixed)


def _with(space: Space, lever: Lever, fixed: Mapping[str, Value]) -> Space:
    """The space with one more lever, before the levers that hang on it, under the catalog's condition."""
    known = catalog.conditions_for([*space.levers, lever], fixed)
    _check_use(space, lever, known.get(lever.name), fixed)
    conditions = dict(space.conditions) | {
        name: condition
        for name, condition in known.items()
        if name == lever.name or (name not in space.conditions and condition.key == lever.key)
    }
    dependents = [
        index for index, old in enumerate(space.levers) if _hangs_on(conditions.get(old.name), lever)
    ]
    place = min(dependents, default=len(space))
    levers = [*space.levers[:place], lever, *space.levers[place:]]
    return space.rebuilt(levers=levers, conditions=conditions, fixed=fixed)


def _check_use(space: Space, lever: Lever, condition: Condition | None, fixed: Mapping[str, Value]) -> None:
    """Refuse a lever that could not change any training of the space."""
    if condition is not None and not condition.may_hold(space.levers, fixed):
        raise ConfigurationError(
            f"{lever.name} exists only where {condition.text}, which is not possible here."
        )
    asked = catalog.CONDITIONS.get(lever.name)
    if asked is None or space.decides(asked.key):
        return
    default = catalog.lever(asked.key).default
    if default is not None and not asked.holds({asked.key: default}):
        raise ConfigurationError(
            f"{lever.name} means something only where {asked.text}, but the space {space.name!r} leaves {asked.key} "
            f"at its default, {default} (first fix {asked.key}, or add it to the search)."
        )


def _hangs_on(condition: Condition | None, lever: Lever) -> bool:
    return condition is not None and condition.key == lever.key


def _lever(space: Space, edit: Edit) -> Lever:
    lever = space.find(edit.lever)
    if lever is None:
        raise unknown_name(f"A lever to {edit.kind}", edit.lever, space.names)
    return lever


def _catalog_lever(edit: Edit) -> Lever:
    return catalog.lever(edit.lever)


def _bounds(lever: Lever, edit: Edit) -> dict[str, float | None]:
    """The edit's bounds in the lever's own scale, whose order ``1 - value`` turns round."""
    if edit.lever == lever.name or lever.scale is Scale.IDENTITY:
        return {"low": edit.low, "high": edit.high}
    low, high = (
        None if bound is None else float(lever.from_config(bound)) for bound in (edit.low, edit.high)
    )
    return {"low": high, "high": low}


def _covers(larger: Lever, smaller: Lever) -> bool:
    """Whether every value of one lever is a value of the other."""
    choices = choices_of(smaller.distribution)
    if choices:
        return all(larger.contains(smaller.to_config(choice)) for choice in choices)
    ends = smaller.grid(2)
    return not choices_of(larger.distribution) and all(
        larger.contains(smaller.to_config(end)) for end in ends
    )


def _said(value: Value | None) -> str:
    return f"{value:g}" if is_number(value) and isinstance(value, float) else str(value)
