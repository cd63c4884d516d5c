"""A run beside sound ones: who they are, what they are worth, and what that changes."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.diagnosis.causes import case_named
from benchmarks.diagnosis.company import in_studies
from benchmarks.diagnosis.parts import N_SEEDS, Listed
from benchmarks.diagnosis.runs import Run, file_name, store
from benchmarks.diagnosis.scoring import score_part
from studies.records import StudyRecord, TrialRecord
from tests.cases import CASES
from tests.diagnosis_benchmark.made_runs import made_run
from tests.made_trials import good_trial

CASE = case_named("too_few_epochs/mlp/mild")
LISTED = Listed(part="blind", faulty=(CASE.name,), healthy=())


def with_trial(run: Run, trial: TrialRecord) -> Run:
    return dataclasses.replace(run, record=dataclasses.replace(run.record, trials=(trial,)))


def of_seeds(
    trial: TrialRecord, n: int, *, name: str = CASE.name, value: float = 0.9, test: float = 0.9
) -> list[Run]:
    """Each with a value by which it is known again."""
    return [
        with_trial(
            made_run(test, case=name, seed=seed), dataclasses.replace(trial, value=value + 0.001 * seed)
        )
        for seed in range(n)
    ]


def trials_of(record: StudyRecord) -> list[float | None]:
    assert [trial.number for trial in record.trials] == list(range(len(record.trials)))
    return [trial.value for trial in record.trials]


def test_beside_a_run_are_three_twins_of_other_seeds() -> None:
    """Never that of its own seed; of three seeds there are only two others."""
    twins = of_seeds(good_trial(), 5)
    runs = of_seeds(good_trial(), 5, value=0.5)
    studies = [trials_of(run.record) for run in in_studies(runs, twins)]
    assert studies[0] == pytest.approx([0.5, 0.901, 0.902, 0.903])
    assert studies[1] == pytest.approx([0.501, 0.9, 0.902, 0.903])
    assert studies[4] == pytest.approx([0.504, 0.9, 0.901, 0.902])
    assert [len(run.record.trials) for run in in_studies(runs[:3], twins[:3])] == [3, 3, 3]


def test_a_watched_training_is_worth_its_best_accuracy_and_an_unended_one_nothing() -> None:
    """As `tuner.watch` stores it in a study; in memory it has no value."""
    good = dataclasses.replace(good_trial(), value=None)
    cut = dataclasses.replace(good, state="pruned")
    runs = [with_trial(made_run(seed=seed), trial) for seed, trial in enumerate((good, cut))]
    values = [trials_of(run.record) for run in in_studies(runs, runs)]
    assert values == [[0.9705, None], [None, 0.9705]]


def test_in_a_study_a_run_is_seen_to_fall_behind(tmp_path: Path) -> None:
    """By itself its curves look sound; the same files, once more, beside its twins."""
    short = CASES["falls_behind"]().trials[-1]
    for run, twin in zip(
        of_seeds(short, N_SEEDS, value=0.8, test=0.93),
        of_seeds(good_trial(), N_SEEDS, name=CASE.reference.name, test=0.97),
        strict=True,
    ):
        seed = LISTED.first_seed + run.seed
        store(dataclasses.replace(run, seed=seed), tmp_path / file_name(CASE, seed))
        store(dataclasses.replace(twin, seed=seed), tmp_path / file_name(CASE.reference, seed))
    alone, beside = (
        score_part(tmp_path, LISTED, n_seeds=N_SEEDS, n_healthy_seeds=3, in_study=in_study)
        for in_study in (False, True)
    )
    assert [answer.is_alarm for answer in alone.answers] == [False] * N_SEEDS
    assert [answer.is_right for answer in beside.answers] == [True] * N_SEEDS
    assert alone.admissions == beside.admissions
