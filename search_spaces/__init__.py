"""What may change: levers, the spaces made of them, the ways a space may change, and spaces ready made."""

from typing import TYPE_CHECKING

from search_spaces.errors import ConfigurationError

if TYPE_CHECKING:
    from search_spaces.edits import Edit
    from search_spaces.exchange.importing import import_space
    from search_spaces.files import load_space
    from search_spaces.lever import Family, Lever
    from search_spaces.presets import preset
    from search_spaces.space import Condition, Role, Space

__all__ = [
    "Condition",
    "ConfigurationError",
    "Edit",
    "Family",
    "Lever",
    "Role",
    "Space",
    "import_space",
    "load_space",
    "preset",
]

# Optuna takes 0.15 s to import: `search_spaces.errors` and `tuner --help` must not pay for it.
_HOMES = {
    "Condition": "space",
    "Edit": "edits",
    "Family": "lever",
    "Lever": "lever",
    "Role": "space",
    "Space": "space",
    "import_space": "exchange.importing",
    "load_space": "files",
    "preset": "presets",
}


def __getattr__(name: str) -> object:
    """A public name, imported from its module when it is first asked for."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'search_spaces' has no attribute {name!r}")
    return getattr(importlib.import_module(f"search_spaces.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
