"""A space made of another tool's parameters: names and words become ours, constants are fixed, the rest are levers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.errors import ConfigurationError
from search_spaces.exchange.config_names import (
    SETTING_KEYS,
    ConfigKey,
    lever_family_of,
    resolve_names,
    word_of,
)
from search_spaces.exchange.imported import Remarks
from search_spaces.fields import from_fields, known_lever
from search_spaces.lever import Lever, Value, choices_of, is_number, is_same
from search_spaces.space import Space, inconsistencies


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A parameter with one value."""

    value: Value


Parameter = Constant | BaseDistribution
_LEAST_SETTING = {"epochs": 1, "seed": 0}


@dataclass(kw_only=True)
class Parts:
    """What parameters become: the parts of a space, and what belongs to the search's settings."""

    levers: list[Lever] = field(default_factory=list)
    fixed: dict[str, Value] = field(default_factory=dict)
    settings: dict[str, int] = field(default_factory=dict)
    """epochs and seed, where the parameters say them."""

    def space(self, *, name: str, description: str, rule: str, remarks: Remarks) -> Space:
        """The space of these parts.

        Raises:
            ConfigurationError: with all faults, those of ``remarks`` included.
        """
        remarks.faults += inconsistencies(self.levers, {}, {}, self.fixed)
        remarks.refuse_faults(rule)
        return Space(name=name, levers=tuple(self.levers), fixed=self.fixed, description=description)


def parts_of(
    parameters: Mapping[str, Parameter], keys: Mapping[str, ConfigKey], remarks: Remarks, *, rename: bool
) -> Parts:
    """The parts of a space that these parameters make; what cannot be among them is told in ``remarks``."""
    parts = Parts()
    resolved = resolve_names([*parameters], keys, remarks, rename=rename)
    for name, parameter in parameters.items():
        key = resolved[name]
        if key in SETTING_KEYS:
            _set(parts, name, key, parameter, remarks)
        elif isinstance(parameter, Constant):
            _fix(parts, name, key, parameter, keys, remarks, rename=rename)
        else:
            ours = _in_our_words(name, key, parameter, keys, remarks) if rename else parameter
            _add(parts, name, key, ours, remarks)
    return parts


def short_form(distribution: BaseDistribution) -> dict[str, Any]:
    """A distribution as Optuna's short JSON form, which has the names of our files' fields."""
    if isinstance(distribution, FloatDistribution | IntDistribution):
        kind = "int" if isinstance(distribution, IntDistribution) else "float"
        bounds = {"low": distribution.low, "high": distribution.high}
        return {"type": kind, **bounds, "step": distribution.step, "log": distribution.log}
    return {"type": "categorical", "choices": [*choices_of(distribution)]}


def _set(parts: Parts, name: str, key: str, parameter: Parameter, remarks: Remarks) -> None:
    """Epochs and seed are the same for all trials of a search: take a constant, explain the rest."""
    if isinstance(parameter, Constant):
        values: list[Value] = [parameter.value]
    elif isinstance(parameter, FloatDistribution | IntDistribution):
        values = [parameter.low, parameter.high]
    else:
        values = [*choices_of(parameter)]
    least = _LEAST_SETTING[key]
    if not all(is_number(value) and value == int(value) and value >= least for value in values):
        remarks.faults.append(
            f"{name} must be whole numbers of at least {least}, but got {', '.join(map(str, values))}"
        )
    elif isinstance(parameter, Constant) or len(values) == 1:
        parts.settings[key] = int(values[0])
    elif key == "epochs":
        parts.settings[key] = int(max(values))
        remarks.warnings.append(
            f"{name} was searched up to {max(values):g}; all trials of a search here train as long, so --epochs is "
            f"{max(values):g} (a pruner ends the poor ones early)"
        )
    else:
        remarks.not_carried.append(
            f"{name}: a seed has no best value; give --seed for the search, and confirm winners on fresh seeds"
        )


def _fix(
    parts: Parts,
    name: str,
    key: str,
    constant: Constant,
    keys: Mapping[str, ConfigKey],
    remarks: Remarks,
    *,
    rename: bool,
) -> None:
    value = word_of(key, constant.value, keys) if rename else constant.value
    if not is_same(value, constant.value):
        remarks.notes.append(f"{name}: {constant.value} is {value} here")
    known = known_lever(key)
    if known is not None and known.key != key:
        if not is_number(value):
            remarks.faults.append(f"{name} must be a number, but got {value!r}")
            return
        key, value = known.key, known.to_config(value)
    if key in parts.fixed:
        remarks.faults.append(f"{key} must have one value, but {name} gives it a second")
    parts.fixed[key] = value


def _in_our_words(
    name: str, key: str, distribution: BaseDistribution, keys: Mapping[str, ConfigKey], remarks: Remarks
) -> BaseDistribution:
    """The distribution with our words for choices, and with whole numbers where the key takes no others."""
    choices = choices_of(distribution)
    ours = [word_of(key, choice, keys) for choice in choices]
    for choice, word in zip(choices, ours, strict=True):
        if not is_same(choice, word):
            also = ", which is a choice already" if ours.count(word) > 1 else ""
            remarks.notes.append(f"{name}: {choice} is {word} here{also}")
    if choices:
        return CategoricalDistribution(
            [word for index, word in enumerate(ours) if not (isinstance(word, str) and word in ours[:index])]
        )
    is_whole = key in keys and keys[key].is_whole
    if is_whole and isinstance(distribution, FloatDistribution):
        return _whole(name, distribution, remarks)
    return distribution


def _whole(name: str, distribution: FloatDistribution, remarks: Remarks) -> BaseDistribution:
    low, high, step = math.ceil(distribution.low), math.floor(distribution.high), distribution.step
    is_too_low = distribution.log and low < 1
    if low > high or is_too_low or (step is not None and step != int(step)):
        remarks.faults.append(
            f"{name} must be whole numbers, but got {distribution.low:g}..{distribution.high:g}"
            f"{'' if step is None else f' in steps of {step:g}'}"
        )
        return distribution
    remarks.warnings.append(
        f"{name} takes whole numbers, but the file has fractions too: the range is {low}..{high}, whole"
    )
    return IntDistribution(low, high, log=distribution.log, step=1 if step is None else int(step))


def _add(parts: Parts, name: str, key: str, distribution: BaseDistribution, remarks: Remarks) -> None:
    relative = lever_family_of(key)
    own: dict[str, Any] = {}
    if known_lever(key) is None and relative is not None:
        # Of a lever that is searched on another scale (momentum), what holds on every scale.
        own = {
            "family": relative.family.value,
            "structural": relative.structural,
            "default": relative.default,
        }
    try:
        parts.levers.append(from_fields(key, {**short_form(distribution), **own}))
    except ConfigurationError as error:
        remarks.faults.append(f"{name}: {str(error).removesuffix('.')}")
