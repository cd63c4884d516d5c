"""``tuner levers`` and ``tuner spaces``: what can be tuned, and the spaces ready made."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search_spaces.errors import ConfigurationError
from tuner.cli import options
from tuner.cli.output import next_commands, print_json, say, table

if TYPE_CHECKING:
    from search_spaces.lever import Lever
    from search_spaces.space import Space

# Widths of columns, in characters: the tables fit into 100.
_RANGE_WIDTH, _WHERE_WIDTH, _NAMES_WIDTH = 28, 30, 58
_MANY_POINTS = 1_000_000
# Settings without which a lever changes nothing: plain SGD, and a batch that is base_batch_size.
_COMPANIONS = {"nesterov": {"momentum": "0.9"}, "batch_lr_rule": {"batch_size": "512"}}


def add_to(app: typer.Typer) -> None:
    app.command()(levers)
    app.command()(spaces)


def levers(
    name: Annotated[str | None, typer.Argument(help="One lever: its story.")] = None,
    as_json: options.Json = False,
) -> None:
    """The levers we know: their ranges, defaults and reasons."""
    from search_spaces.catalog import LEVERS, lever

    if name is None:
        if as_json:
            print_json([_lever_json(found) for found in LEVERS])
        else:
            _show_catalog(LEVERS)
        return
    try:
        found = lever(name)
    except ConfigurationError:
        if not _show_plain_key(name, as_json=as_json):
            raise
        return
    if as_json:
        print_json(_lever_json(found))
    else:
        _show_lever(found)


def spaces(
    name: Annotated[
        str | None, typer.Argument(help="One of them, or a YAML file: shown as YAML to save and edit.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """The spaces ready made, for ``--space``."""
    from search_spaces.files import load_space, space_text
    from search_spaces.presets import PRESETS

    if name is not None:
        found = load_space(name)
        if as_json:
            print_json(_space_json(found))
            return
        sys.stdout.write(f"# To change it: tuner spaces {name} > mine.yaml, edit mine.yaml, then\n")
        sys.stdout.write("# tuner search --space mine.yaml\n")
        sys.stdout.write(space_text(found))
        return
    if as_json:
        print_json([_space_json(space) for space in PRESETS.values()])
        return
    rows = [
        (space.name, _listed([known.key for known in space], _NAMES_WIDTH), _count(space.n_grid_points()))
        for space in PRESETS.values()
    ]
    table(("space", "levers", "grid points"), rows, right=("grid points",))
    next_commands(
        "tuner spaces dropout",
        "tuner spaces dropout > mine.yaml",
        "tuner search --space quick",
        "tuner levers",
    )


def _show_catalog(known: "Sequence[Lever]") -> None:
    from search_spaces.lever import Family

    for family in Family:
        say(head=f"\n{family.value}")
        rows = [
            (lever.name, _range(lever), _usual(lever), _default(lever), _where(lever, _WHERE_WIDTH))
            for lever in known
            if lever.family is family
        ]
        table(("lever", "range", "usual", "default", "only where"), rows)
    next_commands("tuner levers learning_rate", "tuner spaces")


def _show_lever(lever: "Lever") -> None:
    from search_spaces.lever import Scale

    say(f"  {lever.family.value}", head=lever.name)
    say(f"  {lever.reason}")
    lines = [("range", lever.range_text + (", on a log scale" if _is_log(lever) else ""))]
    if lever.scale is Scale.ONE_MINUS:
        lines.append(("scale", f"searched as {lever.name} = 1 - {lever.key}: {_range(lever)}"))
    lines += [
        ("usual", lever.anchor_text or "all of it"),
        ("default", "worked out by the training" if lever.default is None else str(lever.default)),
        ("only where", _where(lever) or "everywhere"),
        ("structural", "yes: trials that train together must agree on it" if lever.structural else "no"),
        ("source", lever.source),
        ("presets", ", ".join(_presets_with(lever)) or "none; write a space of your own with it"),
    ]
    for head, text in lines:
        say(f"  {head:10}  {text}")
    presets = _presets_with(lever)
    own = f"mine.yaml   (one of yours, with `{lever.name}:` under `levers:`)"
    next_commands(f"tuner train {_settings(lever)}", f"tuner search --space {presets[0] if presets else own}")


def _show_plain_key(name: str, *, as_json: bool) -> bool:
    """Say of a config key that is no lever what it is; False for any other word."""
    from tuner.training.config import TrainingConfig

    defaults = TrainingConfig().to_mapping()
    if name not in defaults:
        return False
    if as_json:
        print_json({"key": name, "default": defaults[name], "is_lever": False})
    else:
        shown = "worked out by the training" if defaults[name] in (None, []) else defaults[name]
        say(
            f" is no lever: it is set, with --set {name}=..., and not searched (default: {shown}).", head=name
        )
    return True


def _lever_json(lever: "Lever") -> dict[str, Any]:
    from search_spaces.catalog import CONDITIONS

    condition = CONDITIONS.get(lever.name)
    when = None if condition is None else {condition.key: list(condition.values)}
    return {**lever.to_json(), "when": when, "presets": _presets_with(lever)}


def _space_json(space: "Space") -> dict[str, Any]:
    return {**space.to_json(), "n_grid_points": space.n_grid_points()}


def _presets_with(lever: "Lever") -> list[str]:
    from search_spaces.presets import PRESETS

    return [space.name for space in PRESETS.values() if lever.name in space]


def _range(lever: "Lever") -> str:
    """The range in the lever's own scale, short."""
    from search_spaces.lever import choices_of

    if choices := choices_of(lever.distribution):
        return _listed([_said(choice) for choice in choices], _RANGE_WIDTH)
    low, high = lever.grid(2)
    return f"{low:g}..{high:g}{' log' if _is_log(lever) else ''}"


def _usual(lever: "Lever") -> str:
    """The anchor in the lever's own scale, short."""
    from search_spaces.lever import choices_of

    is_range = not choices_of(lever.distribution)
    ends = [_said(value) for value in lever.anchor]
    return "..".join(ends) if is_range else _listed(ends, _RANGE_WIDTH)


def _settings(lever: "Lever") -> str:
    """The lever somewhere in the middle, where it means something, as ``--set``."""
    from search_spaces.catalog import CONDITIONS

    points = lever.grid(3)
    settings = {lever.key: _said(lever.to_config(points[len(points) // 2]))}
    if (condition := CONDITIONS.get(lever.name)) is not None:
        settings = {condition.key: _said(condition.values[0]), **settings}
    settings |= _COMPANIONS.get(lever.name, {})
    return " ".join(f"--set {key}={value}" for key, value in settings.items())


def _default(lever: "Lever") -> str:
    """The default in the lever's own scale."""
    if lever.default is None:
        return "-"
    is_choice = isinstance(lever.default, str)
    return _said(lever.default if is_choice else lever.from_config(lever.default))


def _where(lever: "Lever", width: int | None = None) -> str:
    from search_spaces.catalog import CONDITIONS

    condition = CONDITIONS.get(lever.name)
    if condition is None:
        return ""
    if width is None:
        return condition.text
    values = [_said(value) for value in condition.values]
    return f"{condition.key} {_listed(values, width - len(condition.key) - 1)}"


def _is_log(lever: "Lever") -> bool:
    return bool(getattr(lever.distribution, "log", False))


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(words: Sequence[str], width: int) -> str:
    """``words`` in a row; of too many the first, and how many there are."""
    text = " ".join(words)
    if len(text) <= width:
        return text
    count = f" … ({len(words)})"
    kept = list(words)
    while len(" ".join(kept)) + len(count) > width:
        kept.pop()
    return " ".join(kept) + count


def _count(n: int) -> str:
    return f"{n:,}" if n < _MANY_POINTS else f"{n:.1e}"
