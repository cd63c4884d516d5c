"""A plan and a study for tests of the keeping half of `studies`."""

import dataclasses
from typing import Any

from search_spaces import preset
from studies.plan import StudyPlan
from studies.recorded import RecordedStudy, create_study


def plan(**changes: Any) -> StudyPlan:
    base = StudyPlan(
        task="digits",
        model="mlp",
        space=preset("quick").to_json(),
        sampler="random",
        pruner="none",
        epochs=3,
        seed=0,
        metric="validation_accuracy",
        direction="maximize",
        defaults={"learning_rate": 0.1, "momentum": 0.0, "width": 128},
        data_hash="abc",
    )
    return dataclasses.replace(base, **changes)


def study(url: str, name: str = "first", **changes: Any) -> RecordedStudy:
    return create_study(name, plan(**changes), url)
