"""``tuner search``, ``tuner resume`` and ``tuner worker``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli import options
from tuner.cli.endings import exit_code, say_ending, show_overhead
from tuner.cli.output import (
    next_commands,
    note,
    print_json,
    say,
    set_up_logging,
    show_best,
    show_findings,
    show_trials_line,
)
from tuner.cli.progress import showing_progress
from tuner.cli.starting import process_age_seconds, workers_standing_by

if TYPE_CHECKING:
    from tuner.launchers.standby import Standby
    from tuner.prepared_search import PreparedSearch, Search

_GRACE_SECONDS = 60.0


def add_to(app: typer.Typer) -> None:
    app.command()(search)
    app.command()(resume)
    app.command()(worker)


def search(
    task: Annotated[
        str,
        typer.Option(help="mnist, fashion-mnist, kmnist, cifar10, digits, auto, npz:FILE, module:function."),
    ] = "auto",
    space: Annotated[str, typer.Option(help="A preset (see `tuner spaces`) or a YAML file.")] = "quick",
    study: Annotated[
        str | None, typer.Option(help="The study's name.", show_default="<task>-<space>")
    ] = None,
    trials: Annotated[
        int, typer.Option(help="The study's total, over all workers, nodes and resumptions.")
    ] = 50,
    epochs: Annotated[int, typer.Option(help="Of each training.")] = 10,
    sampler: Annotated[str, typer.Option(help="tpe, random, grid, qmc, gp, cmaes, nsga2.")] = "tpe",
    pruner: Annotated[
        str, typer.Option(help="median, percentile, hyperband, asha, patient, none.")
    ] = "median",
    resolution: Annotated[int, typer.Option(min=2, help="Points per continuous lever of a grid.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the sampler's stream and of every training.")] = 0,
    metric: Annotated[
        str,
        typer.Option(
            help="validation_accuracy, validation_loss, train_loss, train_accuracy, calibration_error, seconds."
        ),
    ] = "validation_accuracy",
    direction: Annotated[
        str | None, typer.Option(help="maximize or minimize.", show_default="the metric's own")
    ] = None,
    model: options.Model = None,
    settings: options.Settings = None,
    enqueue: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A config (YAML) to train first: the one you use now.")
    ] = None,
    workers: options.Workers = None,
    lanes: options.Lanes = None,
    timeout: options.Timeout = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    grace: options.Grace = _GRACE_SECONDS,
    dry_run: Annotated[
        bool, typer.Option(help="Check everything, say what would be done, and do nothing.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> None:
    """Search a space: many trainings, the bad ones pruned, all of it kept in a study.

    The same command again does what is left; several machines may run it at once on one storage.
    """
    fixed = options.fixed_keys(settings, model)
    _check_names(space, fixed, metric)
    enqueued = None if enqueue is None else options.read_config_file(enqueue)
    set_up_logging(quiet=quiet, log_file=log_file)
    note("Loading torch and the data …", quiet=quiet)
    asked: dict[str, Any] = {
        "study": study, "storage": storage, "trials": trials, "epochs": epochs, "sampler": sampler,
        "pruner": pruner, "resolution": resolution, "seed": seed, "device": device, "metric": metric,
        "direction": direction,
        "fixed": fixed, "enqueue": enqueued, "data_dir": data_dir,
    }  # fmt: skip
    if dry_run:
        from tuner import preparing

        _show_plan(preparing.plan_search(space, task, announce=note, **asked), trials=trials, as_json=as_json)
        return
    with workers_standing_by(workers, device=device, n_trials=trials) as standby:
        from tuner import preparing

        preparing.check_limits(workers=workers, lanes=lanes, timeout=timeout, grace=grace)
        prepared = preparing.prepare_search(
            space, task, announce=lambda line: note(line, quiet=quiet), **asked
        )
        limits = {"workers": workers, "lanes": lanes, "timeout": timeout, "grace": grace}
        _run(prepared, limits, standby, quiet=quiet, as_json=as_json)


def resume(
    study: options.StudyArgument,
    trials: Annotated[
        int | None, typer.Option(help="The study's total.", show_default="as asked for last")
    ] = None,
    workers: options.Workers = None,
    lanes: options.Lanes = None,
    timeout: options.Timeout = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    grace: options.Grace = _GRACE_SECONDS,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> None:
    """Go on with a study: its task, space, sampler and pruner as recorded, without repeating a suggestion."""
    set_up_logging(quiet=quiet, log_file=log_file)
    note("Loading torch and the data …", quiet=quiet)
    with workers_standing_by(workers, device=device, n_trials=trials) as standby:
        from tuner import preparing

        preparing.check_limits(workers=workers, lanes=lanes, timeout=timeout, grace=grace)
        prepared = preparing.prepare_resume(
            study,
            storage=storage,
            trials=trials,
            device=device,
            data_dir=data_dir,
            announce=lambda line: note(line, quiet=quiet),
        )
        limits = {"workers": workers, "lanes": lanes, "timeout": timeout, "grace": grace}
        _run(prepared, limits, standby, quiet=quiet, as_json=as_json)


def worker(
    study: options.StudyArgument,
    trials: Annotated[
        int | None, typer.Option(help="The study's total.", show_default="as asked for last")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, help="That work on the study in all; each takes its fair share of what is left."),
    ] = 1,
    lanes: options.Lanes = None,
    timeout: options.Timeout = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    grace: options.Grace = _GRACE_SECONDS,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> None:
    """One worker of a study that exists, for job arrays: takes trials until the total is reached."""
    set_up_logging(quiet=quiet, log_file=log_file)
    from tuner import preparing

    preparing.check_limits(workers=workers, lanes=lanes, timeout=timeout, grace=grace)
    prepared = preparing.prepare_resume(
        study, storage=storage, trials=trials, device=device, data_dir=data_dir, retries_failed=False
    )
    with showing_progress(quiet=quiet) as show:
        found = prepared.run(
            workers=1,
            workers_in_all=workers,
            lanes=lanes,
            timeout=timeout,
            grace=grace,
            on_progress=show,
            before_seconds=process_age_seconds(),
        )
    if as_json:
        print_json(found.to_json())
    sys.exit(exit_code(found))


def _check_names(space: str, fixed: dict[str, Any], metric: str) -> None:
    """Typing errors are told before torch is loaded, which takes seconds."""
    from search_spaces import load_space
    from tuner.training.config import TrainingConfig, direction_of

    load_space(space)
    TrainingConfig.from_mapping(fixed)
    direction_of(metric)


def _run(
    prepared: "PreparedSearch",
    limits: dict[str, Any],
    standby: "Standby",
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    with showing_progress(quiet=quiet) as show:
        found = prepared.run(
            **limits, standby=standby, before_seconds=process_age_seconds(), on_progress=show
        )
    say_ending(found, n_wanted=prepared.n_trials)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found, n_wanted=prepared.n_trials)
    sys.exit(exit_code(found))


def _show(found: "Search", *, n_wanted: int) -> None:
    from studies.diagnosis import diagnose_record

    record = found.record(steps=True)
    say(found.study, head="\nStudy   ")
    show_trials_line(record)
    show_best(record, record.best)
    findings = diagnose_record(record)
    if record.trials:
        show_findings(findings[:3])
    show_overhead(found)
    if record.counts.counted < n_wanted:
        next_commands(f"tuner resume {found.study}", f"tuner diagnose {found.study}")
    else:
        next_commands(
            f"tuner report {found.study}", f"tuner diagnose {found.study}", f"tuner dashboard {found.study}"
        )


def _show_plan(plan: Any, *, trials: int, as_json: bool) -> None:
    from search_spaces import Space
    from search_spaces.catalog import decided

    if as_json:
        print_json({"plan": plan, "trials": trials})
        return
    space = Space.from_json(plan.space)
    for key, value in plan.fixed.items():
        space = decided(space, key, value)
    say(f"Would search {space.name} on {plan.task}, {plan.split['n_train']} training samples:")
    say(f"  {', '.join(space.names)}")
    say(f"  {trials} trials x {plan.epochs} epochs, sampler {plan.sampler}, pruner {plan.pruner}")
    say(f"  to {plan.direction} {plan.metric}; nothing was written")
