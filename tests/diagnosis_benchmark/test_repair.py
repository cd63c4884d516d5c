"""One case of each kind on the digits, from the stored run to the file of its repair."""

from pathlib import Path

import pytest

from benchmarks.diagnosis import repair
from benchmarks.diagnosis.causes import case_named
from benchmarks.diagnosis.parts import Listed
from benchmarks.diagnosis.repair import RepairJob, repair_jobs
from benchmarks.diagnosis.repaired import read_by_hand, read_repairs
from benchmarks.diagnosis.runs import store
from benchmarks.diagnosis.telemetry import jobs_of, train


@pytest.fixture
def few_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One diagnosed run, since admission has its own tests, and two new seeds, the fewest that can repair."""
    monkeypatch.setattr(repair, "N_SEEDS", 1)
    monkeypatch.setattr(repair, "N_NEW_SEEDS", 2)


def _done(case_name: str, folder: Path) -> None:
    listed = Listed(part="calibration", faulty=(case_name,), healthy=())
    for job in jobs_of([case_name], listed.seeds(1)):
        store(train(job.case, job.seed, task="digits", part=listed.part), folder / job.file_name)
    RepairJob(case=case_named(case_name), folder=folder, results=folder, listed=listed, task="digits").run()


@pytest.mark.usefixtures("few_seeds")
def test_a_rate_too_low_is_repaired_by_a_higher_one(tmp_path: Path) -> None:
    """The others have as many trials as it took, on seeds that the diagnosis has not seen."""
    _done("learning_rate_too_low/mlp/severe", tmp_path)
    (repaired,) = read_repairs(tmp_path)
    assert repaired.repaired_by is not None
    assert repaired.repaired_by.levers == ("learning_rate",)
    assert len(repaired.random) >= repaired.n_trials
    assert len(repaired.rate) == min(repaired.n_trials, 2)
    assert len(repaired.tpe) == repaired.n_trials
    assert "learning_rate" in repaired.neutral


@pytest.mark.usefixtures("few_seeds")
def test_a_double_softmax_has_the_right_action_and_recovers_without_it(tmp_path: Path) -> None:
    """It is named first, and the twin on new seeds is where the diagnosed one was."""
    _done("double_softmax/mlp/severe", tmp_path)
    (done,) = read_by_hand(tmp_path)
    assert (done.place, done.is_right) == (0, True)


def test_a_case_whose_runs_are_missing_is_no_job(tmp_path: Path) -> None:
    """Nothing is admitted on what is not there."""
    listed = Listed(part="calibration", faulty=("double_softmax/mlp/severe",), healthy=())
    assert repair_jobs(listed, tmp_path, tmp_path, task="digits", n_cases=5, containing="") == []
