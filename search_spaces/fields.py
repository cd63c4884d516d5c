"""A lever as the fields that people write of it in a file; what the catalog knows need not be written."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import catalog
from search_spaces.errors import ConfigurationError, unknown_name
from search_spaces.lever import Family, Lever, Scale, choices_of, is_number, is_value, number_range

_TYPES = ("float", "int", "categorical")
_RANGE_FIELDS = ("low", "high", "log", "step")
_TEXT_FIELDS = ("key", "reason", "source")
_PLAIN_FIELDS = ("family", "scale", "structural", *_TEXT_FIELDS)

LEVER_FIELDS = ("type", *_RANGE_FIELDS, "choices", "default", "anchor", *_PLAIN_FIELDS, "when")


def known_lever(name: str) -> Lever | None:
    """The catalog's lever of exactly that name, None where the lever is the user's own."""
    return next((lever for lever in catalog.LEVERS if lever.name == name), None)


def field_faults(fields: Mapping[str, object]) -> list[str]:
    """What is of the wrong kind among the fields, a clause each."""
    return [
        f"{field} must be {rule}, but got {fields[field]!r}"
        for field, (rule, is_valid) in _RULES.items()
        if field in fields and not is_valid(fields[field])
    ]


def from_fields(name: str, fields: Mapping[str, Any]) -> Lever:
    """The lever of these fields (without faults), over the catalog's where it has one of that name.

    Raises:
        ConfigurationError: for fields that make no lever together.
    """
    distribution = _distribution(name, fields)
    known = known_lever(name)
    default = _first_value(distribution) if known is None else known.default
    is_of_known_type = known is not None and _type(known.distribution) == _type(distribution)
    anchor = known.anchor if known is not None and is_of_known_type else ()
    plain = {**_plain(name), **(to_fields(known) if known else {}), **fields}
    return Lever(
        name=name,
        distribution=distribution,
        default=fields.get("default", default),
        anchor=tuple(fields.get("anchor", anchor)),
        family=Family(plain["family"]),
        scale=Scale(plain["scale"]),
        **{field: plain[field] for field in ("structural", *_TEXT_FIELDS)},
    )


def to_fields(lever: Lever) -> dict[str, Any]:
    """All fields of a lever."""
    return {
        "type": _type(lever.distribution),
        **_range_fields(lever.distribution),
        "default": lever.default,
        "anchor": list(lever.anchor),
        "family": lever.family.value,
        "scale": lever.scale.value,
        "structural": lever.structural,
        **{field: getattr(lever, field) for field in _TEXT_FIELDS},
    }


def needed_fields(lever: Lever) -> dict[str, Any]:
    """The fields that ``from_fields`` needs to build the lever; none where the catalog says it all."""
    fields, known = to_fields(lever), known_lever(lever.name)
    base = to_fields(known) if known else {}
    if (
        base.get("type") != fields["type"]
    ):  # the file then begins anew: of the catalog's, only what is no range holds
        same = {field: base[field] for field in ("default", *_PLAIN_FIELDS) if field in base}
        base = {**_plain(lever.name), **same, "log": False, "step": 1 if fields["type"] == "int" else None}
    # repr tells 1 from 1.0 and True, which are equal
    return {
        field: value
        for field, value in fields.items()
        if field not in base or repr(value) != repr(base[field])
    }


def _distribution(name: str, fields: Mapping[str, Any]) -> BaseDistribution:
    """The range of these fields; what they leave out is the catalog's, unless ``type`` says to begin anew."""
    known = known_lever(name)
    old = None if known is None or "type" in fields else known.distribution
    kind = _kind(name, old, fields)
    kept = _range_fields(old) if old is not None and _type(old) == kind else {}
    written = {
        field: value for field, value in {**kept, **fields}.items() if field in {*_RANGE_FIELDS, "choices"}
    }
    is_range = kind != "categorical"
    needed: Sequence[str] = ("low", "high") if is_range else ("choices",)
    wrong: Sequence[str] = ("choices",) if is_range else _RANGE_FIELDS
    faults = [f"{field} is missing" for field in needed if field not in written]
    faults += [f"{field} does not belong to it" for field in wrong if field in written]
    if faults:
        rule = f"a lever of type {kind} must have {' and '.join(needed)}"
        raise ConfigurationError(f"{rule}, but {' and '.join(faults)}.")
    if is_range:
        return number_range(**written, whole=kind == "int")
    return CategoricalDistribution(tuple(written["choices"]))


def _kind(name: str, old: BaseDistribution | None, fields: Mapping[str, Any]) -> str:
    if "type" in fields:
        return str(fields["type"])
    if old is None:
        names = [lever.name for lever in catalog.LEVERS]
        if name in (scaled := {lever.key: lever.name for lever in catalog.LEVERS if lever.key != lever.name}):
            raise ConfigurationError(
                f"{name} is searched as {scaled[name]} (`tuner levers {name}`); write that, or give a `type`."
            )
        raise unknown_name(f"a lever without `type` ({', '.join(_TYPES)})", name, names)
    return "categorical" if "choices" in fields else _type(old)


def _first_value(distribution: BaseDistribution) -> Any:
    """The default of an own lever whose file names none: its lower end, or its first choice."""
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution.low
    return choices_of(distribution)[0]


def _type(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return "categorical"
    return "int" if isinstance(distribution, IntDistribution) else "float"


def _range_fields(distribution: BaseDistribution) -> dict[str, Any]:
    if isinstance(distribution, CategoricalDistribution):
        return {"choices": list(distribution.choices)}
    return {field: getattr(distribution, field) for field in _RANGE_FIELDS}


def _plain(name: str) -> dict[str, Any]:
    """What holds of an own lever whose file says nothing else."""
    return {
        "family": Family.ARCHITECTURE.value,
        "scale": Scale.IDENTITY.value,
        "structural": False,
        "key": name,
        "reason": "",
        "source": "",
        "anchor": [],
    }


def _one_of(choices: Sequence[str]) -> tuple[str, Callable[[object], bool]]:
    return f"one of {', '.join(choices)}", lambda value: value in choices


_NUMBER: tuple[str, Callable[[object], bool]] = ("a number", is_number)
_CLAIM: tuple[str, Callable[[object], bool]] = ("true or false", lambda value: isinstance(value, bool))
_TEXT: tuple[str, Callable[[object], bool]] = ("text", lambda value: isinstance(value, str))
_RULES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "type": _one_of(_TYPES),
    "low": _NUMBER,
    "high": _NUMBER,
    "log": _CLAIM,
    "step": ("a number or empty", lambda value: value is None or is_number(value)),
    "choices": (
        "a list of words, numbers, true or false",
        lambda value: isinstance(value, list) and bool(value) and all(map(is_value, value)),
    ),
    "default": (
        "a word, a number, true or false, or empty",
        lambda value: value is None or is_value(value),
    ),
    "anchor": (
        "a list of words, numbers, true or false",
        lambda value: isinstance(value, list) and all(map(is_value, value)),
    ),
    "family": _one_of(list(Family)),
    "scale": _one_of(list(Scale)),
    "structural": _CLAIM,
    **dict.fromkeys(_TEXT_FIELDS, _TEXT),
}
"""Field -> what it must be, in words and as a test."""
