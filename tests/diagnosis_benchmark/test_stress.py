"""The random sound trainings: all can be trained, and soundness is judged against what as many epochs reach."""

import dataclasses

import pytest

from benchmarks.diagnosis.runs import Run
from benchmarks.diagnosis.stress import data_of, sound_case, sound_of
from studies.records import StudyRecord
from tuner.training.config import TrainingConfig


def run_of(case: str, accuracy: float) -> Run:
    return Run(
        case=case,
        seed=0,
        record=StudyRecord(name="one", direction="maximize", metric="validation_accuracy", trials=()),
        validation_accuracy=accuracy,
        reported_accuracy=accuracy,
        n_validation=100,
        test_accuracy=accuracy,
        test_loss=0.1,
        balanced_accuracy=accuracy,
        seconds=1.0,
    )


@pytest.mark.parametrize("number", range(30))
def test_every_drawn_config_is_one(number: int) -> None:
    """Whatever is drawn is a config that a training takes, and the same each time."""
    case = sound_case(1, number)
    assert TrainingConfig.from_mapping(case.config(0)).epochs == case.setup.config["epochs"]
    assert case == sound_case(1, number)


def test_a_run_is_sound_beside_the_best_of_its_length_or_shorter() -> None:
    """Within three points of the best on the same data; longer trainings are held against it by nobody."""
    short, long, worse = run_of("a/4-9/0", 0.90), run_of("a/10-19/1", 0.95), run_of("a/10-19/2", 0.91)
    other = run_of("ab/4-9/3", 0.5)
    assert list(sound_of([short, long, worse, other])) == [short, long, other]
    assert short in sound_of([short, dataclasses.replace(worse, case="a/4-9/4")])


def test_tables_are_the_same_each_time_and_differ() -> None:
    """A table is its number."""
    assert (data_of("table1").x == data_of("table1").x).all()
    assert data_of("table0").x.shape != data_of("table1").x.shape
