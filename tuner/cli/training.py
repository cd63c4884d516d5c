"""``tuner train`` and ``tuner export``: one config, and the weights that come of it."""

import sys
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
    set_up_logging,
    show_findings,
    table,
)

if TYPE_CHECKING:
    from studies.readings import EpochReadings

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
        _show(trained, save=save, study=study)
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


def _show(trained: Any, *, save: Path | None, study: str | None) -> None:
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
    show_findings(trained.findings, missing=trained.not_judged)
    commands = ["tuner search --space quick"]
    if study is not None:
        commands.insert(0, f"tuner diagnose {study}")
    elif save is None:
        commands.insert(0, "tuner train --save runs/mine   (keeps config and weights)")
    next_commands(*commands)
