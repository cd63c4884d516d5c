"""The public functions diagnose, importances and report, on a study's name and on any study that Optuna knows."""

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

import studies
from studies.diagnosis import Finding
from tests import cases
from tests.studies.plans import study


@pytest.fixture(params=["memory", "journal", "database"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> optuna.Study:
    """A study of someone else's code, wherever Optuna keeps studies."""
    storages: dict[str, object] = {
        "memory": lambda: None,
        "journal": lambda: JournalStorage(JournalFileBackend(str(tmp_path / "journal.log"))),
        "database": lambda: sqlite_url,
    }
    storage = storages[request.param]()  # type: ignore[operator]
    found = optuna.create_study(
        storage=storage, study_name="theirs", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    found.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 9), n_trials=25)
    return found


def test_any_study_of_optunas_can_be_told(theirs: optuna.Study) -> None:
    """Findings, importances and a page, without a name or a storage URL; the study stays as it was."""
    before = (theirs.user_attrs, theirs._storage.get_study_system_attrs(theirs._study_id))
    assert all(isinstance(finding, Finding) for finding in studies.diagnose(theirs))
    ranked = studies.importances(theirs).evaluators["ped_anova"]
    assert [row.lever for row in ranked] == ["y", "x"]
    page = studies.report(theirs)
    assert page.name == "report.html"
    assert page.parent.name == "theirs"
    assert "theirs" in page.read_text(encoding="utf-8")
    assert studies.report(theirs, "mine.html") == Path("mine.html")
    assert (theirs.user_attrs, theirs._storage.get_study_system_attrs(theirs._study_id)) == before


def test_the_page_names_only_commands_that_work(theirs: optuna.Study, sqlite_url: str) -> None:
    """The command line opens studies in databases, and trains again only what it has trained."""
    page = studies.report(theirs).read_text(encoding="utf-8")
    is_in_database = isinstance(getattr(theirs._storage, "_backend", None), RDBStorage)
    assert ("tuner diagnose theirs" in page) == is_in_database
    assert "tuner export" not in page
    ours = study(sqlite_url, "ours")
    assert "tuner export ours --best" in studies.report("ours", storage=sqlite_url).read_text(
        encoding="utf-8"
    )
    assert studies.report(ours) == ours.paths.report


def test_a_whole_study_is_judged_by_its_steps_too(sqlite_url: str) -> None:
    """A burst within an epoch, which its mean hides, is found without asking for the trial."""
    (known,) = cases.early_instability().trials
    recorded = study(sqlite_url)
    trial = recorded.study.ask()
    assert known.telemetry is not None
    steps = {block.epoch: block for block in known.telemetry.steps}
    for row in known.telemetry.epochs:
        recorded.telemetry.save_epoch(trial._trial_id, row, steps.get(row.epoch))
    recorded.telemetry.save_probes(trial._trial_id, known.telemetry.step_zero, known.telemetry.data)
    recorded.study.tell(trial, known.value)
    assert "early_instability" in {finding.symptom for finding in studies.diagnose("first", sqlite_url)}
