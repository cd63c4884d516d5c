"""Trials that ask for what the study has trained: a training follows from its config, so it is not repeated."""

import hashlib
import json
from typing import Any

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


def finished_twin(trial: optuna.Trial, training: str) -> FrozenTrial | None:
    """The first trial of the study that trained the same thing to its own end; None where there is none.

    One that still trains in another worker is not waited for: that would idle a processor to save it work.
    """
    study = trial.study
    # Not study.get_trials: Hyperband hides the trials of other brackets there.
    storage, study_id = study._storage, study._study_id  # noqa: SLF001
    finished = storage.get_all_trials(study_id, deepcopy=False, states=_FINISHED)
    return next(
        (earlier for earlier in finished if _trained(earlier) == training and _ended_by_itself(earlier)), None
    )


def outcome_of(twin: FrozenTrial) -> Outcome:
    """How its training ended."""
    return Outcome(twin.user_attrs["outcome"])


def _trained(trial: FrozenTrial) -> Any:
    return trial.user_attrs.get(FINGERPRINT)


def _ended_by_itself(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("outcome") in _TAKEN_OVER
