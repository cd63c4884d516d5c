"""Whether the data can have what a space asks of it, seen before a study is begun."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from torch import nn

from tuner.searching.objective import Objective
from tuner.training.config import BUILT_IN_MODELS, TrainingConfig
from tuner.training.loop import TrainingRun

WARMUP_SHARE = 0.1
"""Of a training's steps: where the lever ``warmup_fraction`` ends, too."""


def check_data_suits(objective: Objective) -> None:
    """Build, without training, what the space can ask of the data: each model, the strongest augmentation, the metric.

    A model of the user's own is left to its trials: to build it may cost much, and its errors are its trial's.

    Raises:
        ConfigurationError: for a lever, a fixed key or a metric that this data cannot have.
    """
    strongest = max((float(value) for value in _values(objective, "augmentation")), default=0.0)
    for model in _values(objective, "model"):
        is_built_in = objective.model is None and model in BUILT_IN_MODELS
        TrainingRun(
            dataclasses.replace(
                objective.base_config,
                augmentation=strongest,
                model=str(model) if is_built_in else objective.base_config.model,
            ),
            objective.splits,
            device=objective.device,
            model=None if is_built_in else _stand_in,
            metric=objective.metric,
            direction=objective.direction,
        )


def warmup_warnings(objective: Objective) -> Iterator[str]:
    """What to say of a searched number of warmup steps that may take more than a tenth of a training."""
    longest = max((int(value) for value in _values(objective, "warmup_steps")), default=0)
    if objective.space.find("warmup_steps") is None:
        return
    n_steps = _fewest_steps(objective)
    if longest > WARMUP_SHARE * n_steps:
        yield (
            f"warmup_steps is searched up to {longest}, but trainings here have only {n_steps:,} steps, and warmup is "
            f"usually at most {WARMUP_SHARE:.0%} of them; search warmup_fraction instead, or take more --epochs."
        )


def _fewest_steps(objective: Objective) -> int:
    """Optimizer steps of the shortest training: with the largest batches that are searched."""
    n_train = len(objective.splits.train_x)
    sizes = [n_train if value == "full" else int(value) for value in _values(objective, "batch_size")]
    accumulated = max(int(value) for value in _values(objective, "accumulation_steps"))
    epochs = min(int(value) for value in _values(objective, "epochs"))
    return epochs * math.ceil(n_train / min(max(sizes) * accumulated, n_train))


def _values(objective: Objective, key: str) -> list[Any]:
    """What a config key may be: the ends or choices of its lever, else the one value that all trials have."""
    lever = next((lever for lever in objective.space if lever.key == key), None)
    if lever is None:
        return [getattr(objective.base_config, key)]
    configs = [TrainingConfig.from_mapping({key: lever.to_config(value)}) for value in lever.grid(2)]
    return [getattr(config, key) for config in configs]


def _stand_in(_config: object, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), n_outputs))
