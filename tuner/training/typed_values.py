"""A config's values read by their type hints: from Python, from YAML and from ``--set key=value`` text alike.

Understood: ``bool``, ``int``, ``float``, ``str``, ``Literal[...]``, ``X | Y``, ``None``, ``tuple[X, ...]``
and ``Annotated[X, Range(...)]``.
"""

import math
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

_TRUE_WORDS = frozenset({"true", "yes", "on", "1"})
_FALSE_WORDS = frozenset({"false", "no", "off", "0"})
_NONE_WORDS = frozenset({"none", "null", ""})


@dataclass(frozen=True, kw_only=True)
class Range:
    """The bounds of a number. ``above`` and ``below`` are exclusive."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high and self.above < number < self.below

    def __str__(self) -> str:
        parts = {"above": self.above, "at least": self.low, "at most": self.high, "below": self.below}
        return " and ".join(f"{words} {bound:g}" for words, bound in parts.items() if math.isfinite(bound))


def read_value(value: object, hint: Any, *, is_text: bool = False) -> Any:
    """``value`` as ``hint`` wants it; ``is_text`` allows "1e-3" for a float and "true" for a bool.

    Raises:
        ValueError: when it is something else; ``str(error)`` is what was wanted, such as "a number above 0".
    """
    if isinstance(value, np.generic):
        value = value.item()
    if is_text and isinstance(value, str):
        value = value.strip()
    return _read(value, hint, is_text=is_text)


def _read(value: Any, hint: Any, *, is_text: bool) -> Any:
    origin = get_origin(hint)
    if origin is Annotated:
        return _read_annotated(value, hint, is_text=is_text)
    if origin in (Union, types.UnionType):
        return _read_union(value, get_args(hint), is_text=is_text)
    if origin is Literal:
        if not isinstance(value, str) or value not in get_args(hint):
            choices = get_args(hint)
            raise ValueError(f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0])
        return value
    if origin is tuple:
        return _read_tuple(value, get_args(hint)[0], is_text=is_text)
    if hint is types.NoneType:
        if value is None or (is_text and isinstance(value, str) and value.lower() in _NONE_WORDS):
            return None
        raise ValueError("none")
    return _SCALARS[hint](value, is_text)


def _read_annotated(value: Any, hint: Any, *, is_text: bool) -> Any:
    inner, *constraints = get_args(hint)
    ranges = [constraint for constraint in constraints if isinstance(constraint, Range)]
    wanted = " and ".join(str(each) for each in ranges)
    try:
        result = _read(value, inner, is_text=is_text)
    except ValueError as error:
        raise ValueError(f"{error} {wanted}".rstrip()) from None
    if any(result not in each for each in ranges):
        raise ValueError(f"{_SCALAR_WORDS.get(inner, 'a value')} {wanted}")
    return result


def _read_union(value: Any, hints: tuple[Any, ...], *, is_text: bool) -> Any:
    wanted = []
    for hint in hints:
        try:
            return _read(value, hint, is_text=is_text)
        except ValueError as error:
            wanted.append(str(error))
    raise ValueError(" or ".join(wanted))


def _read_tuple(value: Any, item_hint: Any, *, is_text: bool) -> tuple[Any, ...]:
    if is_text and isinstance(value, str):
        value = [part for part in value.strip("[]()").split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError("a list of numbers such as 3,6")  # noqa: TRY004 - the caller collects one kind of fault
    try:
        return tuple(read_value(item, item_hint, is_text=is_text) for item in value)
    except ValueError as error:
        raise ValueError(f"a list of which each is {error}") from None


def _read_bool(value: Any, is_text: bool) -> bool:
    if isinstance(value, bool):
        return value
    if is_text and isinstance(value, str) and value.lower() in _TRUE_WORDS | _FALSE_WORDS:
        return value.lower() in _TRUE_WORDS
    raise ValueError("true or false")


def _read_int(value: Any, is_text: bool) -> int:
    number = _number(value, is_text=is_text)
    if number is None or not math.isfinite(number) or number != int(number):
        raise ValueError("a whole number")
    return int(number)


def _read_float(value: Any, is_text: bool) -> float:
    number = _number(value, is_text=is_text)
    if number is None or not math.isfinite(number):
        raise ValueError("a number")
    return float(number)


def _read_str(value: Any, _is_text: bool) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a name")
    return value


def _number(value: Any, *, is_text: bool) -> float | int | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not (is_text and isinstance(value, str)):
        return None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return None


_SCALARS = {bool: _read_bool, int: _read_int, float: _read_float, str: _read_str}
_SCALAR_WORDS = {int: "a whole number", float: "a number"}
