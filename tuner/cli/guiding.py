"""``tuner tune``: the guide."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli import options
from tuner.cli.output import (
    config_text,
    metric_value,
    next_commands,
    note,
    print_json,
    say,
    set_up_logging,
    table,
)
from tuner.cli.progress import showing_progress

if TYPE_CHECKING:
    from tuner.guide.preview import Preview
    from tuner.prepared_search import Progress
    from tuner.workflow import StepTaken, Tuning

NOT_CONFIRMED = 4
_BAR_CELLS = 28
_GRACE_SECONDS = 60.0
_TOLD = ("adopt", "keep", "measure the noise", "range test", "find the batch", "confirm", "climb", "reach")
"""Beginnings of the items that are told while the guide goes on; the whole checklist comes at its end."""
_MARKS = {"done": "done   ", "skipped": "skipped", "warning": "look   "}


def add_to(app: typer.Typer) -> None:
    app.command()(tune)


def tune(
    task: Annotated[str, typer.Option(help="As for `tuner search`.")] = "auto",
    budget: Annotated[
        str | None,
        typer.Option(help="Split over the steps: 20m, 1.5h, 50trials.", show_default="as before, else 20m"),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="A preset or a YAML file: change only its levers.", show_default="all the guide knows"
        ),
    ] = None,
    goal: Annotated[
        float | None, typer.Option(help="A value of the metric at which no further lever is tried.")
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STEP", help="Take this step and the later ones again, in new studies."
        ),
    ] = None,
    study: Annotated[str | None, typer.Option(help="The guide's name.", show_default="<task>-tune")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Of each training.", show_default="as many as the budget has room for")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split, and where the rounds' seeds begin.")] = 0,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What is tuned.", show_default="validation_accuracy; validation_loss for regression"
        ),
    ] = None,
    direction: Annotated[
        str | None, typer.Option(help="maximize or minimize.", show_default="the metric's own")
    ] = None,
    model: options.Model = None,
    settings: options.Settings = None,
    enqueue: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The config (YAML) you use now: the baseline.")
    ] = None,
    workers: options.Workers = None,
    lanes: options.Lanes = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    grace: options.Grace = _GRACE_SECONDS,
    dry_run: Annotated[
        bool, typer.Option(help="Time one epoch, say what would be done, and write nothing.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> None:
    """Tune step by step: baseline, rate, batch, regularization, schedule; then verify the winner on fresh seeds.

    The same command again goes on where it was stopped. Exit code 4: the winner is not told from the baseline, and
    no goal is reached.
    """
    fixed = options.fixed_keys(settings, model)
    fixed.pop("model", None)
    present = None if enqueue is None else options.read_config_file(enqueue)
    _check_names(space, budget, fixed, present)
    set_up_logging(quiet=quiet, log_file=log_file)
    note("Loading torch and the data …", quiet=quiet)
    from tuner import workflow

    asked: dict[str, Any] = {
        "space": space, "budget": budget, "goal": goal, "study": study, "storage": storage, "present": present,
        "fixed": fixed, "epochs": epochs, "seed": seed, "model": model or _model_of(settings), "metric": metric,
        "direction": direction, "workers": workers, "lanes": lanes, "device": device, "data_dir": data_dir,
    }  # fmt: skip
    if dry_run:
        planned = workflow.plan_tune(task, start_from=start_from, announce=note, **asked)
        _show_preview(planned, as_json=as_json)
        return
    tuning = _guided(task, quiet=quiet, start_from=start_from, grace=grace, **asked)
    if as_json:
        print_json(tuning.to_json())
    else:
        _show(tuning)
    sys.exit(0 if tuning.has_succeeded else NOT_CONFIRMED)


def _check_names(
    space: str | None, budget: str | None, fixed: dict[str, Any], present: dict[str, Any] | None
) -> None:
    """Typing errors are told before torch is loaded, which takes seconds."""
    from search_spaces import load_space
    from tuner.guide.budget import Budget
    from tuner.training.config import TrainingConfig

    if space is not None:
        load_space(space)
    if budget is not None:
        Budget.parse(budget)
    TrainingConfig.from_mapping({**(present or {}), **fixed})


def _model_of(settings: list[str] | None) -> str | None:
    """``--set model=cnn`` is the same as ``--model cnn``."""
    return options.fixed_keys(settings).get("model")


class _Teller:
    """What is seen of a guide while it runs, on stderr: each round, its trainings, and what was learned."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = ExitStack()
        self._study = ""
        self._show: Any = None

    def announce(self, line: str) -> None:
        self.close()
        note(line, quiet=self._quiet)

    def plan(self, preview: "Preview") -> None:
        from tuner.guide.budget import duration

        self.announce(
            f"Plan: {preview.n_trials} trainings of {preview.epochs} epochs with up to {preview.n_workers} "
            f"worker{'s' if preview.n_workers > 1 else ''}, {duration(preview.seconds)} of training "
            f"in a budget of {preview.budget}"
        )
        if preview.warning:
            note(f"  ! {preview.warning}", quiet=self._quiet)
        for each in preview.rounds:
            about = f"skipped: {each.skipped}" if each.skipped else f"{each.n_trials} trainings"
            note(f"  {each.step:15} {each.purpose}: {about}", quiet=self._quiet)

    def step(self, taken: "StepTaken") -> None:
        self.close()
        for item in taken.checklist:
            if item.name.startswith(_TOLD) or (item.state == "warning" and not item.name.endswith("?")):
                note(f"  {_MARKS[item.state]} {item.name}: {item.why}", quiet=self._quiet)

    def progress(self, progress: "Progress") -> None:
        if progress.record.name != self._study:
            self.close()
            self._study = progress.record.name
            self._show = self._shown.enter_context(showing_progress(quiet=self._quiet))
        self._show(progress)

    def close(self) -> None:
        """End the bar of the round that was shown last."""
        self._shown.close()
        self._study = ""


@contextmanager
def _telling(*, quiet: bool) -> Iterator[_Teller]:
    teller = _Teller(quiet=quiet)
    try:
        yield teller
    finally:
        teller.close()


def _guided(task: str, *, quiet: bool, **asked: Any) -> "Tuning":
    """The guide from end to end, told as it goes; a signal ends the process with its exit code."""
    from tuner import workflow

    with _telling(quiet=quiet) as teller:
        try:
            return workflow.tune(
                task,
                announce=teller.announce,
                on_plan=teller.plan,
                on_step=teller.step,
                on_progress=teller.progress,
                **asked,
            )
        except workflow.InterruptedGuideError as ended:
            teller.announce("Interrupted. Nothing is lost: the same command, without --from, goes on.")
            sys.exit(ended.exit_code)


def _show_preview(preview: "Preview", *, as_json: bool) -> None:
    from tuner.guide.budget import duration

    if as_json:
        print_json(preview)
        return
    say(
        f"Would train {preview.n_trials} times for {preview.epochs} epochs, with up to {preview.n_workers} workers:"
    )
    table(
        ("step", "what", "trainings", "about"),
        [
            (each.step, each.purpose, each.n_trials, each.skipped or duration(each.seconds))
            for each in preview.rounds
        ],
        right=("trainings",),
    )
    say(f"  {duration(preview.seconds)} of training in a budget of {preview.budget}; nothing was written")
    if preview.warning:
        say(f"  ! {preview.warning}")


def _show(tuning: "Tuning") -> None:
    for step in tuning.steps:
        studies = f"  {', '.join(step.studies)}" if step.studies else ""
        say(studies, head=f"\n{step.name}")
        for item in step.checklist:
            say(f"  {_MARKS[item.state]} {item.name}: {item.why}")
            for edit in item.edits:
                say(f"      {edit.sentence()}")
    _show_ladder(tuning)
    say(f"  {tuning.verdict}", head="\nVerdict")
    if tuning.goal is not None:
        say(f"  {tuning.goal.sentence}")
    best, test = tuning.best_value, tuning.best_test
    tested = "" if test is None else f", {metric_value(test.mean, 'accuracy')} on the test split"
    low, mean, high = (metric_value(each, tuning.metric) for each in (best.low, best.mean, best.high))
    said = "" if tuning.has_succeeded else "the baseline stays: "
    say(f"{said}{mean} [{low}, {high}] {tuning.metric} over {best.n} fresh seeds{tested}", head="Best    ")
    say(f"        {config_text(tuning.best)}")
    say(f"        kept in {tuning.best_file}")
    next_commands(
        f"tuner train --config {tuning.best_file} --task {tuning.task}",
        f"tuner report {tuning.verified.study}",
        f"tuner diagnose {tuning.verified.study}",
    )


def _show_ladder(tuning: "Tuning") -> None:
    """Each change's gain at its place between the baseline and the best."""
    rungs = tuning.to_json()["ladder"]
    if not rungs:
        return
    is_accuracy = tuning.metric.endswith("accuracy")
    scale, unit = (100.0, "points") if is_accuracy else (1.0, tuning.metric)
    say(f"  what each change gained, in {unit}, with a 95% interval", head="\nLadder")
    bars = waterfall([rung["gain"] or 0.0 for rung in rungs], _BAR_CELLS)
    width = max(len(rung["change"]) for rung in rungs)
    say(f"  {'baseline':{width}}  {metric_value(tuning.verified.baseline.mean, tuning.metric):>8}")
    for rung, bar in zip(rungs, bars, strict=True):
        gain, low, high = (_scaled(rung[name], scale) for name in ("gain", "low", "high"))
        mark = "" if _excludes_zero(rung) else "  not told from noise"
        say(f"  {rung['change']:{width}}  {gain:>8}  [{low}, {high}]  {bar}{mark}")
    say(f"  {'in all':{width}}  {metric_value(tuning.verified.value.mean, tuning.metric):>8}")


def waterfall(gains: Sequence[float], cells: int) -> list[str]:
    """A bar for each gain, which begins where the one before it ended: ``█`` for a gain, ``▒`` for a loss."""
    ends = [0.0]
    for gain in gains:
        ends.append(ends[-1] + gain)
    low, span = min(ends), (max(ends) - min(ends)) or 1.0
    bars = []
    for before, after in pairwise(ends):
        left, right = sorted(round((end - low) / span * cells) for end in (before, after))
        block = "█" if after >= before else "▒"
        bars.append((" " * left + block * max(right - left, 1)).ljust(cells))
    return bars


def _scaled(value: float | None, scale: float) -> str:
    return "-" if value is None else f"{scale * value:+.2f}"


def _excludes_zero(rung: dict[str, Any]) -> bool:
    return None not in (rung["low"], rung["high"]) and (rung["low"] > 0 or rung["high"] < 0)
