"""Configs and data of trainings of a moment, and the trial that one of them recorded."""

from typing import Any

from studies.recorded import open_study
from studies.records import TrialRecord

BLOBS = "tests.problems:blob_arrays"
FAST: dict[str, Any] = {"epochs": 3, "batch_size": 16, "width": 8}
DIVERGING: dict[str, Any] = FAST | {"learning_rate": 1e30}


def only_trial(study: str = "mine") -> TrialRecord:
    (trial,) = open_study(study).record(steps=True).trials
    return trial
