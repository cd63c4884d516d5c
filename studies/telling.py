"""Tell a study: findings, importances and report in one go, and onto the dashboard."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from studies.dashboard import publish
from studies.diagnosis import Finding, diagnose_record
from studies.importance import Importances, importances_of
from studies.recorded import RecordedStudy, open_study
from studies.records import StudyRecord
from studies.reports import write_report


@dataclass(frozen=True, kw_only=True)
class Told:
    """A report that was written, and what it says."""

    path: Path
    record: StudyRecord
    findings: Sequence[Finding]
    importances: Importances


def diagnose(
    study: str | RecordedStudy, storage: str | None = None, *, trial: int | None = None
) -> list[Finding]:
    """What is wrong with a study, or with one of its trials; empty when nothing is.

    Args:
        study: its name, or the opened study.
        storage: where a study given by name lives.
        trial: a trial's number.
    """
    return diagnose_record(_opened(study, storage).record(steps=trial is not None), trial)


def importances(study: str | RecordedStudy, storage: str | None = None) -> Importances:
    """How much each lever mattered, with intervals."""
    return importances_of(_opened(study, storage).record(telemetry=False))


def report(study: str | RecordedStudy, path: str | Path | None = None, *, storage: str | None = None) -> Path:
    """Write the report, one offline HTML file; default ``runs/<study>/report.html``."""
    return write_study_report(_opened(study, storage), None if path is None else Path(path)).path


def write_study_report(recorded: RecordedStudy, path: Path | None = None) -> Told:
    """Diagnose, measure importances, and write the report."""
    record = recorded.record()
    findings, found = diagnose_record(record), importances_of(record)
    target = path or recorded.paths.report
    name = recorded.name
    write_report(
        record,
        findings,
        found,
        target,
        next_commands=[f"tuner diagnose {name}", f"tuner dashboard {name}", f"tuner export {name} --best"],
    )
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
