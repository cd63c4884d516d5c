"""Faults that five seeds leave undecided are judged by fifteen."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.diagnosis import command
from benchmarks.diagnosis.admission import P_VALUE, P_VALUE_OF_ALL, admitted, is_undecided
from benchmarks.diagnosis.causes import case_named
from benchmarks.diagnosis.parts import FIRST_OF_MORE, N_MORE_SEEDS, N_SEEDS, Listed
from benchmarks.diagnosis.repair import N_NEW_SEEDS
from benchmarks.diagnosis.runs import file_name, store
from benchmarks.diagnosis.scoring import score_part, undecided
from tests.diagnosis_benchmark.made_runs import made_run

CASE = case_named("label_noise/mlp/mild")
LISTED = Listed(part="blind", faulty=(CASE.name,), healthy=())
FIVE = (0.02, 0.02, -0.01, 0.02, -0.005)
"""How much worse than its twin with each seed: p is about 0.1."""


def keep(folder: Path, seeds: Sequence[int], gaps: Sequence[float]) -> None:
    for seed, gap in zip(seeds, gaps, strict=True):
        store(made_run(0.95 - gap, case=CASE.name, seed=seed), folder / file_name(CASE, seed))
        store(made_run(0.95, case=CASE.reference.name, seed=seed), folder / file_name(CASE.reference, seed))


def verdict(folder: Path) -> Any:
    scored = score_part(folder, LISTED, n_seeds=N_SEEDS, n_healthy_seeds=3)
    assert len(scored.answers) == N_SEEDS  # the others are never diagnosed
    return scored.admissions[CASE.name]


def test_a_fault_that_looks_harmful_is_undecided() -> None:
    """One that is admitted, or no worse than its twin, is not."""
    twins = [made_run(0.95)] * 5
    open_ = admitted(CASE, [made_run(0.95 - gap) for gap in FIVE], twins)
    assert P_VALUE < open_.p_value < 0.2
    assert is_undecided(open_)
    assert not is_undecided(admitted(CASE, [made_run(0.93 - gap) for gap in FIVE], twins))
    assert not is_undecided(admitted(CASE, [made_run(0.95 + gap) for gap in FIVE], twins))


@pytest.mark.parametrize(
    ("more", "is_faulty"), [((0.02, 0.0) * 5, True), ((0.01, -0.01) * 5, False)], ids=["hurts", "chance"]
)
def test_more_seeds_decide_it(tmp_path: Path, more: tuple[float, ...], *, is_faulty: bool) -> None:
    """All fifteen together, once all are there; before, it counts as harmless."""
    keep(tmp_path, LISTED.seeds(N_SEEDS), FIVE)
    assert undecided(tmp_path, LISTED, n_seeds=N_SEEDS) == [CASE.name]
    assert (verdict(tmp_path).is_faulty, verdict(tmp_path).n_seeds) == (False, 5)
    keep(tmp_path, LISTED.more_seeds()[:-1], more[:-1])
    assert verdict(tmp_path).n_seeds == 5
    keep(tmp_path, LISTED.more_seeds()[-1:], more[-1:])
    assert (verdict(tmp_path).is_faulty, verdict(tmp_path).n_seeds) == (is_faulty, 15)


def test_the_second_look_is_stricter(tmp_path: Path) -> None:
    """What would be sure at one look is not at the second of two."""
    keep(tmp_path, LISTED.seeds(N_SEEDS), FIVE)
    keep(tmp_path, LISTED.more_seeds(), (0.016, -0.006) * 5)
    judged = verdict(tmp_path)
    assert P_VALUE_OF_ALL < judged.p_value < P_VALUE
    assert not judged.is_faulty


def test_more_seeds_are_behind_those_of_the_repairs() -> None:
    """Ten, and none of the next part."""
    more = LISTED.more_seeds()
    assert len(more) == N_MORE_SEEDS
    assert FIRST_OF_MORE >= N_SEEDS + N_NEW_SEEDS
    assert more[0] > LISTED.seeds(N_SEEDS)[-1]
    assert more[-1] < LISTED.first_seed + 100


def test_the_command_trains_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case and twin; only what is not there, and nothing where nothing is undecided."""
    done: list[str] = []
    monkeypatch.setattr(
        command, "_do_all", lambda _do, jobs, _workers: done.extend(job.file_name for job in jobs)
    )
    monkeypatch.setattr(command, "_say", lambda _line: None)
    arguments = argparse.Namespace(cause="", task="mnist", workers=1)
    command._train_more(LISTED, tmp_path, arguments)
    assert done == []
    keep(tmp_path, LISTED.seeds(N_SEEDS), FIVE)
    keep(tmp_path, LISTED.more_seeds()[:4], (0.0,) * 4)
    command._train_more(LISTED, tmp_path, arguments)
    assert len(done) == 2 * (N_MORE_SEEDS - 4)
