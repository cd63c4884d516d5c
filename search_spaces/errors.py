"""What a user can get wrong, said in one sentence: the rule, what we got, and the valid choices."""

import difflib
from collections.abc import Iterable


class ConfigurationError(ValueError):
    """A user's mistake in a name, a value or a file. The command line prints it and exits with 2."""


class DataError(ConfigurationError):
    """Data that cannot be found, read or trained on. The command line prints it and exits with 5."""


def unknown_name(
    kind: str, got: object, choices: Iterable[str], *, meant: str | None = None, limit: int | None = None
) -> ConfigurationError:
    """The error for a name that is not one of ``choices``, with the one that was ``meant``, else the nearest.

    At most ``limit`` of the choices are named.
    """
    names = list(choices)
    more = [] if limit is None or len(names) <= limit else [f"and {len(names) - limit} more"]
    near = [meant] if meant is not None else difflib.get_close_matches(str(got), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    said = ", ".join([*names[:limit], *more])
    return ConfigurationError(f"{kind} must be one of {said}, but got {got!r}.{hint}")
