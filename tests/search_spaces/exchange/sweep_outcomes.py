"""What may become of a sweep: levers and sentences, or the refusal; and reading one that a test writes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.exchange.imported import Choices, Imported
from search_spaces.exchange.importing import import_space
from search_spaces.lever import Value


@dataclass(frozen=True, kw_only=True)
class Reads:
    """What a sweep becomes. Of each sentence, a part; as many parts as sentences."""

    levers: dict[str, BaseDistribution]
    fixed: dict[str, Value] = field(default_factory=dict)
    options: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_carried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A part of each fault; as many parts as faults."""

    faults: tuple[str, ...]


def f(low: float, high: float, *, log: bool = False, step: float | None = None) -> FloatDistribution:
    return FloatDistribution(low, high, log=log, step=step)


def i(low: int, high: int, *, log: bool = False, step: int = 1) -> IntDistribution:
    return IntDistribution(low, high, log=log, step=step)


def c(*choices: Value) -> CategoricalDistribution:
    return CategoricalDistribution(choices)


def read(tmp_path: Path, parameters: dict[str, Any], choices: Choices | None = None, **top: Any) -> Imported:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"method": "random", "run_cap": 1, **top, "parameters": parameters}))
    return import_space(path, choices=choices)
