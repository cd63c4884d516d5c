"""The engines by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from search_spaces.errors import ConfigurationError, unknown_name
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.choosing import choose_engine
from tuner.training.lanes.cuda_graphs import CudaGraphs, has_graphs
from tuner.training.lanes.engine import Engine, LaneStart
from tuner.training.lanes.functional import FunctionalEngine
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.lanes.one_by_one import OneByOneEngine
from tuner.training.lanes.replaying import RECORDING, recorder_for

EngineBuilder = Callable[[Splits], Engine]
"""Makes an engine, still empty."""

ENGINES: Mapping[str, EngineBuilder] = {
    "mlp": MlpEngine,
    "functional": FunctionalEngine,
    "one_by_one": OneByOneEngine,
}


@dataclass(frozen=True, kw_only=True)
class ChosenEngine:
    """An engine, still empty, and why it was taken."""

    engine: Engine
    name: str
    reason: str


def engine_for(asked: str | EngineBuilder, starts: Sequence[LaneStart], splits: Splits) -> ChosenEngine:
    """The engine that was asked for by name, or as the function that makes it; ``auto`` is what suits ``starts``.

    Raises:
        ConfigurationError: for an unknown name, and for ``mlp`` where the models are something else.
    """
    if not isinstance(asked, str):
        return ChosenEngine(engine=asked(splits), name="own", reason="it was handed over")
    name, reason = choose_engine(starts, splits) if asked == "auto" else (asked, "it was asked for")
    if name not in ENGINES:
        raise unknown_name("The engine", name, ["auto", *ENGINES])
    if not can_take(name, starts):
        raise ConfigurationError(
            "The engine mlp trains perceptrons as model=mlp builds them, but got another model; take engine=auto."
        )
    if name in RECORDING and has_graphs(splits.device):
        recorder = recorder_for(name, starts, splits, CudaGraphs(splits.device))
        return ChosenEngine(engine=RECORDING[name](splits, recorder=recorder), name=name, reason=reason)
    return ChosenEngine(engine=ENGINES[name](splits), name=name, reason=reason)


def can_take(name: str, starts: Sequence[LaneStart]) -> bool:
    """Whether the engine of that name trains ``starts``: a user's function may build each model as it likes."""
    return name != "mlp" or all(MlpEngine.supports(start.config, start.model) for start in starts)
