import contextlib
import json
import shutil
import socketserver
import threading
import urllib.request
import wsgiref.simple_server
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import optuna_dashboard
import pytest
from optuna.artifacts import FileSystemArtifactStore

from studies.dashboard import note_of, publish
from studies.diagnosis import diagnose_record
from studies.importance import importances_of
from studies.records import StudyRecord
from studies.reports import write_report
from tests import cases, made_trials


class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@contextlib.contextmanager
def served(storage: optuna.storages.BaseStorage, artifacts: Path) -> Iterator[str]:
    """The dashboard on a free loopback port; gives its base URL."""
    app = optuna_dashboard.wsgi(storage, artifact_store=FileSystemArtifactStore(str(artifacts)))
    server = wsgiref.simple_server.make_server(
        "127.0.0.1", 0, app, server_class=_Server, handler_class=_Quiet
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - loopback
        content: bytes = answer.read()
        return content


def searched_study(url: str) -> optuna.Study:
    """Twelve trials with intermediate values, of which two are pruned."""
    study = optuna.create_study(study_name="shown", storage=url, direction="maximize")

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
        for epoch in (1, 2, 3):
            trial.report(x * epoch, epoch)
        if trial.number in {3, 4}:
            raise optuna.TrialPruned
        return x

    study.optimize(objective, n_trials=12)
    return study


def record_of(study: optuna.Study) -> StudyRecord:
    trials = [
        made_trials.searched(float(t.value or 0.0), t.number, dict(t.params), dict(t.distributions))
        for t in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    ]
    return StudyRecord(name="shown", direction="maximize", trials=tuple(trials), metric="validation_accuracy")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study made once; each test takes a copy."""
    path = tmp_path_factory.mktemp("dashboard") / "tuner.db"
    searched_study(f"sqlite:///{path}")
    return path


@pytest.fixture
def study(database: Path, tmp_path: Path) -> optuna.Study:
    copy = shutil.copy(database, tmp_path / "tuner.db")
    return optuna.load_study(study_name="shown", storage=f"sqlite:///{copy}")


def published(study: optuna.Study, folder: Path, text: str = "") -> Path:
    """Publish a diagnosis with its report; ``text`` goes into the page."""
    record = record_of(study)
    findings, importances = diagnose_record(record), importances_of(record, n_bootstrap=20)
    report = write_report(record, findings, importances, folder / "report.html", next_commands=[text])
    publish(study, record, findings, importances, artifact_directory=folder / "artifacts", report_path=report)
    return report


def test_the_dashboard_shows_trials_note_figures_and_report(study: optuna.Study, tmp_path: Path) -> None:
    """Through HTTP: the study is listed with trials and intermediate values, and the report is served."""
    report = published(study, tmp_path)
    with served(study._storage, tmp_path / "artifacts") as base:
        (listed,) = json.loads(get(f"{base}/api/studies"))["study_summaries"]
        assert listed["study_name"] == "shown"
        shown = json.loads(get(f"{base}/api/studies/{listed['study_id']}"))
        (artifact,) = shown["artifacts"]
        served_report = get(f"{base}/artifacts/{listed['study_id']}/{artifact['artifact_id']}")
    assert [trial["state"] for trial in shown["trials"]].count("Complete") == 10
    assert [trial["state"] for trial in shown["trials"]].count("Pruned") == 2
    assert [v["step"] for v in shown["trials"][0]["intermediate_values"]] == [1, 2, 3]
    assert shown["objective_names"] == ["validation_accuracy"]
    assert artifact["mimetype"] == "text/html"
    assert served_report == report.read_bytes()
    assert f"/artifacts/{listed['study_id']}/{artifact['artifact_id']}" in shown["note"]["body"]
    sizes = {graph["id"]: len(graph["graph_object"]) for graph in shown["plotly_graph_objects"]}
    assert set(sizes) == {"symptune-history", "symptune-importance"}
    assert max(sizes.values()) < 50_000


def test_published_again_the_new_report_takes_the_old_ones_place(study: optuna.Study, tmp_path: Path) -> None:
    """After two reports there is one artifact, one note and two figures, all of them new."""
    published(study, tmp_path, "first")
    report = published(study, tmp_path, "second")
    with served(study._storage, tmp_path / "artifacts") as base:
        shown = json.loads(get(f"{base}/api/studies/{study._study_id}"))
        (artifact,) = shown["artifacts"]
        assert get(f"{base}/artifacts/{study._study_id}/{artifact['artifact_id']}") == report.read_bytes()
    assert b"second" in report.read_bytes()
    assert len(shown["plotly_graph_objects"]) == 2
    assert len(list((tmp_path / "artifacts").iterdir())) == 1


def test_a_report_deleted_on_the_dashboard_can_be_published_again(
    study: optuna.Study, tmp_path: Path
) -> None:
    """The dashboard's delete button leaves an empty description behind: a new artifact is made."""
    published(study, tmp_path)
    with served(study._storage, tmp_path / "artifacts") as base:
        (artifact,) = json.loads(get(f"{base}/api/studies/{study._study_id}"))["artifacts"]
        url = f"{base}/api/artifacts/{study._study_id}/{artifact['artifact_id']}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=20).close()  # noqa: S310
    report = published(study, tmp_path)
    with served(study._storage, tmp_path / "artifacts") as base:
        (artifact,) = json.loads(get(f"{base}/api/studies/{study._study_id}"))["artifacts"]
        assert get(f"{base}/artifacts/{study._study_id}/{artifact['artifact_id']}") == report.read_bytes()


def test_a_study_of_thousands_of_trials_has_small_figures(study: optuna.Study, tmp_path: Path) -> None:
    """The figures stay under 50 KB, for the dashboard sends them with every poll; no report, no artifact."""
    record = made_trials.study_of(
        *(made_trials.searched(n / 5000, n, {"learning_rate": 0.1}) for n in range(5000)), plan=False
    )
    publish(
        study,
        record,
        [],
        importances_of(made_trials.study_of()),
        artifact_directory=tmp_path / "artifacts",
        report_path=None,
    )
    with served(study._storage, tmp_path) as base:
        shown = json.loads(get(f"{base}/api/studies/{study._study_id}"))
    (figure,) = shown["plotly_graph_objects"]
    assert len(figure["graph_object"]) < 50_000
    assert shown["artifacts"] == []


@pytest.mark.parametrize("case", cases.CASES)
def test_the_note_tells_verdict_findings_and_remedies(case: str) -> None:
    """Every finding's headline and remedies are in the note, and what fixes a lever as a flag."""
    record = cases.CASES[case]()
    findings = diagnose_record(record)
    note = note_of(record, findings, importances_of(made_trials.study_of()))
    assert note.startswith("## ")
    assert f"({findings[0].severity})" in note
    assert note.count("\n- ") == len(findings[0].remedies)


def test_the_note_of_a_healthy_study_says_so_and_escapes_texts() -> None:
    """Nothing wrong is an answer; signs of Markdown in an error's text are shown, not obeyed."""
    healthy = made_trials.study_of(made_trials.good_trial())
    assert "Nothing: no symptom" in note_of(healthy, [], importances_of(healthy))
    record = made_trials.study_of(
        made_trials.failed_trial(0, "<b>*no*|"), made_trials.failed_trial(1, "<b>*no*|")
    )
    note = note_of(record, diagnose_record(record), importances_of(record))
    assert "\\<b\\>\\*no\\*\\|" in note
