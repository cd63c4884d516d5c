"""What tasks and models are called where they cannot be there themselves: in plans, and in other processes."""

import functools
from collections.abc import Callable
from typing import Any


def task_name(task: str | Callable[..., Any]) -> str:
    """A task as text: its name, or ``module:function``; with ``<...>`` around what nothing can import by its name."""
    if isinstance(task, str):
        return task
    if isinstance(task, functools.partial):
        module, _, name = task_name(task.func).rpartition(":")
        return f"{module}:<partial of {name.strip('<>')}>"
    if hasattr(task, "__qualname__"):
        return f"{task.__module__}:{task.__qualname__}"
    kind = type(task)
    return f"{kind.__module__}:<{kind.__qualname__} object>"


def is_importable(task: str | Callable[..., Any]) -> bool:
    """Whether another process can find the task by its name."""
    name = task_name(task)
    return not name.startswith("__main__:") and "<" not in name
