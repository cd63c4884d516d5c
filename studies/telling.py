"""Tell a study: findings, importances and report in one go, and onto the dashboard."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from studies.dashboard import publish
from studies.diagnosis import Finding, diagnose_record
from studies.importance import Importances, importances_of
from studies.paths import StudyPaths
from studies.recorded import RecordedStudy, open_study, record_of
from studies.records import StudyRecord
from studies.reports import write_report

AnyStudy = str | RecordedStudy | optuna.Study
"""A study by its name, opened by `open_study`, or as Optuna has it: in a database, in a journal or in memory."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A report that was written, and what it says."""

    path: Path
    record: StudyRecord
    findings: Sequence[Finding]
    importances: Importances


def diagnose(study: AnyStudy, storage: str | None = None, *, trial: int | None = None) -> list[Finding]:
    """What is wrong with a study, or with one of its trials; empty when nothing is.

    Args:
        study: its name, or the opened study.
        storage: where a study given by name lives.
        trial: a trial's number.
    """
    return diagnose_record(_record(study, storage, steps=True), trial)


def importances(study: AnyStudy, storage: str | None = None) -> Importances:
    """How much each lever mattered, with intervals."""
    return importances_of(_record(study, storage, telemetry=False))


def report(study: AnyStudy, path: str | Path | None = None, *, storage: str | None = None) -> Path:
    """Write the report, one offline HTML file, and nothing else; default ``report.html`` in the study's folder."""
    target = None if path is None else Path(path)
    if isinstance(study, optuna.Study):
        record = record_of(study, steps=True)
        return _write(record, target or _paths(record).report).path
    return write_study_report(_opened(study, storage), target).path


def write_study_report(recorded: RecordedStudy, path: Path | None = None) -> Told:
    """Diagnose, measure importances, and write the report."""
    return _write(recorded.record(steps=True), path or recorded.paths.report)


def _write(record: StudyRecord, target: Path) -> Told:
    findings, found = diagnose_record(record), importances_of(record)
    # The command line finds studies in databases only, and trains again only what it has trained.
    commands = [f"tuner diagnose {record.name}", f"tuner dashboard {record.name}"] if record.storage else []
    commands += [f"tuner export {record.name} --best"] if record.plan is not None else []
    write_report(record, findings, found, target, next_commands=commands)
    return Told(path=target, record=record, findings=findings, importances=found)


def publish_study(recorded: RecordedStudy, told: Told) -> None:
    """Show in optuna-dashboard what the report says: a note, two figures, and the report itself."""
    study: optuna.Study = recorded.study
    publish(
        study,
        told.record,
        told.findings,
        told.importances,
        artifact_directory=recorded.paths.artifacts,
        report_path=told.path,
    )


def _opened(study: str | RecordedStudy, storage: str | None) -> RecordedStudy:
    return open_study(study, storage) if isinstance(study, str) else study


def _record(
    study: AnyStudy, storage: str | None, *, telemetry: bool = True, steps: bool = False
) -> StudyRecord:
    if isinstance(study, optuna.Study):
        return record_of(study, steps=steps)
    return _opened(study, storage).record(telemetry=telemetry, steps=steps)


def _paths(record: StudyRecord) -> StudyPaths:
    """Of a study in a database as the command line has them; of one in memory or in a journal, under ``runs/``."""
    if record.storage:
        return StudyPaths.of(record.name, record.storage)
    return StudyPaths(root=Path("runs"), study=record.name)
