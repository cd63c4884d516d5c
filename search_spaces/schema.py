"""The JSON Schema of space files, for editors: generated from the fields and the catalog, shipped beside this module.

It accepts every file that ``load_space`` reads; what needs more than one place of a file (a condition's key that no
lever sets) only ``load_space`` refuses. Draft-07, as yaml-language-server knows it best.
"""

import json
from typing import Any

from search_spaces import catalog
from search_spaces.fields import LEVER_FIELDS
from search_spaces.files import ALWAYS, SPACE_FIELDS
from search_spaces.lever import Family, Lever, Scale
from search_spaces.space import Role

_VALUE = {"type": ["boolean", "number", "string"]}
_VALUES = {"type": "array", "items": _VALUE}
_NUMBER = {"type": "number"}
_TEXT = {"type": "string"}
_FIELDS: dict[str, dict[str, Any]] = {
    "type": {"enum": ["float", "int", "categorical"], "description": "Begins anew: nothing of the catalog's range."},
    "low": {**_NUMBER, "description": "The lower end, which is included."},
    "high": {**_NUMBER, "description": "The upper end, which is included."},
    "log": {"type": "boolean", "description": "Whether the range is searched on a log scale."},
    "step": {"type": ["number", "null"], "description": "Divides high - low; not on a log scale."},
    "choices": {**_VALUES, "minItems": 1, "description": "In place of low and high."},
    "default": {
        "type": ["boolean", "number", "string", "null"],
        "description": "What rules while the lever is not searched, in the config's terms.",
    },
    "anchor": {**_VALUES, "description": "Where one usually begins: the ends of a range, or choices."},
    "family": {"enum": [family.value for family in Family]},
    "scale": {"enum": [scale.value for scale in Scale], "description": "How the searched value becomes the config's."},
    "structural": {"type": "boolean", "description": "Whether it changes shapes or the program."},
    "key": {**_TEXT, "description": "The config key it sets, if not its name."},
    "reason": _TEXT,
    "source": _TEXT,
    "when": {
        "description": (
            "The lever exists only where this config key has this value, or one of these. A lever of the catalog has "
            f"the catalog's condition unless said otherwise; `{ALWAYS}` leaves it out."
        ),
        "anyOf": [
            {"enum": [ALWAYS]},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": {"anyOf": [_VALUE, {**_VALUES, "minItems": 1}]},
            },
        ],
    },
}  # fmt: skip
_RANGE_OR_CHOICES = {
    "if": {"required": ["type"], "properties": {"type": {"const": "categorical"}}},
    "then": {"required": ["choices"], "properties": dict.fromkeys(("low", "high", "log", "step"), False)},
    "else": {
        "if": {"required": ["type"]},
        "then": {"required": ["low", "high"], "properties": {"choices": False}},
    },
}


def space_schema() -> dict[str, Any]:
    """The schema as JSON's own types."""
    parts = {
        "name": {**_TEXT, "description": "What studies call the space; the file's name unless said."},
        "description": _TEXT,
        "levers": {
            "type": "object",
            "description": "What is searched, in the order in which it is suggested.",
            "properties": {lever.name: _known_lever(lever) for lever in catalog.LEVERS},
            "additionalProperties": {"$ref": "#/definitions/own_lever"},
        },
        "fixed": {
            "type": "object",
            "description": "Config keys with the value that every trial gets.",
            "properties": {lever.key: _VALUE for lever in catalog.LEVERS},
            "additionalProperties": _VALUE,
        },
        "roles": {
            "type": "object",
            "description": "Why a lever is in this round: scientific unless said.",
            "additionalProperties": {"enum": [Role.SCIENTIFIC.value, Role.NUISANCE.value]},
        },
    }
    fields = {field: _FIELDS[field] for field in LEVER_FIELDS}
    lever = {"type": "object", "properties": fields, "additionalProperties": False, **_RANGE_OR_CHOICES}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A search space of symptune",
        "type": "object",
        "required": ["levers"],
        "properties": {part: parts[part] for part in SPACE_FIELDS},
        "additionalProperties": False,
        "definitions": {
            "fields": lever,
            "choices": {**_VALUES, "minItems": 1},
            "own_lever": {"allOf": [{"$ref": "#/definitions/fields"}, {"required": ["type"]}]},
        },
    }


def schema_text() -> str:
    """The schema as the file that is shipped."""
    return json.dumps(space_schema(), indent=2) + "\n"


def _known_lever(lever: Lever) -> dict[str, Any]:
    """A lever of the catalog: nothing, a list of choices, or what differs."""
    forms = [{"type": "null"}, {"$ref": "#/definitions/choices"}, {"$ref": "#/definitions/fields"}]
    return {"description": f"{lever.reason} By itself {lever.range_text}.", "anyOf": forms}
