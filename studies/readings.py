"""What is measured within a training: the readings of each cadence, the probes, and all of one trial together.

Plain data. The tuner's probes fill these; storage keeps them; diagnosis and reports only ever read them.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

NAN = float("nan")
PROBE_SAMPLES = 512
"""Training samples whose loss and accuracy are read in eval mode at the end of an epoch, where there are so many."""
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LayerReadings:
    """One layer's readings in one epoch. A layer is a module with weights, named as in ``named_modules``."""

    name: str
    gradient_norm: float = NAN
    """L2 norm of the layer's gradient (weight and bias), median over the epoch's probed steps."""
    update_ratio: float = NAN
    """‖Δw‖ / ‖w‖ of one optimizer step on the layer's weight, median over the epoch's probed steps."""
    dead_fraction: float = NAN
    """Share of the units of the ReLU-like activation after this layer whose maximum on the probe batch is <= 0.
    NaN where no such activation follows."""
    saturated_fraction: float = NAN
    """Share of sigmoid or tanh units within 1% of a bound on more than 90% of the probe batch; NaN elsewhere."""
    weight_norm: float = NAN
    """‖w‖ of the layer's weights at the end of the epoch."""


@dataclass(frozen=True, kw_only=True)
class EpochReadings:
    """The epoch cadence: one row an epoch. Epoch 0 is the untrained network, read in eval mode."""

    epoch: int
    train_loss: float
    train_accuracy: float = NAN
    validation_loss: float = NAN
    validation_accuracy: float = NAN
    calibration_error: float = NAN
    """Expected calibration error on the validation split: 15 equal-width bins, top-1 confidence, a fraction."""
    confidence: float = NAN
    """Mean probability of the answers given on the validation split; above the accuracy is overconfident."""
    confident_error_rate: float = NAN
    """Share of the validation samples whose answer is wrong with a probability above 0.9."""
    class_accuracy: tuple[float, ...] = ()
    """On the validation split, by class; NaN for a class without samples, empty for regression."""
    probe_loss: float = NAN
    """Plain loss on the probe batch: a few hundred training samples as they are, not augmented, in eval mode."""
    probe_accuracy: float = NAN
    train_mode_probe_accuracy: float = NAN
    """The same with units dropped out, as in training. Read only of a loop that evaluates so, and not where batch
    statistics make a difference too: they depend on the minibatches that the loop evaluates."""
    copy_inflation: float = NAN
    """Of the validation accuracy, by the copies of training samples in the split: their share times what they are
    answered better than the rest. Read only where there are copies, moved ones too."""
    copy_inflation_error: float = NAN
    """Standard error."""
    telling_inflation: float = NAN
    """Of the validation accuracy, by features that tell the class: what it loses when each sample has those of another.
    Read only where there are such features."""
    telling_inflation_error: float = NAN
    learning_rate: float = NAN
    """As used by the epoch's last optimizer step."""
    gradient_norm: float = NAN
    """Global L2 norm before clipping, mean over the epoch's optimizer steps."""
    clip_fraction: float = NAN
    """Share of the epoch's optimizer steps whose gradient was clipped; NaN when clipping is off."""
    dead_fraction: float = NAN
    """The worst layer's ``dead_fraction``."""
    seconds: float = NAN
    """Wall time of the epoch: training, probes and evaluation."""
    samples_per_second: float = NAN
    """Training samples over the wall time of training alone."""
    layers: tuple[LayerReadings, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepReadings:
    """The step cadence of one epoch: arrays of one entry an optimizer step."""

    epoch: int
    train_loss: FloatArray
    learning_rate: FloatArray
    gradient_norm: FloatArray
    clipped: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, f.name)) for f in fields(self) if f.name != "epoch"}
        if len(lengths) != 1:
            raise ValueError(f"All step arrays must have one length, but got {sorted(lengths)}.")

    def __len__(self) -> int:
        return len(self.train_loss)


@dataclass(frozen=True, kw_only=True)
class LayerProbe:
    """One layer of the untrained network on one batch."""

    name: str
    gradient_norm: float = NAN
    weight_norm: float = NAN
    weight_gain: float = NAN
    """Deviation of the weights times the root of their fan-in: 1 keeps the variance in a linear layer, 1.41 in ReLU."""
    output_std: float = NAN
    dead_fraction: float = NAN
    saturated_fraction: float = NAN
    twin_fraction: float = NAN
    """Share of the units whose incoming weights are those of another unit: they get the same gradients for ever."""
    is_trainable: bool = True
    """False where no parameter of the layer can change: none requires a gradient, or none is in the optimizer."""
    spectral_ratio: float = NAN
    """Of a layer that is not trainable: its largest singular value over that of a random matrix of its shape and
    deviation. About 1 is a fresh initialization, well above 1 was trained before (Marchenko-Pastur)."""
    initialization_distance: float = NAN
    """Of a layer that is not trainable and has thousands of weights: how far their moments are from the nearest of the
    usual initial distributions, in standard errors. Below about 3 they were never trained."""


@dataclass(frozen=True, kw_only=True)
class StepZeroProbe:
    """One forward and backward pass before any update: what is abnormal here is no fault of the optimizer."""

    train_loss: float
    expected_loss: float = NAN
    """ln(number of classes): what an indifferent network pays. NaN for regression."""
    gradient_norm: float = NAN
    output_low: float = NAN
    output_high: float = NAN
    """Smallest and largest of the network's outputs."""
    output_sum_error: float = NAN
    """Mean of ``|sum of a sample's outputs - 1|``: 0, with outputs in 0..1, for probabilities in place of logits."""
    repeat_difference: float = NAN
    """Largest difference between two eval-mode passes over the same inputs, over the outputs' deviation; 0 if sound."""
    layers: tuple[LayerProbe, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataProbe:
    """The data as the network sees it (after input scaling), and how the splits are made up."""

    n_train: int
    n_validation: int
    n_test: int
    input_min: float
    input_max: float
    input_mean: float
    input_std: float
    n_non_finite: int = 0
    train_class_counts: tuple[int, ...] = ()
    """Empty for regression."""
    validation_class_counts: tuple[int, ...] = ()
    overlap_fraction: float = NAN
    """Share of the validation samples that are in the train split too, value for value."""
    moved_fraction: float = NAN
    """Share of the validation samples that are in the train split moved by a pixel or two, or mirrored, and not as they
    are; NaN for inputs without sides to move along."""
    leak_accuracy: float = NAN
    """How well a handful of the inputs' features alone tell the class of held-out training samples; NaN where ordinary
    features tell it as well."""
    n_leak_features: int = 0
    """How many features that takes."""
    leak_share: float = NAN
    """Of the held-out samples: those that the features tell by exact values, the others not at all. NaN is all."""
    label_disagreement: float = NAN
    """Share of a sample of the training data whose label nearly all its nearest neighbors contradict."""
    clear_disagreement: float = NAN
    """Of the quarter of that sample with the clearest neighborhoods: those labeled otherwise than most neighbors."""
    neighbor_guidance: float = NAN
    """How much more often than chance the samples of the classes so contradicted (of all, if none is) have neighbors of
    their class: about 0 where what looks alike need not be alike, and 1 where it always is."""
    input_shift: float = NAN
    """How far the inputs as trained on lie from the validation inputs, in deviations: the largest of the shift of the
    mean, the log of the ratio of the deviations, the root mean square of the features' shifts beyond their noise."""
    label_mixing: float = NAN
    """Entropy of the labels within a minibatch over that of the same labels shuffled, a mean over the first epoch:
    about 1 is shuffled, 0 is sorted. NaN where the toolkit shuffles itself."""


@dataclass(frozen=True, kw_only=True)
class CodeProbe:
    """What was seen of a training loop's own code; shares of the events looked at, NaN where none came."""

    stale_gradient_share: float = NAN
    """Of the backward passes: those that added to the gradients of steps already taken (a missing zero_grad)."""
    training_in_eval_mode_share: float = NAN
    """Of the training passes of a network with dropout or batch statistics: those made in eval mode."""
    evaluation_in_train_mode_share: float = NAN
    """Of its other passes: those made in train mode."""
    n_layers_without_gradient: int = 0
    """Layers whose parameters require a gradient and never got one: detached, or not used."""
    n_layers_not_optimized: int = 0
    """Layers whose parameters get gradients and are in no parameter group of the optimizer."""
    n_layers_not_required: int = 0
    """Layers none of whose parameters requires a gradient."""
    loss_of_probabilities: bool = False
    """Whether the loss is the cross-entropy of outputs that are probabilities already (softmax twice)."""
    loss_kind: str = ""
    """cross_entropy, nll, other: as which the loss could be recomputed from outputs and targets; empty if not tried."""


@dataclass(frozen=True, kw_only=True)
class Counterfactual:
    """A short continuation of a finished training with one change, against the same without it."""

    change: str
    """One of ``studies.diagnosis.counterfactuals.CHANGES``."""
    n_steps: int
    loss_before: float
    """On the probe samples in eval mode, of the network as it was."""
    loss_after: float
    unchanged_loss_after: float
    """The same after as many steps without the change."""


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """All readings of one trial."""

    epochs: tuple[EpochReadings, ...] = ()
    steps: tuple[StepReadings, ...] = ()
    """Empty when only the epoch cadence was loaded."""
    step_zero: StepZeroProbe | None = None
    data: DataProbe | None = None
    code: CodeProbe | None = None
    """Only of a loop that `tuner.watch` watched: the toolkit's own loop is known."""
    counterfactuals: tuple[Counterfactual, ...] = ()

    def series(self, quantity: str) -> npt.NDArray[np.float64]:
        """The epoch readings of ``quantity``, shape [n_epochs + 1], epoch 0 first."""
        return np.array([getattr(row, quantity) for row in self.epochs], dtype=np.float64)

    def frame(self) -> "pd.DataFrame":
        """The epoch cadence as a table: one row an epoch, one column a quantity, without the layers."""
        names = [f.name for f in fields(EpochReadings) if f.name not in {"layers", "class_accuracy"}]
        rows = [{name: getattr(row, name) for name in names} for row in self.epochs]
        import pandas as pd  # 0.1 s, and most readers of records make no table

        return pd.DataFrame(rows, columns=names)

    def step_series(self, quantity: str) -> npt.NDArray[Any]:
        """The step readings of ``quantity`` over all epochs, shape [n_steps]."""
        return (
            np.concatenate([getattr(block, quantity) for block in self.steps]) if self.steps else np.empty(0)
        )
