"""A small slice of the benchmark on the digits, by the same code: trained, stored, admitted, scored."""

from pathlib import Path

import pytest

from benchmarks.diagnosis.parts import Listed
from benchmarks.diagnosis.runs import store
from benchmarks.diagnosis.scoring import Scored, score_part
from benchmarks.diagnosis.telemetry import jobs_of, train

SLICE = Listed(
    part="calibration",
    faulty=(
        "learning_rate_too_high/mlp/severe",
        "non_finite_data/mlp/severe",
        "double_softmax/mlp/severe",
        "label_noise/mlp/severe",
    ),
    healthy=("healthy/plain/mlp/0", "healthy/plain/mlp/1", "healthy/other activations/mlp/1"),
)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    folder = Path(tmp_path_factory.mktemp("diagnosis"))
    for job in jobs_of((*SLICE.faulty, *SLICE.healthy), SLICE.seeds(2)):
        store(train(job.case, job.seed, task="digits", part="calibration"), folder / job.file_name)
    return score_part(folder, SLICE, n_seeds=2, n_healthy_seeds=2)


def test_every_fault_of_the_slice_hurts_and_is_named(scored: Scored) -> None:
    """The four first causes are the planted ones."""
    assert scored.n_missing == 0
    assert len(scored.faulty) == 8
    wrong = {each.case: each.named for each in scored.faulty if not each.is_right}
    assert wrong == {}


def test_nothing_is_said_of_the_healthy_ones(scored: Scored) -> None:
    """Six sound trainings, no alarm."""
    assert len(scored.listed_healthy) == 6
    assert [each.findings for each in scored.listed_healthy if each.is_alarm] == []


def test_what_is_not_there_is_counted_as_missing(tmp_path: Path) -> None:
    """An empty folder scores nothing, and says so."""
    empty = score_part(tmp_path, SLICE, n_seeds=2, n_healthy_seeds=2)
    assert empty.answers == ()
    assert empty.n_missing > 0
