"""What a rival is told to do, and what it answers; the images lie ready, so that nobody pays for splitting them."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from workload import Workload

PARTS = ("train_x", "train_y", "validation_x", "validation_y")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One search to be done by a rival."""

    images: Path
    """Folder with an .npy file for each of ``PARTS`` and the same as torchvision's MNIST expects it."""
    scratch: Path
    """An empty folder for the rival's own files."""
    workload: Workload
    seed: int = 0
    sampler: str = "random"
    """random without pruning, or tpe with Optuna's MedianPruner (which only the expert has)."""

    @classmethod
    def from_arguments(cls) -> "Job":
        """The job in the file that the command line names."""
        read = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        return cls(
            images=Path(read["images"]),
            scratch=Path(read["scratch"]),
            workload=Workload(**read["workload"]),
            seed=read["seed"],
            sampler=read["sampler"],
        )

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), default=str), encoding="utf-8")

    @property
    def database(self) -> Path:
        """Where a rival with an Optuna study keeps it."""
        return self.scratch / "rival.db"

    def images_of(self, part: str) -> npt.NDArray[np.uint8]:
        """The images of ``train`` or ``validation``, flat: [n, pixels]."""
        array: npt.NDArray[np.uint8] = np.load(self.images / f"{part}_x.npy")
        return array.reshape(len(array), -1)

    def labels_of(self, part: str) -> npt.NDArray[np.int64]:
        labels: npt.NDArray[np.int64] = np.load(self.images / f"{part}_y.npy")
        return labels


@dataclass(kw_only=True)
class Answer:
    """What a rival prints as its last line."""

    search_seconds: float = 0.0
    """From the start of the first trial to the end of the last; the rest of the wall time is there once."""
    best: float = 0.0
    """The best validation accuracy of all epochs, a fraction."""
    n_trials: int = 0
    about: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def searching(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.search_seconds = time.perf_counter() - started

    def print(self) -> None:
        print(json.dumps(asdict(self)))
