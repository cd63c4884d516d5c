"""What is stored of each training of a case, in one file each; read without torch."""

import gzip
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.diagnosis.case import Case
from studies.records import StudyRecord

FILE_SUFFIX = ".pickle.gz"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of a case: all that scoring and admission need."""

    case: str
    seed: int
    record: StudyRecord
    """Of the one trial: what the diagnosis sees."""
    validation_accuracy: float
    """Of the last weights in eval mode, whatever the training said."""
    reported_accuracy: float
    """What the training itself says of its last weights."""
    n_validation: int
    test_accuracy: float
    test_loss: float
    """NaN where it is not finite."""
    balanced_accuracy: float
    """The mean over the classes of the test part."""
    seconds: float
    asked: tuple[str, ...] = ()
    """The counterfactual changes that it went on with, as far as its config has what they change."""


def file_name(case: Case, seed: int) -> str:
    """Unique in the folder of a part."""
    return f"{case.name.replace('/', '-').replace(' ', '_')}-{seed}{FILE_SUFFIX}"


def store(run: Run, path: Path) -> None:
    """Written under a temporary name: a killed benchmark leaves whole files only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with gzip.open(temporary, "wb", compresslevel=4) as file:
        pickle.dump(run, file)
    temporary.replace(path)


def load(path: Path) -> Run:
    """A run that `store` wrote."""
    with gzip.open(path, "rb") as file:
        run: Run = pickle.load(file)  # noqa: S301 - our own file, of this very benchmark
    return run


def load_runs(folder: Path) -> Iterator[Run]:
    """All runs of a part's folder, in the order of their names."""
    for path in sorted(folder.glob(f"*{FILE_SUFFIX}")):
        yield load(path)
