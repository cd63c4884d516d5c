"""An Optuna study as our record: what its own columns, its user attributes, its plan and its telemetry say together."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search_spaces.lever import Lever
from search_spaces.space import Space
from studies.leases import REPLACES
from studies.plan import StudyPlan
from studies.proofs import proofs_in
from studies.readings import EpochReadings, Telemetry
from studies.records import (
    SPARED_AT,
    WATCHED_CONFIG,
    WATCHED_METRIC,
    Outcome,
    StudyRecord,
    TrialError,
    TrialRecord,
    WorkerSeconds,
)

REUSES = "reuses"
"""User attribute of a trial: the number of the trial of the same config whose result it took over."""


def study_record(
    study: optuna.Study,
    plan: StudyPlan | None,
    readings: Mapping[int, Telemetry],
    *,
    storage: str,
    overhead: tuple[WorkerSeconds, ...] = (),
    lost: frozenset[int] = frozenset(),
) -> StudyRecord:
    """The study's record, with the telemetry of its trials by their id in the database.

    ``lost`` are the ids of running trials whose process is gone: they are told as failed, whatever Optuna says.
    """
    trials = study.get_trials(deepcopy=False)
    levers = {} if plan is None else {lever.name: lever for lever in Space.from_json(plan.space)}
    replaced = {_number(trial, REPLACES) for trial in trials}
    return StudyRecord(
        name=study.study_name,
        direction=study.direction.name.lower(),
        metric=_metric(study) if plan is None else plan.metric,
        plan=plan,
        storage=storage,
        overhead=overhead,
        proofs=proofs_in(study.user_attrs),
        trials=tuple(
            _trial_record(
                trial,
                readings.get(trial._trial_id),  # noqa: SLF001
                plan,
                levers,
                is_replaced=trial.number in replaced,
                is_lost=trial.state is TrialState.RUNNING and trial._trial_id in lost,  # noqa: SLF001
            )
            for trial in trials
        ),
    )


def _metric(study: optuna.Study) -> str:
    """What the values of a study without a plan are: a reading, where a watched loop said so, else just a value."""
    said = study.user_attrs.get(WATCHED_METRIC)
    # Anyone may have an attribute of that name.
    return (
        said if isinstance(said, str) and said in {field.name for field in fields(EpochReadings)} else "value"
    )


def _trial_record(
    trial: FrozenTrial,
    telemetry: Telemetry | None,
    plan: StudyPlan | None,
    levers: Mapping[str, Lever],
    *,
    is_replaced: bool,
    is_lost: bool,
) -> TrialRecord:
    searched = dict(trial.params)
    if plan is not None:  # a lost trial may have only some of the parameters
        known = {name: value for name, value in trial.params.items() if name in levers}
        searched = {levers[name].key: levers[name].to_config(value) for name, value in known.items()}
    return TrialRecord(
        number=trial.number,
        state="fail" if is_lost else trial.state.name.lower(),
        outcome=Outcome.LOST if is_lost else _outcome(trial, is_replaced=is_replaced),
        value=_value(trial),
        params=dict(trial.params),
        distributions=dict(trial.distributions),
        searched=searched,
        config=_config(trial, searched, plan),
        intermediate_values=dict(trial.intermediate_values),
        telemetry=telemetry,
        error=_error(trial),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        replaces=_number(trial, REPLACES),
        reuses=_number(trial, REUSES),
        spared_at=_number(trial, SPARED_AT),
        test_accuracy=_reading(trial, "test_accuracy"),
        test_loss=_reading(trial, "test_loss"),
    )


def _config(trial: FrozenTrial, searched: Mapping[str, Any], plan: StudyPlan | None) -> dict[str, Any]:
    own = trial.user_attrs.get("config")  # of a single training, whose config no sampler chose
    if isinstance(own, dict):
        return own
    seen = trial.user_attrs.get(WATCHED_CONFIG)
    watched = seen if isinstance(seen, dict) else {}
    return {**watched, **searched} if plan is None else {**plan.defaults, **searched, **plan.fixed}


def _value(trial: FrozenTrial) -> float | None:
    if trial.user_attrs.get("outcome") == Outcome.DIVERGED or trial.values is None or len(trial.values) != 1:
        return None
    return float(trial.values[0])


def _outcome(trial: FrozenTrial, *, is_replaced: bool) -> Outcome | None:
    """As its worker recorded it; else what Optuna's state allows one to conclude."""
    recorded = trial.user_attrs.get("outcome")
    # Anyone may have an attribute of that name.
    outcome = Outcome(recorded) if isinstance(recorded, str) and recorded in set(Outcome) else None
    if trial.state is TrialState.FAIL:
        if is_replaced and outcome not in {Outcome.INTERRUPTED, Outcome.OUT_OF_TIME}:
            return Outcome.LOST  # whatever its worker wrote just before it died
        return outcome
    by_state = {TrialState.COMPLETE: Outcome.COMPLETED, TrialState.PRUNED: Outcome.PRUNED}
    return outcome or by_state.get(trial.state)


def _error(trial: FrozenTrial) -> TrialError | None:
    recorded = trial.user_attrs.get("error")
    if not isinstance(recorded, dict) or set(recorded) != {"type", "message", "where"}:
        return None
    return TrialError(**recorded)


def _number(trial: FrozenTrial, attribute: str) -> int | None:
    """The number of another trial that an attribute of this one holds."""
    recorded = trial.user_attrs.get(attribute)
    return recorded if isinstance(recorded, int) else None


def _reading(trial: FrozenTrial, attribute: str) -> float | None:
    recorded = trial.user_attrs.get(attribute)
    return float(recorded) if isinstance(recorded, int | float) else None
