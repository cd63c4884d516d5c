"""A user's functions, named as ``module:function``, and whose fault it is when they raise."""

import contextlib
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from search_spaces.errors import ConfigurationError
from studies.records import TrialError


class UserCodeError(ConfigurationError):
    """A user's own code raised: one sentence that says what and where; the exception itself is the cause."""


@contextlib.contextmanager
def calling_user_code(rule: str) -> Iterator[None]:
    """Tell an exception of the body in one sentence that begins with ``rule``, what must hold of the user's code.

    Raises:
        UserCodeError: in place of any exception but those that are sentences already.
    """
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        said = " ".join(str(error).split())
        raise UserCodeError(f"{rule}, but it raised {type(error).__name__}: {said} ({where}).") from error


def import_function(spec: str, *, purpose: str) -> Callable[..., Any]:
    """The function that ``spec`` names; ``purpose`` ("task", "model") opens the sentence of an error.

    The current directory is importable, as it is for ``python -m``.

    Raises:
        ConfigurationError: when the module, or the function in it, cannot be had.
    """
    module_name, _, function_name = spec.partition(":")
    if not module_name or not function_name:
        raise ConfigurationError(f"{purpose} must be written module:function, but got {spec!r}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigurationError(
            f"{purpose} {spec!r} needs module {module_name!r}, which cannot be imported ({error}); "
            f"it was looked for in {here} and in the installed packages."
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        found = ", ".join(name for name in vars(module) if callable(vars(module)[name]) and name[0] != "_")
        raise ConfigurationError(
            f"{purpose} {spec!r} needs a function {function_name!r} in {module_name}, "
            f"which has {found or 'none'}."
        )
    return function  # type: ignore[no-any-return]  # getattr of a module is Any; callable() was checked


def error_record(error: BaseException) -> TrialError:
    """What is kept of an exception: its type, its text, and where it came from."""
    if isinstance(error, UserCodeError) and error.__cause__ is not None:
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    message = str(error).strip() or type(error).__name__
    return TrialError(type=type(error).__name__, message=message[:2000], where=where)
