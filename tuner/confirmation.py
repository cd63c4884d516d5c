"""Train winners again with new seeds before believing them: the search's best value is the luckiest of many.

Every candidate is trained with the same fresh seeds, each of which sets the initial weights, dropout and data order,
on the split that the search used. The verdict is `studies.comparison.confirm`'s and goes by validation alone; the
test split, which nothing was chosen by, is read off at the end.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import ConfigurationError
from studies.comparison import Confirmation, Interval, confirm, interval
from studies.encoding import jsonable
from studies.recorded import open_study
from studies.records import StudyRecord, TrialRecord
from studies.storage import shown_url
from tuner.listed import Listed, search_listed
from tuner.searching.objective import Task
from tuner.searching.planning import task_name
from tuner.training.config import TrainingConfig, direction_of

N_SEEDS = 8
"""Enough to tell two configs two noise floors apart in 93% of studies (docs/comparison.md)."""
FIRST_FRESH_SEED = 1000
"""Above the search's seed: people number their searches 0, 1, 2, ..., and none of those shall come again here."""

Config = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """Several configs trained with the same seeds."""

    study: str
    storage: str
    settings: Mapping[str, Any]
    """What all of them share beside their config: only replicates of equal settings can be compared."""
    direction: str
    seeds: tuple[int, ...]
    configs: Mapping[str, Config]
    """By label, whole and without their seeds."""
    trials: Mapping[str, tuple[TrialRecord | None, ...]]
    """By label, one for each seed; None where the training has not ended."""
    listed: Listed | None
    """None when nothing had to be trained."""

    @property
    def is_complete(self) -> bool:
        return all(trial is not None for row in self.trials.values() for trial in row)

    @property
    def paired_seeds(self) -> tuple[int, ...]:
        """Those with which every config has ended: the others make no pairs."""
        return tuple(seed for place, seed in enumerate(self.seeds) if self._is_paired(place))

    def values(self, label: str) -> list[float | None]:
        """The metric over the paired seeds; None where the training diverged."""
        return [None if trial is None else trial.value for trial in self._paired(label)]

    def test_accuracies(self, label: str) -> list[float | None]:
        """Over the paired seeds; None where the data has no test split or the training no weights worth keeping."""
        return [None if trial is None else trial.test_accuracy for trial in self._paired(label)]

    def known(self, config: Config) -> tuple[TrialRecord | None, ...] | None:
        """The trials of ``config``, a whole one; None where it is not among the configs."""
        label = next((label for label, own in self.configs.items() if own == config), None)
        return None if label is None else self.trials[label]

    def _is_paired(self, place: int) -> bool:
        return all(row[place] is not None for row in self.trials.values())

    def _paired(self, label: str) -> list[TrialRecord | None]:
        return [trial for place, trial in enumerate(self.trials[label]) if self._is_paired(place)]


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
        if found is None:
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
        known: replicates of an earlier call with the same seeds and settings, which are not trained again.
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
    """Confirm the ``top`` configs of a finished search, on its task, split, epochs and metric.

    Args:
        study: the search.
        storage: where it lives, and where the replicates go.
        top: how many of its best distinct configs.
        baseline: a config to confirm beside them.
        task: needed only if the search's was a function that cannot be imported.
        name: of the study of replicates; default ``<study>-seeds``.

    The others are those of `confirm_configs`.

    Raises:
        ConfigurationError: when the study was not made by symptune, or no trial of it completed.
    """
    record = open_study(study, storage).record(telemetry=False)
    if record.plan is None:
        raise ConfigurationError(
            f"Only a study made by symptune can be confirmed, since task and split must be known, but got {study!r}."
        )
    best = best_configs(record, top)
    candidates = {f"trial {trial.number}": trial.config for trial in best}
    if baseline is not None:
        candidates["baseline"] = baseline
    plan = record.plan
    return confirm_configs(
        candidates,
        plan.task if task is None else task,
        study=name or f"{study}-seeds",
        storage=storage,
        seeds=seeds,
        seed=plan.seed,
        searched={f"trial {trial.number}": float(trial.value or 0.0) for trial in best},
        confidence=confidence,
        **{"epochs": plan.epochs, "metric": plan.metric, "direction": plan.direction, **training},
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
        if len(found) < top and all(_seedless(trial.config) != _seedless(other.config) for other in found):
            found.append(trial)
    if not found:
        raise ConfigurationError(
            f"A confirmation needs a complete trial, but {record.name!r} has none; run `tuner search` first."
        )
    return found


def fresh_seeds(seeds: int | Sequence[int], *, seed: int) -> tuple[int, ...]:
    """``seeds`` of them, counted up from ``seed + FIRST_FRESH_SEED``; or the given ones, checked.

    Raises:
        ConfigurationError: for fewer than two, for one that is there twice, and for the search's own.
    """
    found = (
        tuple(seed + FIRST_FRESH_SEED + i for i in range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    )
    if len(found) < 2 or len(set(found)) < len(found) or seed in found:
        raise ConfigurationError(
            f"seeds must be at least two different ones without the search's own, which is {seed}, but got "
            f"{', '.join(map(str, found)) or 'none'}; {N_SEEDS} tell a difference of two noise floors."
        )
    return found


def replicate(  # noqa: PLR0913 - as `search_listed`
    configs: Mapping[str, Config],
    task: Task,
    *,
    study: str,
    storage: str | None = None,
    seeds: int | Sequence[int] = N_SEEDS,
    seed: int = 0,
    known: Replicates | None = None,
    evaluates_test: bool = False,
    epochs: int = 10,
    fixed: Config | None = None,
    metric: str = "validation_accuracy",
    direction: str | None = None,
    model: str | Callable[..., Any] | None = None,
    **running: Any,
) -> Replicates:
    """Train each config with each seed, but for those that are ``known``.

    Raises:
        ConfigurationError: for configs that are equal but for their seeds, and for ``known`` ones of other settings.
    """
    chosen = fresh_seeds(seeds, seed=seed)
    base = base_config(epochs=epochs, fixed=fixed, model=model)
    whole = {label: _seedless({**base, **config}) for label, config in configs.items()}
    _check_distinct(whole)
    settings = {
        "task": task_name(task),
        "model function": None if model is None or isinstance(model, str) else task_name(model),
        "seed of the split": seed,
        "metric": metric,
        "seeds": list(chosen),
    }
    trials = {} if known is None else _of_known(known, whole, settings)
    missing = {label: config for label, config in whole.items() if label not in trials}
    listed = None
    if missing:
        listed = search_listed(
            [{**config, "seed": each} for config in missing.values() for each in chosen],
            task,
            study=study,
            storage=storage,
            name="seeds",
            epochs=epochs,
            seed=seed,
            metric=metric,
            direction=direction,
            model=None if isinstance(model, str) else model,
            evaluates_test=evaluates_test,
            **running,
        )
        rows = range(0, len(listed.trials), len(chosen))
        trials |= {
            label: listed.trials[row : row + len(chosen)] for label, row in zip(missing, rows, strict=True)
        }
    return Replicates(
        study=study,
        storage=listed.search.storage if listed is not None else known.storage if known is not None else "",
        settings=settings,
        direction=direction or direction_of(metric),
        seeds=chosen,
        configs=whole,
        trials={label: trials[label] for label in whole},
        listed=listed,
    )


def base_config(
    *, epochs: int, fixed: Config | None, model: str | Callable[..., Any] | None
) -> dict[str, Any]:
    """What every config rests on, where it says nothing else."""
    return {"epochs": epochs, **(fixed or {}), **({"model": model} if isinstance(model, str) else {})}


def _of_known(
    known: Replicates, configs: Mapping[str, Config], settings: Mapping[str, Any]
) -> dict[str, tuple[TrialRecord | None, ...]]:
    """The trials of those configs that are known, whole ones."""
    if differing := [key for key, value in settings.items() if known.settings[key] != value]:
        said = ", ".join(f"{key} {known.settings[key]} and {settings[key]}" for key in differing)
        raise ConfigurationError(f"Known replicates must share all settings, but got {said}.")
    found = {label: known.known(config) for label, config in configs.items()}
    return {label: trials for label, trials in found.items() if trials is not None}


def _seedless(config: Config) -> dict[str, Any]:
    """The whole config without what makes replicates differ."""
    whole = TrainingConfig.from_mapping(
        {key: value for key, value in config.items() if key not in _OF_A_SEED}
    )
    return {key: value for key, value in whole.to_mapping().items() if key not in _OF_A_SEED}


_OF_A_SEED = ("seed", "order_seed")


def _check_distinct(configs: Mapping[str, Config]) -> None:
    for label, config in configs.items():
        twin = next(other for other, own in configs.items() if own == config)
        if twin != label:
            raise ConfigurationError(
                f"Configs that are compared must differ in more than their seed, but {twin!r} and {label!r} do not."
            )


def _tested(replicates: Replicates, confidence: float) -> dict[str, Interval]:
    found = {
        label: interval(replicates.test_accuracies(label), confidence=confidence)
        for label in replicates.configs
    }
    return {label: each for label, each in found.items() if not math.isnan(each.mean)}
