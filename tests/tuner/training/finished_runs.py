"""Trainings run to their end, and their losses."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import Splits
from tuner.training.loop import TrainingRun


def finished(config: TrainingConfig, data: Dataset | Splits, **keywords: Any) -> TrainingRun:
    run = TrainingRun(config, data, **keywords)
    for _ in run.epochs():
        pass
    return run


def losses_of(run: TrainingRun) -> npt.NDArray[np.float32]:
    return run.telemetry().step_series("train_loss")
