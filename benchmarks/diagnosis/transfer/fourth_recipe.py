"""What a training of the fourth transfer set is written down as."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["sweeps", "gratings", "topics", "gates", "shells", "relations", "walks", "remainders"]
NetworkName = Literal[
    "strided", "separable", "embedding", "gated", "normalized", "paired", "recurrent", "transformer", "dense"
]
LoopName = Literal["plain", "accumulating", "telling", "by_steps"]
"""How the loop is written: a DataLoader, gradients cleared after the forward pass, validation given to the watch; two
minibatches to a step; the loop evaluates and tells the watch; or steps counted over an endless stream of minibatches,
with a look at validation every so many."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training: all that a person would have written down, and the fault that was planted in it."""

    task: TaskName
    network: NetworkName
    loop: LoopName = "plain"
    optimizer: Literal["sgd", "nesterov", "adam", "adamw", "nadam", "rmsprop"] = "adamw"
    learning_rate: float = 3e-3
    momentum: float = 0.9
    """Of sgd and nesterov alone."""
    weight_decay: float = 0.01
    batch_size: int = 64
    epochs: int = 12
    schedule: Literal["constant", "cosine", "linear", "drops", "one_cycle"] = "cosine"
    """Stepped after every update; see `loop_parts.share_of_rate`."""
    warmup_fraction: float = 0.0
    decay: float = 1.0
    """The rate is multiplied by it after every epoch, besides the schedule."""
    clip_norm: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    width: int = 32
    depth: int = 2
    activation: Literal["relu", "gelu", "tanh", "sigmoid", "mish"] = "gelu"
    n_train: int | None = None
    fault: str = ""
    """A key of `fourth_data.DATA_FAULTS`, or of the network's or the loop's."""
    strength: float = 1.0
    """Of the fault, in its own unit."""

    @property
    def family(self) -> str:
        """The name of its healthy twin."""
        return f"{self.task}, {self.network}"
