"""``tuner fix``: the worst fault of a study, and which of its remedies are proven."""

import math
import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tuner.cli import options
from tuner.cli.output import (
    metric_value,
    next_commands,
    note,
    print_json,
    say,
    say_hanging,
    set_up_logging,
    table,
)
from tuner.cli.progress import showing_progress

if TYPE_CHECKING:
    from pathlib import Path

    from tuner.proving import Proof, Tried
    from tuner.proving.fixing import PreparedFix

TRAINING_FAILED, NOTHING_PROVEN = 1, 4
_MARKS = {"proven": "proven", "not_proven": "not proven", "made_worse": "made worse"}
_COLORS = {"proven": "green", "not_proven": "yellow", "made_worse": "red"}


def add_to(app: typer.Typer) -> None:
    app.command()(fix)


def fix(
    study: options.StudyArgument,
    trial: Annotated[
        int | None, typer.Option(help="A trial, by its number.", show_default="the one with the worst fault")
    ] = None,
    seeds: Annotated[int, typer.Option(min=3, help="Fresh ones, the same for all configs.")] = 5,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of each training.", show_default="the trial's own")
    ] = None,
    workers: options.Workers = None,
    lanes: options.Lanes = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    grace: options.Grace = 60.0,
    dry_run: Annotated[
        bool, typer.Option(help="Say what would be trained and how long it takes; write nothing.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> None:
    """Try the remedies of the worst fault, one at a time, on fresh seeds, and say which are proven.

    The same command again goes on where it was stopped. Exit code 4: a fault, and nothing proven to mend it.
    """
    set_up_logging(quiet=quiet, log_file=log_file)
    from tuner.proving import InterruptedProofError, UnendedProofError
    from tuner.proving.fixing import prepare_fix
    from tuner.proving.proof import Proof

    found = prepare_fix(study, trial=trial, storage=storage, seeds=seeds, epochs=epochs, data_dir=data_dir)
    if isinstance(found, Proof):
        _end(found, study=study, as_json=as_json)
    if dry_run:
        _show_plan(found, as_json=as_json)
        return
    if found.chosen:
        note(found.chosen, quiet=quiet)
    note(_cost(found), quiet=quiet)
    try:
        with showing_progress(quiet=quiet) as show:
            proof = found.run(
                workers=workers,
                lanes=lanes,
                device=device,
                data_dir=data_dir,
                grace=grace,
                on_progress=show,
                announce=lambda line: note(line, quiet=quiet),
            )
    except InterruptedProofError as ended:
        note("Interrupted. Nothing is lost: the same command goes on.", quiet=quiet)
        sys.exit(ended.exit_code)
    except UnendedProofError as error:
        note(f"error: {error}")
        sys.exit(TRAINING_FAILED)
    _end(proof, study=study, as_json=as_json, told=_tell(found, proof, storage, quiet=quiet), fixed=found)


def _tell(found: "PreparedFix", proof: "Proof", storage: str | None, *, quiet: bool) -> "Path":
    """The report and the dashboard's note of the study that was mended, with the verdicts.

    What told the same verdict before is left as it is: all of the study is measured anew for a report.
    """
    if found.report_tells(proof):
        return found.recorded.paths.report
    from studies.recorded import open_study
    from studies.telling import publish_study, write_study_report

    note("Writing the report …", quiet=quiet)
    recorded = open_study(found.recorded.name, storage, writable=True)
    told = write_study_report(recorded)
    publish_study(recorded, told)
    return told.path


def _end(
    proof: "Proof",
    *,
    study: str,
    as_json: bool,
    told: "Path | None" = None,
    fixed: "PreparedFix | None" = None,
) -> NoReturn:
    path = None
    if fixed is not None and proof.config is not None:
        path = fixed.recorded.paths.fixed_config(fixed.faulty.number)
    if as_json:
        extras = {"study": study, "file": path and str(path), "report": told and str(told)}
        print_json({**proof.to_json(), **extras})
    else:
        _show(proof, study=study)
        if path is not None:
            _show_config(proof, str(path))
        next_commands(*_commands(proof, study, fixed))
    sys.exit(0 if proof.finding is None or proof.is_proven else NOTHING_PROVEN)


def _show_plan(found: "PreparedFix", *, as_json: bool) -> None:
    contest = found.contest
    if as_json:
        print_json(
            {
                "study": found.recorded.name,
                "trial": found.faulty.number,
                "chosen": found.chosen,
                "finding": found.finding.to_json(),
                "replicates": found.replicates,
                "configs": list(contest.configs),
                "reference": None if found.reference is None else found.reference.number,
                "seeds": found.seeds,
                "n_trainings": found.n_trainings,
                "seconds": found.seconds,
            }
        )
        return
    say(f" {found.finding.symptom} in trial {found.faulty.number}", head=found.finding.severity.value)
    say_hanging("  ", found.finding.sentence, margin=2)
    if found.chosen:
        say_hanging("  ", found.chosen, margin=2)
    rows = [(label, len(found.seeds), config["epochs"]) for label, config in contest.configs.items()]
    table(("config", "trainings", "epochs"), rows, right=("trainings", "epochs"))
    for each in contest.left_out:
        say_hanging("  not tried:", f"{each.remedy.sentence} ({each.why})", margin=13)
    say_hanging("", f"{_cost(found)} Nothing was written.", margin=0)


def _cost(found: "PreparedFix") -> str:
    from tuner.guide.budget import duration
    from tuner.proving.stepping import MAX_STEPS

    n_remedies = len(found.contest.remedies)
    healthy = "" if found.reference is None else f", and trial {found.reference.number} as healthy reference"
    about = "" if math.isnan(found.seconds) else f", about {duration(found.seconds)} of training"
    return (
        f"{found.n_trainings} trainings in {found.replicates}{about}: trial {found.faulty.number} as it is, "
        f"{n_remedies} {'remedy' if n_remedies == 1 else 'remedies'}{healthy}, on {len(found.seeds)} fresh seeds each. "
        f"A remedy that leaves the same cause is followed by up to {MAX_STEPS - 1} more steps along its lever."
    )


def _show(proof: "Proof", *, study: str) -> None:
    if proof.finding is None:
        say_hanging("Verdict", proof.sentence, style="bold", margin=10)
        return
    where = f"trial {proof.finding.trial} of {study}" if proof.finding.trial is not None else f"study {study}"
    say(f" {proof.finding.symptom} in {where}", head=proof.finding.severity.value)
    say_hanging("  ", proof.finding.sentence, margin=2)
    if proof.remedies:
        _show_levels(proof)
    for each in proof.remedies:
        _show_tried(each)
    for left in proof.left_out:
        if left.remedy.sentence not in proof.sentence:  # the verdict of nothing but an action is the action
            say_hanging("not tried", f"{left.remedy.sentence} ({left.why})", style="dim", margin=12)
    say()
    say_hanging("Verdict", proof.sentence, style="bold", margin=10)
    if proof.remedies:
        say_hanging(
            "",
            f"by {proof.metric.replace('_', ' ')}, since {proof.reason}; together the {100 * proof.confidence:.4g}% "
            f"intervals hold with 95%",
            margin=10,
        )


def _show_levels(proof: "Proof") -> None:
    from tuner.proving.proof import mean_of

    rows = [("as it is", proof.baseline)]
    rows += [] if proof.reference is None else [("healthy reference", proof.reference)]
    rows += [row for each in proof.remedies for row in (*each.steps.items(), (each.label, each.values))]
    table(
        ("config", "mean", "each seed"),
        [
            (
                label,
                metric_value(mean_of(values), proof.metric),
                "  ".join("diverged" if v is None else metric_value(v, proof.metric) for v in values),
            )
            for label, values in rows
        ],
        right=("mean",),
    )


def _show_tried(each: "Tried") -> None:
    verdict = each.verdict.value
    say_hanging(_MARKS[verdict], each.remedy.sentence, style=_COLORS[verdict], margin=12)
    say_hanging("", each.why, margin=12)


def _show_config(proof: "Proof", path: str) -> None:
    changes = "  ".join(f"--set {key}={_plain(value)}" for key, value in proof.changes.items())
    say()
    say_hanging("Change", changes, style="bold", margin=10)
    say(f"          the whole config is in {path}")


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _commands(proof: "Proof", study: str, fixed: "PreparedFix | None") -> list[str]:
    if fixed is None:
        return [f"tuner diagnose {study}", f"tuner report {study}"]
    commands = []
    if proof.config is not None:
        path = fixed.recorded.paths.fixed_config(fixed.faulty.number)
        commands.append(f"tuner train --config {path} --task {fixed.plan.task}")
    return [*commands, f"tuner report {study}", f"tuner diagnose {proof.replicates}"]
