"""``tuner batch-size``: which batch size trains fastest, and the learning rate that goes with it."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli import options
from tuner.cli.output import next_commands, note, number, print_json, say, set_up_logging, table

if TYPE_CHECKING:
    from tuner.training.batch_size import BatchSizeChoice, Candidate, Progress
    from tuner.training.config import TrainingConfig

_NUMBERS = ("batch size", "rate", "samples/s", "to target", "memory")
_MEGABYTE = 2**20
_SECONDS_BETWEEN_NOTES = 2.0


def add_to(app: typer.Typer) -> None:
    app.command("batch-size")(batch_size)


def batch_size(
    task: Annotated[str, typer.Option(help="As for `tuner search`.")] = "auto",
    settings: options.Settings = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="How the learning rate follows the batch: linear, sqrt or none.",
            show_default="the config's, else linear for sgd, else sqrt",
        ),
    ] = None,
    effective: Annotated[
        int | None, typer.Option(metavar="N", help="An effective batch you want: find how to accumulate it.")
    ] = None,
    target_loss: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Validation loss to reach.", show_default="what the config reaches in 2 epochs"
        ),
    ] = None,
    recheck: Annotated[
        bool, typer.Option(help="Test the pick's rate with a short learning-rate range test.")
    ] = True,
    budget: Annotated[float, typer.Option(metavar="SECONDS", help="About how long it may take.")] = 40.0,
    seed: Annotated[int | None, typer.Option(help="Short for --set seed=N.")] = None,
    model: options.Model = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> None:
    """Find the batch size that reaches a target loss soonest."""
    values: dict[str, Any] = options.fixed_keys(settings, model)
    values |= {} if seed is None else {"seed": seed}
    asked: dict[str, Any] = {
        "rule": rule,
        "effective": effective,
        "target_loss": target_loss,
        "budget_seconds": budget,
    }
    config = _checked(values, task, asked)
    set_up_logging(quiet=quiet, log_file=log_file)
    note("Loading torch and the data …", quiet=quiet)
    from tuner.training.batch_size import find_batch_size
    from tuner.training.data import load_dataset
    from tuner.training.data_checks import refuse_non_finite

    dataset = load_dataset(task, data_dir=data_dir, announce=lambda line: note(line, quiet=quiet))
    refuse_non_finite(dataset, config)
    progress = _ProgressLines(quiet=quiet)
    choice = find_batch_size(config, dataset, device=device, recheck=recheck, on_progress=progress, **asked)
    if as_json:
        print_json(choice.to_json())
    else:
        _show(choice)
        seeded = [] if seed is None else [f"seed={seed}"]
        _show_next(choice, task, [*(settings or []), *seeded], model)


def _checked(values: dict[str, Any], task: str, asked: dict[str, Any]) -> "TrainingConfig":
    """The config; before torch is loaded, so that a typing error is told at once."""
    from tuner.training.batching.asked import check_asked
    from tuner.training.config import TrainingConfig
    from tuner.training.datasets.task_names import check_task_name

    config = TrainingConfig.from_mapping(values)
    check_task_name(task)
    check_asked(config, **asked)
    return config


class _ProgressLines:
    """A line on stderr every two seconds: the stage, what is done, and the time left."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stage, self._noted = "", 0.0

    def __call__(self, progress: "Progress") -> None:
        if progress.stage == self._stage and progress.seconds - self._noted < _SECONDS_BETWEEN_NOTES:
            return
        self._stage, self._noted = progress.stage, progress.seconds
        left = progress.seconds_left
        eta = f"{int(left // 60)}:{int(left % 60):02d}"
        note(f"{progress.stage:10} {progress.fraction:4.0%} · ETA {eta}", quiet=self._quiet)


def _show(choice: "BatchSizeChoice") -> None:
    rate = number(choice.learning_rate, 3)
    say(f"{_batch_text(choice.picked)} at learning rate {rate}", head="\nBatch size  ")
    say(f"  {choice.reason}")
    rows = [
        (
            f"{'> ' if candidate == choice.picked else ''}{_batch_text(candidate)}",
            number(candidate.learning_rate, 3),
            f"{candidate.samples_per_second:,.0f}" if candidate.samples_per_second else "-",
            f"{candidate.seconds_to_target:.3g} s" if candidate.seconds_to_target is not None else "-",
            "-" if candidate.memory_bytes is None else f"{candidate.memory_bytes / _MEGABYTE:,.0f} MiB",
            candidate.verdict.replace("_", " "),
        )
        for candidate in choice.candidates
    ]
    table((*_NUMBERS, ""), rows, right=_NUMBERS)
    say(f"batch size {choice.knee} has nearly the highest throughput", head="Knee         ")
    if choice.largest_that_fits is not None:
        say(f"about {choice.largest_that_fits:,} samples fit at once", head="Memory       ")
    say(_noise_text(choice), head="Noise scale  ")


def _batch_text(candidate: "Candidate") -> str:
    n_times = candidate.accumulation_steps
    return str(candidate.batch_size) if n_times == 1 else f"{n_times} x {candidate.batch_size}"


def _noise_text(choice: "BatchSizeChoice") -> str:
    noise = choice.noise_scale
    if noise.value is None:
        return "the gradient cannot be told from its noise here"
    high = "any number" if noise.high is None else f"{noise.high:,.0f}"
    low = f"{noise.low or 0:,.0f}"
    return f"{noise.value:,.0f} samples ({low} to {high}): an effective batch far above it wastes samples"


def _show_next(choice: "BatchSizeChoice", task: str, settings: list[str], model: str | None) -> None:
    """The commands that train with the pick; what was set otherwise stays."""
    replaced = {"batch_size", "accumulation_steps", "learning_rate", "batch_lr_rule", "base_batch_size"}
    kept = [setting for setting in settings if setting.partition("=")[0].strip() not in replaced]
    kept += [f"batch_size={choice.batch_size}", f"learning_rate={number(choice.learning_rate, 3)}"]
    if choice.accumulation_steps > 1:
        kept.append(f"accumulation_steps={choice.accumulation_steps}")
    words = ["--task", task, *([] if model is None else ["--model", model])]
    pick = shlex.join([*words, *(word for setting in kept for word in ("--set", setting))])
    next_commands(f"tuner train {pick}", f"tuner lr-range {pick}")
