"""Every single-lever change that repairs are measured against: what a person may try who has no diagnosis."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One lever of a config, changed."""

    name: str
    lever: str
    of: Callable[[Config], Any]
    """The lever's new value."""

    def applied(self, config: Config) -> dict[str, Any]:
        return {**config, self.lever: self.of(config)}


def _times(lever: str, factor: float) -> Change:
    return Change(name=f"{lever} x{factor:g}", lever=lever, of=lambda config: config[lever] * factor)


def _set(lever: str, value: Any) -> Change:
    return Change(name=f"{lever}={value}", lever=lever, of=lambda _config: value)


def _batch_times(factor: float) -> Change:
    def changed(config: Config) -> int:
        size = config["batch_size"]
        return max(round((3000 if size == "full" else size) * factor), 1)

    return Change(name=f"batch_size x{factor:g}", lever="batch_size", of=changed)


def _momentum(value: float) -> Change:
    """Of optimizers that have one."""

    def changed(config: Config) -> float:
        return value if config["optimizer"] in {"sgd", "rmsprop"} else float(config["momentum"])

    return Change(name=f"momentum={value}", lever="momentum", of=changed)


def _depth(value: int) -> Change:
    """Of a multilayer perceptron: the convolutional network has its own."""

    def changed(config: Config) -> int:
        return value if config["model"] == "mlp" else int(config["depth"])

    return Change(name=f"depth={value}", lever="depth", of=changed)


RATE_DOWN, RATE_UP = _times("learning_rate", 0.1), _times("learning_rate", 10)
CHANGES: tuple[Change, ...] = (
    RATE_DOWN,
    _times("learning_rate", 0.3),
    _times("learning_rate", 3),
    RATE_UP,
    _set("optimizer", "adamw"),
    _momentum(0.9),
    _momentum(0.0),
    _batch_times(0.25),
    _batch_times(4),
    Change(name="epochs x3", lever="epochs", of=lambda config: config["epochs"] * 3),
    _set("weight_decay", 0.0),
    _set("weight_decay", 1e-3),
    _set("dropout", 0.0),
    _set("dropout", 0.3),
    _set("augmentation", 0.0),
    _set("augmentation", 0.5),
    _set("label_smoothing", 0.1),
    _set("clip_norm", 0.0),
    _set("clip_norm", 1.0),
    _set("schedule", "constant"),
    _set("schedule", "cosine"),
    _set("warmup_fraction", 0.0),
    _set("warmup_fraction", 0.1),
    Change(name="width x4", lever="width", of=lambda config: config["width"] * 4),
    _depth(2),
    _set("activation", "relu"),
    _set("activation", "leaky_relu"),
    _set("normalization", "batch"),
    _set("initialization", "he"),
    _set("input_scaling", "standardize"),
    _set("class_weights", "balanced"),
    _set("split", "stratified"),
)
"""One or two of every lever: the random baseline draws among those that change what a config trains."""


def changes_of(config: Config) -> list[Change]:
    """Those that make another training of this one; ``config`` is whole."""
    return [change for change in CHANGES if change.applied(config) != dict(config)]
