"""What a training of the first transfer set is written down as."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["digits", "table", "spirals"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training: all that a person would have written down, and the fault that was planted in it."""

    task: TaskName
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 0.01
    batch_size: int = 64
    epochs: int = 15
    schedule: Literal["constant", "cosine", "one_cycle", "tenth_every_epoch"] = "cosine"
    clip_norm: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    width: int = 64
    n_blocks: int = 2
    n_train: int | None = None
    fault: str = ""
    """A key of `first_training.DATA_FAULTS`, or of the loop's and the network's there."""

    @property
    def family(self) -> str:
        """The name of its healthy twin."""
        return self.task
