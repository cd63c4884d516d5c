"""What a space asks that the data cannot have is refused before a study is begun."""

from pathlib import Path
from typing import Any

import pytest

import tuner
from search_spaces import Space
from search_spaces.catalog import lever
from search_spaces.errors import ConfigurationError
from tests.problems import line_task
from tests.tuner import user_code
from tuner.preparing import plan_search

RATE = lever("learning_rate")


@pytest.mark.parametrize(
    ("levers", "asked", "said"),
    [
        ((lever("augmentation"),), {}, "augmentation needs images .* one input is .4."),
        ((RATE,), {"fixed": {"augmentation": 0.5}}, "augmentation needs images"),
        ((lever("model"),), {}, "model=cnn needs images"),
        ((RATE,), {"task": line_task}, "validation_accuracy needs classes"),
    ],
)
def test_what_the_data_cannot_have_is_refused(
    levers: tuple[Any, ...], asked: dict[str, Any], said: str
) -> None:
    """In the sentence that its training would have failed with, and nothing is written."""
    task = asked.pop("task", user_code.blob_arrays)
    with pytest.raises(ConfigurationError, match=said):
        tuner.search(Space(name="s", levers=levers), task, study="s", trials=2, epochs=1, **asked)
    assert not Path("runs").exists()


def test_what_the_data_can_have_is_planned_without_building_a_users_model() -> None:
    """Images take augmentation; a model function that raises is its trials' business."""
    plan = plan_search(
        Space(name="s", levers=(lever("augmentation"), RATE)),
        "digits",
        trials=2,
        model=user_code.always_raises,
    )
    assert plan.metric == "validation_accuracy"


@pytest.mark.parametrize(("epochs", "is_warned"), [(10, True), (10_000, False)])
def test_a_searched_warmup_that_may_outlast_the_training_is_told(epochs: int, *, is_warned: bool) -> None:
    """96 training samples in batches of 128: a step an epoch, against a warmup of up to 1000."""
    told: list[str] = []
    space = Space(name="s", levers=(lever("warmup_steps"),))
    plan_search(space, user_code.blob_arrays, trials=1, epochs=epochs, announce=told.append)
    expected = "warmup_steps is searched up to 1000, but trainings here have only 10 steps"
    assert [line for line in told if line.startswith(expected)] == told
    assert len(told) == is_warned
