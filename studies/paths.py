"""Where a study's files live: one class, so that no other module joins paths."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from studies.storage import sqlite_path

ARTIFACTS = "artifacts"
RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Devices, with any extension: https://learn.microsoft.com/windows/win32/fileio/naming-a-file"""
LONGEST_NAME = 80
"""Letters of a study's name in its folder's: file systems end at 255 bytes, Optuna at 512 letters."""


@dataclass(frozen=True, kw_only=True)
class StudyPaths:
    """The files of one study: ``<root>/<study>/...``. Nothing is created by asking for a path."""

    root: Path
    study: str
    database: str = ""
    """The name of the database's file, where that lies in the root too."""

    @classmethod
    def of(cls, study: str, url: str) -> "StudyPaths":
        """Beside an SQLite database; under ``runs/`` for a server's."""
        database = sqlite_path(url)
        if database is None:
            return cls(root=Path("runs"), study=study)
        return cls(root=database.parent, study=study, database=database.name)

    @property
    def folder(self) -> Path:
        """Named as the study where every system allows that, else with a hash: no two studies share a folder."""
        if self._is_folder_name():
            return self.root / self.study
        readable = re.sub(r"[^\w+-]", "_", self.study)[:LONGEST_NAME]
        digest = hashlib.sha256(self.study.encode(errors="surrogatepass")).hexdigest()[:8]
        return self.root / f"{readable}-{digest}"

    def _is_folder_name(self) -> bool:
        name = self.study.lower()
        is_taken = name == ARTIFACTS or (self.database != "" and name.startswith(self.database.lower()))
        return (
            re.fullmatch(r"[\w.+-]+", name) is not None
            and len(name) <= LONGEST_NAME
            and not name.endswith(".")  # .. and ., and what Windows would cut off
            and RESERVED_ON_WINDOWS.fullmatch(name) is None
            and not is_taken
        )

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def best(self) -> Path:
        return self.folder / "best"

    @property
    def best_config(self) -> Path:
        """The config that the guide ends with."""
        return self.folder / "best.yaml"

    def fixed_config(self, trial: int) -> Path:
        """A trial's config with the remedy that was proven."""
        return self.folder / f"fixed-{trial}.yaml"

    @property
    def artifacts(self) -> Path:
        """One artifact store for all studies of a root: the dashboard serves a single one."""
        return self.root / ARTIFACTS

    def weights(self, trial: int) -> Path:
        """Where a trial's weights are kept if it was the best when it ended."""
        return self.folder / "weights" / f"trial-{trial}"

    def worker_log(self, run: str, index: int) -> Path:
        """Of a worker process. ``run`` tells apart the searches of the study, one after another or at once."""
        return self.folder / "logs" / f"{run}-worker-{index}.log"
