"""``tuner experiments``: the article's five studies, and whether their claims hold."""

import math
import statistics
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli import options
from tuner.cli.endings import TRAINING_FAILED, exit_code, say_ending
from tuner.cli.output import next_commands, note, number, print_json, say, set_up_logging, table
from tuner.cli.progress import showing_progress

if TYPE_CHECKING:
    from tuner.experiments.experiment import Experiment, JudgedClaim, Run
    from tuner.experiments.running import ConductedExperiment

CLAIM_NOT_HELD = 4
INTERRUPTED = 130
_CLAIMED_FOR = "mnist"
_COLUMNS = ("seeds", "epochs", "train loss", "train %", "validation %", "seconds")


def add_to(app: typer.Typer) -> None:
    app.command()(experiments)


def experiments(
    name: Annotated[
        str | None,
        typer.Argument(
            help="learning-rate, batch-size, architecture, activation-depth or epochs.", show_default="all"
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(help="As for `tuner search`; the claims were made for mnist.")
    ] = _CLAIMED_FOR,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each config; batch 1 has one.")] = 3,
    workers: options.Workers = None,
    lanes: options.Lanes = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    dry_run: Annotated[
        bool, typer.Option(help="Say what would be trained and claimed, and do nothing.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> None:
    """The article's five studies: what learning rate, batch, architecture, depth and epochs do, with checked claims.

    Each is a study of its own; the same command again does what is left. Exit code 4 if a claim does not hold.
    """
    from tuner.experiments import EXPERIMENTS, experiment
    from tuner.training.datasets.task_names import check_task_name

    check_task_name(task)  # before torch is loaded
    chosen = EXPERIMENTS if name is None else (experiment(name),)
    set_up_logging(quiet=quiet, log_file=log_file)
    if dry_run:
        _show_plan(chosen, n_seeds=seeds, as_json=as_json)
        return
    note("Loading torch and the data …", quiet=quiet)
    if task != _CLAIMED_FOR:
        note(
            f"The claims were made for {_CLAIMED_FOR}; on {task} they are checked all the same.", quiet=quiet
        )
    asked: dict[str, Any] = {
        "seeds": range(seeds), "workers": workers, "lanes": lanes, "storage": storage, "data_dir": data_dir,
        "device": device,
    }  # fmt: skip
    conducted: list[ConductedExperiment] = []
    for place, each in enumerate(chosen, 1):
        note(f"Experiment {place} of {len(chosen)}, {each.name}: {each.question}", quiet=quiet)
        done = _conduct(each, task, quiet=quiet, **asked)
        conducted.append(done)
        if not as_json:
            _show(done)
        if done.search.interrupted_by is not None:
            break
    if as_json:
        print_json({"experiments": [done.to_json() for done in conducted]})
    else:
        _show_verdict(conducted)
    sys.exit(_exit_code(conducted))


def _conduct(each: "Experiment", task: str, *, quiet: bool, **asked: Any) -> "ConductedExperiment":
    """Train and judge one experiment; say what is missing."""
    from tuner.experiments.running import conduct

    try:
        with showing_progress(quiet=quiet) as show:
            done = conduct(
                each, task, on_progress=show, announce=lambda line: note(line, quiet=quiet), **asked
            )
    except KeyboardInterrupt as interrupted:
        note(str(interrupted) or "Interrupted. Nothing is lost: the same command does what is left.")
        sys.exit(INTERRUPTED)
    if not done.is_complete:
        say_ending(done.search, n_wanted=done.n_planned)
    if not done.is_complete and done.search.interrupted_by is None:
        n_missing = done.n_planned - len(done.runs)
        note(f"{n_missing} of {done.n_planned} trainings failed; `tuner show {done.search.study}` says why.")
    return done


def _exit_code(conducted: "Sequence[ConductedExperiment]") -> int:
    for done in conducted:
        if not done.is_complete:
            return exit_code(done.search) or TRAINING_FAILED
    return 0 if all(done.holds for done in conducted) else CLAIM_NOT_HELD


def _show(done: "ConductedExperiment") -> None:
    say(f"  {done.experiment.question}", head=f"\n{done.experiment.name}")
    rows = [_row(label, runs) for label in done.experiment.labels if (runs := done.runs_of(label))]
    if rows:
        table(("config", *_COLUMNS), rows, right=_COLUMNS)
        say(
            "of the last epoch: mean ±standard deviation over seeds; train % and validation % are accuracies\n"
        )
    for claim in done.claims:
        _show_claim(claim)


def _row(label: str, runs: "Sequence[Run]") -> tuple[str, ...]:
    return (
        label,
        str(len(runs)),
        _spread([run.n_epochs for run in runs], decimals=0),
        _spread([run.final_train_loss for run in runs], decimals=4),
        f"{100 * statistics.fmean(run.last.train_accuracy for run in runs):.2f}",
        _spread([100 * run.last.validation_accuracy for run in runs], decimals=2),
        f"{statistics.fmean(run.computation['seconds'] for run in runs):.1f}",
    )


def _spread(values: Sequence[float], *, decimals: int) -> str:
    mean = f"{statistics.fmean(values):.{decimals}f}"
    if len(set(values)) == 1 or not math.isfinite(sum(values)):
        return mean
    return f"{mean} ±{statistics.stdev(values):.{decimals}f}"


def _show_claim(claim: "JudgedClaim") -> None:
    head, style = {
        True: ("held      ", "green"),
        False: ("NOT HELD  ", "red"),
        None: ("not judged", "yellow"),
    }[claim.held]
    seeds = claim.numbers["seeds"]
    is_split = claim.held is not None and 0 < len(claim.held_on) < len(seeds)
    where = f" On {len(claim.held_on)} of {len(seeds)} seeds." if is_split else ""
    say(f"  {claim.claim}{where}", head=head, style=style)
    for quantity, values in claim.numbers.items():
        if quantity != "seeds":
            said = ", ".join(number(value) for value in values)
            say(f"            {quantity.replace('_', ' ')}: {said}")


def _show_verdict(conducted: "Sequence[ConductedExperiment]") -> None:
    claims = [claim for done in conducted for claim in done.claims]
    say(f"  {_verdict(claims)}", head="\nClaims")
    next_commands(*(f"tuner report {done.search.study}" for done in conducted))


def _verdict(claims: "Sequence[JudgedClaim]") -> str:
    """How many held, and how far: a claim that holds on most seeds is held."""
    judged = [claim for claim in claims if claim.held is not None]
    if not judged:
        return f"none of {len(claims)} judged: their trainings have not all ended"
    held = [claim for claim in judged if claim.held]
    said = f"{len(held)} of {len(judged)} held"
    if held:
        n_everywhere = sum(len(claim.held_on) == len(claim.numbers["seeds"]) for claim in held)
        said += f", {'all' if n_everywhere == len(held) else n_everywhere} of them on every seed"
    n_left = len(claims) - len(judged)
    return f"{said}; {n_left} not judged" if n_left else said


def _show_plan(chosen: "Sequence[Experiment]", *, n_seeds: int, as_json: bool) -> None:
    if as_json:
        print_json({"experiments": [_plan(each, n_seeds=n_seeds) for each in chosen]})
        return
    for each in chosen:
        n_trainings = len(each.planned(range(n_seeds)))
        say(f"  {each.question}", head=f"\n{each.name}")
        say(f"  {n_trainings} trainings of {', '.join(each.labels)}")
        for claim in each.claims:
            say(f"  claim  {claim.sentence}")
    say("\nNothing was trained.")


def _plan(each: "Experiment", *, n_seeds: int) -> dict[str, Any]:
    return {
        "name": each.name,
        "question": each.question,
        "runs": [
            {"label": variant.label, "config": {**each.fixed, **variant.config, "seed": seed}}
            for variant, seed in each.planned(range(n_seeds))
        ],
        "claims": [{"claim": claim.sentence, "held": None, "numbers": {}} for claim in each.claims],
    }
