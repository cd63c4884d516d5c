"""An Optuna storage that keeps this process's own running trials in memory and writes them behind, at a flush.

Samplers, pruners and `optuna.Trial` use it as any storage. What is suggested, reported and set on a trial of ours is
seen at once in this process and held until `flush`, which writes all trials' news in one transaction. So K lanes cost
an epoch one transaction, not K times the readings.

What is kept of Optuna's promises, and what is not:

- A trial is in the database, RUNNING, from the moment it is asked for; its parameters from the next flush on, which is
  due before training starts. A process killed between two flushes loses the readings since the last.
- A trial that another worker has ended is found out at the next flush, which writes nothing of it.
- The trials of other workers are read again after every ask, flush and tell, and when the picture of them is older than
  `FRESH_SECONDS`; not at every suggestion, as Optuna's own cache does.
- One thread uses it. It is not pickled: what it holds is written once, by its own process.
"""

import copy
import json
import time
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from studies.leases import Lease
from studies.pending import AlsoWrite, Ending, Pending, TrialStore
from studies.trial_tables import local_time, utc_now

FRESH_SECONDS = 1.0
"""How old the picture of other workers' trials may be: short beside an epoch, long beside a suggestion."""


def _write_nothing_more(_connection: object, _lost: object) -> None:
    """For flushes of trials alone."""


class WriteBehindStorage(BaseStorage):
    """The trials of one study; whatever concerns another study goes to ``backend`` as it is."""

    def __init__(self, backend: RDBStorage, study_id: int, store: TrialStore) -> None:
        self._backend = (
            backend  # the name by which Optuna's own cache keeps it, and `recorded.telemetry_of` finds it
        )
        self._study_id = study_id
        self._store = store
        self._trials: dict[int, FrozenTrial] = {}  # by number
        self._numbers: dict[int, int] = {}  # by id
        self._ours: dict[int, Pending] = {}  # by id: running, or ended and not yet written
        self._lost: set[int] = set()  # found out since the last flush
        self._theirs_unfinished: set[int] = set()
        self._last_read = -1
        self._read_at: float | None = None  # None: something may have changed since
        self._distributions: dict[str, BaseDistribution] = {}
        self._holds_endings = False
        self._name: str | None = None
        self._directions: list[StudyDirection] | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A write-behind storage stays in its process; open the study by its URL in the other one."
        )

    # -- this process's trials --

    def take(self, n: int) -> list[int]:
        """The ids of so many trials that run from now on, enqueued ones first. One transaction."""
        return [self._adopt(trial) for trial in self._store.take(n)]

    def take_under(self, leases: Sequence[Lease]) -> list[tuple[Lease, int]]:
        """A trial for each lease that is still ours, and its id. One transaction."""
        return [(lease, self._adopt(trial)) for lease, trial in self._store.take_under(leases)]

    def is_ours(self, trial_id: int) -> bool:
        """Whether the trial runs here, as far as is known."""
        return trial_id in self._ours

    def flush(self, also: AlsoWrite = _write_nothing_more) -> frozenset[int]:
        """Write all that is pending in one transaction; the ids of trials found since the last flush not to be ours."""
        self._write(self._ours, also)
        lost, self._lost = frozenset(self._lost), set()
        return lost

    def let_go(self, trial_ids: Collection[int]) -> None:
        """Say that these trials of ours were ended elsewhere, as we know: what is pending of them is dropped."""
        ours = [trial_id for trial_id in trial_ids if self._ours.pop(trial_id, None) is not None]
        self._forget(ours)

    @contextmanager
    def holding_endings(self) -> Iterator[None]:
        """While the body runs, trials of ours that are told end in memory only; the next flush ends them for all."""
        self._holds_endings = True
        try:
            yield
        finally:
            self._holds_endings = False

    def _adopt(self, trial: FrozenTrial) -> int:
        trial_id = int(trial._trial_id)  # noqa: SLF001 - storages work on ids
        self._ours[trial_id] = Pending()
        self._theirs_unfinished.discard(trial_id)
        self._keep(trial)
        self._read_at = None
        return trial_id

    def _keep(self, trial: FrozenTrial) -> None:
        self._trials[trial.number] = trial
        self._numbers[trial._trial_id] = trial.number  # noqa: SLF001
        for name, distribution in trial.distributions.items():
            self._distributions.setdefault(name, distribution)

    def _write(self, pending: Mapping[int, Pending], also: AlsoWrite) -> None:
        written = dict(pending)
        lost_before = frozenset(self._lost)
        lost = self._store.write(written, lambda connection, now: also(connection, lost_before.union(now)))
        self._read_at = None
        for trial_id, trial in written.items():
            if trial_id in lost or trial.ending is not None:
                del self._ours[trial_id]
            else:
                self._ours[trial_id] = Pending()
        self._lost |= lost
        self._forget(lost)

    def _forget(self, trial_ids: Collection[int]) -> None:
        """Trials that are no longer ours are read again, as whoever has them now left them."""
        for trial_id in trial_ids:
            del self._trials[self._numbers.pop(trial_id)]
        self._theirs_unfinished.update(trial_ids)
        self._read_at = None

    def _change(self, trial_id: int, **fields: Any) -> None:
        """Replace the trial by a changed copy: whoever holds the old one, as `optuna.Trial` does, is not disturbed."""
        trial = copy.copy(self._trials[self._numbers[trial_id]])
        for name, value in fields.items():
            setattr(trial, name, value)
        self._trials[trial.number] = trial

    def _trial(self, trial_id: int) -> FrozenTrial:
        return self._trials[self._numbers[trial_id]]

    # -- Optuna's calls on trials --

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """A running trial of ours; with a template, a trial that is nobody's, such as an enqueued one."""
        if study_id == self._study_id and template_trial is None:
            return self.take(1)[0]
        self._read_at = None
        return int(self._backend.create_new_trial(study_id, template_trial))

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Note a parameter.

        Raises:
            ValueError: when another trial of the study took it from an incompatible distribution.
        """
        if trial_id not in self._ours:
            self._backend.set_trial_param(trial_id, param_name, param_value_internal, distribution)
            return
        if param_name not in self._distributions:
            self._read_theirs()
        known = self._distributions.setdefault(param_name, distribution)
        check_distribution_compatibility(known, distribution)
        trial = self._trial(trial_id)
        value = distribution.to_external_repr(param_value_internal)
        self._change(
            trial_id,
            params={**trial.params, param_name: value},
            distributions={**trial.distributions, param_name: distribution},
        )
        self._ours[trial_id].params[param_name] = (param_value_internal, distribution)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Note a reading."""
        if trial_id not in self._ours:
            self._backend.set_trial_intermediate_value(trial_id, step, intermediate_value)
            return
        reading = float(intermediate_value)
        values = {**self._trial(trial_id).intermediate_values, step: reading}
        self._change(trial_id, intermediate_values=values)
        self._ours[trial_id].intermediate_values[step] = reading

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note an attribute.

        Raises:
            TypeError: when it has no JSON form.
        """
        if trial_id not in self._ours:
            self._backend.set_trial_user_attr(trial_id, key, value)
            return
        text = json.dumps(value)
        self._change(trial_id, user_attrs={**self._trial(trial_id).user_attrs, key: json.loads(text)})
        self._ours[trial_id].user_attrs[key] = text

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note an attribute of Optuna's own."""
        if trial_id not in self._ours:
            self._backend.set_trial_system_attr(trial_id, key, value)
            return
        text = json.dumps(value)
        self._change(trial_id, system_attrs={**self._trial(trial_id).system_attrs, key: json.loads(text)})
        self._ours[trial_id].system_attrs[key] = text

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """End a trial of ours with all that is pending of it, or take an enqueued one; whether that was done.

        Raises:
            UpdateFinishedTrialError: when another worker has ended it.
        """
        if trial_id not in self._ours:
            return self._set_state_of_theirs(trial_id, state, values)
        if not state.is_finished():
            return False  # it runs already
        at = utc_now()
        told = None if values is None else tuple(float(value) for value in values)
        self._ours[trial_id].ending = Ending(state=state, values=told, at=at)
        self._change(
            trial_id,
            state=state,
            values=None if told is None else list(told),
            datetime_complete=local_time(at),
        )
        if not self._holds_endings:
            number = self._numbers[trial_id]
            self._write({trial_id: self._ours[trial_id]}, _write_nothing_more)
            if trial_id in self._lost:
                raise UpdateFinishedTrialError(f"Trial {number} was ended by another worker.")
        return True

    def _set_state_of_theirs(self, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
        is_done = bool(self._backend.set_trial_state_values(trial_id, state, values))
        self._read_at = None
        if is_done and state is TrialState.RUNNING:
            self._adopt(self._backend.get_trial(trial_id))
        return is_done

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The trial, with what is not yet written if it is ours."""
        number = self._numbers.get(trial_id)
        if number is not None and (trial_id in self._ours or self._trials[number].state.is_finished()):
            return self._trials[number]
        return self._backend.get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The study's trials in the order of their numbers, ours with what is not yet written."""
        if study_id != self._study_id:
            return self._backend.get_all_trials(study_id, deepcopy, states)
        self._read_theirs()
        trials = [self._trials[number] for number in sorted(self._trials)]
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def _read_theirs(self) -> None:
        """Bring the picture of other workers' trials up to date, where it may be old."""
        now = time.monotonic()
        if self._read_at is not None and now - self._read_at < FRESH_SECONDS:
            return
        read = self._store.read(
            after=self._last_read, but=self._numbers.keys(), among=self._theirs_unfinished
        )
        for trial in read:
            self._keep(trial)
        ids = {int(trial._trial_id): trial for trial in read}  # noqa: SLF001
        self._theirs_unfinished = {key for key, trial in ids.items() if not trial.state.is_finished()}
        self._last_read = max(self._numbers, default=-1)
        self._read_at = now

    # -- Optuna's calls on studies --

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """As the backend does it."""
        return int(self._backend.create_new_study(directions, study_name))

    def delete_study(self, study_id: int) -> None:
        """As the backend does it."""
        self._backend.delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Written at once."""
        self._backend.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Written at once."""
        self._backend.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """As the backend has it."""
        return int(self._backend.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        """Of our study, read once."""
        if study_id != self._study_id:
            return str(self._backend.get_study_name_from_id(study_id))
        if self._name is None:
            self._name = str(self._backend.get_study_name_from_id(study_id))
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Of our study, read once: they never change."""
        if study_id != self._study_id:
            return list(self._backend.get_study_directions(study_id))
        if self._directions is None:
            self._directions = list(self._backend.get_study_directions(study_id))
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """As the backend has them."""
        return dict(self._backend.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """As the backend has them."""
        return dict(self._backend.get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[FrozenStudy]:
        """As the backend has them."""
        return list(self._backend.get_all_studies())
