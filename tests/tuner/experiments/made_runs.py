"""Trainings made by hand, as claims want to see them: no network is trained."""

import itertools
import math
from collections.abc import Sequence

from studies.readings import DataProbe, EpochReadings, Telemetry
from studies.records import Outcome
from tuner.experiments.experiment import Restored, Run

N_TRAIN = 48_000
_DATA = DataProbe(
    n_train=N_TRAIN,
    n_validation=12_000,
    n_test=10_000,
    input_min=0.0,
    input_max=1.0,
    input_mean=0.13,
    input_std=0.31,
)


def made_run(
    label: str,
    *,
    train_losses: Sequence[float] = (),
    validation_losses: Sequence[float] = (),
    train_accuracy: float = 0.9,
    seed: int = 0,
    restored: Restored | None = None,
) -> Run:
    """A training with these losses in epoch 1 and on; what is not said is 0.1. Each epoch trains for 2 of its 3 s."""
    losses = itertools.zip_longest(train_losses, validation_losses, fillvalue=0.1)
    trained = [
        EpochReadings(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=validation_loss,
            validation_accuracy=0.9,
            seconds=3.0,
            samples_per_second=N_TRAIN / 2.0,
        )
        for epoch, (train_loss, validation_loss) in enumerate(losses, 1)
    ]
    untrained = EpochReadings(epoch=0, train_loss=2.4, validation_loss=2.4, seconds=1.0)
    return Run(
        label=label,
        seed=seed,
        config={"seed": seed},
        outcome=Outcome.COMPLETED,
        telemetry=Telemetry(epochs=(untrained, *trained), data=_DATA),
        n_steps=1500 * len(trained),
        restored=restored,
    )


def ending_at(label: str, loss: float) -> Run:
    """A training of 10 epochs whose train loss falls evenly to ``loss``, or is no number at all."""
    if not math.isfinite(loss):
        return made_run(label, train_losses=[loss] * 10)
    return made_run(label, train_losses=[loss * (1 + 0.1 * left) for left in range(9, -1, -1)])
