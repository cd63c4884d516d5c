"""Where a study's files live: inside the root, and no two studies in one folder, whatever a study is called."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.paths import LONGEST_NAME, StudyPaths

URL = "sqlite:///runs/tuner.db"
names = st.text(min_size=1, max_size=200) | st.text(alphabet="./\\_a", min_size=1, max_size=4)


def folder(study: str, url: str = URL) -> Path:
    return StudyPaths.of(study, url).folder


@pytest.mark.parametrize("study", ["mnist-mlp", "first", "v1.2", "a_b", "übung", "lr+momentum"])
def test_a_plain_name_is_its_folders(study: str) -> None:
    """A person finds the files where the name says."""
    assert folder(study) == Path("runs") / study
    assert folder(study, "postgresql+psycopg://user@host/name") == Path("runs") / study


@settings(deadline=None)
@given(study=names)
def test_every_name_stays_within_the_root(study: str) -> None:
    """One folder directly below it, with a name that file systems take; not the artifacts, not the database."""
    found = folder(study)
    assert found.parent == Path("runs")
    assert found.resolve().parent == Path("runs").resolve()
    assert len(found.name) <= LONGEST_NAME + 9
    assert not found.name.endswith((".", " "))
    assert found.name.lower() != "artifacts"
    assert not found.name.lower().startswith("tuner.db")


@settings(deadline=None)
@given(pair=st.tuples(names, names))
def test_two_names_have_two_folders(pair: tuple[str, str]) -> None:
    """What is replaced in a name is told apart by a hash."""
    one, other = pair
    assert (folder(one) == folder(other)) == (one == other)


@pytest.mark.parametrize(
    "study", ["..", ".", "a/b", "a\\b", "a b", "artifacts", "Artifacts", "tuner.db", "tuner.db-wal", "v1."]
)
def test_a_name_that_is_taken_or_leads_outside_gets_a_hash(study: str) -> None:
    """The folder's name is neither the study's nor that of another one."""
    assert folder(study).name != study
    assert folder(study) not in {folder("a_b"), Path("runs"), Path("runs/artifacts"), Path()}


@pytest.mark.parametrize("study", ["con", "NUL", "nul.txt", "com1", "LPT9.log", "aux"])
def test_a_device_of_windows_is_no_folder(study: str) -> None:
    """Nor with an extension; what only begins so is an ordinary name."""
    device, _, _ = study.partition(".")
    assert folder(study).name.partition(".")[0].lower() != device.lower()
    assert folder(f"{device}sole").name == f"{device}sole"


def test_the_logs_of_two_searches_are_two_files() -> None:
    """Of two searches on one node too."""
    paths = StudyPaths.of("first", URL)
    logs = {paths.worker_log(run, index) for run in ("morning-1", "morning-2") for index in (0, 1)}
    assert len(logs) == 4
    assert {log.parent for log in logs} == {paths.folder / "logs"}
