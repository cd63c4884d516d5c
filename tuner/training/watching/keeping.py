"""Where the telemetry of a watched loop goes: a trial of a study of its own, the user's trial, or nowhere."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from search_spaces.errors import ConfigurationError
from studies.encoding import jsonable
from studies.readings import (
    CodeProbe,
    Counterfactual,
    DataProbe,
    EpochReadings,
    StepReadings,
    StepZeroProbe,
)
from studies.recorded import open_study, telemetry_of
from studies.records import WATCHED_CONFIG, WATCHED_METRIC, Outcome, TrialError
from studies.storage import open_storage, resolve_url
from studies.telemetry import TelemetryTables
from studies.watches import Hold, Watches
from tuner.training.config import direction_of

_BY_DIRECTION = {"maximize": "validation_accuracy", "minimize": "validation_loss"}
_METRICS = ("validation_accuracy", "validation_loss", "train_loss")
"""The first of them that a loop's first epoch has is its study's metric."""


class Keeper(Protocol):
    """Takes readings as they come, and the end."""

    number: int
    """The trial's; 0 where there is none."""

    def keep_epoch(self, readings: EpochReadings, steps: StepReadings | None) -> None: ...
    def keep_probes(self, step_zero: StepZeroProbe | None, data: DataProbe | None) -> None: ...
    def keep_code(self, code: CodeProbe) -> None: ...
    def keep_counterfactuals(self, rows: Sequence[Counterfactual]) -> None: ...
    def keep_config(self, config: Mapping[str, Any]) -> None: ...
    def end(self, outcome: Outcome, rows: Sequence[EpochReadings], error: TrialError | None) -> None: ...


class InMemory:
    """Keeps nothing: `Watch.findings` is all there is."""

    number = 0

    def keep_epoch(self, readings: EpochReadings, steps: StepReadings | None) -> None:
        pass

    def keep_probes(self, step_zero: StepZeroProbe | None, data: DataProbe | None) -> None:
        pass

    def keep_code(self, code: CodeProbe) -> None:
        pass

    def keep_counterfactuals(self, rows: Sequence[Counterfactual]) -> None:
        pass

    def keep_config(self, config: Mapping[str, Any]) -> None:
        pass

    def end(self, outcome: Outcome, rows: Sequence[EpochReadings], error: TrialError | None) -> None:
        pass


class UsersTrial:
    """A trial of a study of somebody else's: its state, its value and what is reported are theirs."""

    def __init__(self, trial: optuna.Trial, tables: TelemetryTables) -> None:
        self.number = trial.number
        self._trial = trial
        self._tables = tables
        self._config: Mapping[str, Any] = {}

    def keep_epoch(self, readings: EpochReadings, steps: StepReadings | None) -> None:
        self._tables.save_epoch(self._id, readings, steps)

    def keep_probes(self, step_zero: StepZeroProbe | None, data: DataProbe | None) -> None:
        self._tables.save_probes(self._id, step_zero, data)

    def keep_code(self, code: CodeProbe) -> None:
        self._tables.save_code(self._id, code)

    def keep_counterfactuals(self, rows: Sequence[Counterfactual]) -> None:
        self._tables.save_counterfactuals(self._id, rows)

    def keep_config(self, config: Mapping[str, Any]) -> None:
        if config != self._config:
            self._trial.set_user_attr(WATCHED_CONFIG, jsonable(config))
            self._config = dict(config)

    def end(self, outcome: Outcome, rows: Sequence[EpochReadings], error: TrialError | None) -> None:
        pass

    @property
    def _id(self) -> int:
        return self._trial._trial_id  # noqa: SLF001 - telemetry is keyed by it, as Optuna's own tables are


class OwnTrial:
    """A trial of the study ``name``, which is made when the first epoch shows what its values are.

    Raises:
        ConfigurationError: when the storage cannot be opened, or the study was planned by a search.
    """

    def __init__(self, name: str, storage: str | None) -> None:
        self.number = 0
        self._name = name
        self._url = resolve_url(storage)
        self._storage = open_storage(self._url, writable=True)
        self._study: optuna.Study | None = None
        self._trial: optuna.Trial | None = None
        self._inner: UsersTrial | None = None
        self._metric = ""
        self._hold: Hold | None = None
        if name in optuna.get_all_study_names(self._storage):
            self._join()

    def keep_epoch(self, readings: EpochReadings, steps: StepReadings | None) -> None:
        inner = self._ready(readings)
        inner.keep_epoch(readings, steps)
        if self._hold is not None:
            self._hold.beat()
        value = _finite(getattr(readings, self._metric))
        if value is not None and readings.epoch > 0:  # the untrained network is no result
            self._asked().report(value, readings.epoch)

    def keep_probes(self, step_zero: StepZeroProbe | None, data: DataProbe | None) -> None:
        self._ready(None).keep_probes(step_zero, data)

    def keep_code(self, code: CodeProbe) -> None:
        self._ready(None).keep_code(code)

    def keep_counterfactuals(self, rows: Sequence[Counterfactual]) -> None:
        self._ready(None).keep_counterfactuals(rows)

    def keep_config(self, config: Mapping[str, Any]) -> None:
        self._ready(None).keep_config(config)

    def end(self, outcome: Outcome, rows: Sequence[EpochReadings], error: TrialError | None) -> None:
        """Tell Optuna how it ended: as `tuner.train` does, a diverged training is pruned, an aborted one failed."""
        self._ready(None)
        trial, study = self._asked(), self._study
        values = [_finite(getattr(row, self._metric)) for row in rows if row.epoch > 0]
        known = [value for value in values if value is not None]
        state = TrialState.PRUNED
        if not outcome.is_answer:
            state = TrialState.FAIL
        elif known and outcome is Outcome.COMPLETED:
            state = TrialState.COMPLETE
        best = max if direction_of(self._metric) == "maximize" else min
        if error is not None:
            trial.set_user_attr("error", dataclasses.asdict(error))
        trial.set_user_attr("outcome", outcome.value)
        if study is not None:
            study.tell(trial, best(known) if state is TrialState.COMPLETE else None, state=state)
        if self._hold is not None:
            self._hold.release()

    def _join(self) -> None:
        recorded = open_study(self._name, self._url, writable=True)
        if recorded.plan is not None:
            raise ConfigurationError(
                f"A watched loop's study must be its own, but {self._name!r} was planned by symptune "
                f"for {recorded.plan.task}; choose another name."
            )
        self._study = recorded.study
        self._metric = _metric_of(recorded.study)

    def _ready(self, readings: EpochReadings | None) -> UsersTrial:
        """Make the study, if there is none, and the trial."""
        if self._inner is None:
            if self._study is None:
                self._create(readings)
            trial = self._asked()
            tables = telemetry_of(trial.study)
            if tables is None:
                raise TypeError("A study that was opened in a database has telemetry tables.")
            self._inner = UsersTrial(trial, tables)
            watches = Watches(self._storage, int(trial.study._study_id))  # noqa: SLF001 - no public way to it
            watches.end_lost(trial.study)
            self._hold = watches.hold(trial._trial_id)  # noqa: SLF001 - by which telemetry is keyed, too
        return self._inner

    def _create(self, readings: EpochReadings | None) -> None:
        has = [m for m in _METRICS if readings is not None and _finite(getattr(readings, m)) is not None]
        self._metric = has[0] if has else _METRICS[0]
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(max(verbosity, optuna.logging.WARNING))
        try:
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=self._name,
                direction=StudyDirection[direction_of(self._metric).upper()],
                load_if_exists=True,  # another process may have been first
            )
        finally:
            optuna.logging.set_verbosity(verbosity)
        if self._study.direction.name.lower() != direction_of(self._metric) or (
            WATCHED_METRIC in self._study.user_attrs
        ):
            self._metric = _metric_of(self._study)  # the first one's holds
            return
        self._study.set_user_attr(WATCHED_METRIC, self._metric)

    def _asked(self) -> optuna.Trial:
        if self._trial is None:
            if self._study is None:
                raise TypeError("The study is made before its trial.")
            self._trial = self._study.ask()
            self.number = self._trial.number
        return self._trial


def keeper(study: str | None, storage: str | None, trial: optuna.trial.BaseTrial | None) -> Keeper:
    """Where readings go.

    Raises:
        ConfigurationError: for a study and a trial together, a storage without a study, and what is no trial.
    """
    if trial is not None:
        if study is not None or storage is not None:
            raise ConfigurationError(
                f"Give either study= (a study of its own) or trial= (of your Optuna study, wherever it lives), "
                f"but got both trial {trial.number if isinstance(trial, optuna.trial.BaseTrial) else trial!r} "
                f"and {f'study {study!r}' if study is not None else f'storage {storage!r}'}."
            )
        if not isinstance(trial, optuna.trial.BaseTrial):
            raise ConfigurationError(
                f"trial= must be the trial that Optuna gave, but got a {type(trial).__name__}."
            )
        tables = telemetry_of(trial.study) if isinstance(trial, optuna.Trial) else None
        return UsersTrial(trial, tables) if isinstance(trial, optuna.Trial) and tables else InMemory()
    if study is not None:
        return OwnTrial(study, storage)
    if storage is not None:
        raise ConfigurationError(
            f"storage= needs study=, the name to keep it under, but got {storage!r} alone."
        )
    return InMemory()


def _metric_of(study: optuna.Study) -> str:
    """What the values of a study that is there are: as its first loop said, else by its direction."""
    known = study.user_attrs.get(WATCHED_METRIC)
    return known if known in _METRICS else _BY_DIRECTION[study.direction.name.lower()]


def _finite(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - NaN differs from itself
