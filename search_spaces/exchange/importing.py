"""Spaces from files of other tools, and in their forms: what a file is, is told by what is in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.errors import ConfigurationError, unknown_name
from search_spaces.exchange.config_names import ConfigKey, catalog_keys
from search_spaces.exchange.imported import Choices, Exported, Imported, Remarks, Settings, Source
from search_spaces.exchange.optuna_json import read_distributions, write_distributions
from search_spaces.exchange.wandb.document import read_document
from search_spaces.exchange.wandb.sweep import TOP_KEYS, read_sweep
from search_spaces.exchange.wandb.writing import write_sweep
from search_spaces.files import parse_json, parse_yaml, read_space, read_text, space_text
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Space
from search_spaces.yaml_dialects import Yaml12Loader

FORMS = ("space", "wandb", "optuna", "optuna-short")
"""What a space can be written as."""


def import_space(
    name_or_path: str | Path,
    *,
    keys: Mapping[str, ConfigKey] | None = None,
    choices: Choices | None = None,
) -> Imported:
    """The space of a preset's name, our own YAML, a W&B sweep or Optuna's JSON distributions.

    Args:
        name_or_path: a preset, or a file; its suffix plays no part.
        keys: the config keys that a training reads; those of the catalog unless said otherwise.
        choices: what the user decided where a file leaves room.

    Raises:
        ConfigurationError: for a file of no known kind, or with all its faults.
    """
    if isinstance(name_or_path, str) and name_or_path in PRESETS:
        return Imported(source=Source.SPACE, space=preset(name_or_path))
    path = Path(name_or_path)
    if not path.is_file():
        raise unknown_name("A space to import", str(name_or_path), [*PRESETS, "a file that exists"])
    text, title = read_text(path), str(path)
    keys, choices, remarks = keys or catalog_keys(), choices or Choices(), Remarks()
    source = source_of(_parsed(text, title), title)
    if source is Source.SPACE:
        return Imported(source=source, space=read_space(text, title=title, default_name=path.stem))
    if source is Source.OPTUNA:
        data = _parsed(text, title)
        return read_distributions(data, keys, choices, remarks, title=title, default_name=path.stem)
    data = read_document(text, remarks, title=title)
    return read_sweep(data, keys, choices, remarks, title=title, default_name=path.stem)


def export_space(space: Space, form: str, settings: Settings | None = None) -> Exported:
    """The space in one of ``FORMS``, as data and text, with what is lost.

    Raises:
        ConfigurationError: for another form, or names that it does not take.
    """
    match form:
        case "space":
            return Exported(data=space.to_json(), text=space_text(space))
        case "wandb":
            return write_sweep(space, settings or Settings())
        case "optuna" | "optuna-short":
            return write_distributions(space, short=form == "optuna-short")
    raise unknown_name("The form to write", form, FORMS)


def source_of(data: object, title: str) -> Source:
    """What kind of file holds this data.

    Raises:
        ConfigurationError: if it is none of them.
    """
    if isinstance(data, Mapping) and data:
        if all(_looks_like_optuna(value) for value in data.values()):
            return Source.OPTUNA
        if "levers" in data:
            return Source.SPACE
        if {"parameters", "method", "metric", "early_terminate"} & {*data}:
            return Source.WANDB
        if any(_looks_like_optuna(value) for value in data.values()):
            return Source.OPTUNA  # with faults, which its reading tells
    got = f"the keys {', '.join(map(str, data))}" if isinstance(data, Mapping) and data else f"{data!r:.80}"
    raise ConfigurationError(
        f"A file to import must be a W&B sweep ({', '.join(TOP_KEYS[:3])}, ...), Optuna's JSON distributions "
        f"(name: {{name, attributes}} or {{type, ...}}) or a space of ours (levers), but {title} has {got}."
    )


def _looks_like_optuna(value: object) -> bool:
    """Whether it is a distribution of either form, perhaps with faults."""
    if not isinstance(value, Mapping):
        return False
    return isinstance(value.get("type"), str) or isinstance(value.get("attributes"), Mapping)


def _parsed(text: str, title: str) -> Any:
    data = parse_json(text, title=title)
    return parse_yaml(text, Yaml12Loader, title=title) if data is None else data
