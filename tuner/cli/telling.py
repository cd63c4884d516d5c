"""``tuner importance``, ``tuner report`` and ``tuner dashboard``. None of them loads torch."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search_spaces.errors import ConfigurationError
from tuner.cli import options
from tuner.cli.output import next_commands, note, print_json, say, show_importances

if TYPE_CHECKING:
    from studies.telling import Told


def add_to(app: typer.Typer) -> None:
    app.command()(importance)
    app.command()(report)
    app.command()(dashboard)


def importance(
    study: options.StudyArgument, storage: options.Storage = None, as_json: options.Json = False
) -> None:
    """How much each lever mattered, with intervals, and whether the trials suffice to say so."""
    from studies.diagnosis import missing_evidence
    from studies.importance import importances_of
    from studies.recorded import open_study

    record = open_study(study, storage).record(telemetry=False)
    found = importances_of(record)
    if as_json:
        print_json(found)
        return
    # A study of ours has telemetry, which was not read: importances do without.
    show_importances(found, missing=missing_evidence(record) if record.plan is None else ())
    next_commands(f"tuner report {study}", f"tuner diagnose {study}")


def report(
    study: options.StudyArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", show_default="runs/STUDY/report.html")
    ] = None,
    publish: Annotated[
        bool | None,
        typer.Option(
            help="Put it on the dashboard too, which writes into the study's database.",
            show_default="only for studies that symptune made",
        ),
    ] = None,
    storage: options.Storage = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """One offline HTML page: what was found, what is wrong, what mattered, every curve. Also for the dashboard."""
    from studies.recorded import open_study
    from studies.telling import write_study_report

    recorded = open_study(study, storage)
    note("Reading the study, measuring importances …", quiet=quiet or as_json)
    told = write_study_report(recorded, output)
    is_wanted = recorded.plan is not None if publish is None else publish
    is_published = is_wanted and _publish(study, storage, told)
    if as_json:
        print_json(
            {
                "study": study,
                "report": str(told.path),
                "n_findings": len(told.findings),
                "published": is_published,
            }
        )
        return
    say(f"Wrote {told.path} ({told.path.stat().st_size / 1e6:.1f} MB, works offline)")
    next_commands(f"tuner dashboard {study}", f"tuner diagnose {study}")


def _publish(study: str, storage: str | None, told: "Told") -> bool:
    """Put the report on the dashboard; one that cannot be put there is a note, for the page itself is written."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    from studies.recorded import open_study
    from studies.telling import publish_study

    try:
        publish_study(open_study(study, storage, writable=True), told)
    except (ConfigurationError, SQLAlchemyError, StorageInternalError, OSError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        note(f"The report was written, but could not be put on the dashboard: {reason}")
        return False
    return True


def dashboard(
    study: Annotated[str | None, typer.Argument(metavar="STUDY", help="The study to open first.")] = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on. The dashboard asks for no password.")
    ] = "127.0.0.1",
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Look at studies in optuna-dashboard, with the notes and reports that `tuner report` put there."""
    from studies.serving import serve_dashboard

    def announce(url: str) -> None:
        if as_json:
            print_json({"url": url})
        else:
            say(f"optuna-dashboard is at {url}   (Ctrl-C ends it)")
        sys.stdout.flush()  # a script that reads the address waits for it while we serve

    serve_dashboard(study, storage=storage, host=host, port=port, announce=announce)
