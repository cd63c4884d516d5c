"""Spaces as YAML files that people write: a catalog lever needs only its name; all faults come at once."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from search_spaces.catalog import conditions_for
from search_spaces.errors import ConfigurationError, unknown_name
from search_spaces.fields import LEVER_FIELDS, field_faults, from_fields, known_lever, needed_fields
from search_spaces.lever import Lever
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Condition, Role, Space, condition_faults, inconsistencies
from search_spaces.yaml_dialects import Yaml12Dumper, Yaml12Loader

SPACE_FIELDS = ("name", "description", "levers", "fixed", "roles")
_ROLES = [role.value for role in Role]
_T = TypeVar("_T")

ALWAYS = "always"
"""What ``when`` of a catalog's lever says to leave the catalog's condition out."""
_MAX_NESTING = 50  # levels; a space has 4, a sweep with nested groups a few more

SCHEMA_NAME = "space.schema.json"
"""The file name of the JSON Schema of such files, here and beside a user's spaces."""
# Read by editors with yaml-language-server; relative, so that it holds wherever the folder goes.
_SCHEMA_LINE = f"# yaml-language-server: $schema=./{SCHEMA_NAME}\n"


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
    return read_space(read_text(path), title=str(path), default_name=path.stem)


def read_text(path: Path) -> str:
    """The text of a file that should describe a space.

    Raises:
        ConfigurationError: for a file that is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"A space file must be YAML, but {path} is not: {error}.") from error


def parse_yaml(text: str, loader: type[yaml.SafeLoader], *, title: str) -> Any:
    """The document in ``text``, read by one dialect of ``yaml_dialects``.

    Raises:
        ConfigurationError: for what is no YAML, in one line with the place, or has no end to its nesting.
    """
    try:
        data = yaml.load(text, Loader=loader)  # noqa: S506 - they are all SafeLoaders
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise ConfigurationError(f"A space file must be YAML, but {title} is not: {told}.") from error
    except RecursionError as error:
        raise _too_nested(title) from error
    return _checked_nesting(data, title)


def parse_json(text: str, *, title: str) -> Any:
    """The document in ``text`` if it is JSON, else None; a text of YAML's flow style begins like JSON.

    Raises:
        ConfigurationError: for a key that is there twice, a number of thousands of digits, or endless nesting.
    """
    if not text.lstrip().startswith("{"):
        return None
    try:
        data = json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError:
        return None
    except RecursionError as error:
        raise _too_nested(title) from error
    except ConfigurationError:
        raise
    except ValueError as error:  # Python's limit on digits
        raise ConfigurationError(
            f"A JSON file must have numbers of at most {sys.get_int_max_str_digits()} digits, "
            f"but {title} has a longer one."
        ) from error
    return _checked_nesting(data, title)


def _checked_nesting(data: Any, title: str) -> Any:
    """``data`` where its nesting ends; level by level, each thing once a level, as an alias may contain itself."""
    level = [data]
    for _ in range(_MAX_NESTING):
        parts = [part for outer in level for part in _parts(outer)]
        level = [*{id(part): part for part in parts}.values()]
        if not level:
            return data
    raise _too_nested(title)


def _parts(data: Any) -> Sequence[Any]:
    if isinstance(data, dict):
        return [*data.values()]
    return data if isinstance(data, list) else []


def _too_nested(title: str) -> ConfigurationError:
    return ConfigurationError(
        f"A space file must be nested at most {_MAX_NESTING} levels deep, but {title} is deeper "
        "(an alias that contains itself has no end)."
    )


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigurationError(f"A JSON file must have each key once, but {twice[0]!r} is there twice.")
    return dict(pairs)


def read_space(text: str, *, title: str, default_name: str) -> Space:
    """The space that a YAML text describes; ``title`` is what errors call it.

    Raises:
        ConfigurationError: with all the faults of the text.
    """
    data = parse_yaml(text, Yaml12Loader, title=title)
    if isinstance(data, Mapping) and "parameters" in data and "levers" not in data:
        raise ConfigurationError(
            f"A space file must have `levers`, but {title} has `parameters`, as W&B sweeps do: "
            f"`tuner import-space {title} --output FILE` makes a space of it."
        )
    return _Reading(title=title, default_name=default_name).space(data)


def space_text(space: Space) -> str:
    """The space as YAML that ``read_space`` reads back; of a catalog lever, only what differs."""
    return yaml.dump(_written(space), Dumper=Yaml12Dumper, sort_keys=False, width=110)


def save_space(space: Space, path: str | Path) -> None:
    """Write the space so that ``load_space`` gives it back.

    Where the schema lies beside the file (``tuner import-space --schema``), the first line tells editors so.
    """
    path = Path(path)
    beside = path.with_name(SCHEMA_NAME).is_file()
    write_text(f"{_SCHEMA_LINE if beside else ''}{space_text(space)}", path)


def write_text(text: str, path: Path) -> None:
    """Write a whole file or nothing; folders are made.

    Raises:
        ConfigurationError: where no file can be: at a folder, or below a file.
    """
    if path.is_dir():
        raise ConfigurationError(f"A file to write must not be a folder, but {path} is one.")
    above = next(folder for folder in (path.absolute()).parents if folder.exists())
    if not above.is_dir():
        raise ConfigurationError(
            f"A file to write must lie in a folder, but {path} would lie in {above}, a file."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _Reading:
    """One reading of a file. It goes on after a fault, to tell them all."""

    def __init__(self, *, title: str, default_name: str) -> None:
        self.title = title
        self.default_name = default_name
        self.faults: list[str] = []
        self.broken: set[str] = set()
        """Names and keys of levers with a fault, of which nothing more is to be said."""

    def space(self, data: object) -> Space:
        parts = self._mapping("a space file", data, SPACE_FIELDS)
        written = self._mapping("levers", parts.get("levers"))
        levers = [lever for name, spec in written.items() if (lever := self._lever(name, spec))]
        conditions = {name: when for name, spec in written.items() if (when := self._condition(name, spec))}
        said = {name for name, spec in written.items() if isinstance(spec, Mapping) and "when" in spec}
        roles = self._roles(self._mapping("roles", parts.get("roles", {})))
        fixed = self._mapping("fixed", parts.get("fixed", {}))
        name = self._text("name", parts.get("name", self.default_name))
        description = self._text("description", parts.get("description", ""))
        known = conditions_for(levers, fixed)
        implied = {name: when for name, when in known.items() if name not in said}
        self.faults += inconsistencies(
            levers,
            {name: role for name, role in roles.items() if name not in self.broken},
            {name: when for name, when in conditions.items() if self.broken.isdisjoint({name, when.key})},
            fixed,
        )
        self.faults += [
            f"{fault} (`when: {ALWAYS}` would search it everywhere)"
            for fault in condition_faults(levers, implied, fixed)
        ]
        if self.faults:
            listed = "\n".join(f"- {fault}" for fault in self.faults)
            raise ConfigurationError(f"{self.title} must describe a space, but:\n{listed}")
        return Space(
            name=name,
            levers=tuple(levers),
            roles=roles,
            conditions={**implied, **conditions},
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
        when = spec.get("when", ALWAYS) if isinstance(spec, Mapping) else ALWAYS
        if when == ALWAYS:
            return None
        if not isinstance(when, Mapping) or len(when) != 1:
            self.faults.append(f"{name}: when must be one key with its values, or {ALWAYS}, but got {when!r}")
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
    implied = conditions_for(space.levers, space.fixed)
    parts = {
        "name": space.name,
        "description": space.description,
        "levers": {
            lever.name: _lever_written(lever, space.conditions.get(lever.name), implied.get(lever.name))
            for lever in space
        },
        "fixed": dict(space.fixed),
        "roles": roles,
    }
    return {part: value for part, value in parts.items() if value or part in {"name", "levers"}}


def _lever_written(
    lever: Lever, condition: Condition | None, implied: Condition | None
) -> dict[str, Any] | None:
    fields = needed_fields(lever)
    if repr(condition) == repr(implied):  # repr tells 1 from true, which are equal
        return fields or None
    if condition is None:
        fields["when"] = ALWAYS
    else:
        values = condition.values
        fields["when"] = {condition.key: values[0] if len(values) == 1 else list(values)}
    return fields or None
