"""Storages that write behind, Optuna's own beside them, and what a trial says in each."""

from typing import Any

from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial

from studies.leases import Leases
from studies.recorded import RecordedStudy
from studies.storage import open_storage
from studies.trial_calls import TrialCalls
from studies.trial_tables import TrialTables
from studies.write_behind import WriteBehindStorage

X = FloatDistribution(0.0, 1.0)


def by_tables(recorded: RecordedStudy) -> WriteBehindStorage:
    leases = Leases(recorded.storage, recorded.study)
    store = TrialTables(recorded.storage, recorded.study_id, leases)
    return WriteBehindStorage(recorded.storage, recorded.study_id, store)


def by_calls(recorded: RecordedStudy) -> WriteBehindStorage:
    leases = Leases(recorded.storage, recorded.study)
    store = TrialCalls(recorded.storage, recorded.study, leases)
    return WriteBehindStorage(recorded.storage, recorded.study_id, store)


def plain(recorded: RecordedStudy) -> RDBStorage:
    return recorded.storage


def flushed(storage: BaseStorage) -> frozenset[int]:
    return storage.flush() if isinstance(storage, WriteBehindStorage) else frozenset()


def facts(trial: FrozenTrial) -> dict[str, Any]:
    """What a trial says, without its times; NaN as text, which equals itself."""
    return {
        "number": trial.number,
        "state": trial.state,
        "values": trial.values,
        "params": trial.params,
        "order": list(trial.params),
        "distributions": trial.distributions,
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
        "intermediate_values": {step: repr(value) for step, value in trial.intermediate_values.items()},
    }


OURS = {"tables": (by_tables, "sqlite"), "calls": (by_calls, "sqlite"), "server": (by_tables, "postgresql")}


def elsewhere(storage: BaseStorage) -> RDBStorage:
    """Another process's plain storage on the same database."""
    backend = storage._backend if isinstance(storage, WriteBehindStorage) else storage
    assert isinstance(backend, RDBStorage)
    return open_storage(backend.url)
