"""Epoch 0 of a lane: the untrained network, which lanes of equal seed, structure and initialization share.

What two passes over the data say of it is read once for all of them, and kept with the splits. A user's own model may
make something else of every config: it is read each time.
"""

import time
from collections.abc import Hashable
from typing import Any

from tuner.training.config import BUILT_IN_MODELS, TrainingConfig
from tuner.training.lanes.lane import Lane
from tuner.training.lanes.structure import structure_of
from tuner.training.losses import training_loss
from tuner.training.readings import EpochReader, untrained_readings
from tuner.training.reproducibility import drawing_from


def read_untrained(lane: Lane, *, has_own_model: bool, is_complete: bool) -> None:
    """Give ``lane`` its row of epoch 0 and the first probes."""
    started = time.perf_counter()
    config, splits = lane.config, lane.splits
    reader = EpochReader(
        model=lane.model, splits=splits, scaling=lane.scaling, config=config, is_complete=is_complete
    )
    known: dict[Hashable, Any] = splits.known
    step_zero = reader.step_zero(training_loss(config, splits), seed=config.seed)
    if has_own_model or config.model not in BUILT_IN_MODELS:
        with drawing_from(lane.generator):
            untrained = reader.untrained()
    else:
        key = (*_what_decides(config), is_complete)
        if key not in known:
            known[key] = reader.untrained()
        untrained = known[key]
    data = reader.data()
    row = untrained_readings(untrained, step_zero, seconds=time.perf_counter() - started)
    lane.begin(row, step_zero, data)


def _what_decides(config: TrainingConfig) -> tuple[Hashable, ...]:
    """What the weights of an untrained built-in network, and what it makes of the data, follow from."""
    return "untrained", config.seed, config.initialization, *structure_of(config).values()
