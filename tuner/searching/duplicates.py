"""Trials that ask for what the study has trained: a training follows from its config, so it is not repeated."""

import hashlib
import json

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.records import Outcome
from tuner.searching.equivalence import canonical
from tuner.training.config import TrainingConfig

FINGERPRINT = "training"
"""User attribute of a trial: hex digits that two trials share when they train the same thing."""
_DIGITS = 16  # hex, 64 bits
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_TAKEN_OVER = {Outcome.COMPLETED, Outcome.STOPPED_EARLY, Outcome.DIVERGED}
"""How a training may have ended by itself. What a pruner ended was not trained out, and others decided that."""


def fingerprint(config: TrainingConfig, **more: str) -> str:
    """Hex digits of everything that decides a training: its config, and whatever else the caller names."""
    parts = json.dumps({"config": canonical(config), **more}, sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:_DIGITS]


class FinishedTwins:
    """The trainings of a study that came to their own end, by fingerprint. What is read once is not read again.

    One that still trains in another worker is not waited for: that would idle a processor to save it work.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._seen: set[int] = set()
        self._first: dict[str, FrozenTrial] = {}

    def find(self, training: str) -> FrozenTrial | None:
        """The first trial that trained this to its own end; None where there is none."""
        # Not study.get_trials: Optuna's Hyperband hides the trials of other brackets there.
        storage, study_id = self._study._storage, self._study._study_id  # noqa: SLF001
        for trial in storage.get_all_trials(study_id, deepcopy=False, states=_FINISHED):
            if trial.number not in self._seen:
                self._seen.add(trial.number)
                if _ended_by_itself(trial):
                    self._first.setdefault(str(trial.user_attrs.get(FINGERPRINT)), trial)
        return self._first.get(training)


def outcome_of(twin: FrozenTrial) -> Outcome:
    """How its training ended."""
    return Outcome(twin.user_attrs["outcome"])


def _ended_by_itself(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("outcome") in _TAKEN_OVER
