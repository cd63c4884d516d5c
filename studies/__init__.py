"""What happened, and what it means. Never imports torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studies.recorded import open_study
    from studies.telling import diagnose, importances, report

__all__ = ["diagnose", "importances", "open_study", "report"]

_HOMES = {
    "diagnose": "studies.telling",
    "importances": "studies.telling",
    "open_study": "studies.recorded",
    "report": "studies.telling",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: pandas and plotly are not needed to open a study."""
    if name not in _HOMES:
        raise AttributeError(f"module 'studies' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
