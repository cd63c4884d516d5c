"""A symptom seen in a study: how bad it is, what shows it, why it came about, and what to do. Plain data."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from search_spaces.edits import Edit
from studies.diagnosis.benchmarked import Benchmarked
from studies.diagnosis.stages import Stage
from studies.encoding import jsonable


class Severity(StrEnum):
    """How much a finding matters: a note is advice on what works, a blocker leaves nothing to use."""

    NOTE = "note"
    WARNING = "warning"
    BLOCKER = "blocker"

    @property
    def rank(self) -> int:
        """0 for a note; larger is worse."""
        return list(Severity).index(self)


class CauseName(StrEnum):
    """Why a training goes wrong. The names are public: scripts compare them."""

    LEARNING_RATE_TOO_HIGH = "learning_rate_too_high"
    LEARNING_RATE_TOO_LOW = "learning_rate_too_low"
    BATCH_TOO_SMALL = "batch_too_small"
    BATCH_TOO_LARGE = "batch_too_large"
    VANISHING_GRADIENTS = "vanishing_gradients"
    EXPLODING_GRADIENTS = "exploding_gradients"
    DYING_RELU = "dying_relu"
    BAD_INITIALIZATION = "bad_initialization"
    UNNORMALIZED_INPUT = "unnormalized_input"
    OVERFITTING = "overfitting"
    OVER_REGULARIZED = "over_regularized"
    UNDERCAPACITY = "undercapacity"
    TOO_FEW_EPOCHS = "too_few_epochs"
    MISSING_WARMUP = "missing_warmup"
    WARMUP_TOO_LONG = "warmup_too_long"
    SCHEDULE_SPIKES = "schedule_spikes"
    PREMATURE_DECAY = "premature_decay"
    OVERCONFIDENCE = "overconfidence"
    TRAIN_VALIDATION_OVERLAP = "train_validation_overlap"
    TARGET_LEAKAGE = "target_leakage"
    CLASS_IMBALANCE = "class_imbalance"
    UNSTRATIFIED_SPLIT = "unstratified_split"
    LABEL_NOISE = "label_noise"
    FROZEN_LAYERS = "frozen_layers"
    NON_FINITE_DATA = "non_finite_data"
    UNSHUFFLED_DATA = "unshuffled_data"
    AUGMENTATION_DRIFT = "augmentation_drift"
    SEED_NOISE = "seed_noise"
    MOMENTUM_TOO_HIGH = "momentum_too_high"
    CLIPPING_TOO_TIGHT = "clipping_too_tight"
    DOUBLE_SOFTMAX = "double_softmax"
    EVALUATION_MODE_BUG = "evaluation_mode_bug"
    STALE_GRADIENTS = "stale_gradients"


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why, and how sure we are: confidences are ranks in [0, 1], not probabilities that add up."""

    name: CauseName
    confidence: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"A confidence must lie in 0..1, but got {self.confidence}.")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One reading beside the threshold that it crossed."""

    quantity: str
    first_step: int | None
    """Where the reading begins: an epoch, or an optimizer step for a quantity named ``step_...``; None for a
    count over trials or a property of the data."""
    last_step: int | None
    value: float
    threshold: float
    source: str
    """Where the threshold comes from."""

    @property
    def place(self) -> str:
        """Where the reading was taken: an epoch, an optimizer step, a span of them, or nothing for a count."""
        if self.first_step is None:
            return ""
        unit = "step" if self.quantity.startswith("step_") else "epoch"
        if self.last_step in {None, self.first_step}:
            return f"{unit} {self.first_step}"
        return f"{unit}s {self.first_step} to {self.last_step}"


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One change that may help: edits of the space where a lever mends it, else an action on data or code."""

    sentence: str
    edits: tuple[Edit, ...] = ()
    action: str | None = None
    benchmarked: Benchmarked | None = None
    """What became of this change against the likeliest cause in the benchmark; None where it was not trained there."""

    def __post_init__(self) -> None:
        if not self.edits and self.action is None:
            raise ValueError(f"A remedy must have edits or an action, but {self.sentence!r} has neither.")

    @property
    def told(self) -> str:
        """The sentence, with what the benchmark says of it."""
        return self.sentence if self.benchmarked is None else f"{self.sentence} It {self.benchmarked.text}."

    def to_json(self) -> dict[str, Any]:
        return {
            "sentence": self.sentence,
            "edits": [edit.to_json() for edit in self.edits],
            "action": self.action,
            "benchmark": None if self.benchmarked is None else self.benchmarked.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A symptom seen in one trial, or (``trial`` is None) in the study as a whole."""

    trial: int | None
    symptom: str
    severity: Severity
    sentence: str
    """What is seen, for a person: one sentence with its numbers."""
    causes: tuple[Cause, ...] = ()
    """Most likely first; empty when nothing recorded tells one from another."""
    evidence: tuple[Evidence, ...] = ()
    consequences: tuple[str, ...] = ()
    """Later symptoms of the same trial that this one explains."""
    remedies: tuple[Remedy, ...] = ()
    """The most promising first; each changes one lever."""
    alternatives: str = ""
    """What would tell the ranked causes apart, in one sentence; empty when there is one cause."""
    stage: Stage = Stage.STUDY
    """Where it shows. A trial's finding gets its symptom's stage unless it names an earlier one."""
    hurts_by_itself: bool = True
    """False where the symptom can be a fault, but what was read here does harm only if a later symptom shows."""

    def to_json(self) -> dict[str, Any]:
        """The public shape of a finding: ``sentence`` stays out, all of it can be derived from the rest."""
        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NOT_SHOWN}
        return {
            **{name: jsonable(value) for name, value in shown.items()},
            "remedies": [remedy.to_json() for remedy in self.remedies],
            "alternatives": self.alternatives,
            "stage": self.stage.label,
        }


_NOT_SHOWN = frozenset({"sentence", "hurts_by_itself", "remedies", "alternatives", "stage"})
