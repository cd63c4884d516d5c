"""What a training of the second transfer set is written down as."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["waves", "board", "words", "ranges", "digits"]
NetworkName = Literal["gru", "convolution", "perceptron", "normalized", "attention", "mixer"]
LoopName = Literal["plain", "late_zero", "accumulating", "train_only", "telling"]
"""How the loop is written: zero_grad first of all, or after the step; two minibatches to a step; no validation at all;
or the loop evaluates by itself and tells the watch its figures."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training: all that a person would have written down, and the fault that was planted in it."""

    task: TaskName
    network: NetworkName
    loop: LoopName = "plain"
    optimizer: Literal["sgd", "nesterov", "adam", "adamw", "rmsprop"] = "adamw"
    learning_rate: float = 2e-3
    momentum: float = 0.9
    """Of sgd and nesterov alone."""
    weight_decay: float = 0.01
    batch_size: int = 64
    epochs: int = 12
    schedule: Literal["constant", "cosine", "one_cycle", "drops", "linear"] = "cosine"
    """Stepped after every update. ``drops``: a tenth after 60% of the training and again after 85%."""
    warmup_fraction: float = 0.0
    decay: float = 1.0
    """The rate is multiplied by it after every epoch, besides the schedule."""
    clip_norm: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    width: int = 64
    depth: int = 2
    activation: Literal["relu", "gelu", "silu", "tanh", "sigmoid"] = "gelu"
    n_train: int | None = None
    fault: str = ""
    """A key of `second_data.DATA_FAULTS`, or of the network's or the loop's."""
    strength: float = 1.0
    """Of the fault, in its own unit."""

    @property
    def family(self) -> str:
        """The name of its healthy twin."""
        return f"{self.task}, {self.network}"
