"""``tuner lr-range``: how high the learning rate may be, and which one to take."""

import os
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search_spaces.errors import ConfigurationError
from tuner.cli import options
from tuner.cli.output import next_commands, note, number, print_json, say, set_up_logging, table

if TYPE_CHECKING:
    from tuner.training.config import TrainingConfig
    from tuner.training.learning_rate_range import LearningRateRange, RangeProgress
    from tuner.training.rate.learner import Floats

_SECONDS_BETWEEN_NOTES = 2.0
_SPARKS = "▁▂▃▄▅▆▇█"
_SPARK_CELLS = 50
_WIDER = 10.0
_MEANINGS = {
    "suggested": "85% of the highest stable rate",
    "highest_stable": "held, it still ends as low as any lower rate",
    "steepest": "where the ramp's loss falls fastest",
    "valley": "the middle of the ramp's descent",
}


def add_to(app: typer.Typer) -> None:
    app.command("lr-range")(lr_range)


def lr_range(
    task: Annotated[str, typer.Option(help="As for `tuner search`.")] = "auto",
    settings: options.Settings = None,
    model: options.Model = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set seed=N; sweeps count up from it.")] = None,
    sweeps: Annotated[
        int, typer.Option(metavar="N", help="Seeded sweeps; their spread is the interval.")
    ] = 3,
    steps: Annotated[int, typer.Option(metavar="N", help="Optimizer steps of a sweep's ramp.")] = 200,
    hold_steps: Annotated[
        int, typer.Option(metavar="N", help="Optimizer steps for which a rate is held.")
    ] = 400,
    low: Annotated[
        float | None, typer.Option(help="Lowest rate.", show_default="1e-4 for sgd, else 1e-6")
    ] = None,
    high: Annotated[
        float | None, typer.Option(help="Highest rate.", show_default="10 for sgd, else 1")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="The plot.",
            show_default="runs/lr-range/TASK-MODEL-OPTIMIZER.html",
        ),
    ] = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> None:
    """Find the learning rate of a config: ramp it up, then hold rates to see which are stable."""
    fixed = options.fixed_keys(settings, model) | ({} if seed is None else {"seed": seed})
    swept: dict[str, Any] = {
        "n_sweeps": sweeps, "low": low, "high": high, "n_steps": steps, "hold_steps": hold_steps
    }  # fmt: skip
    config = _checked(fixed, task, swept)
    _check_page(output)
    set_up_logging(quiet=quiet, log_file=log_file)
    if "learning_rate" in fixed:
        note(f"learning_rate={config.learning_rate:g} plays no part: it is what is tested.", quiet=quiet)
    note("Loading torch and the data …", quiet=quiet)
    from studies.reports.rate_drawing import write_rate_page
    from tuner.training.data import load_dataset
    from tuner.training.data_checks import refuse_non_finite
    from tuner.training.learning_rate_range import learning_rate_range

    dataset = load_dataset(task, data_dir=data_dir, announce=lambda line: note(line, quiet=quiet))
    refuse_non_finite(dataset, config)
    progress = _ProgressLines(quiet=quiet)
    found = learning_rate_range(config, dataset, device=device, on_progress=progress, **swept)
    commands = _next(found, task, {key: str(value) for key, value in fixed.items()})
    page = write_rate_page(
        found.to_json(),
        output or _page_path(dataset.name, config),
        title=f"{dataset.name}, {config.model}, {config.optimizer}",
        next_commands=commands,
    )
    if as_json:
        print_json(found.to_json() | {"plot": str(page)})
        return
    _show(found)
    say(f"{page}   (works offline)", head="Plot    ")
    next_commands(*commands)


def _checked(fixed: dict[str, Any], task: str, swept: dict[str, Any]) -> "TrainingConfig":
    """The config; before torch is loaded, so that a typing error is told at once."""
    from tuner.training.config import TrainingConfig
    from tuner.training.datasets.task_names import check_task_name
    from tuner.training.rate.plan import plan_sweeps_for

    config = TrainingConfig.from_mapping(fixed)
    check_task_name(task)
    plan_sweeps_for(config.optimizer, **swept)
    return config


class _ProgressLines:
    """A line on stderr every two seconds: the sweep, the steps, and the time left."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._noted = time.monotonic()

    def __call__(self, progress: "RangeProgress") -> None:
        if time.monotonic() - self._noted < _SECONDS_BETWEEN_NOTES:
            return
        self._noted = time.monotonic()
        left = progress.eta_seconds
        note(
            f"sweep {progress.sweep}/{progress.n_sweeps} · {progress.n_steps:,} of about "
            f"{progress.n_expected_steps:,} steps · ETA {int(left // 60)}:{int(left % 60):02d}",
            quiet=self._quiet,
        )


def _show(found: "LearningRateRange") -> None:
    answer = number(found.suggested, 3) if found.reliable else "none to trust"
    say(answer, head="\nLearning rate  ")
    say(f"  {found.reason}")
    rows = []
    for mark, meaning in _MEANINGS.items():
        rate = getattr(found, mark)
        interval = (found.low, found.high) if mark == "suggested" else found.interval(mark)
        if rate is not None and interval is not None:
            spread = f"{number(interval[0], 3)} to {number(interval[1], 3)}"
            rows.append((mark.replace("_", " "), number(rate, 3), spread, meaning))
    if rows:
        table(("mark", "rate", "over the sweeps", ""), rows, right=("rate",))
    ramp = found.sweeps[0].ramp
    if not ramp.is_broken:
        low, high = ramp.learning_rate[0], ramp.learning_rate[-1]
        say(f"{number(low)}  {_sparkline(ramp.descent)}  {number(high)}", head="Ramp    ")


def _sparkline(losses: "Floats") -> str:
    """The losses from left to right as bars, the lowest one the smallest."""
    cells = [losses[len(losses) * i // _SPARK_CELLS] for i in range(_SPARK_CELLS)]
    low, high = min(cells), max(cells)
    scale = (len(_SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_SPARKS[round((loss - low) * scale)] for loss in cells)


def _next(found: "LearningRateRange", task: str, fixed: dict[str, str]) -> list[str]:
    """Train with the suggestion; after a refusal, the same test on a wider range. What was set stays."""
    kept = {key: value for key, value in fixed.items() if key != "learning_rate"}
    words = f"--task {shlex.quote(task)}" + "".join(
        f" --set {shlex.quote(f'{key}={value}')}" for key, value in kept.items()
    )
    model = f" --model {shlex.quote(kept['model'])}" if "model" in kept else ""
    if found.suggested is not None:
        chosen = f"{words} --set learning_rate={number(found.suggested, 3)}"
        return [
            f"tuner train {chosen}",
            f"tuner batch-size {chosen}",
            f"tuner tune --task {shlex.quote(task)}{model}",
        ]
    return [
        f"tuner lr-range {words} --low {found.tested_low / _WIDER:.3g} --high {found.tested_high * _WIDER:.3g}",
        f"tuner train {words}",
    ]


def _check_page(path: Path | None) -> None:
    """Before minutes of training, and not after them.

    Raises:
        ConfigurationError: for a path under which no file can be written.
    """
    if path is None:
        return
    folder = next((parent for parent in path.parents if parent.exists()), Path())
    is_writable = folder.is_dir() and os.access(folder, os.W_OK)
    if not path.name or path.is_dir() or not is_writable:
        raise ConfigurationError(
            f"--output must name a file that can be written, such as plot.html, but got {str(path)!r}."
        )


def _page_path(data_name: str, config: "TrainingConfig") -> Path:
    name = re.sub(r"[^\w.+-]+", "_", f"{data_name}-{config.model}-{config.optimizer}")
    return Path("runs") / "lr-range" / f"{name}.html"
