"""``tuner diagnose``, ``tuner importance``, ``tuner report`` and ``tuner dashboard``. None of them loads torch."""

from pathlib import Path
from typing import Annotated

import typer

from tuner.cli import options
from tuner.cli.output import next_commands, note, print_json, say, show_findings, show_importances


def add_to(app: typer.Typer) -> None:
    app.command()(diagnose)
    app.command()(importance)
    app.command()(report)
    app.command()(dashboard)


def diagnose(
    study: options.StudyArgument,
    trial: Annotated[int | None, typer.Option(help="One trial, by its number.")] = None,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """What is wrong, how it shows, and what to change. "Nothing wrong" is an answer."""
    from studies.diagnosis import diagnose_record, missing_evidence
    from studies.recorded import open_study

    record = open_study(study, storage).record(steps=trial is not None)
    findings = diagnose_record(record, trial)
    if as_json:
        print_json({"study": study, "findings": [finding.to_json() for finding in findings]})
        return
    say(f"[bold]Study[/bold]   {study}, {len(record.trials)} trials")
    show_findings(findings, missing=missing_evidence(record))
    next_commands(f"tuner report {study}", f"tuner importance {study}")


def importance(
    study: options.StudyArgument, storage: options.Storage = None, as_json: options.Json = False
) -> None:
    """How much each lever mattered, with intervals, and whether the trials suffice to say so."""
    from studies.importance import importances_of
    from studies.recorded import open_study

    found = importances_of(open_study(study, storage).record(telemetry=False))
    if as_json:
        print_json(found)
        return
    show_importances(found)
    next_commands(f"tuner report {study}", f"tuner diagnose {study}")


def report(
    study: options.StudyArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", show_default="runs/STUDY/report.html")
    ] = None,
    storage: options.Storage = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """One offline HTML page: what was found, what is wrong, what mattered, every curve. Also for the dashboard."""
    from studies.recorded import open_study
    from studies.telling import publish_study, write_study_report

    recorded = open_study(study, storage, writable=True)
    note("Reading the study, measuring importances …", quiet=quiet or as_json)
    told = write_study_report(recorded, output)
    publish_study(recorded, told)
    if as_json:
        print_json({"study": study, "report": str(told.path), "n_findings": len(told.findings)})
        return
    say(f"Wrote {told.path} ({told.path.stat().st_size / 1e6:.1f} MB, works offline)")
    next_commands(f"tuner dashboard {study}", f"tuner diagnose {study}")


def dashboard(
    study: Annotated[str | None, typer.Argument(metavar="STUDY", help="The study to open first.")] = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on. The dashboard asks for no password.")
    ] = "127.0.0.1",
    storage: options.Storage = None,
) -> None:
    """Look at studies in optuna-dashboard, with the notes and reports that `tuner report` put there."""
    from studies.serving import serve_dashboard

    serve_dashboard(study, storage=storage, host=host, port=port, announce=say)
