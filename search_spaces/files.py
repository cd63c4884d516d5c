"""Spaces as YAML files that people write: a catalog lever needs only its name; all faults come at once."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from search_spaces.errors import ConfigurationError, unknown_name
from search_spaces.fields import LEVER_FIELDS, field_faults, from_fields, known_lever, needed_fields
from search_spaces.lever import Lever
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Condition, Role, Space, inconsistencies

_SPACE_FIELDS = ("name", "description", "levers", "fixed", "roles")
_ROLES = [role.value for role in Role]
_T = TypeVar("_T")


def load_space(name_or_path: str | Path) -> Space:
    """The preset of that name, or the space in that YAML file.

    Raises:
        ConfigurationError: for a name that is neither, or with all the faults of the file.
    """
    if isinstance(name_or_path, str) and name_or_path in PRESETS:
        return preset(name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise unknown_name("A space", str(name_or_path), [*PRESETS, "a YAML file that exists"])
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - it is a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise ConfigurationError(f"A space file must be YAML, but {path} is not: {text}.") from error
    return _Reading(title=str(path), default_name=path.stem).space(data)


def save_space(space: Space, path: str | Path) -> None:
    """Write the space so that ``load_space`` gives it back; of a catalog lever, only what differs."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.dump(_written(space), Dumper=_Dumper, sort_keys=False, width=110)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


class _Reading:
    """One reading of a file. It goes on after a fault, to tell them all."""

    def __init__(self, *, title: str, default_name: str) -> None:
        self.title = title
        self.default_name = default_name
        self.faults: list[str] = []
        self.broken: set[str] = set()
        """Names and keys of levers with a fault, of which nothing more is to be said."""

    def space(self, data: object) -> Space:
        parts = self._mapping("a space file", data, _SPACE_FIELDS)
        written = self._mapping("levers", parts.get("levers"))
        levers = [lever for name, spec in written.items() if (lever := self._lever(name, spec))]
        conditions = {name: when for name, spec in written.items() if (when := self._condition(name, spec))}
        roles = self._roles(self._mapping("roles", parts.get("roles", {})))
        fixed = self._mapping("fixed", parts.get("fixed", {}))
        name = self._text("name", parts.get("name", self.default_name))
        description = self._text("description", parts.get("description", ""))
        self.faults += inconsistencies(
            levers,
            {name: role for name, role in roles.items() if name not in self.broken},
            {name: when for name, when in conditions.items() if self.broken.isdisjoint({name, when.key})},
            fixed,
        )
        if self.faults:
            listed = "\n".join(f"- {fault}" for fault in self.faults)
            raise ConfigurationError(f"{self.title} must describe a space, but:\n{listed}")
        return Space(
            name=name,
            levers=tuple(levers),
            roles=roles,
            conditions=conditions,
            fixed=fixed,
            description=description,
        )

    def _lever(self, name: str, spec: object) -> Lever | None:
        """The lever, or None after its faults were noted."""
        n_faults = len(self.faults)
        fields = self._fields(name, spec)
        self.faults += [f"{name}: {fault}" for fault in field_faults(fields)]
        if len(self.faults) == n_faults and (lever := self._try(name, lambda: from_fields(name, fields))):
            return lever
        known = known_lever(name)
        self.broken |= {name, known.key if known else str(fields.get("key", name))}
        return None

    def _fields(self, name: str, spec: object) -> dict[str, Any]:
        """The lever's fields, the short forms (nothing, a list of choices) made long."""
        if spec is None:
            return {}
        if isinstance(spec, list):
            return {"choices": spec}
        if isinstance(spec, Mapping):
            return self._mapping(name, spec, LEVER_FIELDS)
        self.faults.append(
            f"{name} must be empty, a list of choices or a mapping, but got {spec!r} "
            "(to hold it at one value, write it under `fixed`)"
        )
        return {}

    def _condition(self, name: str, spec: object) -> Condition | None:
        when = spec.get("when") if isinstance(spec, Mapping) else None
        if when is None:
            return None
        if not isinstance(when, Mapping) or len(when) != 1:
            self.faults.append(f"{name}: when must be one key with its values, but got {when!r}")
            return None
        [(key, values)] = when.items()
        listed = tuple(values) if isinstance(values, list) else (values,)
        return self._try(name, lambda: Condition(key=str(key), values=listed))

    def _roles(self, written: Mapping[str, Any]) -> dict[str, Role]:
        unknown = {name: role for name, role in written.items() if role not in _ROLES}
        for name, role in unknown.items():
            self.faults.append(_clause(unknown_name(f"the role of {name}", role, _ROLES)))
        return {name: Role(role) for name, role in written.items() if name not in unknown}

    def _mapping(self, what: str, data: object, fields: Sequence[str] = ()) -> dict[str, Any]:
        """``data`` if it is a mapping of these fields (of any, if none are given), else what of it is."""
        if not isinstance(data, Mapping):
            self.faults.append(f"{what} must be a mapping, but got {data!r}")
            return {}
        unknown = [key for key in data if fields and key not in fields]
        self.faults += [_clause(unknown_name(f"a field of {what}", key, fields)) for key in unknown]
        return {str(key): value for key, value in data.items() if key not in unknown}

    def _text(self, what: str, value: object) -> str:
        if not isinstance(value, str):
            self.faults.append(f"{what} must be text, but got {value!r}")
        return str(value)

    def _try(self, what: str, build: Callable[[], _T]) -> _T | None:
        try:
            return build()
        except ConfigurationError as error:
            self.faults.append(f"{what}: {_clause(error)}")
            return None


def _clause(error: Exception) -> str:
    return str(error).removesuffix(".")


def _written(space: Space) -> dict[str, Any]:
    """The space as its file holds it."""
    roles = {name: role.value for name, role in space.roles.items() if role is not Role.SCIENTIFIC}
    parts = {
        "name": space.name,
        "description": space.description,
        "levers": {lever.name: _lever_written(lever, space.conditions.get(lever.name)) for lever in space},
        "fixed": dict(space.fixed),
        "roles": roles,
    }
    return {part: value for part, value in parts.items() if value or part in {"name", "levers"}}


def _lever_written(lever: Lever, condition: Condition | None) -> dict[str, Any] | None:
    fields = needed_fields(lever)
    if condition is not None:
        values = condition.values
        fields["when"] = {condition.key: values[0] if len(values) == 1 else list(values)}
    return fields or None


# YAML 1.1, PyYAML's, reads 1e-3 as text, `off` as false, 010 as 8 and 1:30 as 90. We read by the core schema
# of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), less its infinities, octal and hex numbers.
_PLAIN_WORDS = {
    "tag:yaml.org,2002:null": r"~|null|Null|NULL|",
    "tag:yaml.org,2002:bool": r"true|True|TRUE|false|False|FALSE",
    "tag:yaml.org,2002:int": r"[-+]?(?:0|[1-9][0-9]*)",
    "tag:yaml.org,2002:float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
}


class _Loader(yaml.SafeLoader):
    """Reads YAML 1.2's plain words, and refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {twice[0]!r} is there twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what ``_Loader`` would not read as text."""


for _schema in (_Loader, _Dumper):
    _schema.yaml_implicit_resolvers = {}
    for _tag, _pattern in _PLAIN_WORDS.items():
        _schema.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), None)
