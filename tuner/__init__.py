"""Making it happen: search, train, diagnose. The names below load torch only when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tuner.version import __version__

if TYPE_CHECKING:
    from tuner.api import resume, search
    from tuner.exporting import export
    from tuner.one_training import Training, train
    from tuner.prepared_search import Search
    from tuner.searching.objective import Objective
    from tuner.training.checkpoint import load_trained
    from tuner.training.config import TrainingConfig
    from tuner.training.data import TaskData

__all__ = [
    "Objective",
    "Search",
    "TaskData",
    "Training",
    "TrainingConfig",
    "__version__",
    "export",
    "load_trained",
    "resume",
    "search",
    "train",
]

_HOMES = {
    "Objective": "tuner.searching.objective",
    "Search": "tuner.prepared_search",
    "TaskData": "tuner.training.data",
    "TrainingConfig": "tuner.training.config",
    "resume": "tuner.api",
    "search": "tuner.api",
    "Training": "tuner.one_training",
    "export": "tuner.exporting",
    "load_trained": "tuner.training.checkpoint",
    "train": "tuner.one_training",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: ``tuner --help`` must answer before torch could be loaded."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tuner' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
