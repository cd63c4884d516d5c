"""An Optuna study as our record, where nobody planned it."""

import optuna
import pytest

from studies.recorded import record_of
from studies.records import WATCHED_METRIC


@pytest.mark.parametrize(
    ("said", "metric"),
    [
        ("validation_accuracy", "validation_accuracy"),
        ("train_loss", "train_loss"),
        ("speed", "value"),
        (3, "value"),
        (None, "value"),
    ],
)
def test_a_watched_study_knows_its_metric(said: object, metric: str) -> None:
    """By the attribute that its first loop left; anything else of that name, or nothing, leaves a mere value."""
    study = optuna.create_study()
    if said is not None:
        study.set_user_attr(WATCHED_METRIC, said)
    assert record_of(study).metric == metric
