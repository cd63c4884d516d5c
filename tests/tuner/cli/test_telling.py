"""What the commands do with studies that are not ours, with odd names, and with searches that end badly."""

import sqlite3
from pathlib import Path

import optuna
import pytest

from studies.records import TrialError
from tests.tuner.cli.conftest import Run
from tuner.prepared_search import PreparedSearch, Search
from tuner.searching.ask_tell import Ending

STUDY, LEVER, CHOICE = "x[/y] [red]:smile:", "x[/b]", "[bold]"


@pytest.fixture
def theirs(sqlite_url: str) -> optuna.Study:
    """A study that Optuna alone made, whose names look like rich's markup."""
    study = optuna.create_study(storage=sqlite_url, study_name=STUDY)

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_categorical("kind", [CHOICE, "plain"])
        return trial.suggest_float(LEVER, 0, 1)

    study.optimize(objective, n_trials=12)
    return study


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("list",), STUDY),
        (("show", STUDY), LEVER),
        (("show", STUDY), CHOICE),
        (("diagnose", STUDY), STUDY),
        (("importance", STUDY), LEVER),
        (("report", STUDY), STUDY),
        (("delete", STUDY, "--yes"), STUDY),
    ],
)
def test_a_name_in_brackets_is_a_name(
    run: Run, theirs: optuna.Study, sqlite_url: str, command: tuple[str, ...], said: str
) -> None:
    """Nothing that a user named is read as markup or as an emoji."""
    assert theirs.trials
    ran = run(*command, "--storage", sqlite_url)
    assert ran.code == 0
    assert said in ran.out


def test_importance_says_what_a_foreign_study_lacks(run: Run, theirs: optuna.Study, sqlite_url: str) -> None:
    """And how to get it; a study of ours lacks nothing that importances need."""
    ran = run("importance", theirs.study_name, "--storage", sqlite_url)
    assert "not judged: The trials have no telemetry" in ran.out
    assert "tuner search" in ran.out


def test_a_study_of_ours_lacks_nothing_for_its_importances(searched: Run) -> None:
    """Its telemetry is not read for them, which is no lack."""
    assert "not judged" not in searched("importance", "s").out


def database_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def test_a_report_leaves_a_foreign_database_as_it_was(
    run: Run, theirs: optuna.Study, sqlite_url: str
) -> None:
    """Not a byte of it changes, unless --publish asks for the dashboard."""
    name, database = theirs.study_name, database_of(sqlite_url)
    before = database.read_bytes()
    for command in (
        ("report", name, "--json"),
        ("diagnose", name),
        ("importance", name),
        ("show", name),
        ("list",),
    ):
        ran = run(*command, "--storage", sqlite_url)
        assert ran.code == 0
    assert database.read_bytes() == before
    assert run("report", name, "--storage", sqlite_url, "--json").json["published"] is False
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert run("report", name, "--storage", sqlite_url, "--json", "--publish").json["published"] is True
    notes = [key for key in theirs._storage.get_study_system_attrs(theirs._study_id) if "note" in key]
    assert notes


def test_a_report_of_ours_is_published_and_need_not_be(
    searched: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that cannot be put on the dashboard is written all the same: a note, not a failure."""
    assert searched("report", "s", "--json").json["published"] is True
    assert searched("report", "s", "--json", "--no-publish").json["published"] is False

    def fail(*_arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("studies.telling.publish_study", fail)
    ran = searched("report", "s", "-o", "again.html")
    assert ran.code == 0
    assert "could not be put on the dashboard: No space left on device" in ran.err
    assert Path("again.html").exists()


def test_list_shows_studies_of_several_objectives(run: Run, theirs: optuna.Study, sqlite_url: str) -> None:
    """We can tell nothing more of them, but they are there."""
    optuna.create_study(storage=sqlite_url, study_name="two", directions=["minimize", "maximize"])
    assert "2 objectives" in run("list", "--storage", sqlite_url).out
    listed = run("list", "--storage", sqlite_url, "--json").json
    assert {study["study"]: study["n_objectives"] for study in listed} == {theirs.study_name: 1, "two": 2}


def test_list_of_nothing_but_several_objectives(run: Run, sqlite_url: str) -> None:
    """The table is not empty."""
    optuna.create_study(storage=sqlite_url, study_name="two", directions=["minimize"] * 3)
    assert "3 objectives" in run("list", "--storage", sqlite_url).out


def test_the_dashboard_says_its_address_to_machines(searched: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object, before it serves; to a person, a line."""

    def interrupt(_server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("studies.serving._Server.serve_forever", interrupt)
    url = searched("dashboard", "s", "--port", "0", "--json").json["url"]
    assert url.startswith("http://127.0.0.1:")
    assert "(Ctrl-C ends it)" in searched("dashboard", "--port", "0").out


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [(Ending.HALTED, 1, "ended early: ValueError: no"), (Ending.OUT_OF_TIME, 3, "Time is up after 0 of 24")],
)
def test_the_demo_ends_as_a_search_does(
    run: Run, monkeypatch: pytest.MonkeyPatch, ending: Ending, code: int, said: str
) -> None:
    """A halted demo is a failure, and one without a complete trial is told apart, in JSON too."""

    def end(prepared: PreparedSearch, **_limits: object) -> Search:
        error = TrialError(type="ValueError", message="no")
        recorded = prepared.recorded
        return Search(study=recorded.name, storage=recorded.url, ending=ending, seconds=1.0, error=error)

    monkeypatch.setattr(PreparedSearch, "run", end)
    for arguments in ((), ("--json",)):
        ran = run("demo", "--task", "digits", *arguments)
        assert ran.code == code
        assert said in ran.err


def test_next_commands_name_the_storage_that_was_given(run: Run, sqlite_url: str) -> None:
    """Pasted as they stand they look into the same database; by default there is nothing to repeat."""
    theirs = optuna.create_study(storage=sqlite_url, study_name="theirs")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert (
        f"tuner report theirs --storage {sqlite_url}"
        in run("diagnose", "theirs", "--storage", sqlite_url).out
    )


def test_next_commands_are_plain_where_the_environment_names_the_storage(
    run: Run, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next command reads the same environment."""
    optuna.create_study(storage=sqlite_url, study_name="theirs")
    monkeypatch.setenv("TUNER_STORAGE", sqlite_url)
    assert "--storage" not in run("diagnose", "theirs").out
