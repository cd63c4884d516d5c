"""What a training of the third transfer set is written down as."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["intervals", "clusters", "symbols", "shapes", "sizes", "moons", "bags"]
NetworkName = Literal["perceptron", "residual", "lstm", "dilated", "grouped", "pooled"]
LoopName = Literal["plain", "manual", "per_epoch", "telling"]
"""How the loop is written: a DataLoader, validation given to the watch, and a schedule stepped after every update; rows
picked by a permutation instead; a schedule stepped after every epoch; or the loop evaluates and tells the watch."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training: all that a person would have written down, and the fault that was planted in it."""

    task: TaskName
    network: NetworkName
    loop: LoopName = "plain"
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = "adamw"
    learning_rate: float = 3e-3
    momentum: float = 0.9
    """Of sgd alone."""
    weight_decay: float = 0.01
    batch_size: int = 64
    epochs: int = 12
    schedule: Literal["constant", "cosine", "linear", "exponential"] = "cosine"
    """``exponential``: a hundredth at the end."""
    warmup_fraction: float = 0.0
    decay: float = 1.0
    """The rate is multiplied by it after every epoch, besides the schedule."""
    clip_norm: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    width: int = 48
    depth: int = 2
    activation: Literal["relu", "silu", "elu", "tanh", "sigmoid"] = "silu"
    n_train: int | None = None
    fault: str = ""
    """A key of `third_data.DATA_FAULTS`, or of the network's or the loop's."""
    strength: float = 1.0
    """Of the fault, in its own unit."""

    @property
    def family(self) -> str:
        """The name of its healthy twin."""
        return f"{self.task}, {self.network}"
