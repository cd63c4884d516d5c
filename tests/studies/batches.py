"""Batches of trials, and what a worker does with one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
import sqlalchemy as sa
from optuna.trial import TrialState

from studies import tables
from studies.batch import Batch, Told
from studies.leases import Lease, Leases, Refusal
from studies.machine import Process
from studies.readings import EpochReadings, StepReadings
from studies.recorded import RecordedStudy


def batch_of(recorded: RecordedStudy, *, me: Process | None = None) -> Batch:
    batch = Batch(recorded, leases=Leases(recorded.storage, recorded.study, me=me))
    batch.study.sampler = optuna.samplers.RandomSampler(seed=0)
    return batch


def held(batch: Batch, n: int, n_wanted: int | None = None) -> list[tuple[Lease, optuna.Trial]]:
    leases = batch.leases.take_many(n, n_wanted)
    assert not isinstance(leases, Refusal)
    return batch.ask_under(leases)


def completed(trial: optuna.Trial, lease: Lease | None = None, value: float = 0.5) -> Told:
    attributes = {"outcome": "completed"}
    return Told(trial=trial, state=TrialState.COMPLETE, value=value, attributes=attributes, lease=lease)


def statuses(recorded: RecordedStudy) -> list[str]:
    with recorded.storage.engine.begin() as connection:
        query = sa.select(tables.leases.c.status).order_by(tables.leases.c.ordinal)
        return list(connection.scalars(query))


def steps(epoch: int) -> StepReadings:
    ones = np.ones(4, dtype=np.float32)
    return StepReadings(
        epoch=epoch, train_loss=ones, learning_rate=ones, gradient_norm=ones, clipped=ones > 2
    )


@contextmanager
def counted_commits(recorded: RecordedStudy) -> Iterator[list[int]]:
    """Counts into the list while the body runs."""
    commits: list[int] = []

    def note(_connection: sa.Connection) -> None:
        commits.append(1)

    sa.event.listen(recorded.storage.engine, "commit", note)
    yield commits
    sa.event.remove(recorded.storage.engine, "commit", note)


def work(batch: Batch, n: int, *, n_epochs: int = 2) -> list[int]:
    """What a worker does with a cohort, from the leases to the last result; the trials' numbers."""
    trials = held(batch, n)
    for _, trial in trials:
        trial.suggest_float("x", 0, 1)
    batch.flush()
    for epoch in range(n_epochs):
        for _, trial in trials:
            batch.save_epoch(trial._trial_id, EpochReadings(epoch=epoch, train_loss=1.0), steps(epoch))
            trial.report(epoch / 10, epoch)
        assert batch.flush() == frozenset()
    assert batch.tell([completed(trial, lease) for lease, trial in trials]) == frozenset()
    return [trial.number for _, trial in trials]


def told_of(trial: Any) -> dict[str, Any]:
    telemetry = trial.telemetry
    return {
        "number": trial.number,
        "state": trial.state,
        "outcome": trial.outcome,
        "value": trial.value,
        "params": trial.params,
        "intermediate_values": trial.intermediate_values,
        "epochs": [(row.epoch, row.train_loss) for row in telemetry.epochs],
        "steps": [block.train_loss.tolist() for block in telemetry.steps],
    }
