"""Exceptions of trials: each is told as its trial's own, and the same one again and again ends the search."""

import logging

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.records import Outcome, TrialError
from tuner.searching.desk import Desk, HeldTrial
from tuner.training.functions import error_record

SAME_ERRORS_TO_HALT = 3
"""The same exception so many times in a row is the code's fault, not the config's."""

_log = logging.getLogger(__name__)


class Failures:
    """Those of one worker's run. What trials ended with before it began is the past."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._n_trials_before = len(desk.study.get_trials(deepcopy=False))

    def tell(self, held: HeldTrial, error: BaseException) -> None:
        """End the trial with its own exception."""
        _log.warning("Trial %d failed.", held.number, exc_info=error)
        record = error_record(error)
        self._desk.tell_failed(held, {"type": record.type, "message": record.message, "where": record.where})

    def repeated(self) -> TrialError | None:
        """The exception that ended the study's last trials, if it was always the same."""
        return repeated_error(self._desk.study, since=self._n_trials_before)


def repeated_error(study: optuna.Study, *, since: int) -> TrialError | None:
    """The exception that ended the last trials, if it was always the same. What was lost or handed back ended nothing.

    Args:
        study: with the errors in its trials' attributes.
        since: the number of trials that were there when the run began: what they ended with is the past.
    """
    finished = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.number >= since and _ended_by_itself(trial)
    ]
    finished.sort(key=lambda trial: (trial.datetime_complete, trial.number))
    last = [trial.user_attrs.get("error") for trial in finished[-SAME_ERRORS_TO_HALT:]]
    errors = [TrialError(**error) for error in last if isinstance(error, dict)]
    if len(errors) == SAME_ERRORS_TO_HALT and all(errors[0].is_same(error) for error in errors):
        return errors[-1]
    return None


def _ended_by_itself(trial: FrozenTrial) -> bool:
    is_failed = trial.state is TrialState.FAIL and trial.user_attrs.get("outcome") == Outcome.FAILED
    return trial.state in {TrialState.COMPLETE, TrialState.PRUNED} or is_failed
