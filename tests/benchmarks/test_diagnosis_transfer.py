"""The transfer of the diagnosis to what it was not calibrated on: its lists, its rule of harm, one training."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.diagnosis.runs import Run, store
from benchmarks.diagnosis.transfer.first_recipe import Recipe
from benchmarks.diagnosis.transfer.first_training import DATA_FAULTS, arrays_of, train
from benchmarks.diagnosis.transfer.judging import HARM, harm, path_of, scored_in
from benchmarks.diagnosis.transfer.sets import FIRST

SHORT = Recipe(task="spirals", epochs=3, learning_rate=3e-3)


@pytest.fixture(scope="module")
def run() -> Run:
    return train(SHORT, "spirals", seed=7)


def test_the_lists_are_as_large_as_promised() -> None:
    """Twelve kinds of faults with two seeds and sixty sound runs, at least."""
    assert len({cause for cause, _ in FIRST.faulty.values()}) >= 12
    assert len(FIRST.faulty_seeds) == 2
    assert len(FIRST.healthy) * len(FIRST.healthy_seeds) >= 60


def test_a_training_is_watched_and_judged_on_its_test_part(run: Run) -> None:
    """The record is what `tuner.watch` saw; the test part it never saw."""
    (trial,) = run.record.trials
    assert trial.telemetry is not None
    assert [row.epoch for row in trial.telemetry.epochs] == [0, 1, 2, 3]
    assert trial.telemetry.epochs[-1].validation_accuracy == pytest.approx(run.reported_accuracy)
    assert 0.4 < run.test_accuracy <= 1.0
    assert run.n_validation == 420


@pytest.mark.parametrize("fault", sorted(DATA_FAULTS))
def test_a_fault_of_the_data_leaves_the_test_part_alone(fault: str) -> None:
    """But for inputs that nobody scaled: those are the same everywhere."""
    arrays = arrays_of("digits", seed=0)
    changed = DATA_FAULTS[fault](arrays, np.random.default_rng(0))
    same = [np.array_equal(arrays[f"{kind}_test"], changed[f"{kind}_test"]) for kind in "xy"]
    assert same == [fault != "unscaled", True]
    assert any(not np.array_equal(changed[name], arrays[name], equal_nan=True) for name in arrays)


def test_harm_is_lost_accuracy_or_a_wrong_report(run: Run) -> None:
    """What costs nothing counts as sound."""
    worse = dataclasses.replace(run, balanced_accuracy=run.balanced_accuracy - 1.5 * HARM)
    boasting = dataclasses.replace(run, reported_accuracy=run.test_accuracy + 0.5)
    assert harm([run], [run]) == 0.0
    assert harm([worse], [run]) == pytest.approx(1.5 * HARM)
    assert harm([boasting], [run]) > 10 * HARM


def test_a_recipe_that_is_worse_than_its_like_is_not_sound(run: Run, tmp_path: Path) -> None:
    """It is left out and named, whatever the diagnosis says of it."""
    for name, accuracy in (("spirals", 0.99), ("spirals, sgd", 0.9)):
        changed = dataclasses.replace(run, case=name, test_accuracy=accuracy)
        store(changed, path_of(tmp_path, name, FIRST.healthy_seeds[0]))
    scored = scored_in(tmp_path, FIRST, probed=False)
    assert [each.case for each in scored.answers] == ["spirals"]
    assert scored.admissions["spirals, sgd"].is_contested


def test_only_what_is_there_is_scored(run: Run, tmp_path: Path) -> None:
    """And it says how much is missing."""
    seed = FIRST.healthy_seeds[0]
    store(dataclasses.replace(run, seed=seed), path_of(tmp_path, "spirals", seed))
    scored = scored_in(tmp_path, FIRST, probed=False)
    assert len(scored.answers) == 1
    assert scored.n_missing == len(FIRST.healthy) * len(FIRST.healthy_seeds) + len(FIRST.faulty) * 2 - 1
