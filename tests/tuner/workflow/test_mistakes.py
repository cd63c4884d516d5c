"""What ends a guide before it begins: unsound data, and mistakes of whoever calls it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_spaces import Space
from search_spaces.errors import ConfigurationError, DataError
from tests.problems import blobs
from tests.tuner.workflow.guides import FEW, TASK, tuned
from tuner.training.data import TaskData
from tuner.workflow import plan_tune


def leaking_task() -> TaskData:
    """Every sample is there twice: whatever is held out has been seen."""
    data = blobs(200)
    x, y = data.x_train.repeat(2, 1), data.y_train.repeat(2)
    return TaskData(x=x, y=y, name="leaking")


def broken_task() -> TaskData:
    data = blobs()
    x = data.x_train.numpy().copy()
    x[5] = np.nan
    return TaskData(x=x, y=data.y_train, name="broken")


@pytest.mark.parametrize(
    ("task", "reason"), [(leaking_task, "are in train, too"), (broken_task, "NaN or infinite")]
)
def test_unsound_data_ends_the_guide_before_anything_is_written(
    sqlite_url: str, tmp_path: Path, task: Callable[[], TaskData], reason: str
) -> None:
    """One sentence, no study, no training."""
    with pytest.raises(DataError, match=reason):
        tuned(sqlite_url, task)
    with pytest.raises(DataError, match=reason):
        plan_tune(task, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"start_from": "ladder"}, "A step to start from must be one of baseline, rate"),
        ({"budget": "soon"}, "A budget must be like 20m"),
        ({"fixed": {"seed": 3}}, "seed is said by --seed"),
        ({"fixed": {"lerning_rate": 3}}, "Did you mean 'learning_rate'"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"space": "quik"}, "quick"),
        ({"goal": float("nan")}, "A goal must be a finite number, but got nan"),
        ({"direction": "sideways"}, "The direction must be one of maximize, minimize, but got 'sideways'"),
        (
            {"space": Space(name="own", levers=FEW.levers, fixed={"epochs": 3})},
            "epochs .* part of the space too",
        ),
        ({"space": Space(name="own", levers=FEW.levers, fixed={"seed": 3})}, "seed .* part of the space too"),
    ],
)
def test_mistakes_are_told_in_one_sentence(sqlite_url: str, asked: dict[str, Any], message: str) -> None:
    """By a dry run too, and nothing is written."""
    with pytest.raises(ConfigurationError, match=message):
        tuned(sqlite_url, **asked)
    with pytest.raises(ConfigurationError, match=message):
        plan_tune(TASK, **({"device": "cpu", "storage": sqlite_url} | asked))
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()
