"""Making it happen: search, train, diagnose. The names below load torch only when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tuner.version import __version__

if TYPE_CHECKING:
    from tuner.api import resume, search
    from tuner.confirmation import confirm_configs, confirm_study
    from tuner.exporting import export
    from tuner.listed import Listed, search_listed
    from tuner.one_training import Training, train
    from tuner.prepared_search import Search
    from tuner.proving import Proof
    from tuner.proving.fixing import fix
    from tuner.searching.objective import Objective
    from tuner.training.batch_size import find_batch_size
    from tuner.training.checkpoint import load_trained
    from tuner.training.config import TrainingConfig
    from tuner.training.data import TaskData
    from tuner.training.learning_rate_range import learning_rate_range, learning_rate_range_of
    from tuner.training.watching.lightning import lightning_watch as LightningWatch  # noqa: N812 - it makes one
    from tuner.training.watching.watch import Watch, watch
    from tuner.workflow import Tuning, tune

__all__ = [
    "LightningWatch",
    "Listed",
    "Objective",
    "Proof",
    "Search",
    "TaskData",
    "Training",
    "TrainingConfig",
    "Tuning",
    "Watch",
    "__version__",
    "confirm_configs",
    "confirm_study",
    "export",
    "find_batch_size",
    "fix",
    "learning_rate_range",
    "learning_rate_range_of",
    "load_trained",
    "resume",
    "search",
    "search_listed",
    "train",
    "tune",
    "watch",
]

_HOMES = {
    "LightningWatch": "tuner.training.watching.lightning",
    "Listed": "tuner.listed",
    "Objective": "tuner.searching.objective",
    "Proof": "tuner.proving",
    "Search": "tuner.prepared_search",
    "TaskData": "tuner.training.data",
    "Training": "tuner.one_training",
    "TrainingConfig": "tuner.training.config",
    "Tuning": "tuner.workflow",
    "Watch": "tuner.training.watching.watch",
    "confirm_configs": "tuner.confirmation",
    "confirm_study": "tuner.confirmation",
    "export": "tuner.exporting",
    "find_batch_size": "tuner.training.batch_size",
    "fix": "tuner.proving.fixing",
    "learning_rate_range": "tuner.training.learning_rate_range",
    "learning_rate_range_of": "tuner.training.learning_rate_range",
    "load_trained": "tuner.training.checkpoint",
    "resume": "tuner.api",
    "search": "tuner.api",
    "search_listed": "tuner.listed",
    "train": "tuner.one_training",
    "tune": "tuner.workflow",
    "watch": "tuner.training.watching.watch",
}
_NAMES_THERE = {"LightningWatch": "lightning_watch"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: ``tuner --help`` must answer before torch could be loaded."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tuner' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), _NAMES_THERE.get(name, name))


def __dir__() -> list[str]:
    return sorted(__all__)
