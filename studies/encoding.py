"""Records as JSON: NaN and infinity are null, tuples are lists, enums are their values."""

import dataclasses
import datetime as dt
import enum
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def jsonable(value: Any) -> Any:  # noqa: PLR0911 - one return for each type reads as the table it is
    """``value`` built of JSON's own types only.

    Raises:
        TypeError: for a type that has no agreed JSON form; nothing is turned into its ``repr`` silently.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if math.isfinite(number) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [jsonable(item) for item in value.tolist()]
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form; convert it before it is recorded.")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """``value`` as strict JSON text, which any reader accepts (no NaN literals)."""
    return json.dumps(jsonable(value), indent=indent, allow_nan=False, ensure_ascii=False)
