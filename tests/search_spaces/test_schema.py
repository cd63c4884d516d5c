"""The JSON Schema of space files, checked by a validator of the few keywords it uses."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

import search_spaces
from search_spaces.errors import ConfigurationError
from search_spaces.fields import LEVER_FIELDS
from search_spaces.files import SCHEMA_NAME, SPACE_FIELDS, read_space, space_text
from search_spaces.lever import Family, Scale
from search_spaces.presets import PRESETS, preset
from search_spaces.schema import schema_text, space_schema
from search_spaces.space import Space
from search_spaces.yaml_dialects import Yaml12Loader
from tests.strategies import spaces

SCHEMA = space_schema()
TYPES = {
    "object": Mapping,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": (int, float),
}


def is_valid(value: Any, schema: Any) -> bool:
    """Draft-07's meaning of the keywords below; another keyword is an error of the schema."""
    if isinstance(schema, bool):
        return schema
    return all(KEYWORDS[keyword](value, said, schema) for keyword, said in schema.items())


def members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def says_nothing(_value: Any, _said: Any, _schema: Any) -> bool:
    return True


KEYWORDS: dict[str, Callable[[Any, Any, Mapping[str, Any]], bool]] = {
    "$ref": lambda value, said, _: is_valid(
        value, SCHEMA["definitions"][said.removeprefix("#/definitions/")]
    ),
    "type": lambda value, said, _: any(
        is_of_type(value, kind) for kind in ([said] if isinstance(said, str) else said)
    ),
    "enum": lambda value, said, _: value in said,
    "const": lambda value, said, _: bool(value == said),
    "required": lambda value, said, _: not isinstance(value, Mapping) or {*said} <= {*value},
    "properties": lambda value, said, _: all(
        is_valid(member, said[key]) for key, member in members(value).items() if key in said
    ),
    "additionalProperties": lambda value, said, schema: all(
        is_valid(member, said)
        for key, member in members(value).items()
        if key not in schema.get("properties", {})
    ),
    "items": lambda value, said, _: (
        not isinstance(value, list) or all(is_valid(item, said) for item in value)
    ),
    "minItems": lambda value, said, _: not isinstance(value, list) or len(value) >= said,
    "minProperties": lambda value, said, _: not isinstance(value, Mapping) or len(value) >= said,
    "maxProperties": lambda value, said, _: not isinstance(value, Mapping) or len(value) <= said,
    "anyOf": lambda value, said, _: any(is_valid(value, rule) for rule in said),
    "allOf": lambda value, said, _: all(is_valid(value, rule) for rule in said),
    "if": lambda value, said, schema: is_valid(
        value, schema.get("then" if is_valid(value, said) else "else", True)
    ),
    **dict.fromkeys(("then", "else", "description", "title", "$schema", "definitions"), says_nothing),
}


def is_of_type(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind != "number" or not isinstance(value, bool))


def test_the_file_is_what_the_code_says() -> None:
    """The shipped file is generated: redo it by `tuner import-space --schema > search_spaces/space.schema.json`."""
    shipped = Path(search_spaces.__file__).with_name(SCHEMA_NAME).read_text(encoding="utf-8")
    assert shipped == schema_text()
    assert json.loads(shipped) == SCHEMA


def test_the_schema_knows_every_field_and_word() -> None:
    """The fields of files and levers, families and scales are those of the code."""
    fields = SCHEMA["definitions"]["fields"]["properties"]
    assert tuple(fields) == LEVER_FIELDS
    assert tuple(SCHEMA["properties"]) == SPACE_FIELDS
    assert fields["family"]["enum"] == list(Family)
    assert fields["scale"]["enum"] == list(Scale)
    assert is_valid(SCHEMA, {"type": "object"})


@given(spaces())
@settings(deadline=None, max_examples=50)
def test_every_space_we_write_is_valid(space: Space) -> None:
    """Whatever `save_space` writes, an editor accepts."""
    assert is_valid(yaml.load(space_text(space), Loader=Yaml12Loader), SCHEMA)  # noqa: S506 - a SafeLoader


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name: str) -> None:
    """The ready-made spaces as files are valid, too."""
    assert is_valid(yaml.load(space_text(preset(name)), Loader=Yaml12Loader), SCHEMA)  # noqa: S506


def test_a_condition_may_be_left_out() -> None:
    """An editor takes `always` as `load_space` does."""
    text = "levers: {optimizer: , nesterov: {when: always}}"
    assert is_valid(yaml.load(text, Loader=Yaml12Loader), SCHEMA)  # noqa: S506
    assert read_space(text, title="x.yaml", default_name="x").conditions == {}


@pytest.mark.parametrize(
    "text",
    [
        "levers: [dropout]",
        "name: 3\nlevers: {}",
        "leverz: {}\nlevers: {}",
        "description: x",
        "levers: {dropout: 0.5}",
        "levers: {dropout: {low: high}}",
        "levers: {dropout: {hihg: 1}}",
        "levers: {optimizer: []}",
        "levers: {own: }",
        "levers: {own: [1, 2]}",
        "levers: {own: {low: 1, high: 2}}",
        "levers: {own: {type: number, low: 1, high: 2}}",
        "levers: {own: {type: int, low: 1}}",
        "levers: {own: {type: categorical, low: 1, high: 2}}",
        "levers: {own: {type: int, low: 1, high: 2, choices: [1]}}",
        "levers: {own: {type: int, low: 1, high: 2, family: bath}}",
        "levers: {own: {type: int, low: 1, high: 2, key: 3}}",
        "levers: {own: {type: int, low: 1, high: 2, structural: maybe}}",
        "levers: {dropout: {when: sgd}}",
        "levers: {dropout: {when: {}}}",
        "levers: {dropout: {when: }}",
        "levers: {}\nfixed: {x: [1]}",
        "levers: {dropout: }\nroles: {dropout: nuisanse}",
        "levers: {dropout: }\nroles: {dropout: fixed}",
    ],
)
def test_what_the_schema_refuses_is_refused(text: str) -> None:
    """An editor's red line is a fault of the file: `load_space` refuses it, too."""
    assert not is_valid(yaml.load(text, Loader=Yaml12Loader), SCHEMA)  # noqa: S506
    with pytest.raises(ConfigurationError, match="must describe a space"):
        read_space(text, title="x.yaml", default_name="x")
