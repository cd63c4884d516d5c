"""Trials written call by call through Optuna's own API: slow, obvious, and right on any database and schema."""

import json
from collections.abc import Collection, Container, Mapping, Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from studies.leases import Lease, Leases
from studies.outages import in_transaction
from studies.pending import AlsoWrite, Pending


class TrialCalls:
    """`studies.pending.TrialStore` by one of Optuna's calls after another."""

    def __init__(self, storage: RDBStorage, study: optuna.Study, leases: Leases) -> None:
        self._storage = storage
        self._study = study
        self._leases = leases

    def take(self, n: int) -> list[FrozenTrial]:
        """So many trials that run from now on, enqueued ones first."""
        ids = [self._study.ask()._trial_id for _ in range(n)]  # noqa: SLF001 - storages work on ids
        return [self._storage.get_trial(trial_id) for trial_id in ids]

    def take_under(self, leases: Sequence[Lease]) -> list[tuple[Lease, FrozenTrial]]:
        """A trial for each lease; where the lease was taken from us meanwhile, the trial is given back."""
        trials = self.take(len(leases))
        bound = self._leases.bind_many(leases, [trial._trial_id for trial in trials])  # noqa: SLF001
        return [(lease, trial) for lease, trial in zip(bound, trials, strict=True) if lease is not None]

    def read(self, *, after: int, but: Container[int], among: Collection[int]) -> list[FrozenTrial]:
        """The trials with a greater id than ``after``, ``but`` not those; and the ones ``among`` these."""
        trials = {trial._trial_id: trial for trial in self._study.get_trials(deepcopy=False)}  # noqa: SLF001
        return [
            trial
            for trial_id, trial in trials.items()
            if trial_id in among or (trial_id > after and trial_id not in but)
        ]

    def write(self, pending: Mapping[int, Pending], also: AlsoWrite) -> frozenset[int]:
        """Write what is pending, by trial id; the ids of trials that are no longer ours."""
        lost = frozenset(key for key, trial in pending.items() if not self._is_written(key, trial))
        in_transaction(self._storage, lambda connection: also(connection, lost))
        return lost

    def _is_written(self, trial_id: int, pending: Pending) -> bool:
        """Write one trial's part; False when another worker has ended the trial."""
        stored = self._storage.get_trial(trial_id)
        ending = pending.ending
        if stored.state is not TrialState.RUNNING:
            # Told by a first attempt whose answer was lost, or by another worker.
            values = None if stored.values is None else tuple(stored.values)
            return ending is not None and (ending.state, ending.values) == (stored.state, values)
        try:
            for name, (value, distribution) in pending.params.items():
                self._storage.set_trial_param(trial_id, name, value, distribution)  # written twice, kept once
            for key, text in pending.user_attrs.items():
                self._storage.set_trial_user_attr(trial_id, key, json.loads(text))
            for key, text in pending.system_attrs.items():
                self._storage.set_trial_system_attr(trial_id, key, json.loads(text))
            for step, reading in pending.intermediate_values.items():
                self._storage.set_trial_intermediate_value(trial_id, step, reading)
            if ending is not None:
                self._storage.set_trial_state_values(trial_id, ending.state, ending.values)
        except UpdateFinishedTrialError:
            return False
        return True
