"""The options that several commands share, and how their texts are read."""

from pathlib import Path
from typing import Annotated, Any

import typer

from search_spaces.errors import ConfigurationError
from tuner.cli.output import remember_storage

Storage = Annotated[
    str | None,
    typer.Option(
        envvar="TUNER_STORAGE",
        help="Database URL.",
        show_default="sqlite:///runs/tuner.db",
        callback=remember_storage,
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(envvar="TUNER_DATA", help="Where the data lies.", show_default="user cache")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the answer.")]
LogFile = Annotated[Path | None, typer.Option(help="Also write a log with tracebacks here.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fix a config key; may be repeated.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes on this machine.", show_default="one a core")
]
Lanes = Annotated[
    int | None,
    typer.Option(
        min=1, help="Trials that each worker trains together.", show_default="as a short probe finds"
    ),
]
Timeout = Annotated[
    float | None, typer.Option(help="Seconds after which no training goes on.", show_default="none")
]
Grace = Annotated[float, typer.Option(help="Seconds of silence after which a worker counts as dead.")]
StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="As `tuner list` shows it.")]
Model = Annotated[str | None, typer.Option(help="mlp, cnn or module:function.", show_default="mlp")]


def fixed_keys(settings: list[str] | None, model: str | None = None) -> dict[str, Any]:
    """``--set`` as a mapping of texts; the config reads them by type.

    Raises:
        ConfigurationError: for what is not KEY=VALUE, and for a key that is set twice; all at once.
    """
    faults, fixed = [], {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            faults.append(f"--set must be KEY=VALUE, but got {setting!r}.")
        elif key.strip() in fixed:
            faults.append(f"--set may name a key once, but got {key.strip()} twice.")
        fixed[key.strip()] = value.strip()
    if model is not None:
        if "model" in fixed and fixed["model"] != model:
            faults.append(f"--model and --set model= must agree, but got {model!r} and {fixed['model']!r}.")
        fixed["model"] = model
    if faults:
        raise ConfigurationError(" ".join(faults))
    return fixed


def read_config_file(path: Path) -> dict[str, Any]:
    """A flat YAML or JSON file of config keys.

    Raises:
        ConfigurationError: when it cannot be read or is not flat.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} could not be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"{path} must be YAML or JSON, but: {reason}.") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} must hold `key: value` lines, but got {type(values).__name__}.")
    return values
