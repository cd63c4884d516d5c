"""The rows of the guides' tables: from what one sees to what one adjusts."""

from typing import Any

import pytest

from studies.diagnosis import CauseName, diagnose_record
from studies.diagnosis.finding import Cause, Remedy
from studies.diagnosis.remedies import REMEDIES, remedies_for
from studies.diagnosis.situation import Situation
from tests.cases import CASES
from tests.made_trials import good_trial
from tests.study_cases import noisy_objective as swinging


def levers(remedies: tuple[Remedy, ...]) -> set[str]:
    return {edit.lever for remedy in remedies for edit in remedy.edits}


SEEN = [
    # a symptom of the tables, the case that shows it, the levers to try
    ("loss diverges early", "divergence", {"learning_rate", "warmup_fraction"}),
    ("loss plateaus too soon", "plateau", {"learning_rate", "batch_size"}),
    ("train improves, validation worsens", "overfitting", {"dropout", "weight_decay", "schedule"}),
    ("training oscillates wildly", "oscillation", {"learning_rate", "warmup_fraction", "clip_norm"}),
    ("both flat", "slow_training", {"learning_rate", "optimizer", "epochs"}),
    ("loss spikes at epoch boundaries", "loss_spikes", {"schedule", "learning_rate"}),
    ("overconfident", "overconfidence", {"schedule", "label_smoothing", "patience"}),
    ("sigmoid depth", "vanishing_gradients", {"activation", "depth"}),
]


@pytest.mark.parametrize(("row", "case", "wanted"), SEEN)
def test_a_symptom_of_the_tables_gets_its_adjustments(row: str, case: str, wanted: set[str]) -> None:
    """Each lever that the guides name for what one sees is among the remedies."""
    (finding,) = diagnose_record(CASES[case]())
    assert wanted <= levers(finding.remedies), row


CAUSES: list[tuple[str, CauseName, dict[str, Any], set[str]]] = [
    # a cause of the tables, a config that it comes with, the levers to try
    ("images: stronger augmentation", CauseName.OVERFITTING, {"model": "cnn"}, {"augmentation", "dropout"}),
    ("underfits: weight decay down", CauseName.OVER_REGULARIZED, {"weight_decay": 0.3}, {"weight_decay"}),
    (
        "sigmoid depth: initialization",
        CauseName.VANISHING_GRADIENTS,
        {"activation": "sigmoid", "initialization": "he", "depth": 8},
        {"activation", "initialization", "depth"},
    ),
    (
        "batch 1 with a large rate",
        CauseName.BATCH_TOO_SMALL,
        {"batch_size": 1},
        {"batch_size", "learning_rate"},
    ),
    ("full batch", CauseName.BATCH_TOO_LARGE, {"batch_size": 512}, {"batch_size", "learning_rate"}),
    (
        "spikes: longer patience",
        CauseName.SCHEDULE_SPIKES,
        {"schedule": "plateau", "plateau_patience": 1},
        {"plateau_patience", "learning_rate"},
    ),
]


@pytest.mark.parametrize(("row", "cause", "config", "wanted"), CAUSES)
def test_a_cause_of_the_tables_gets_its_adjustments(
    row: str, cause: CauseName, config: dict[str, Any], wanted: set[str]
) -> None:
    """Each lever that the guides name for a cause is among the remedies, where the config leaves room for it."""
    situation = Situation(trial=good_trial(config=config))
    assert wanted <= levers(remedies_for([Cause(name=cause, confidence=0.9)], situation)), row


def test_a_study_whose_seeds_swing_gets_more_dropout_and_more_seeds() -> None:
    """The table's only row on a study: what moves with the seed is no improvement."""
    remedies = [remedy for finding in diagnose_record(swinging()) for remedy in finding.remedies]
    assert "dropout" in levers(tuple(remedies))
    assert any("seeds" in (remedy.action or "") for remedy in remedies)


def test_every_cause_has_something_to_do() -> None:
    """No cause is named without a lever, or an action on data or code; seed noise is a study's, and its symptom's."""
    assert {name for name in CauseName if not REMEDIES[name]} == {CauseName.SEED_NOISE}
