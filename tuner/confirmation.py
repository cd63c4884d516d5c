"""Train winners again with new seeds before believing them: the search's best value is the luckiest of many.

Every candidate is trained with the same fresh seeds, each of which sets the initial weights, dropout and data order,
on the split that the search used. The verdict is `studies.comparison.confirm`'s and goes by validation alone; the
test split, which nothing was chosen by, is read off at the end.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import ConfigurationError
from studies.comparison import Confirmation, Interval, confirm, interval
from studies.encoding import jsonable
from studies.recorded import open_study
from studies.records import StudyRecord, TrialRecord
from studies.storage import shown_url
from tuner.replication import (
    N_SEEDS,
    Config,
    Replicates,
    check_reproducible,
    fresh_seeds,
    model_of,
    replicate,
    seedless,
)
from tuner.searching.objective import Task

__all__ = [
    "N_SEEDS",
    "Confirmed",
    "Replicates",
    "best_configs",
    "confirm_configs",
    "confirm_study",
    "fresh_seeds",
    "replicate",
]


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """Candidates after their confirmation."""

    confirmation: Confirmation
    test: Mapping[str, Interval]
    """Accuracy on the test split, by label; empty for data without one."""
    replicates: Replicates

    @property
    def is_complete(self) -> bool:
        """Whether every candidate has ended with every seed; else the same call goes on."""
        return self.replicates.is_complete

    @property
    def validation(self) -> dict[str, Interval]:
        """The metric on the validation split, by label, the best first."""
        return {row.label: row.confirmed for row in self.confirmation.ranked}

    @property
    def config(self) -> Config:
        """The leader's, whether or not it could be told from the others."""
        return self.replicates.configs[self.confirmation.leader.label]

    @property
    def sentence(self) -> str:
        """The verdict, and what the leader reaches on the test split."""
        found = self.test.get(self.confirmation.leader.label)
        if found is None or not self.is_complete:
            return self.confirmation.sentence
        return f"{self.confirmation.sentence} On the test split, which nothing was chosen by, it reaches {found.text}."

    def to_json(self) -> dict[str, Any]:
        replicates = self.replicates
        candidates = [
            {
                **jsonable(row),
                "test": jsonable(self.test.get(row.label)),
                "values": jsonable(replicates.values(row.label)),
                "config": jsonable(replicates.configs[row.label]),
            }
            for row in self.confirmation.ranked
        ]
        return {
            **self.confirmation.to_json(),
            "ranked": candidates,
            "sentence": self.sentence,
            "study": replicates.study,
            "storage": shown_url(replicates.storage),
            "seeds": list(replicates.paired_seeds),
            "is_complete": self.is_complete,
        }


def confirm_configs(  # noqa: PLR0913 - one keyword per concern
    candidates: Mapping[str, Config],
    task: Task,
    *,
    study: str,
    storage: str | None = None,
    seeds: int | Sequence[int] = N_SEEDS,
    seed: int = 0,
    searched: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    known: Replicates | None = None,
    **training: Any,
) -> Confirmed:
    """Train every candidate with the same fresh seeds, and say which is the best; what is done is not done again.

    Args:
        candidates: by label; their own seeds play no part.
        task: as for `tuner.search`.
        study: of the replicates; on an existing one what is left is done.
        storage: where it lives.
        seeds: how many fresh ones, or which.
        seed: of the search, so that the split is the search's; none of ``seeds``.
        searched: by label, the values that the search found, to tell how far selection flattered them.
        confidence: of intervals and verdicts.
        known: replicates of an earlier call with the same settings, which are not trained again: only the pairs of
            config and seed that they lack are, as a study of their own.
        training: epochs, fixed, metric, direction, model, workers, timeout, device, data_dir, grace, on_progress and
            announce, as for `tuner.listed.search_listed`.

    Raises:
        ConfigurationError: for candidates that are equal but for their seeds, and for seeds that are not fresh.
    """
    replicates = replicate(
        candidates,
        task,
        study=study,
        storage=storage,
        seeds=seeds,
        seed=seed,
        known=known,
        evaluates_test=True,
        **training,
    )
    return Confirmed(
        confirmation=confirm(
            {label: replicates.values(label) for label in candidates},
            direction=replicates.direction,
            searched=searched,
            confidence=confidence,
            n_missing=replicates.n_missing,
            n_trainings=replicates.n_trainings,
        ),
        test=_tested(replicates, confidence),
        replicates=replicates,
    )


def confirm_study(  # noqa: D417 - the others are those of `confirm_configs`
    study: str,
    *,
    storage: str | None = None,
    top: int = 3,
    baseline: Config | None = None,
    task: Task | None = None,
    name: str | None = None,
    seeds: int | Sequence[int] = N_SEEDS,
    confidence: float = 0.95,
    **training: Any,
) -> Confirmed:
    """Confirm the ``top`` configs of a finished search, on its task, data, split, model, epochs and metric.

    Args:
        study: the search.
        storage: where it lives, and where the replicates go.
        top: how many of its best distinct configs.
        baseline: a config to confirm beside them; what it leaves out is as the search had it.
        task: needed only if the search's was a function that cannot be imported; ``model`` likewise.
        name: of the study of replicates; default ``<study>-seeds``.

    The others are those of `confirm_configs`; an epochs, fixed or model given here rules for all candidates.

    Raises:
        ConfigurationError: when the study was not made by symptune, or no trial of it completed; when its task or model
            cannot be imported, or its data is another one by now.
    """
    record = open_study(study, storage).record(telemetry=False)
    if record.plan is None:
        raise ConfigurationError(
            f"Only a study made by symptune can be confirmed, since task and split must be known, but got {study!r}."
        )
    best, plan = best_configs(record, top), record.plan
    task = plan.task if task is None else task
    model = training.pop("model", None) or model_of(plan)
    check_reproducible(plan, task, model, training.get("data_dir"))
    epochs = training.pop("epochs", None)
    ruling = {
        **(training.pop("fixed", None) or {}),
        **({"model": model} if isinstance(model, str) else {}),
        **({} if epochs is None else {"epochs": epochs}),
    }
    candidates = {f"trial {trial.number}": {**trial.config, **ruling} for trial in best}
    if baseline is not None:
        candidates["baseline"] = {**plan.defaults, **ruling, **baseline}
    return confirm_configs(
        candidates,
        task,
        study=name or f"{study}-seeds",
        storage=storage,
        seeds=seeds,
        seed=plan.seed,
        searched={f"trial {trial.number}": float(trial.value or 0.0) for trial in best},
        confidence=confidence,
        model=model,
        **{"metric": plan.metric, "direction": plan.direction, **training},
    )


def best_configs(record: StudyRecord, top: int) -> list[TrialRecord]:
    """The best complete trials of distinct configs, the best first, at most ``top``.

    Raises:
        ConfigurationError: when ``top`` is below 1, or no trial completed.
    """
    if top < 1:
        raise ConfigurationError(f"top must be at least 1, but got {top}.")
    sign = -1.0 if record.is_maximized else 1.0
    found: list[TrialRecord] = []
    for trial in sorted(record.complete_trials, key=lambda t: (sign * float(t.value or 0.0), t.number)):
        if len(found) < top and all(seedless(trial.config) != seedless(other.config) for other in found):
            found.append(trial)
    if not found:
        raise ConfigurationError(
            f"A confirmation needs a complete trial, but {record.name!r} has none; run `tuner search` first."
        )
    return found


def _tested(replicates: Replicates, confidence: float) -> dict[str, Interval]:
    found = {
        label: interval(replicates.test_accuracies(label), confidence=confidence)
        for label in replicates.configs
    }
    return {label: each for label, each in found.items() if not math.isnan(each.mean)}
