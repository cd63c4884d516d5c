"""Rounds made by hand, as a guide would have trained them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from studies.readings import EpochReadings, Telemetry
from studies.records import Outcome, StudyRecord, TrialRecord
from tuner.guide.rounds import Round, Tried
from tuner.training.config import TrainingConfig

STARTED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def made_trial(
    value: float | None, *, seconds: float = 10.0, losses: Sequence[float] = (0.5, 0.4, 0.4, 0.4, 0.4)
) -> TrialRecord:
    epochs = [EpochReadings(epoch=0, train_loss=2.3, validation_loss=2.3)]
    epochs += [
        EpochReadings(epoch=epoch, train_loss=loss, validation_loss=loss)
        for epoch, loss in enumerate(losses, start=1)
    ]
    return TrialRecord(
        number=0,
        state="pruned" if value is None else "complete",
        outcome=Outcome.DIVERGED if value is None else Outcome.COMPLETED,
        value=value,
        telemetry=Telemetry(epochs=tuple(epochs)),
        started=STARTED,
        ended=STARTED + dt.timedelta(seconds=seconds),
    )


def made_round(
    *tried: tuple[Mapping[str, Any], float | None],
    direction: str = "maximize",
    losses: Sequence[float] = (0.5, 0.4, 0.4, 0.4, 0.4),
) -> Round:
    """A round of one seed: the changes and the value of each config, the incumbent first."""
    made = [
        Tried(
            label=str(dict(changes)),
            changes=changes,
            config=TrainingConfig.from_mapping({"learning_rate": 0.01, **changes}).to_mapping(),
            trials=(made_trial(value, losses=losses),),
        )
        for changes, value in tried
    ]
    record = StudyRecord(name="made", direction=direction, trials=(), metric="validation_accuracy")
    return Round(study="made", tried=tuple(made), record=record)
