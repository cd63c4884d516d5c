"""What a study was asked to do, and in what another request differs from it. Plain data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from search_spaces.space import Space

GRID_RESOLUTION = 5
"""Points per continuous lever of a grid, where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study was asked to do: all that is needed to resume it, and to refuse to mix it with something else."""

    task: str
    model: str
    space: Mapping[str, Any]
    """The space's JSON form (``Space.to_json``)."""
    sampler: str
    pruner: str
    epochs: int
    seed: int
    metric: str
    direction: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """The whole config of a trial before anything is suggested: defaults and ``fixed``. The study goes on with it."""
    spared_share: float = 0.0
    """Of the trials that the pruner condemns: so many, drawn at random, run on to their end to check it. A study goes
    on with the share it was begun with; one that is older than this has none."""
    resolution: int = GRID_RESOLUTION
    """Points per continuous lever of a grid; no other sampler looks at it."""
    configs: Sequence[Mapping[str, Any]] = ()
    """Of a listed study: exactly what is trained, each by the keys in which they differ. Empty for a search."""
    evaluates_test: bool = False
    """Whether every trial's best weights are also evaluated on the test split: for confirming, never for searching."""
    split: Mapping[str, Any] = field(default_factory=dict)
    """How the data was split, and the sizes of the parts."""
    data_hash: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of symptune, optuna and torch, for the reader; never compared."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "configs", tuple(self.configs))  # JSON has no tuples

    def differences(self, other: "StudyPlan") -> list[str]:
        """One phrase for each part in which ``other`` asks for something else; empty when they agree.

        Names of spaces and texts for people play no part, nor do config keys that only one of the two knows.
        """
        compared = [f.name for f in fields(self) if f.name not in _NOT_COMPARED]
        phrases = [
            f"{name} was {_short(getattr(self, name))} and is now {_short(getattr(other, name))}"
            for name in compared
            if getattr(self, name) != getattr(other, name)
        ]
        was, now = Space.from_json(self.space), Space.from_json(other.space)
        if was.fingerprint() != now.fingerprint():
            phrases.append(f"space: {', '.join(_space_differences(was, now))}")
        decided = {"epochs", "seed", "model", *self.fixed, *other.fixed, *was.fixed, *now.fixed}
        decided.update(lever.key for lever in was if lever.name not in was.conditions)
        phrases += [
            f"the default of {key} was {value!r} and is now {other.defaults[key]!r}"
            for key, value in self.defaults.items()
            if key not in decided and value != other.defaults.get(key, value)
        ]
        return phrases


_NOT_COMPARED = frozenset({"space", "defaults", "versions", "spared_share"})


def _space_differences(was: Space, now: Space) -> Iterator[str]:
    """A clause for each lever and each fixed key that is not the same in both."""
    for lever in was:
        if lever.name not in now:
            yield f"{lever.name} is gone"
            continue
        ranges = [(each.range_text, str(each.distribution)) for each in (lever, now[lever.name])]
        if ranges[0] != ranges[1]:
            is_told = ranges[0][0] != ranges[1][0]  # else a log scale, or a digit that the text leaves out
            old, new = (text if is_told else exactly for text, exactly in ranges)
            yield f"{lever.name} was {old} and is now {new}"
        facts = zip(_lever_facts(was, lever.name), _lever_facts(now, lever.name), strict=True)
        yield from (f"{lever.name} was {old} and is now {new}" for old, new in facts if old != new)
    yield from (f"{name} is new" for name in now.names if name not in was)
    for key in {**was.fixed, **now.fixed}:
        old, new = (f"fixed to {s.fixed[key]!r}" if key in s.fixed else "not fixed" for s in (was, now))
        if old != new:
            yield f"{key} was {old} and is now {new}"
    if was.names != now.names and set(was.names) == set(now.names):
        yield f"the order was {' '.join(was.names)} and is now {' '.join(now.names)}"


def _lever_facts(space: Space, name: str) -> list[str]:
    """What the fingerprint takes in of one lever beside its range, each for a sentence."""
    lever, condition = space[name], space.conditions.get(name)
    return [
        "structural" if lever.structural else "not structural",
        f"{lever.default!r} by default",
        f"a lever of {lever.family}",
        f"the key {lever.key} on scale {lever.scale}",
        f"{space.roles[name]}",
        "always there"
        if condition is None
        else f"there where {condition.key} is {' or '.join(map(repr, condition.values))}",
    ]


def _short(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
