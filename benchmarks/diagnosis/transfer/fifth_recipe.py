"""What a training of the fifth transfer set is written down as."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal[
    "patients", "records", "graphs", "pulses", "maps", "strings", "surveys", "forms", "parcels", "spectra"
]
NetworkName = Literal[
    "dropout", "highway", "messages", "residual", "layered", "lstm", "wide_and_deep", "vision", "attentive"
]
LoopName = Literal["plain", "accumulating", "telling", "resampled", "grouped"]
"""How the loop is written: gradients cleared at the end of a step, validation given to the watch; two minibatches to a
step; the loop evaluates and tells the watch; samples drawn with replacement; or no weight decay for biases and norms,
in a parameter group of their own."""


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
    batch_size: int = 50
    epochs: int = 12
    schedule: Literal["constant", "cosine", "linear", "drops", "one_cycle", "exponential"] = "cosine"
    """Stepped after every update; see `loop_parts.share_of_rate`."""
    warmup_fraction: float = 0.0
    decay: float = 1.0
    """The rate is multiplied by it after every epoch, besides the schedule."""
    clip_norm: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    width: int = 32
    depth: int = 2
    activation: Literal["relu", "gelu", "silu", "tanh", "sigmoid"] = "gelu"
    n_train: int | None = None
    fault: str = ""
    """A key of `fifth_data.DATA_FAULTS`, or of the network's or the loop's."""
    strength: float = 1.0
    """Of the fault, in its own unit."""

    @property
    def family(self) -> str:
        """The name of its healthy twin."""
        return f"{self.task}, {self.network}"
