"""``tuner demo``: the main job in about a minute, on real data."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli import options
from tuner.cli.endings import exit_code, say_ending
from tuner.cli.output import (
    next_commands,
    note,
    print_json,
    say,
    set_up_logging,
    show_best,
    show_findings,
    show_importances,
    show_trials_line,
)
from tuner.cli.progress import showing_progress
from tuner.cli.starting import process_age_seconds, workers_standing_by

if TYPE_CHECKING:
    from studies.diagnosis import Finding
    from studies.importance import Importances
    from studies.records import StudyRecord
    from tuner.prepared_search import Search

STUDY = "demo"
N_TRIALS, N_EPOCHS = 24, 5


def add_to(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    task: Annotated[
        str, typer.Option(help="auto is MNIST if it can be had, else scikit-learn's digits.")
    ] = "auto",
    workers: options.Workers = None,
    lanes: options.Lanes = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Search learning rate, momentum, weight decay and dropout, and tell what was found."""
    set_up_logging(quiet=quiet, log_file=None)
    note("Loading torch and the data …", quiet=quiet)
    with workers_standing_by(workers, device="auto", n_trials=N_TRIALS) as standby:
        from studies.diagnosis import diagnose_record
        from studies.importance import importances_of
        from tuner import preparing
        from tuner.training.data import load_dataset

        # The name of the data is part of the study's: the demo goes on wherever it is, with MNIST or without.
        name = load_dataset(task, data_dir=data_dir, announce=lambda line: note(line, quiet=quiet)).name
        prepared = preparing.prepare_search(
            "quick",
            name if task == "auto" else task,
            study=f"{STUDY}-{name}",
            storage=storage,
            trials=N_TRIALS,
            epochs=N_EPOCHS,
            data_dir=data_dir,
            announce=lambda line: note(line, quiet=quiet),
        )
        with showing_progress(quiet=quiet) as show:
            found = prepared.run(
                workers=workers,
                lanes=lanes,
                timeout=None,
                grace=60.0,
                on_progress=show,
                standby=standby,
                before_seconds=process_age_seconds(),
            )
    say_ending(found, n_wanted=prepared.n_trials)
    if found.interrupted_by is not None:
        sys.exit(exit_code(found))
    record = found.record(steps=True)
    importances, findings = importances_of(record), diagnose_record(record)
    if as_json:
        print_json(
            found.to_json() | {"importances": importances, "findings": [f.to_json() for f in findings]}
        )
    else:
        _show(found, record, importances, findings)
    sys.exit(exit_code(found))


def _show(
    found: "Search", record: "StudyRecord", importances: "Importances", findings: "list[Finding]"
) -> None:
    say(f"{found.study}, in {found.seconds:.0f} s", head="\nStudy   ")
    show_trials_line(record)
    show_best(record, record.best)
    show_importances(importances, limit=4)
    show_findings(findings)
    next_commands(
        f"tuner report {found.study}",
        f"tuner dashboard {found.study}",
        f"tuner resume {found.study} --trials {2 * N_TRIALS}",
    )
