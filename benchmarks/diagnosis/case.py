"""One case: a training that is healthy, or that one planted fault makes worse than its healthy twin."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from search_spaces.errors import ConfigurationError
from studies.diagnosis import CauseName

Architecture = Literal["mlp", "cnn", "gelu_mlp", "normed_cnn"]
Metric = Literal["accuracy", "loss", "inflation", "misreport"]

ARCHITECTURES: tuple[Architecture, ...] = ("mlp", "cnn")
"""Of calibration and the blind part."""
FRESH_ARCHITECTURES: tuple[Architecture, ...] = ("gelu_mlp", "normed_cnn")
"""Of the fresh part: other layers, optimizers, schedules and batch sizes."""
SEVERITIES = ("mild", "medium", "severe")
TWO_SEVERITIES = ("mild", "severe")
"""Of a fault that has no third one."""
_SCALES: Mapping[int, tuple[str, ...]] = {2: TWO_SEVERITIES, 3: SEVERITIES}

BASES: Mapping[Architecture, Mapping[str, Any]] = {
    "mlp": {"model": "mlp", "depth": 2, "width": 64, "learning_rate": 0.05},
    "cnn": {"model": "cnn", "width": 64, "learning_rate": 0.02},
    "gelu_mlp": {
        "model": "mlp",
        "depth": 3,
        "width": 96,
        "activation": "gelu",
        "optimizer": "adamw",
        "momentum": 0.0,
        "weight_decay": 0.01,
        "learning_rate": 6e-3,
        "schedule": "cosine",
        "batch_size": 100,
        "epochs": 12,
    },
    "normed_cnn": {
        "model": "benchmarks.diagnosis.fresh.convolutions:convolutional",
        "depth": 3,
        "width": 12,
        "normalization": "batch",
        "nesterov": True,
        "weight_decay": 1e-4,
        "learning_rate": 0.03,
        "batch_size": 50,
        "epochs": 8,
    },
}
"""What every config of an architecture rests on, beside `COMMON`."""
COMMON: Mapping[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "batch_size": 64,
    "epochs": 12,
    "activation": "relu",
    "initialization": "he",
    "validation_fraction": 0.25,
}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A change of the data or the network: the name of a function, and what it takes."""

    name: str
    strength: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A plain PyTorch loop as a person writes it; every field is a way in which it may differ from a sound one."""

    zeroes_every: int = 1
    """Steps from one ``zero_grad`` to the next; 0 is never."""
    n_frozen: int = 0
    """Layers, from the input on, that do not learn."""
    frozen_by: Literal["requires_grad", "optimizer", "detach"] = "requires_grad"
    has_softmax: bool = False
    """Whether the network ends in a softmax although its loss has one."""
    evaluates_in_train_mode: bool = False
    stays_in_eval_mode: bool = False
    """Whether nothing brings the network back into train mode after the first evaluation."""
    shuffled: float = 1.0
    """The share of the samples that are at a random place; the others come sorted by label."""
    transform: Literal["", "inverted", "turned", "rolled", "mirrored", "dimmed", "magnified"] = ""
    """Of the training images alone."""
    spike: float = 1.0
    """Factor of the learning rate during 20 steps of the second epoch."""
    accumulates: int = 1
    """Minibatches of one optimizer step, each loss divided by as many: sound."""
    is_pretrained: bool = False
    """Whether the frozen layers were trained before, on labels of another kind: sound."""
    gives_numbers: bool = False
    """Whether it validates by itself and tells the numbers, rather than leaving the validation data to the watch."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that makes a training, but its architecture and its seed."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """Differences from the architecture's base."""
    data: tuple[Planted, ...] = ()
    """Of `data.CHANGES`."""
    network: Planted | None = None
    """Of `networks.NETWORKS`, in place of the config's own model."""
    loop: Loop | None = None
    """What `tuner.watch` watches. None is the toolkit's own loop."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A training with what is wrong about it, and the training that it is measured against."""

    name: str
    cause: CauseName | None
    """None for a healthy training."""
    architecture: Architecture
    severity: str = ""
    setup: Setup
    healthy: Setup = field(default_factory=Setup)
    """The same training without the fault."""
    metric: Metric = "accuracy"
    """By what the fault must hurt to count as one: see `admission`."""
    twin: str = ""
    """The name of the healthy training, where that is a case with a name of its own."""
    reached: float = field(default=math.nan, compare=False)
    """The test accuracy with which a healthy training was listed as sound; NaN where the list does not say."""
    twin_reached: float = field(default=math.nan, compare=False)
    """The same of its healthy twin."""

    def __post_init__(self) -> None:
        if self.architecture not in BASES:
            raise ConfigurationError(
                f"architecture must be one of {', '.join(BASES)}, but got {self.architecture!r}."
            )
        if (self.cause is None) != (self.severity == ""):
            raise ConfigurationError(f"A fault has a severity and health has none, but see {self.name!r}.")

    @property
    def is_watched(self) -> bool:
        """Whether it trains in a loop that is not the toolkit's own."""
        return self.setup.loop is not None

    @property
    def reference(self) -> "Case":
        """The healthy training it is measured against, as a case of its own; cases of equal twins share it."""
        digest = hashlib.sha256(repr(self.healthy).encode()).hexdigest()[:10]
        return Case(
            name=self.twin or f"reference/{self.architecture}/{digest}",
            cause=None,
            architecture=self.architecture,
            setup=self.healthy,
            reached=self.twin_reached,
        )

    def config(self, seed: int) -> dict[str, Any]:
        """Everything but the defaults."""
        return {**COMMON, **BASES[self.architecture], **self.setup.config, "seed": seed}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One cause, at two or three severities in each of the architectures where it makes sense."""

    cause: CauseName
    setups: Mapping[Architecture, tuple[Setup, ...]]
    """From the weakest that still hurts to the strongest."""
    healthy: Mapping[Architecture, Setup] = field(default_factory=dict)
    """Without the fault, where that is more than the architecture's base; for a setup of its own, see `twins`."""
    twins: Mapping[Architecture, tuple[Setup, ...]] = field(default_factory=dict)
    """The healthy setup of each severity, where they differ."""
    metric: Metric = "accuracy"

    def __post_init__(self) -> None:
        for architecture, setups in self.setups.items():
            if len(setups) not in _SCALES:
                raise ConfigurationError(
                    f"A fault has one setup for each of {', '.join(SEVERITIES)}, or of "
                    f"{' and '.join(TWO_SEVERITIES)}, but {self.cause} has {len(setups)}."
                )
            if len(self.twins.get(architecture, setups)) != len(setups):
                raise ConfigurationError(
                    f"Each of the {len(setups)} setups of {self.cause} must have a twin, but there are "
                    f"{len(self.twins[architecture])}."
                )

    def cases(self) -> list[Case]:
        """By architecture and severity."""
        return [
            Case(
                name=f"{self.cause}/{architecture}/{severity}",
                cause=self.cause,
                architecture=architecture,
                severity=severity,
                setup=setup,
                healthy=self._healthy(architecture, rank),
                metric=self.metric,
            )
            for architecture, setups in self.setups.items()
            for rank, (severity, setup) in enumerate(zip(_SCALES[len(setups)], setups, strict=True))
        ]

    def _healthy(self, architecture: Architecture, rank: int) -> Setup:
        if architecture in self.twins:
            return self.twins[architecture][rank]
        return self.healthy.get(architecture, Setup())
