"""What an experiment is: a space, what is fixed, the configs that it trains, and the claims that it checks."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces import Space
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Value
from studies.readings import EpochReadings, Telemetry
from studies.records import Outcome


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The weights that early stopping gave back, evaluated: what a training of the same config and seed returned."""

    recorded_minimum: float
    """The smallest validation loss that this training recorded on its way, epoch 0 aside."""
    evaluated: float
    """The validation loss of the weights that it gave back."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of an experiment, with all that it read."""

    label: str
    seed: int
    config: Mapping[str, Any]
    """The whole config."""
    outcome: Outcome
    telemetry: Telemetry
    """Epoch 0 first."""
    n_steps: int
    """Optimizer steps."""
    restored: Restored | None = None
    """Only of a training with early stopping."""

    @property
    def n_epochs(self) -> int:
        """Trained epochs."""
        return self.last.epoch

    @property
    def last(self) -> EpochReadings:
        return self.telemetry.epochs[-1]

    @property
    def final_train_loss(self) -> float:
        """Of the last epoch; infinite where it is no number, so that every claim takes it for worse than any."""
        return self.train_loss(self.n_epochs)

    def train_loss(self, epoch: int) -> float:
        """Of an epoch; infinite where it is no number."""
        loss = float(self.telemetry.series("train_loss")[epoch])
        return loss if math.isfinite(loss) else math.inf

    def validation_losses(self) -> list[float]:
        """Of the trained epochs, the first of them first; infinite where one is no number."""
        losses = self.telemetry.series("validation_loss")[1:]
        return [float(loss) if math.isfinite(loss) else math.inf for loss in losses]

    @property
    def computation(self) -> dict[str, float]:
        """What the training cost: optimizer steps, samples seen, wall seconds, samples a second of training alone."""
        trained = self.telemetry.epochs[1:]
        n_train = self.telemetry.data.n_train if self.telemetry.data is not None else 0
        training_seconds = sum(n_train / row.samples_per_second for row in trained)
        n_samples = n_train * len(trained)
        return {
            "steps": self.n_steps,
            "samples": n_samples,
            "seconds": sum(row.seconds for row in trained),
            "samples_per_second": n_samples / training_seconds if training_seconds > 0 else math.nan,
        }

    def to_json(self) -> dict[str, Any]:
        """As `tuner experiments --json` prints it."""
        return {
            "label": self.label,
            "seed": self.seed,
            "config": self.config,
            "outcome": self.outcome,
            "telemetry": self.telemetry.epochs,
            "computation": self.computation,
            "restored": self.restored,
        }


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """Whether a claim holds for the trainings of one seed, and the numbers that decide it."""

    held: bool
    numbers: Mapping[str, float]


Check = Callable[[Mapping[str, Run]], Judgment]
"""Judges the trainings of one seed, by label."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence that the trainings of most seeds must bear out: what it says of is the typical one."""

    sentence: str
    labels: tuple[str, ...]
    """The trainings that it speaks of."""
    check: Check


@dataclass(frozen=True, kw_only=True)
class JudgedClaim:
    """A claim after the trainings."""

    claim: str
    held: bool | None
    """Whether it held on more than half of the seeds, which is whether the median training bears it out. None while a
    training that it speaks of is missing."""
    held_on: Sequence[int]
    """The seeds on which it held."""
    numbers: Mapping[str, Sequence[float]]
    """``seeds``, and for each quantity its value on each of them."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One config of an experiment, under the name that its tables and claims use."""

    label: str
    config: Mapping[str, Value]
    """Where it lies in the experiment's space."""
    max_seeds: int | None = None
    """On how many seeds it is trained at most; None is as many as the others."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A study that teaches: what is varied, what is not, and what must come of it.

    Raises:
        ConfigurationError: for variants outside the space and for claims on trainings that are not there; all at once.
    """

    name: str
    question: str
    space: Space
    """What is varied."""
    fixed: Mapping[str, Value]
    """What all its trainings share."""
    variants: tuple[Variant, ...]
    claims: tuple[Claim, ...]
    metric: str = "validation_accuracy"
    """What decides the best epoch, and with it early stopping."""
    epochs: int = 10

    def __post_init__(self) -> None:
        faults = [*self._variant_faults(), *self._claim_faults()]
        if faults:
            raise ConfigurationError(f"The experiment {self.name!r} cannot be: {'; '.join(faults)}.")

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(variant.label for variant in self.variants)

    def planned(self, seeds: Sequence[int]) -> list[tuple[Variant, int]]:
        """Every training: all variants of a seed, then those of the next."""
        return [
            (variant, seed)
            for place, seed in enumerate(seeds)
            for variant in self.variants
            if variant.max_seeds is None or place < variant.max_seeds
        ]

    def judge(self, runs: Sequence[Run], seeds: Sequence[int]) -> list[JudgedClaim]:
        """Every claim, on the seeds on which all the trainings that it speaks of were planned."""
        planned = {(variant.label, seed) for variant, seed in self.planned(seeds)}
        found = {(run.label, run.seed): run for run in runs}
        return [_judged(claim, planned, found, seeds) for claim in self.claims]

    def _variant_faults(self) -> list[str]:
        keys = {lever.key: lever for lever in self.space}
        faults = [
            f"the label {label!r} must be there once"
            for label in set(self.labels)
            if self.labels.count(label) > 1
        ]
        for variant in self.variants:
            if set(variant.config) != set(keys):
                faults.append(
                    f"{variant.label!r} must set {', '.join(keys)}, but sets {', '.join(variant.config)}"
                )
                continue
            faults += [
                f"of {variant.label!r}, {keys[key].fault(value)}"
                for key, value in variant.config.items()
                if not keys[key].contains(value)
            ]
        return faults

    def _claim_faults(self) -> list[str]:
        return [
            f"a claim speaks of {label!r}, which is none of {', '.join(self.labels)}"
            for claim in self.claims
            for label in claim.labels
            if label not in self.labels
        ]


def _judged(
    claim: Claim, planned: set[tuple[str, int]], found: Mapping[tuple[str, int], Run], seeds: Sequence[int]
) -> JudgedClaim:
    wanted = [seed for seed in seeds if all((label, seed) in planned for label in claim.labels)]
    there = [seed for seed in wanted if all((label, seed) in found for label in claim.labels)]
    judgments = [claim.check({label: found[label, seed] for label in claim.labels}) for seed in there]
    quantities = judgments[0].numbers if judgments else {}
    numbers = {name: [judgment.numbers[name] for judgment in judgments] for name in quantities}
    held_on = [seed for seed, judgment in zip(there, judgments, strict=True) if judgment.held]
    return JudgedClaim(
        claim=claim.sentence,
        held=2 * len(held_on) > len(wanted) if there == wanted else None,
        held_on=held_on,
        numbers={"seeds": there, **numbers},
    )
