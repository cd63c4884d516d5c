"""Ask, report and tell many trials of a study at once: what a worker's lanes do in an epoch is one transaction.

batch = Batch(recorded)
leases = batch.leases.take_many(8, n_wanted)         # or a Refusal
held = batch.ask_under(leases)                       # [(lease, trial)]; or batch.ask(8) without leases
configs = [space.suggest(trial) for _, trial in held]
batch.flush()                                        # parameters are in the database before training starts
... trial.report(...), batch.save_epoch(...)         # in memory
lost = batch.flush()                                 # at the end of each epoch
batch.tell([Told(trial=trial, state=..., value=..., lease=lease)])
"""

import logging
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.trial import FrozenTrial, TrialState

from studies.leases import GRACE_SECONDS, Lease, Leases
from studies.pending import TrialStore
from studies.readings import DataProbe, EpochReadings, StepReadings, StepZeroProbe
from studies.recorded import RecordedStudy
from studies.telemetry import Row
from studies.trial_calls import TrialCalls
from studies.trial_tables import TrialTables, reason_against
from studies.write_behind import WriteBehindStorage

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Told:
    """How a trial ended, to be told with others."""

    trial: optuna.Trial
    state: TrialState
    """COMPLETE, PRUNED (with the last intermediate value as the trial's) or FAIL."""
    value: float | None = None
    """Of a COMPLETE trial."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """User attributes that are set before it ends."""
    lease: Lease | None = None
    """Released in the same transaction."""

    def __post_init__(self) -> None:
        if (self.value is not None) != (self.state is TrialState.COMPLETE):
            raise ValueError(
                f"A COMPLETE trial must have a value and others none, but got {self.state.name} with {self.value}."
            )

    @property
    def trial_id(self) -> int:
        return int(self.trial._trial_id)  # noqa: SLF001 - storages and leases work on ids


class _BatchStudy(optuna.Study):
    """A study whose samplers see each trial of a batch beside those that were drawn just before it.

    Optuna's own keeps the picture of the first suggestion until the next `ask`: after K asks all K are drawn from one
    picture, and TPE's constant liar, which keeps them apart, sees none of them.
    """

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002 - Optuna's signature
    ) -> list[FrozenTrial]:
        return super()._get_trials(deepcopy, states, use_cache=False)


class Batch:
    """One worker's trials of a study. Its ``study`` serves samplers and pruners as any; one thread uses it.

    Args:
        recorded: the study, opened for writing.
        leases: of this worker; default: new ones with `GRACE_SECONDS`.
    """

    def __init__(self, recorded: RecordedStudy, *, leases: Leases | None = None) -> None:
        self.leases = leases or Leases(recorded.storage, recorded.study, grace_seconds=GRACE_SECONDS)
        self._storage = WriteBehindStorage(recorded.storage, recorded.study_id, _store(recorded, self.leases))
        self.study: optuna.Study = _BatchStudy(
            recorded.name, self._storage, recorded.study.sampler, recorded.study.pruner
        )
        self._telemetry = recorded.telemetry
        self._epochs: dict[tuple[int, int], Row] = {}  # by trial id and epoch
        self._probes: dict[int, Row] = {}  # by trial id
        self._lost: frozenset[int] = frozenset()  # and not yet reported

    def ask(self, n: int) -> list[optuna.Trial]:
        """So many trials, enqueued ones first. One transaction."""
        return [optuna.Trial(self.study, trial_id) for trial_id in self._storage.take(n)]

    def ask_under(self, leases: Sequence[Lease]) -> list[tuple[Lease, optuna.Trial]]:
        """A trial for each lease, bound to it, in one transaction: nobody dies between asking and binding.

        A lease that was taken from us while we slept gets no trial.
        """
        taken = self._storage.take_under(leases)
        return [(lease, optuna.Trial(self.study, trial_id)) for lease, trial_id in taken]

    def save_epoch(self, trial_id: int, readings: EpochReadings, steps: StepReadings | None) -> None:
        """As `TelemetryTables.save_epoch`, written at the next flush."""
        self._epochs[trial_id, readings.epoch] = self._telemetry.epoch_row(trial_id, readings, steps)

    def save_probes(self, trial_id: int, step_zero: StepZeroProbe | None, data: DataProbe | None) -> None:
        """As `TelemetryTables.save_probes`, written at the next flush."""
        self._probes[trial_id] = self._telemetry.probes_row(trial_id, step_zero, data)

    def flush(self) -> frozenset[int]:
        """Write all that is pending in one transaction; the ids of the trials that another worker took over meanwhile.

        Of those nothing is written. Without pending news it only asks whether the trials are still ours.
        """
        self._write(())
        return self._newly_lost()

    def tell(self, results: Sequence[Told]) -> frozenset[int]:
        """End trials, with all that is pending, and release their leases, in one transaction; as `flush`.

        The sampler is told of each, as by `optuna.Study.tell`. A trial that is no longer ours is passed over.
        """
        with self._storage.holding_endings():
            for told in results:
                if self._storage.is_ours(told.trial_id):
                    self._end(told)
        self._write([told.lease for told in results if told.lease is not None])
        return self._newly_lost()

    def hand_back(self, leases: Collection[Lease]) -> frozenset[int]:
        """End trials of ours as not counted and queue their configs, as `Leases.hand_back_many`; as `flush`.

        What is pending is written before. From then on this process works on none of them, also when an exception comes
        out: what could not be handed back is then stale, and reclaimed by whoever looks next.
        """
        try:
            self._write(())
            self.leases.hand_back_many(leases)
        finally:
            self.leases.forget(leases)
        self._storage.let_go([lease.trial_id for lease in leases if lease.trial_id is not None])
        return self._newly_lost()

    def _end(self, told: Told) -> None:
        for key, value in told.attributes.items():
            told.trial.set_user_attr(key, value)
        self.study.tell(told.trial, told.value, state=told.state)

    def _newly_lost(self) -> frozenset[int]:
        lost, self._lost = self._lost, frozenset()
        return lost

    def _write(self, released: Sequence[Lease]) -> None:
        epochs, probes = list(self._epochs.values()), list(self._probes.values())

        def also(connection: sa.Connection, lost: Collection[int]) -> None:
            self._telemetry.write(
                connection,
                epochs=[row for row in epochs if row["trial_id"] not in lost],
                probes=[row for row in probes if row["trial_id"] not in lost],
            )
            self.leases.release_in(connection, released)

        self._lost |= self._storage.flush(also)
        self.leases.forget(released)
        self._epochs.clear()
        self._probes.clear()


def _store(recorded: RecordedStudy, leases: Leases) -> TrialStore:
    reason = reason_against(recorded.storage)
    if reason is None:
        return TrialTables(recorded.storage, recorded.study_id, leases)
    _log.warning("Trials are written one by one, which is slower: %s.", reason)
    # A study of its own: samplers and pruners that act when a trial is asked for do so in `Batch.study`, and once.
    plain = optuna.load_study(
        study_name=recorded.name,
        storage=recorded.storage,
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.NopPruner(),
    )
    return TrialCalls(recorded.storage, plain, leases)
