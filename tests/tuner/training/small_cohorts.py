"""Small splits, configs and cohorts."""

from typing import Any

from tests.problems import blobs
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits, split_dataset


def splits_of(n: int = 120, **keywords: Any) -> Splits:
    return split_dataset(blobs(n, spread=1.2, **keywords), device="cpu")


def config_of(**keys: Any) -> TrainingConfig:
    return TrainingConfig(**{"epochs": 3, "batch_size": 16, "width": 8, **keys})


def advanced(cohort: Cohort) -> None:
    while cohort.advance():
        pass
