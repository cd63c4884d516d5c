"""What optuna-dashboard shows of a study besides Optuna's own: a note, two figures and the report.

The dashboard needs the artifact directory to serve the report: ``optuna-dashboard STORAGE --artifact-dir
DIR``.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
import optuna_dashboard
import plotly.graph_objects as go
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.exceptions import ExperimentalWarning
from optuna_dashboard.artifact import get_artifact_path

from studies.diagnosis import Finding
from studies.diagnosis.pruning import pruning_check
from studies.encoding import jsonable
from studies.importance import Importances
from studies.proofs import ProofRecord
from studies.proven import proven_config
from studies.records import StudyRecord
from studies.reports import drawing, figures, wording

REPORT_MIMETYPE = "text/html"
ARTIFACT_ATTR = "artifacts:"
"""Optuna keeps an artifact's description under this and its id; the dashboard sets a deleted one to null."""
MAX_POINTS = 1000
"""Trials in the figure of the history: the dashboard sends every figure again with every poll."""
INK = "#7b8794"
"""Of the figures' text: reads on the dashboard's light and dark ground."""


def publish(
    study: optuna.Study,
    record: StudyRecord,
    findings: Sequence[Finding],
    importances: Importances,
    *,
    artifact_directory: Path,
    report_path: Path | None,
) -> None:
    """Put the verdict, the findings, two figures and the report on the study's page of the dashboard.

    Published again, all of it replaces what was there. Without a ``report_path`` a former report stays.
    """
    if study.metric_names != [record.metric]:
        with warnings.catch_warnings():
            # Experimental since Optuna 3.2; the dashboard reads it, and a user can do nothing about the warning.
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([record.metric])
    link = "" if report_path is None else _publish_report(study, artifact_directory, report_path)
    optuna_dashboard.save_note(study, note_of(record, findings, importances, report_link=link))
    for name, figure in _figures(record, importances).items():
        figure.update_layout(font={"color": INK})
        optuna_dashboard.save_plotly_graph_object(study, figure, graph_object_id=f"symptune-{name}")


def note_of(
    record: StudyRecord, findings: Sequence[Finding], importances: Importances, *, report_link: str = ""
) -> str:
    """The study's note in GitHub's Markdown."""
    parts = [f"## {_text(wording.verdict(record))}"]
    if report_link:
        parts.append(f"[Open the report]({report_link})")
    if record.best is not None and (chosen := wording.chosen(record.best)):
        parts += ["### Best config", _table(chosen)]
    if (proven := proven_config(record)) is not None:
        parts.append(f"{_text(proven.sentence)} `{proven.command}`")
    parts.append("### What is wrong")
    parts += [_finding(finding) for finding in findings] or ["Nothing: no symptom crossed its threshold."]
    if checked := pruning_check(record).sentence:
        parts.append(f"Pruning: {_text(checked)}")
    parts += [part for proof in record.proofs for part in _proof(proof)]
    parts += ["### Which levers matter", _text(importances.verdict)]
    return "\n\n".join(parts) + "\n"


def _table(config: Mapping[str, object]) -> str:
    rows = [f"| {_text(key)} | {_text(str(jsonable(value)))} |" for key, value in config.items()]
    return "\n".join(["| lever | value |", "|---|---|", *rows])


def _finding(finding: Finding) -> str:
    head = f"**{_text(wording.headline(finding))}** ({finding.severity}): {_text(finding.sentence)}"
    remedies = [
        f"- {_text(remedy.told)}" + "".join(f" `{line}`" for line in wording.settings(remedy))
        for remedy in finding.remedies
    ]
    return "\n".join([head, "", *remedies])


def _proof(proof: ProofRecord) -> list[str]:
    """What came of the remedies that `tuner fix` tried."""
    symptom = _text(proof.symptom.replace("_", " "))
    rows = [
        f"- **{each.verdict.replace('_', ' ')}**: {_text(each.sentence)} {_text(each.why)}"
        for each in proof.remedies
    ]
    head = f"### Remedies tried against {symptom} in trial {proof.trial}"
    return [head, _text(proof.sentence), "\n".join(rows)]


def _text(text: str) -> str:
    """A user's text with Markdown's signs escaped, on one line: an exception's text may hold any of them."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in " ".join(text.split()))


def _publish_report(study: optuna.Study, directory: Path, report_path: Path) -> str:
    """Store the report and return its path on the dashboard.

    Optuna has no way to delete an artifact, so the former report's id gets the new content.
    """
    directory.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(str(directory))
    artifact_id = _published_report(study, report_path.name)
    if artifact_id is None:
        artifact_id = upload_artifact(
            artifact_store=store, file_path=str(report_path), study_or_trial=study, mimetype=REPORT_MIMETYPE
        )
    else:
        with report_path.open("rb") as content:
            store.write(artifact_id, content)
    return str(get_artifact_path(study, artifact_id))


def _published_report(study: optuna.Study, filename: str) -> str | None:
    """The id of the report of that name that was published before, unless someone deleted it."""
    # Optuna's own list of artifacts breaks on a deleted one.
    attrs = study._storage.get_study_system_attrs(study._study_id)  # noqa: SLF001
    for key, text in attrs.items():
        meta = json.loads(text) if key.startswith(ARTIFACT_ATTR) else None
        if meta is not None and (meta["mimetype"], meta["filename"]) == (REPORT_MIMETYPE, filename):
            return str(meta["artifact_id"])
    return None


def _figures(record: StudyRecord, importances: Importances) -> dict[str, go.Figure]:
    found = {}
    data = figures.history(record)
    if not data.trials.empty:
        latest = figures.History(
            trials=data.trials.tail(MAX_POINTS), best_so_far=data.best_so_far.tail(MAX_POINTS)
        )
        found["history"] = drawing.draw_history(latest, record.metric)
    if rows := importances.evaluators["ped_anova"]:
        found["importance"] = drawing.draw_importances(rows)
    return found
