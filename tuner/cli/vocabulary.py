"""``tuner levers`` and ``tuner spaces``: what can be tuned, and the spaces ready made."""

from typing import Annotated

import typer

from tuner.cli import options
from tuner.cli.output import next_commands, print_json, say, table


def add_to(app: typer.Typer) -> None:
    app.command()(levers)
    app.command()(spaces)


def levers(
    name: Annotated[str | None, typer.Argument(help="One lever: its story.")] = None,
    as_json: options.Json = False,
) -> None:
    """The levers we know: their ranges, defaults and reasons."""
    from search_spaces.catalog import LEVERS, lever

    if name is not None:
        found = lever(name)
        if as_json:
            print_json(found.to_json())
            return
        say(f"  {found.family.value}{', structural' if found.structural else ''}", head=found.name)
        say(f"  {found.reason}")
        say(f"  range    {found.range_text}")
        say(f"  default  {found.default}")
        say(f"  source   {found.source}")
        next_commands(f"tuner search --set {found.key}=...   (fixes it)", "tuner spaces")
        return
    if as_json:
        print_json([found.to_json() for found in LEVERS])
        return
    rows = [
        (found.name, found.family.value, found.range_text, found.default, found.reason) for found in LEVERS
    ]
    table(("lever", "family", "range", "default", "why"), rows)
    next_commands("tuner levers learning_rate", "tuner spaces")


def spaces(as_json: options.Json = False) -> None:
    """The spaces ready made, for ``--space``."""
    from search_spaces.presets import PRESETS

    if as_json:
        print_json([space.to_json() for space in PRESETS.values()])
        return
    rows = [(space.name, len(space), ", ".join(space.names), space.description) for space in PRESETS.values()]
    table(("space", "levers", "names", "for"), rows, right=("levers",))
    next_commands("tuner search --space quick", "tuner levers")
