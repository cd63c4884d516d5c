"""optuna-dashboard over our database: the study, its trials, their values and the report, through its HTTP API."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from search_spaces import preset
from search_spaces.errors import ConfigurationError
from studies.readings import EpochReadings
from studies.recorded import RecordedStudy, open_study
from studies.serving import dashboard_server, serve_dashboard
from studies.telling import publish_study, write_study_report
from tests.studies.plans import study


@pytest.fixture
def told(sqlite_url: str) -> RecordedStudy:
    """A study of two trials with telemetry, whose report was written and published."""
    recorded = study(sqlite_url, "first")
    for value in (0.8, 0.9):
        trial = recorded.study.ask()
        preset("quick").suggest(trial)
        for epoch in range(3):
            trial.report(value * epoch / 2, epoch)
            readings = EpochReadings(epoch=epoch, train_loss=2.3 / (epoch + 1), validation_accuracy=value)
            recorded.telemetry.save_epoch(trial._trial_id, readings, None)
        recorded.study.tell(trial, value)
    publish_study(recorded, write_study_report(recorded))
    return recorded


@pytest.fixture
def address(told: RecordedStudy) -> Iterator[str]:
    with dashboard_server(told.url, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own server
        body: bytes = answer.read()
    return body


def test_the_dashboard_shows_study_trials_values_and_report(told: RecordedStudy, address: str) -> None:
    """Through the same API that its page uses."""
    studies = json.loads(read(f"{address}/api/studies"))["study_summaries"]
    assert [summary["study_name"] for summary in studies] == ["first"]
    shown: dict[str, Any] = json.loads(read(f"{address}/api/studies/{told.study_id}"))
    assert [trial["state"] for trial in shown["trials"]] == ["Complete", "Complete"]
    assert [pair["value"] for pair in shown["trials"][1]["intermediate_values"]] == [0.0, 0.45, 0.9]
    assert "0.9" in shown["note"]["body"] or "90" in shown["note"]["body"]
    reports = [artifact for artifact in shown["artifacts"] if artifact["filename"].endswith(".html")]
    assert len(reports) == 1
    page = read(f"{address}/artifacts/{told.study_id}/{reports[0]['artifact_id']}")
    assert page == told.paths.report.read_bytes()


def test_an_address_that_is_taken_is_said(told: RecordedStudy) -> None:
    """With the way out; and a database that is not there too."""
    with dashboard_server(told.url, host="127.0.0.1", port=0) as server:  # noqa: SIM117 - the second fails
        with pytest.raises(
            ConfigurationError, match=r"must listen on an address that is free, but 127\.0\.0\.1:"
        ):
            serve_dashboard(
                "first", storage=told.url, host="127.0.0.1", port=server.server_port, announce=print
            )
    with pytest.raises(ConfigurationError, match="no study database"):
        serve_dashboard(None, storage="sqlite:///none.db", host="127.0.0.1", port=0, announce=print)


def test_serving_announces_the_studys_page_and_ends_on_ctrl_c(
    told: RecordedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address leads to the study that was asked for."""
    said: list[str] = []

    def interrupt(_server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("studies.serving._Server.serve_forever", interrupt)
    serve_dashboard("first", storage=told.url, host="127.0.0.1", port=0, announce=said.append)
    assert len(said) == 1
    assert said[0].startswith("http://127.0.0.1:")
    assert said[0].endswith(f"/dashboard/studies/{told.study_id}")


def test_publishing_while_the_dashboard_serves(told: RecordedStudy, address: str) -> None:
    """A reader that polls does not lock out the writer, and there is one report, the newest."""
    first = told.paths.report.read_bytes()
    writable = open_study("first", told.url, writable=True)
    writable.study.tell(writable.study.ask(), 0.95)
    publish_study(writable, write_study_report(writable))
    assert told.paths.report.read_bytes() != first
    deadline = time.monotonic() + 20  # the dashboard caches trials for some seconds
    while True:
        shown = json.loads(read(f"{address}/api/studies/{told.study_id}"))
        if len(shown["trials"]) == 3:
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert len([artifact for artifact in shown["artifacts"] if artifact["filename"].endswith(".html")]) == 1
