"""One point of a search space with everything else decided: all that a training needs to know.

The keys are spelled the same in ``--set``, in YAML, in spaces and here. Importing this module loads no torch.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, Self, get_type_hints

from search_spaces.errors import ConfigurationError, unknown_name
from tuner.training.typed_values import Range, read_value

METRICS = (
    "validation_accuracy",
    "validation_loss",
    "train_accuracy",
    "train_loss",
    "calibration_error",
    "seconds",
)
"""What a trial's value may be."""

BUILT_IN_MODELS = ("mlp", "cnn")

PRECISIONS = ("float32", "tf32", "bfloat16", "float64")

Count = Annotated[int, Range(low=0)]
PositiveCount = Annotated[int, Range(low=1)]
Fraction = Annotated[float, Range(low=0, high=1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(low=0)]
Decay = Annotated[float, Range(low=0, below=1)]


def direction_of(metric: str) -> str:
    """``maximize`` for accuracies, ``minimize`` for everything else."""
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    return "maximize" if metric.endswith("_accuracy") else "minimize"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Every hyperparameter of one training, typed and checked.

    Raises:
        ConfigurationError: with all faults at once.
    """

    learning_rate: Positive = 0.1
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = "sgd"
    momentum: Decay = 0.0
    """Of sgd and rmsprop."""
    nesterov: bool = False
    """Of sgd; without momentum it changes nothing."""
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    alpha: Decay = 0.99
    """Smoothing of rmsprop's squared gradients."""
    epsilon: Positive | None = None
    """None is torch's own default of the optimizer."""
    weight_decay: NotNegative = 0.0
    weight_decay_kind: Literal["auto", "l2", "decoupled"] = "auto"
    """``l2`` adds ``weight_decay * weight`` to the gradient, ``decoupled`` shrinks the weights beside it by
    ``learning_rate * weight_decay``; auto is the optimizer's own: decoupled for adamw, l2 for the others."""
    clipping: bool = True
    """False turns ``clip_norm`` off, whatever it is."""
    clip_norm: NotNegative = 0.0
    """Largest global L2 norm of a gradient; 0 is off."""

    batch_size: PositiveCount | Literal["full"] = 128
    accumulation_steps: PositiveCount = 1
    """Minibatches whose gradients make one optimizer step."""
    batch_lr_rule: Literal["none", "linear", "sqrt"] = "none"
    """How ``learning_rate`` follows the samples of one optimizer step, as a multiple of ``base_batch_size``."""
    base_batch_size: PositiveCount = 128
    """The samples of one optimizer step that ``learning_rate`` is meant for; without a ``batch_lr_rule`` unused."""

    dropout: Annotated[float, Range(low=0, below=1)] = 0.0
    label_smoothing: Annotated[float, Range(low=0, below=1)] = 0.0
    """Of the training loss only."""
    augmentation: Fraction = 0.0
    """How strongly training images are shifted, rotated, scaled and erased; 0 is off. See ``training.augmentation``."""
    class_weights: Literal["none", "balanced"] = "none"
    """``balanced`` weighs the classes of the training loss by the inverse of their frequency."""

    schedule: Literal[
        "constant",
        "step",
        "multistep",
        "exponential",
        "cosine",
        "one_cycle",
        "linear",
        "plateau",
        "restarts",
    ] = "constant"
    warmup_steps: Count = 0
    """Optimizer steps; excludes ``warmup_fraction``."""
    warmup_fraction: Decay = 0.0
    """Of all optimizer steps. The lever ends at a tenth; whoever sets it may go further."""
    final_lr_fraction: Fraction = 0.01
    """Where exponential, cosine, one_cycle, linear and restarts end, and below which plateau does not go."""
    step_size: PositiveCount | None = None
    """Epochs between the drops of ``step``; None is a third of the training."""
    step_gamma: Annotated[float, Range(above=0)] = 0.1
    """Factor of each drop of step, multistep and plateau."""
    milestones: tuple[PositiveCount, ...] = ()
    """Epochs of ``multistep``'s drops; empty is half and three quarters of the training."""
    plateau_patience: Count = 3
    """Epochs without a better validation loss that ``plateau`` waits before a drop."""
    restart_period: PositiveCount | None = None
    """Epochs of one cosine of ``restarts``; None is a third of the training."""

    model: str = "mlp"
    """mlp, cnn or module:function."""
    depth: Count = 1
    """Hidden layers."""
    width: PositiveCount = 128
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "selu"] = "relu"
    normalization: Literal["none", "batch", "layer"] = "none"
    initialization: Literal["default", "glorot", "he", "lecun"] = "glorot"

    input_scaling: Literal["unit", "standardize", "none"] = "unit"
    epochs: Count = 10
    patience: Count = 0
    """Epochs without a better validation value before the training stops; 0 is off."""
    stop_on_divergence: bool = True
    seed: Count = 0
    """Of the weights and of dropout, and of the data order and the split where nothing else is said."""
    order_seed: Count | None = None
    """Of the data order; None is ``seed``."""
    split: Literal["stratified", "last"] = "stratified"
    validation_fraction: Annotated[float, Range(above=0, below=1)] = 0.2
    precision: Literal["float32", "tf32", "bfloat16", "float64"] = "float32"
    """Of the products; weights, updates and the loss are float32, but for float64. See ``training.precision``."""

    def __post_init__(self) -> None:
        faults = []
        for name, hint in _hints().items():
            try:
                object.__setattr__(self, name, read_value(getattr(self, name), hint))
            except ValueError as error:
                faults.append(_fault(name, error, getattr(self, name)))
        faults = faults or self._contradictions()
        if faults:
            raise ConfigurationError("\n".join(faults))

    def _contradictions(self) -> list[str]:
        faults = []
        if self.warmup_steps and self.warmup_fraction:
            faults.append(
                "warmup_steps and warmup_fraction exclude each other, "
                f"but got warmup_steps={self.warmup_steps} and warmup_fraction={self.warmup_fraction}."
            )
        if self.schedule == "exponential" and self.final_lr_fraction == 0:
            faults.append("schedule=exponential needs final_lr_fraction above 0, but got 0.")
        if self.optimizer == "adamw" and self.weight_decay_kind == "l2":
            faults.append(
                "optimizer=adamw decays weights apart from the gradient, "
                "but got weight_decay_kind=l2; take optimizer=adam for that."
            )
        if self.model not in BUILT_IN_MODELS and ":" not in self.model:
            faults.append(f"model must be mlp, cnn or module:function, but got {self.model!r}.")
        if self.model == "mlp" and self.normalization == "batch" and self.batch_size == 1:
            faults.append(
                "normalization=batch needs minibatches of 2 samples or more, but got batch_size=1; take layer."
            )
        if list(self.milestones) != sorted(set(self.milestones)):
            faults.append(f"milestones must rise, but got {','.join(map(str, self.milestones))}.")
        return faults

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """The config of ``mapping``; text such as "1e-3" and "true" is read as the value it names.

        Raises:
            ConfigurationError: one line for every unknown key and every value that does not fit.
        """
        hints = _hints()
        faults, values = [], {}
        for key, value in mapping.items():
            if key not in hints:
                faults.append(str(unknown_name("A config key", key, hints, meant=_meant_by(key))))
                continue
            try:
                values[key] = read_value(value, hints[key], is_text=True)
            except ValueError as error:
                faults.append(_fault(key, error, value))
        if faults:
            raise ConfigurationError("\n".join(faults))
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Every key with its value, in the order of the fields; ``from_mapping`` is its inverse."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }


def _meant_by(key: str) -> str | None:
    from search_spaces.exchange.config_names import (
        key_called,  # late: it loads optuna, and most keys are right
    )

    return key_called(key)


@cache
def _hints() -> dict[str, Any]:
    hints = get_type_hints(TrainingConfig, include_extras=True)
    return {field.name: hints[field.name] for field in fields(TrainingConfig)}


def _fault(name: str, wanted: ValueError, got: object) -> str:
    return f"{name} must be {wanted}, but got {got!r}."
