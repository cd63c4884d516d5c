"""A user's own arrays, checked before anything trains on them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search_spaces.errors import DataError
from tuner.training.datasets.dataset import Dataset, Kind
from tuner.training.functions import calling_user_code, import_function

HOW_TO_DECLARE_REGRESSION = 'for regression return tuner.training.data.TaskData(x=x, y=y, kind="regression")'


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """What a user's task function returns when the arrays alone don't say it all.

    Shapes: ``x`` [n, features] or [n, channels, height, width] ([n, height, width] gets its one channel),
    ``y`` [n], or [n, outputs] for regression. Arrays, tensors or nested lists.
    """

    x: Any
    y: Any
    x_test: Any = None
    y_test: Any = None
    kind: Kind = "classification"
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("classification", "regression"):
            raise DataError(f"TaskData.kind must be classification or regression, but got {self.kind!r}.")
        if (self.x_test is None) != (self.y_test is None):
            raise DataError("x_test and y_test come together, but only one of them was given.")


def data_from_function(task: str | Callable[[], Any]) -> Dataset:
    """What ``module:function``, or the function itself, returns.

    Raises:
        ConfigurationError: the function cannot be imported, or raises.
        DataError: what it returns cannot be trained on.
    """
    function = import_function(task, purpose="task") if isinstance(task, str) else task
    name = task if isinstance(task, str) else _name_of(function)
    with calling_user_code(f"The task {name} must be a function without arguments that returns arrays"):
        returned = function()
    if not isinstance(returned, TaskData):
        returned = _from_tuple(returned, name)
    return check_data(returned, name=returned.name or name)


def data_from_npz(path: Path) -> Dataset:
    """The arrays ``x`` and ``y`` of an .npz file, or ``x_train``, ``y_train``, ``x_test``, ``y_test``."""
    if not path.is_file():
        raise DataError(f"npz: needs an existing file, but there is none at {path}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as .npz without pickled objects ({error}).") from error
    names = ("x", "y", "x_test", "y_test") if "x" in arrays else ("x_train", "y_train", "x_test", "y_test")
    if not {names[0], names[1]} <= arrays.keys():
        raise DataError(
            f"An .npz needs arrays x and y, or x_train, y_train, x_test and y_test, "
            f"but {path} has {', '.join(sorted(arrays)) or 'none'}."
        )
    x, y, x_test, y_test = (arrays.get(name) for name in names)
    return check_data(TaskData(x=x, y=y, x_test=x_test, y_test=y_test), name=f"npz:{path.name}")


def check_data(data: TaskData, *, name: str) -> Dataset:
    """``data`` as tensors that a training can use.

    Raises:
        DataError: for the first fault found; NaN in x is allowed, since probes tell of it.
    """
    x_train, y_train = _inputs(data.x, "x"), _targets(data.y, "y", data.kind)
    _check_pair(x_train, y_train, "x", "y")
    x_test = y_test = None
    if data.x_test is not None:
        x_test, y_test = _inputs(data.x_test, "x_test"), _targets(data.y_test, "y_test", data.kind)
        _check_pair(x_test, y_test, "x_test", "y_test")
        if x_test.shape[1:] != x_train.shape[1:]:
            raise DataError(
                f"x and x_test must have one shape a sample, but got {_shape(x_train)} and {_shape(x_test)}."
            )
    is_classification = data.kind == "classification"
    n_outputs = _count_classes(y_train, y_test) if is_classification else y_train.shape[1]
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        n_outputs=n_outputs,
        kind=data.kind,
    )


def _from_tuple(returned: object, name: str) -> TaskData:
    if isinstance(returned, tuple | list) and len(returned) == 2:
        return TaskData(x=returned[0], y=returned[1])
    if isinstance(returned, tuple | list) and len(returned) == 4:
        return TaskData(x=returned[0], y=returned[1], x_test=returned[2], y_test=returned[3])
    got = f"{len(returned)} values" if isinstance(returned, tuple | list) else type(returned).__name__
    raise DataError(
        f"A task function returns (x, y), (x_train, y_train, x_test, y_test) or a TaskData, "
        f"but {name} returned {got}."
    )


def _inputs(values: Any, name: str) -> torch.Tensor:
    array = _array(values, name)
    if array.dtype != np.uint8:
        array = array.astype(np.float32)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim not in (2, 4):
        raise DataError(
            f"{name} must be [n, features], [n, height, width] or [n, channels, height, width], "
            f"but got shape {list(array.shape)}."
        )
    if array.ndim == 4 and array.shape[3] in (1, 3, 4) and array.shape[1] > 4:
        raise DataError(
            f"Images must be [n, channels, height, width], but {name} has shape {list(array.shape)}; "
            f"use {name}.transpose(0, 3, 1, 2)."
        )
    if 0 in array.shape:
        raise DataError(f"{name} must hold samples, but got shape {list(array.shape)}.")
    return _tensor(array)


def _targets(values: Any, name: str, kind: Kind) -> torch.Tensor:
    array = _array(values, name)
    if kind == "regression":
        array = array.astype(np.float32)
        if array.ndim not in (1, 2):
            raise DataError(f"{name} must be [n] or [n, outputs], but got shape {list(array.shape)}.")
        if not np.isfinite(array).all():
            raise DataError(f"{name} must be finite, but {int((~np.isfinite(array)).sum())} values are not.")
        return _tensor(array.reshape(len(array), -1))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"{name} must be one class number a sample, but got shape {list(array.shape)}; "
            f"one-hot rows become numbers by {name}.argmax(1); {HOW_TO_DECLARE_REGRESSION}."
        )
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_):
        raise DataError(
            f"{name} must hold integers from 0, but its dtype is {array.dtype}; {HOW_TO_DECLARE_REGRESSION}."
        )
    return _tensor(array.astype(np.int64))


def _array(values: Any, name: str) -> "np.ndarray[Any, Any]":
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} must be an array, but its rows differ in length ({error}).") from error
    if array.dtype.kind not in "buif":
        raise DataError(f"{name} must hold numbers, but its dtype is {array.dtype}.")
    return array


def _tensor(array: "np.ndarray[Any, Any]") -> torch.Tensor:
    # A read-only array (np.frombuffer, a memory map) would make torch warn; the copy also keeps ours ours.
    return torch.from_numpy(np.array(array, order="C"))


def _check_pair(x: torch.Tensor, y: torch.Tensor, x_name: str, y_name: str) -> None:
    if len(x) != len(y):
        raise DataError(
            f"{x_name} and {y_name} must have one length, but {x_name} has {len(x)} samples and "
            f"{y_name} has {len(y)}."
        )


def _count_classes(y_train: torch.Tensor, y_test: torch.Tensor | None) -> int:
    present = torch.unique(y_train).tolist()
    negative = [label for label in present if label < 0]
    if negative:
        raise DataError(f"Classes must be 0..C-1, but y holds {_listed(negative)}.")
    missing = sorted(set(range(present[-1] + 1)) - set(present)) if present[-1] < 10**6 else []
    if present[-1] >= 10**6 or missing:
        absent = f"no sample has {_listed(missing)}" if missing else f"y holds {present[-1]}"
        raise DataError(f"Classes must be 0..C-1 without gaps, but {absent}; {HOW_TO_DECLARE_REGRESSION}.")
    if len(present) < 2:
        raise DataError("There must be two classes or more, but every y is 0.")
    unknown = sorted(set(torch.unique(y_test).tolist()) - set(present)) if y_test is not None else []
    if unknown:
        raise DataError(f"y_test must hold classes that y_train has, but it has {_listed(unknown)}, too.")
    return len(present)


def _listed(labels: list[int]) -> str:
    return ", ".join(map(str, labels[:5])) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")


def _shape(x: torch.Tensor) -> list[int]:
    return list(x.shape[1:])


def _name_of(function: Callable[[], Any]) -> str:
    return (
        f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"
    )
