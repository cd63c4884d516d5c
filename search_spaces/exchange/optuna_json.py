"""Optuna's JSON distributions, name -> distribution, in its wire form and its short form, in and out."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json

from search_spaces.errors import ConfigurationError, unknown_name
from search_spaces.exchange.config_names import ConfigKey
from search_spaces.exchange.imported import LARGEST_NUMBER, Choices, Exported, Imported, Remarks, Source
from search_spaces.exchange.losses import losses
from search_spaces.exchange.parameters import parts_of, short_form
from search_spaces.fields import field_faults, from_fields
from search_spaces.lever import is_number
from search_spaces.space import Space

_TYPES = {"FloatDistribution": "float", "IntDistribution": "int", "CategoricalDistribution": "categorical"}
# Names before Optuna 3, still in old databases and files -> today's type, and log.
_OLD_TYPES = {
    "UniformDistribution": ("float", False),
    "LogUniformDistribution": ("float", True),
    "DiscreteUniformDistribution": ("float", False),
    "IntUniformDistribution": ("int", False),
    "IntLogUniformDistribution": ("int", True),
}
_RANGE_KEYS = ("low", "high", "step", "log")
_KEYS = {"float": _RANGE_KEYS, "int": _RANGE_KEYS, "categorical": ("choices",)}


def read_distributions(
    data: Mapping[str, Any],
    keys: Mapping[str, ConfigKey],
    choices: Choices,
    remarks: Remarks,
    *,
    title: str,
    default_name: str,
) -> Imported:
    """The space of these distributions, of either form.

    Raises:
        ConfigurationError: with all faults.
    """
    read = {name: _distribution(str(name), written, remarks) for name, written in data.items()}
    found = {str(name): distribution for name, distribution in read.items() if distribution is not None}
    parts = parts_of(found, keys, remarks, rename=choices.rename)
    space = parts.space(
        name=remarks.plain_name(default_name),
        description="",
        rule=f"{title} must hold Optuna's JSON distributions",
        remarks=remarks,
    )
    return Imported(
        source=Source.OPTUNA,
        space=space,
        notes=tuple(remarks.notes),
        warnings=tuple(remarks.warnings),
        not_carried=tuple(remarks.not_carried),
    )


def write_distributions(space: Space, *, short: bool = False) -> Exported:
    """The space's levers in Optuna's wire form or its short form."""
    data = {
        name: short_form(distribution) if short else json.loads(distribution_to_json(distribution))
        for name, distribution in space.distributions().items()
    }
    fixed = [
        f"{key} is fixed at {value}: distributions have no constants" for key, value in space.fixed.items()
    ]
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return Exported(data=data, text=text, warnings=(*losses(space, "Optuna's JSON"), *fixed))


def _distribution(name: str, written: object, remarks: Remarks) -> BaseDistribution | None:
    """The distribution, or None after its faults were noted."""
    n_faults = len(remarks.faults)
    fields = _short(name, written, remarks)
    if fields is not None:
        remarks.faults += [f"{name}: {fault}" for fault in _field_faults(fields)]
    if fields is None or len(remarks.faults) > n_faults:
        return None
    try:
        # Under a name of nobody's, so that the catalog has no say in the range.
        return from_fields("distribution", _divisible(name, fields, remarks)).distribution
    except ConfigurationError as error:
        remarks.faults.append(f"{name}: {str(error).removesuffix('.')}")
    except InvalidOperation:  # Decimal's: 28 digits do not hold the number of steps
        remarks.faults.append(f"{name}: a range must have fewer steps, but got {fields!r}")
    return None


def _short(name: str, written: object, remarks: Remarks) -> dict[str, Any] | None:
    """Either form, old names included, as the short form; None after its faults were noted."""
    if not isinstance(written, Mapping) or not {"name", "type"} & {*written}:
        remarks.faults.append(f"{name} must be a distribution with a name or a type, but got {written!r}")
        return None
    if "name" not in written:
        return _checked_keys(name, dict(written), str(written["type"]), remarks)
    kind, attributes = written["name"], written.get("attributes")
    if kind not in {*_TYPES, *_OLD_TYPES}:
        remarks.faults.append(str(unknown_name(f"{name}: a distribution", kind, _TYPES)).removesuffix("."))
        return None
    if not isinstance(attributes, Mapping) or {*written} != {"name", "attributes"}:
        remarks.faults.append(
            f"{name} must have a name, attributes and nothing else, but got {dict(written)!r}"
        )
        return None
    if kind in _TYPES:
        return _checked_keys(name, {**attributes, "type": _TYPES[kind]}, _TYPES[kind], remarks)
    modern, log = _OLD_TYPES[kind]
    renamed = {"step" if key == "q" else key: value for key, value in attributes.items()}
    remarks.notes.append(
        f"{name}: {kind} is of Optuna before 3; it is {modern}{' on a log scale' if log else ''}"
    )
    return _checked_keys(name, {**renamed, "log": log, "type": modern}, modern, remarks)


def _checked_keys(name: str, fields: dict[str, Any], kind: str, remarks: Remarks) -> dict[str, Any] | None:
    if kind not in _KEYS:
        remarks.faults.append(str(unknown_name(f"{name}: type", kind, _KEYS)).removesuffix("."))
        return None
    allowed = ("type", *_KEYS[kind])
    unknown = [key for key in fields if key not in allowed]
    remarks.faults += [
        str(unknown_name(f"{name}: a key of {kind}", key, allowed)).removesuffix(".") for key in unknown
    ]
    if kind == "int" and fields.get("step", 1) is None:
        fields["step"] = 1
    return None if unknown else fields


def _field_faults(fields: Mapping[str, Any]) -> list[str]:
    choices = fields.get("choices")
    if isinstance(choices, list) and None in choices:
        return ["a choice must not be null (give it a name, such as none, and let your model read that)"]
    is_stepped = fields["type"] == "int" or fields.get("step") is not None
    too_large = [
        f"{key} of a range with steps must be at most {LARGEST_NUMBER:g}, but got {fields[key]!r}"
        for key in ("low", "high")
        if is_stepped and is_number(fields.get(key)) and abs(fields[key]) > LARGEST_NUMBER
    ]
    return [*field_faults(fields), *too_large]


def _divisible(name: str, fields: dict[str, Any], remarks: Remarks) -> dict[str, Any]:
    """The fields with the upper end at a whole number of steps, where Optuna itself puts it."""
    step = fields.get("step")
    if step is None or step <= 0 or not {"low", "high"} <= {*fields} or fields["low"] > fields["high"]:
        return fields
    low, high, exact_step = (Decimal(repr(fields[key])) for key in ("low", "high", "step"))
    last = low + (high - low) // exact_step * exact_step
    if last == high:
        return fields
    remarks.warnings.append(
        f"{name}: steps of {step} from {low} do not reach {high}; the range ends at {last}, as it does in Optuna"
    )
    return {**fields, "high": int(last) if fields["type"] == "int" else float(last)}
