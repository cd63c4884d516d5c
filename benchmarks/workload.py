"""What a benchmark has everyone search: the network, the levers, how much of it, and how much arithmetic that is."""

import itertools
from dataclasses import dataclass
from pathlib import Path

SPACES = Path(__file__).parent / "spaces"
MOMENTUM = 0.9
LEARNING_RATES = {"sgd": (1e-3, 1.0), "adam": (1e-5, 1e-1)}
WEIGHT_DECAYS = (1e-6, 1e-2)
DROPOUTS = (0.0, 0.5)
"""The same as in spaces/; learning rates and decays on a log scale."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A search over learning rate, weight decay and dropout of one fully connected ReLU network."""

    batch_size: int = 128
    depth: int = 1
    """Hidden layers."""
    width: int = 128
    optimizer: str = "sgd"
    n_trials: int = 64
    n_epochs: int = 5

    def __post_init__(self) -> None:
        if self.optimizer not in LEARNING_RATES:
            raise ValueError(f"optimizer must be one of {[*LEARNING_RATES]}, but got {self.optimizer!r}.")
        counts = (self.batch_size, self.depth, self.width, self.n_trials, self.n_epochs)
        if min(counts) < 1:
            raise ValueError(f"All counts of a workload must be at least 1, but got {counts}.")

    @property
    def name(self) -> str:
        return f"{self.depth} x {self.width}, {self.optimizer}, batch {self.batch_size}"

    @property
    def learning_rates(self) -> tuple[float, float]:
        """The lowest and the highest, searched on a log scale."""
        return LEARNING_RATES[self.optimizer]

    @property
    def space(self) -> Path:
        """The same levers as a space of ours."""
        return SPACES / f"{self.optimizer}_levers.yaml"

    def layers(self, *, n_inputs: int, n_outputs: int) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        sizes = [n_inputs, *[self.width] * self.depth, n_outputs]
        return list(itertools.pairwise(sizes))

    def epoch_flops(self, *, n_inputs: int, n_outputs: int, n_train: int, n_validation: int) -> int:
        """Of one trial's epoch with its validation: two for each multiplication with its addition.

        A product each for the output, the weights' gradient and, but for the first layer, the input's gradient; one for
        the output in validation. Nothing else counts: no bias, no update, no pass over the untrained network.
        """
        layers = self.layers(n_inputs=n_inputs, n_outputs=n_outputs)
        n_weights = sum(n_in * n_out for n_in, n_out in layers)
        n_first = layers[0][0] * layers[0][1]
        return 2 * n_train * (3 * n_weights - n_first) + 2 * n_validation * n_weights

    @property
    def n_trial_epochs(self) -> int:
        return self.n_trials * self.n_epochs
