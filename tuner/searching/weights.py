"""The weights of a study's best trials: written when a trial becomes the best, found again by `tuner export`.

Of hundreds of trials one or two are ever wanted, and the best so far changes a handful of times: keeping those costs
next to nothing, and saves training the winner again.
"""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from search_spaces.errors import ConfigurationError
from studies.paths import StudyPaths
from studies.recorded import RecordedStudy
from studies.records import Outcome, TrialRecord
from tuner.searching.desk import HeldTrial
from tuner.searching.objective import Trained
from tuner.searching.planning import versions
from tuner.training.checkpoint import (
    CONFIG_FILE,
    INFO_FILE,
    WEIGHTS_FILE,
    read_config,
    read_info,
    save_trained,
)
from tuner.training.config import TrainingConfig
from tuner.training.course import Course
from tuner.training.datasets.dataset import Dataset

_COMPLETE = frozenset({Outcome.COMPLETED, Outcome.STOPPED_EARLY})

_log = logging.getLogger(__name__)


def save_weights(folder: Path, run: Course, dataset: Dataset, metric: str, **more: Any) -> None:
    """Write config.yaml, weights.pt and info.json of a training that has ended."""
    about = {
        "task": dataset.name,
        "data_hash": dataset.content_hash,
        "split": run.splits.describe(),
        "outcome": run.outcome,
        "metric": metric,
        "value": value_of(run, metric),
        "best_epoch": run.best_epoch,
        "versions": versions(),
    }
    save_trained(folder, run.config, run, about | more)


class WeightsOfBest:
    """Keeps the weights of a study's best trial, as often as another becomes the best."""

    def __init__(self, recorded: RecordedStudy, study: optuna.Study, dataset: Dataset) -> None:
        if recorded.plan is None:
            raise ValueError("Only a study with a plan has a metric.")
        self._name = recorded.name
        self._paths = recorded.paths
        self._metric = recorded.plan.metric
        self._study = study
        self._dataset = dataset

    def keep(self, told: Sequence[tuple[HeldTrial, Trained]]) -> None:
        """Write them if one of these trials is the best now. A disk that is full must not end the search."""
        by_number = {held.number: trained.lane for held, trained in told if _is_complete(held, trained)}
        if not by_number:
            return
        best = self._study.best_trial.number
        lane = by_number.get(best)
        if lane is None:
            return
        about = {"study": self._name, "trial": best}
        try:
            save_weights(self._paths.weights(best), lane, self._dataset, self._metric, **about)
        except OSError as error:
            _log.warning("The weights of trial %d could not be kept (%s).", best, error)


def _is_complete(held: HeldTrial, trained: Trained) -> bool:
    return not held.is_lost and trained.value is not None and trained.outcome in _COMPLETE


def value_of(run: Course, metric: str) -> float | None:
    """The metric at the best epoch; None for a training that diverged."""
    return None if run.outcome is Outcome.DIVERGED else run.value(metric)


def kept_weights(paths: StudyPaths, trial: TrialRecord, *, data_hash: str) -> Path | None:
    """The folder that holds this very trial's weights; None when they were not kept, or not on this machine.

    A study may be deleted and made anew under the same name: the weights count only if their config, data and value
    are the trial's.
    """
    folder = paths.weights(trial.number)
    if not all((folder / name).exists() for name in (CONFIG_FILE, WEIGHTS_FILE, INFO_FILE)):
        return None
    try:
        config, about = read_config(folder / CONFIG_FILE), read_info(folder)
    except (ConfigurationError, ValueError):  # half a folder: the disk was full, say
        return None
    is_same = about["data_hash"] == data_hash and about["value"] == trial.value
    return folder if is_same and config == TrainingConfig.from_mapping(trial.config) else None


def copy_weights(source: Path, target: Path) -> None:
    """Copy what `save_weights` wrote."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG_FILE, WEIGHTS_FILE, INFO_FILE):
        shutil.copyfile(source / name, target / name)
