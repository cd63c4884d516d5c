"""An ordered set of levers with roles and conditions; it suggests a config for a trial and reads one back."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from optuna.distributions import BaseDistribution
from optuna.trial import BaseTrial

from search_spaces.errors import ConfigurationError, unknown_name
from search_spaces.lever import Lever, Value, is_same, is_value

_FINGERPRINT_DIGITS = 16  # hex digits, 64 bits: a chance collision needs some four billion spaces


class Role(StrEnum):
    """Why a lever is in this round."""

    SCIENTIFIC = "scientific"
    NUISANCE = "nuisance"
    FIXED = "fixed"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A lever exists only where ``config[key]`` is one of ``values``."""

    key: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if not self.key or not self.values or not all(is_value(value) for value in self.values):
            raise ConfigurationError(
                "A condition must have a key and at least one word or finite number as its value, "
                f"but got {self.key!r} and {self.values}."
            )

    def holds(self, config: Mapping[str, Value]) -> bool:
        """Whether it holds for this config, in which the key may be absent."""
        return self.key in config and any(is_same(config[self.key], value) for value in self.values)

    def may_hold(self, levers: Sequence[Lever], fixed: Mapping[str, Value]) -> bool:
        """Whether some config of these levers and fixed values makes it hold."""
        parents = (lever for lever in levers if lever.key == self.key)
        return self.holds(fixed) or any(lever.contains(value) for lever in parents for value in self.values)

    @property
    def text(self) -> str:
        """The condition for a person."""
        return f"{self.key} is {' or '.join(str(value) for value in self.values)}"


@dataclass(frozen=True, kw_only=True)
class Space:
    """What one study searches: levers in the order in which they are suggested, a condition's lever first.

    Raises:
        ConfigurationError: for parts that contradict each other; all at once.
    """

    name: str
    levers: tuple[Lever, ...]
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Lever name -> role; scientific where nothing is said."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """Lever name -> when it exists; always where nothing is said."""
    fixed: Mapping[str, Value] = field(default_factory=dict)
    """Config key -> value that every trial gets."""
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "levers", tuple(self.levers))
        roles = dict.fromkeys(self.names, Role.SCIENTIFIC)
        object.__setattr__(self, "roles", {**roles, **self.roles})
        object.__setattr__(self, "conditions", dict(self.conditions))
        object.__setattr__(self, "fixed", dict(self.fixed))
        if faults := inconsistencies(self.levers, self.roles, self.conditions, self.fixed):
            raise ConfigurationError(f"The space {self.name!r} cannot be: {'; '.join(faults)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Lever names, which are Optuna's parameter names, in order."""
        return tuple(lever.name for lever in self.levers)

    @property
    def structural_names(self) -> tuple[str, ...]:
        """The names of the levers that lanes of one cohort must agree on."""
        return tuple(lever.name for lever in self.levers if lever.structural)

    def __getitem__(self, name: str) -> Lever:
        if name not in self:
            raise unknown_name(f"A lever of the space {self.name!r}", name, self.names)
        return self.levers[self.names.index(name)]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[Lever]:
        return iter(self.levers)

    def __len__(self) -> int:
        return len(self.levers)

    def decides(self, key: str) -> bool:
        """Whether a lever or a fixed value of the space says what this config key is."""
        return key in self.fixed or any(lever.key == key for lever in self.levers)

    def find(self, name_or_key: str) -> Lever | None:
        """The lever of that name, else the one that sets that config key, else None."""
        by_name = {lever.key: lever for lever in self.levers} | {lever.name: lever for lever in self.levers}
        return by_name.get(name_or_key)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Lever name -> distribution, as Optuna wants them."""
        return {lever.name: lever.distribution for lever in self.levers}

    def grid(self, resolution: int = 5) -> list[dict[str, Value]]:
        """All distinct points, as lever names -> values: ``resolution`` points of a range, all choices.

        A point lacks the levers whose condition does not hold there. Count with ``n_grid_points`` before: a space of
        ten levers has millions.

        Raises:
            ConfigurationError: if ``resolution`` is under 2.
        """
        points: list[dict[str, Value]] = [{}]
        for lever, values in self._grid_values(resolution):
            wider = []
            for point in points:
                exists = self._exists(lever, self.config(point))
                wider += [{**point, lever.name: value} for value in values] if exists else [point]
            points = wider
        return points

    def n_grid_points(self, resolution: int = 5) -> int:
        """How many points ``grid`` has, counted without making them.

        Raises:
            ConfigurationError: if ``resolution`` is under 2.
        """
        asked = {condition.key for condition in self.conditions.values()}
        # What conditions may ask of a config -> how many points agree in that.
        counts = Counter({frozenset((key, value) for key, value in self.fixed.items() if key in asked): 1})
        for lever, values in self._grid_values(resolution):
            wider: Counter[frozenset[tuple[str, Value]]] = Counter()
            for known, n_points in counts.items():
                if not self._exists(lever, dict(known)):
                    wider[known] += n_points
                elif lever.key not in asked:
                    wider[known] += n_points * len(values)
                else:
                    for value in values:
                        wider[known | {(lever.key, lever.to_config(value))}] += n_points
            counts = wider
        return counts.total()

    def suggest(self, trial: BaseTrial) -> dict[str, Value]:
        """Config keys -> values for this trial: what is fixed, and suggestions where conditions hold."""
        return self._config(lambda lever: lever.suggest(trial))

    def config(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """The config that ``suggest`` gave when Optuna recorded ``params`` (lever names -> values).

        Raises:
            ConfigurationError: for parameters that are no levers of this space.
        """
        if unknown := [name for name in params if name not in self]:
            raise unknown_name(f"A parameter of the space {self.name!r}", ", ".join(unknown), self.names)
        return self._config(lambda lever: params.get(lever.name))

    def params(self, config: Mapping[str, Value]) -> dict[str, Value]:
        """Lever names -> values that make Optuna try ``config``; the sampler chooses what it leaves out.

        Raises:
            ConfigurationError: for whatever of it this space cannot honor; all at once.
        """
        known = {**self.fixed, **config}
        by_key = {lever.key: lever for lever in self.levers}
        faults = [fault for key, value in config.items() if (fault := self._fault(key, value, known))]
        if faults:
            raise ConfigurationError(f"The space {self.name!r} cannot try this config: {'; '.join(faults)}.")
        return {
            by_key[key].name: by_key[key].from_config(value)
            for key, value in config.items()
            if key in by_key and not self._is_absent(by_key[key], known)
        }

    def fix(self, key: str, value: Value) -> "Space":
        """The space with a config key held at a value, which need not lie inside the lever's range.

        The key's lever goes, and with it every lever whose condition can no longer hold. A condition that now
        always holds stays, so that fixing the key again, or freeing it, decides anew.
        """
        levers = tuple(lever for lever in self.levers if lever.key != key)
        return self.rebuilt(levers=levers, fixed={**self.fixed, key: value})

    def rebuilt(
        self,
        *,
        levers: Sequence[Lever] | None = None,
        conditions: Mapping[str, Condition] | None = None,
        fixed: Mapping[str, Value] | None = None,
    ) -> "Space":
        """The space of other parts, without levers that can no longer exist and whatever is said of them."""
        conditions = self.conditions if conditions is None else conditions
        fixed = self.fixed if fixed is None else fixed
        kept: list[Lever] = []
        for lever in self.levers if levers is None else levers:
            condition = conditions.get(lever.name)
            if condition is None or condition.may_hold(kept, fixed):
                kept.append(lever)
        names = {lever.name for lever in kept}
        return Space(
            name=self.name,
            levers=tuple(kept),
            roles={name: role for name, role in self.roles.items() if name in names},
            conditions={name: condition for name, condition in conditions.items() if name in names},
            fixed=fixed,
            description=self.description,
        )

    def to_json(self) -> dict[str, Any]:
        """The space as JSON's own types; ``from_json`` gives it back exactly."""
        return {
            "name": self.name,
            "description": self.description,
            "levers": [lever.to_json() for lever in self.levers],
            "roles": {name: role.value for name, role in self.roles.items()},
            "conditions": {
                name: {"key": condition.key, "values": list(condition.values)}
                for name, condition in self.conditions.items()
            },
            "fixed": dict(self.fixed),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The space that ``to_json`` wrote."""
        return cls(
            name=data["name"],
            description=data["description"],
            levers=tuple(Lever.from_json(lever) for lever in data["levers"]),
            roles={name: Role(role) for name, role in data["roles"].items()},
            conditions={name: Condition(**condition) for name, condition in data["conditions"].items()},
            fixed=data["fixed"],
        )

    def fingerprint(self) -> str:
        """Hex digits that change when the search does; names, anchors and texts for people play no part."""
        data = self.to_json()
        del data["name"], data["description"]
        for lever in data["levers"]:
            del lever["reason"], lever["source"], lever["anchor"]
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:_FINGERPRINT_DIGITS]

    def _config(self, choose: Callable[[Lever], Value | None]) -> dict[str, Value]:
        config = dict(self.fixed)
        for lever in self.levers:
            if not self._exists(lever, config):
                continue
            value = choose(lever)
            if value is not None:
                config[lever.key] = lever.to_config(value)
        return config

    def _exists(self, lever: Lever, config: Mapping[str, Value]) -> bool:
        """Whether the lever exists in a config in which all levers before it are decided."""
        condition = self.conditions.get(lever.name)
        return condition is None or condition.holds(config)

    def _grid_values(self, resolution: int) -> list[tuple[Lever, list[Value]]]:
        if resolution < 2:
            raise ConfigurationError(f"A grid must have at least 2 points per lever, but got {resolution=}.")
        return [(lever, lever.grid(resolution)) for lever in self.levers]

    def _fault(self, key: str, value: Value, known: Mapping[str, Value]) -> str:
        """Why the space cannot honor one value of a config; empty where it can."""
        if key in self.fixed:
            same = is_same(self.fixed[key], value)
            return "" if same else f"{key} is fixed to {self.fixed[key]!r}, but got {value!r}"
        lever = next((lever for lever in self.levers if lever.key == key), None)
        if lever is None:
            return f"{key} is neither a lever nor fixed, but got {value!r} (use --set {key}={value})"
        if self._is_absent(lever, known):
            text = f"{key} exists only where {self.conditions[lever.name].text}, but got {value!r}"
            return "" if is_same(value, lever.default) else text
        return "" if lever.contains(value) else lever.fault(value)

    def _is_absent(self, lever: Lever, known: Mapping[str, Value]) -> bool:
        """Whether what is known of a config rules the lever out; the sampler chooses the rest."""
        condition = self.conditions.get(lever.name)
        if condition is None:
            return False
        if condition.key in known:
            return not condition.holds(known)
        return any(self._is_absent(parent, known) for parent in self if parent.key == condition.key)


def inconsistencies(
    levers: Sequence[Lever],
    roles: Mapping[str, Role],
    conditions: Mapping[str, Condition],
    fixed: Mapping[str, Value],
) -> list[str]:
    """What contradicts itself in the parts of a space, a clause each; empty where they make a space."""
    return [
        *_lever_faults(levers, fixed),
        *_role_faults(levers, roles),
        *condition_faults(levers, conditions, fixed),
        *(
            f"the fixed value of {key} must be a word, a finite number, true or false, but got {value!r}"
            for key, value in fixed.items()
            if not is_value(value)
        ),
    ]


def _lever_faults(levers: Sequence[Lever], fixed: Mapping[str, Value]) -> list[str]:
    names, keys = [lever.name for lever in levers], [lever.key for lever in levers]
    return [
        *(
            f"the lever {name} must be there once, but is {names.count(name)} times"
            for name in _repeated(names)
        ),
        *(f"the key {key} must belong to one lever, but {keys.count(key)} set it" for key in _repeated(keys)),
        *(f"{key} must be either fixed or a lever, but is both" for key in keys if key in fixed),
    ]


def _role_faults(levers: Sequence[Lever], roles: Mapping[str, Role]) -> list[str]:
    names = [lever.name for lever in levers]
    return [
        *(_unknown("the lever of a role", name, names) for name in roles if name not in names),
        *(
            f"the lever {name} must be scientific or nuisance, but got role fixed (put {name} under `fixed`)"
            for name, role in roles.items()
            if role is Role.FIXED
        ),
    ]


def condition_faults(
    levers: Sequence[Lever], conditions: Mapping[str, Condition], fixed: Mapping[str, Value]
) -> list[str]:
    """What of the conditions cannot be, a clause each."""
    names = [lever.name for lever in levers]
    faults = [_unknown("the lever of a condition", name, names) for name in conditions if name not in names]
    for index, lever in enumerate(levers):
        condition = conditions.get(lever.name)
        if condition is None or condition.may_hold(levers[:index], fixed):
            continue
        known = [*(earlier.key for earlier in levers[:index]), *fixed]
        if condition.key in known:
            faults.append(f"{lever.name} can never exist: {condition.text} is not possible here")
        elif condition.key in (later.key for later in levers[index:]):
            faults.append(
                f"{condition.key} must come before {lever.name}, which exists only where {condition.text}"
            )
        else:
            faults.append(_unknown(f"the key of the condition of {lever.name}", condition.key, known))
    return faults


def _repeated(words: Sequence[str]) -> list[str]:
    return sorted({word for word in words if words.count(word) > 1})


def _unknown(rule: str, got: str, choices: Sequence[str]) -> str:
    """``unknown_name`` as a clause among other faults."""
    if not choices:
        return f"{rule} must exist, but there is none and got {got!r}"
    return str(unknown_name(rule, got, choices)).removesuffix(".")
