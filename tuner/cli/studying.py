"""``tuner list``, ``tuner show`` and ``tuner delete``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli import options
from tuner.cli.output import (
    config_text,
    metric_value,
    next_commands,
    number,
    print_json,
    say,
    say_hanging,
    show_best,
    show_trials_line,
    table,
)

_NOT_OURS, _WATCHED = "(not made by symptune)", "(a watched loop)"

if TYPE_CHECKING:
    from studies.proven import ProvenConfig
    from studies.records import StudyRecord


def add_to(app: typer.Typer) -> None:
    app.command("list")(list_)
    app.command()(show)
    app.command()(delete)


def _task(record: "StudyRecord") -> str:
    """What is trained, as far as the study tells: a watched loop leaves its metric, other studies nothing."""
    if record.plan is not None:
        return record.plan.task
    return _NOT_OURS if record.metric == "value" else _WATCHED


def list_(storage: options.Storage = None, as_json: options.Json = False) -> None:
    """The studies of a database."""
    from studies.recorded import list_studies

    records = [recorded.record(telemetry=False) for recorded in list_studies(storage)]
    others = _with_several_objectives(storage)
    if as_json:
        listed = [
            {
                "study": record.name,
                "n_trials": record.counts,
                "best": None if record.best is None else record.best.value,
                "metric": record.metric,
                "task": None if record.plan is None else record.plan.task,
                "n_objectives": 1,
            }
            for record in records
        ]
        listed += [
            {
                "study": name,
                "n_trials": None,
                "best": None,
                "metric": None,
                "task": None,
                "n_objectives": n_objectives,
            }
            for name, n_objectives in others.items()
        ]
        print_json(listed)
        return
    rows = [
        (
            record.name,
            _task(record),
            str(record.counts.counted),
            metric_value(record.best.value if record.best else None, record.metric),
            record.metric,
        )
        for record in records
    ]
    rows += [(name, _NOT_OURS, "-", "-", f"{n} objectives") for name, n in others.items()]
    table(("study", "task", "trials", "best", "metric"), sorted(rows), right=("trials", "best"))
    if records:
        next_commands(f"tuner show {records[0].name}", f"tuner report {records[0].name}")


def _with_several_objectives(storage: str | None) -> dict[str, int]:
    """Their number of objectives by name. We tell nothing more of such studies, but do not hide them."""
    from studies.storage import open_storage

    found = open_storage(storage, writable=False).get_all_studies()  # without their trials
    return {study.study_name: len(study.directions) for study in found if len(study.directions) > 1}


def show(
    study: options.StudyArgument,
    limit: Annotated[int, typer.Option(min=1, help="How many trials to list, the best first.")] = 20,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """A study: its plan, its best config, its trials."""
    from studies.proven import proven_config
    from studies.recorded import open_study

    recorded = open_study(study, storage)
    record = recorded.record(telemetry=False)
    proven = proven_config(record)
    if as_json:
        trials = [
            {
                "number": trial.number,
                "state": trial.state,
                "outcome": trial.outcome,
                "value": trial.value,
                "config": trial.config,
                "error": trial.error,
                "replaces": trial.replaces,
                "seconds": trial.seconds,
            }
            for trial in record.trials
        ]
        told = {"study": record.name, "plan": record.plan, "n_trials": record.counts, "trials": trials}
        print_json({**told, "proven": None if proven is None else _proven_json(proven)})
        return
    _show_plan(record)
    show_trials_line(record)
    show_best(record, record.best)
    if proven is not None:
        say_hanging("Proven", proven.sentence.removeprefix("Proven "), style="bold", margin=8)
    _show_trials(record, limit=limit)
    own = [] if proven is None else [proven.command]
    next_commands(*own, f"tuner report {study}", f"tuner diagnose {study}")


def _proven_json(proven: "ProvenConfig") -> dict[str, Any]:
    return {
        "trial": proven.proof.trial,
        "change": proven.remedy.label,
        "metric": proven.proof.metric,
        "mean": proven.value.mean,
        "low": proven.value.low,
        "high": proven.value.high,
        "n_seeds": proven.value.n,
        "file": str(proven.file),
    }


def _show_plan(record: "StudyRecord") -> None:
    say(record.name, head="Study   ")
    if record.plan is not None:
        plan = record.plan
        say(
            f"{plan.task}, {plan.epochs} epochs, {plan.sampler} + {plan.pruner}, seed {plan.seed}",
            head="Plan    ",
        )
        fixed = f"  fixed: {config_text(plan.fixed)}" if plan.fixed else ""
        say(f"        to {plan.direction} {plan.metric}{fixed}")


def _show_trials(record: "StudyRecord", *, limit: int) -> None:
    """The best first; those without a value last."""
    worst = float("-inf") if record.is_maximized else float("inf")
    ranked = sorted(
        record.trials,
        key=lambda trial: worst if trial.value is None else trial.value,
        reverse=record.is_maximized,
    )
    rows = [
        (
            trial.number,
            trial.outcome.value if trial.outcome else trial.state,
            metric_value(trial.value, record.metric),
            number(trial.seconds, 3),
            config_text(trial.searched)
            if trial.error is None
            else f"{trial.error.type}: {trial.error.message}",
        )
        for trial in ranked[:limit]
    ]
    table(
        ("trial", "outcome", record.metric, "seconds", "config"),
        rows,
        right=("trial", record.metric, "seconds"),
    )
    if len(ranked) > limit:
        say(f"  … and {len(ranked) - limit} more (--limit)")


def delete(
    study: options.StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Delete a study, its trials and its telemetry. Asks first; files under runs/ stay."""
    from studies.recorded import delete_study, open_study

    recorded = open_study(study, storage)
    n_trials = len(recorded.study.get_trials(deepcopy=False))
    if not yes:
        typer.confirm(f"Delete study {study!r} with {n_trials} trials for ever?", abort=True, err=True)
    delete_study(recorded)
    if as_json:
        print_json({"deleted": study, "n_trials": n_trials, "files": str(recorded.paths.folder)})
        return
    say(f"Deleted {study} ({n_trials} trials). Files under {recorded.paths.folder} were left alone.")
    next_commands("tuner list")
