import dataclasses
from typing import Any

import pytest

from search_spaces.catalog import LEVERS
from search_spaces.errors import ConfigurationError
from tuner.training.config import TrainingConfig
from tuner.training.lanes.structure import STRUCTURAL, check_structure, structure_of

PER_LANE = {
    "learning_rate",
    "momentum",
    "nesterov",
    "beta1",
    "beta2",
    "alpha",
    "epsilon",
    "weight_decay",
    "weight_decay_kind",
    "clipping",
    "clip_norm",
    "batch_lr_rule",
    "base_batch_size",
    "dropout",
    "label_smoothing",
    "augmentation",
    "schedule",
    "warmup_steps",
    "warmup_fraction",
    "final_lr_fraction",
    "step_size",
    "step_gamma",
    "milestones",
    "plateau_patience",
    "restart_period",
    "initialization",
    "epochs",
    "patience",
    "stop_on_divergence",
    "seed",
    "order_seed",
}


def test_every_key_is_structural_or_of_a_lane() -> None:
    """A new config key must be decided: whether lanes may differ in it."""
    fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    assert set(STRUCTURAL) | PER_LANE == fields
    assert not set(STRUCTURAL) & PER_LANE


def test_the_catalogs_structural_levers_are_structural() -> None:
    """What a search holds fixed in a cohort is what the cohort needs."""
    levers = {lever.key for lever in LEVERS}
    marked = {lever.key for lever in LEVERS if lever.structural}
    assert marked == set(STRUCTURAL) & levers


@pytest.mark.parametrize("key", ["depth", "precision", "batch_size"])
def test_other_structure_is_refused_by_name(key: str) -> None:
    """The sentence says which key differs, and how."""
    other: dict[str, Any] = {"depth": 3, "precision": "float64", "batch_size": 64}
    structure = structure_of(TrainingConfig())
    with pytest.raises(ConfigurationError, match=f"{key} is {other[key]!r} where the others have"):
        check_structure(TrainingConfig(**{key: other[key]}), structure)
    check_structure(TrainingConfig(learning_rate=0.3, seed=9, dropout=0.5), structure)
