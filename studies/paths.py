"""Where a study's files live: one class, so that no other module joins paths."""

import re
from dataclasses import dataclass
from pathlib import Path

from studies.storage import sqlite_path


@dataclass(frozen=True, kw_only=True)
class StudyPaths:
    """The files of one study: ``<root>/<study>/...``. Nothing is created by asking for a path."""

    root: Path
    study: str

    @classmethod
    def of(cls, study: str, url: str) -> "StudyPaths":
        """Beside an SQLite database; under ``runs/`` for a server's."""
        database = sqlite_path(url)
        return cls(root=database.parent if database is not None else Path("runs"), study=study)

    @property
    def folder(self) -> Path:
        # A study's name may hold anything; a folder's may not on every system.
        return self.root / re.sub(r"[^\w.+-]", "_", self.study)

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def best(self) -> Path:
        return self.folder / "best"

    @property
    def artifacts(self) -> Path:
        """One artifact store for all studies of a root: the dashboard serves a single one."""
        return self.root / "artifacts"

    def weights(self, trial: int) -> Path:
        """Where a trial's weights are kept if it was the best when it ended."""
        return self.folder / "weights" / f"trial-{trial}"

    def worker_log(self, index: int) -> Path:
        return self.folder / f"worker-{index}.log"
