"""``tuner train`` and ``tuner export``: one config, and the weights that come of it."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search_spaces.errors import ConfigurationError
from tuner.cli import options
from tuner.cli.output import (
    metric_value,
    next_commands,
    note,
    number,
    print_json,
    say,
    say_hanging,
    set_up_logging,
    show_findings,
    table,
)

if TYPE_CHECKING:
    from studies.readings import EpochReadings
    from tuner.one_training import Training

TRAINING_FAILED = 1


def add_to(app: typer.Typer) -> None:
    app.command()(train)
    app.command()(export)


def train(
    task: Annotated[str, typer.Option(help="As for `tuner search`.")] = "auto",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A config as YAML; --set goes over it.")
    ] = None,
    settings: options.Settings = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set epochs=N.")] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set seed=N.")] = None,
    model: options.Model = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep config.yaml and weights.pt here; checkpoints meanwhile."),
    ] = None,
    study: Annotated[str | None, typer.Option(help="Also record it as a trial of this study.")] = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    probe_causes: Annotated[
        bool,
        typer.Option(
            "--probe-causes",
            help="Where causes are hard to tell apart, go on for seconds with one change at a time.",
        ),
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    log_file: options.LogFile = None,
) -> None:
    """Train one config and say what happened in it."""
    values: dict[str, Any] = {} if config is None else options.read_config_file(config)
    values |= options.fixed_keys(settings, model)
    values |= {key: value for key, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    from tuner.training.config import TrainingConfig

    resolved = TrainingConfig.from_mapping(values)  # before torch is loaded: a typing error is told at once
    set_up_logging(quiet=quiet, log_file=log_file)
    note("Loading torch and the data …", quiet=quiet)
    from tuner.one_training import train as train_one

    show = _EpochLines(quiet=quiet)
    trained = train_one(
        resolved,
        task,
        study=study,
        storage=storage,
        save=save,
        data_dir=data_dir,
        device=device,
        on_epoch=show,
        announce=lambda line: note(line, quiet=quiet),
        probe_causes=probe_causes,
    )
    if as_json:
        print_json(trained.to_json())
    else:
        _show(trained)
        if probe_causes:
            say_hanging("Probed", _probed(trained), style="bold", margin=8)
        own = [f"--config {shlex.quote(str(config))}"] if config is not None else []
        own += _flags(settings, epochs=epochs, seed=seed, model=model)
        tuned = _flags(_not_searched(settings), epochs=epochs, seed=None, model=model)
        next_commands(*_next(task, own, tuned, study=study, is_saved=save is not None))
    if trained.interrupted_by is not None:
        sys.exit(trained.interrupted_by)


def export(
    study: options.StudyArgument,
    best: Annotated[bool, typer.Option("--best", help="The best trial (the default).")] = False,
    trial: Annotated[int | None, typer.Option(help="Another trial, by its number.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", show_default="runs/STUDY/best")
    ] = None,
    storage: options.Storage = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a trial's config.yaml and weights.pt, as kept by the search or trained again with the same seed."""
    if best and trial is not None:
        raise ConfigurationError(f"--best and --trial exclude each other, but got both (--trial {trial}).")
    set_up_logging(quiet=quiet, log_file=None)
    from tuner.exporting import export as export_trial

    show = _EpochLines(quiet=quiet)
    exported = export_trial(
        study,
        trial=trial,
        output=output,
        storage=storage,
        data_dir=data_dir,
        device=device,
        on_epoch=show,
        announce=lambda line: note(line, quiet=quiet),
    )
    if as_json:
        print_json(
            {
                "study": study,
                "trial": exported.trial,
                "task": exported.task,
                "config": str(exported.folder / "config.yaml"),
                "weights": str(exported.folder / "weights.pt"),
                "value": exported.value,
                "recorded_value": exported.recorded_value,
                "was_trained_again": exported.was_trained_again,
            }
        )
        return
    say(f"Wrote {exported.folder / 'config.yaml'} and {exported.folder / 'weights.pt'}")
    recorded, again = number(exported.recorded_value, 6), number(exported.value, 6)
    how = (
        f"trained again: {again}, recorded: {recorded}"
        if exported.was_trained_again
        else f"as recorded: {recorded}"
    )
    say(f"Trial {exported.trial}, {how}")
    next_commands(f"tuner train --config {exported.folder / 'config.yaml'} --task {exported.task}")


class _EpochLines:
    """One line an epoch on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, readings: "EpochReadings") -> None:
        note(
            f"epoch {readings.epoch:3}  train loss {number(readings.train_loss):>8}"
            f"  validation loss {number(readings.validation_loss):>8}"
            f"  accuracy {metric_value(readings.validation_accuracy, 'accuracy'):>7}"
            f"  {number(readings.seconds, 3)} s",
            quiet=self._quiet,
        )


def _command(start: str, task: str, flags: Sequence[str]) -> str:
    """With what the user's own command said."""
    shown = [] if task == "auto" else [f"--task {shlex.quote(task)}"]
    return " ".join(["tuner", start, *shown, *flags])


def _next(
    task: str, own: Sequence[str], tuned: Sequence[str], *, study: str | None, is_saved: bool
) -> Iterator[str]:
    """Look at what was recorded, or else keep the weights; then search. ``own`` and ``tuned`` are the flags."""
    if study is not None:
        yield f"tuner diagnose {study}"
    elif not is_saved:
        yield _command("train --save runs/mine", task, own) + "   (keeps config and weights)"
    yield _command("search --space quick", task, tuned)


def _flags(
    settings: Sequence[str] | None, *, epochs: int | None, seed: int | None, model: str | None
) -> list[str]:
    named = [
        f"--{name} {shlex.quote(str(value))}"
        for name, value in (("epochs", epochs), ("seed", seed), ("model", model))
        if value is not None
    ]
    return [*(f"--set {shlex.quote(setting)}" for setting in settings or ()), *named]


def _not_searched(settings: Sequence[str] | None) -> list[str]:
    """Those of the settings that leave the levers of the quick space free."""
    from search_spaces import preset

    searched = {name for lever in preset("quick").levers for name in (lever.name, lever.key)}
    return [each for each in settings or () if each.partition("=")[0].strip() not in searched]


def _probed(trained: "Training") -> str:
    """What was probed and what came of it, or why nothing was."""
    from studies.diagnosis.counterfactuals import CHANGES, Change
    from studies.records import Outcome

    answers = trained.telemetry.counterfactuals
    if not answers:
        return (
            "nothing, since the causes of its findings are not in doubt."
            if trained.outcome in {Outcome.COMPLETED, Outcome.STOPPED_EARLY}
            else f"nothing, since the training ended as {trained.outcome.value.replace('_', ' ')}, "
            f"which nothing can go on from."
        )
    first = answers[0]
    losses = [f"{number(each.loss_after, 3)} with {CHANGES[Change(each.change)]}" for each in answers]
    return (
        f"in {first.n_steps} more steps the train loss went from {number(first.loss_before, 3)} to "
        f"{number(first.unchanged_loss_after, 3)} as it was, to {', to '.join(losses)}; the causes are ranked by that."
    )


def _show(trained: "Training") -> None:
    say(f"  {trained.outcome.sentence} {trained.outcome.hint}", head=f"\n{trained.outcome.value}")
    best = metric_value(trained.value, trained.metric)
    say(f"{best} {trained.metric} in epoch {trained.best_epoch}", head="Best  ")
    last = trained.telemetry.epochs[-1]
    if last.layers:
        rows = [
            (layer.name, number(layer.gradient_norm), number(layer.update_ratio), number(layer.dead_fraction))
            for layer in last.layers
        ]
        table(
            ("layer", "gradient norm", "update ratio", "dead units"),
            rows,
            right=("gradient norm", "update ratio", "dead units"),
        )
    show_findings(trained.findings, missing=trained.not_judged, is_one_training=True)
