"""``tuner import-space``: spaces from W&B sweeps and Optuna's JSON, and in their forms."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search_spaces.errors import ConfigurationError
from tuner.cli import options
from tuner.cli.output import next_commands, note, print_json, say

if TYPE_CHECKING:
    from search_spaces.exchange.imported import Exported, Imported


def add_to(app: typer.Typer) -> None:
    app.command("import-space")(import_space)


def import_space(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="A W&B sweep, Optuna's JSON distributions, a space of ours or a preset."
        ),
    ] = None,
    to: Annotated[str, typer.Option(help="space, wandb, optuna, optuna-short.")] = "space",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it there.", show_default="stdout")
    ] = None,
    keep_names: Annotated[
        bool, typer.Option("--keep-names", help="Do not make `lr` learning_rate, nor `Adam` adam.")
    ] = False,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Take the range of normal and beta distributions, evenly.")
    ] = False,
    log_uniform_as: Annotated[
        str | None,
        typer.Option(
            help="exponents or values: what the bounds of log_uniform are.",
            show_default="exponents, unless they look like values",
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of space files, for editors.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a space of another tool's file, or write one as theirs. What cannot be carried over is named."""
    from search_spaces.exchange import importing
    from search_spaces.exchange.imported import Choices
    from search_spaces.schema import schema_text
    from tuner.training.config_keys import config_keys

    if schema:
        sys.stdout.write(schema_text())
        return
    if file is None:
        raise ConfigurationError("import-space must have a FILE, a preset's name or --schema, but got none.")
    if output is not None and output.resolve() == Path(file).resolve():
        raise ConfigurationError(f"--output must be another file than the one to read, but got {output}.")
    choices = Choices(rename=not keep_names, truncate=truncate, log_uniform_as=log_uniform_as)
    imported = importing.import_space(file, keys=config_keys(), choices=choices)
    exported = importing.export_space(imported.space, to, imported.settings)
    warnings = [*imported.warnings, *_of_training(imported, to), *exported.warnings]
    _remark(imported, warnings, quiet=quiet)
    if output is not None:
        _write(imported, exported, to, output)
    if as_json:
        written = None if output is None else str(output)
        said = {
            **imported.to_json(),
            "warnings": warnings,
            "to": to,
            "data": exported.data,
            "written": written,
        }
        print_json(said)
    elif output is None:
        sys.stdout.write(exported.text)
        if imported.settings.options():
            note(f"settings of the search: {imported.settings.options()}", quiet=quiet)
    else:
        _show(imported, to, output)


def _of_training(imported: "Imported", to: str) -> list[str]:
    """What a search here would refuse of the space; of no interest to another tool."""
    from tuner.training.config_keys import refused_values, unread_keys

    if to != "space":
        return []
    unread = unread_keys(imported.space)
    told = (
        f"{', '.join(unread)}: no training here reads that, and `tuner search` refuses it; rename it to a config key "
        "(`tuner levers`), take it out, or let your own loop ask the space (Space.suggest)"
    )
    refused = [
        f"a training here refuses a value of the space: {fault}" for fault in refused_values(imported.space)
    ]
    return [*([told] if unread else ()), *refused]


def _remark(imported: "Imported", warnings: list[str], *, quiet: bool) -> None:
    for kind, sentences in (
        ("note", imported.notes),
        ("not carried over", imported.not_carried),
        ("warning", warnings),
    ):
        for sentence in sentences:
            note(f"{kind}: {sentence}", quiet=quiet)


def _write(imported: "Imported", exported: "Exported", to: str, output: Path) -> None:
    from search_spaces.files import save_space, write_text

    if to == "space":
        save_space(imported.space, output)
    else:
        write_text(exported.text, output)


def _show(imported: "Imported", to: str, output: Path) -> None:
    import shlex

    from tuner.training.config_keys import unread_keys

    space = imported.space
    say(f"  {len(space)} levers: {', '.join(space.names)}", head=str(output))
    if space.fixed:
        say(f"  fixed: {', '.join(f'{key}={value}' for key, value in space.fixed.items())}")
    path = shlex.quote(str(output))
    if to == "space" and not unread_keys(space):
        next_commands(f"tuner search --space {path} {imported.settings.options()}".rstrip())
    elif to == "wandb":
        next_commands(f"wandb sweep {path}")
    else:
        next_commands("tuner levers")
