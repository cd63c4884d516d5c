"""``tuner doctor``: what this machine is, whether all is in its place, and how a search would be spread over it."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search_spaces.errors import DataError
from tuner.cli import options
from tuner.cli.output import next_commands, note, print_json, say, set_up_logging, table

if TYPE_CHECKING:
    from tuner.checkup import Checkup
    from tuner.second_core import SecondProcess

USAGE, DATA_FAILED = 2, 5
_GIGABYTE, _MEGABYTE = 2**30, 2**20


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    task: Annotated[
        str | None,
        typer.Option(help="As for `tuner search`.", show_default="mnist if it lies here, else digits"),
    ] = None,
    model: options.Model = None,
    settings: options.Settings = None,
    workers: options.Workers = None,
    lanes: options.Lanes = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Look at this machine: versions, devices, data, database, speed; and choose workers x threads x lanes.

    Nothing is downloaded or written. Exit code 5 if the data cannot be had, 2 if the database cannot be used.
    """
    fixed = options.fixed_keys(settings, model)
    from tuner.training.config import TrainingConfig

    TrainingConfig.from_mapping(fixed)  # before torch is loaded: a typing error is told at once
    set_up_logging(quiet=quiet, log_file=None)
    note("Loading torch …", quiet=quiet)
    with _beside(device) as other:
        from tuner.checkup import check_up

        found = check_up(
            task,
            fixed=fixed,
            storage=storage,
            data_dir=data_dir,
            device=device,
            workers=workers,
            lanes=lanes,
            other=other,
            on_stage=lambda stage: note(stage, quiet=quiet),
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    sys.exit(_exit_code(found))


def _beside(device: str) -> "AbstractContextManager[SecondProcess | None]":
    """A process for the second core, where there is one and searches use it; it loads torch while this one does."""
    from tuner.launchers.cores import available_cores
    from tuner.launchers.standby import may_use_cuda
    from tuner.second_core import second_process

    return nullcontext() if available_cores() < 2 or may_use_cuda(device) else second_process()


def _exit_code(found: "Checkup") -> int:
    if not found.problems:
        return 0
    return DATA_FAILED if any(problem.error is DataError for problem in found.problems) else USAGE


def _show(found: "Checkup") -> None:
    machine = found.machine
    say("  ".join(f"{name} {text}" for name, text in found.versions.items()), head="\nVersions  ")
    free, whole = machine["available_bytes"] / _GIGABYTE, machine["memory_bytes"] / _GIGABYTE
    cores = f"{machine['cores']} core{'' if machine['cores'] == 1 else 's'}"
    say(f"{machine['system']}, {cores}, {free:.1f} of {whole:.1f} GiB free", head="Machine   ")
    say(f"{machine['device']} (of {', '.join(machine['devices'])})", head="Device    ")
    if found.data:
        samples = f"{found.data['n_train']:,} + {found.data['n_validation']:,} samples"
        say(f"{found.data['task']}, {samples}, {found.data['bytes'] / _MEGABYTE:,.0f} MiB", head="Data      ")
    say(_storage_text(found.storage), head="Storage   ")
    rows = [
        (rate.kernel, rate.precision, "not there" if rate.gflops is None else f"{rate.gflops:,.0f}")
        for rate in found.rates
    ]
    table(("product", "precision", "GFLOP/s"), rows, right=("GFLOP/s",))
    _show_parallelism(found)
    _show_second_core(found)
    for problem in found.problems:
        say(problem.sentence, head="Problem   ", style="bold red")
    if not found.problems:
        next_commands(f"tuner search --task {found.data['task']}", "tuner demo")


def _storage_text(storage: Any) -> str:
    n_studies = storage["n_studies"]
    held = "not there yet" if n_studies is None else f"{n_studies} stud{'y' if n_studies == 1 else 'ies'}"
    return f"{storage['url']}, {held}, {'may' if storage['is_writable'] else 'may not'} be written"


def _show_second_core(found: "Checkup") -> None:
    timed = found.second_core
    if timed is None:
        return
    say(timed.sentence, head="2nd core  ")
    if not timed.was_free:
        return
    rows = [
        ("1 process of 1 thread", f"{timed.alone:,.0f}"),
        ("1 process of 2 threads", f"{timed.as_thread:,.0f}"),
        ("2 processes of 1 thread", f"{timed.as_process:,.0f}"),
    ]
    table(("workers", "lane steps a second"), rows, right=("lane steps a second",))


def _show_parallelism(found: "Checkup") -> None:
    chosen = found.parallelism
    if chosen is None:
        return
    spread = f"{chosen.workers} x {chosen.threads} x {chosen.lanes.n_lanes}"
    what = f"{found.data['task']}, {found.data['model']}, batch size {found.data['batch_size']}"
    say(f"{spread}  (workers x threads x lanes, for {what})", head="Spread    ")
    say(f"          {chosen.reason}")
    rows = [(n_lanes, f"{seconds * 1e6:,.0f}") for n_lanes, seconds in chosen.lanes.measured]
    if rows:
        table(("lanes", "us a lane's step"), rows, right=("lanes", "us a lane's step"))
