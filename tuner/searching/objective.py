"""A training as an Optuna objective: suggest a config, train it, report every epoch, prune."""

import dataclasses
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import TrialPruned, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Space, load_space
from search_spaces.catalog import decided
from search_spaces.errors import ConfigurationError, unknown_name
from studies.as_record import REUSES
from studies.recorded import telemetry_of
from studies.records import SPARED_AT, Outcome
from studies.telemetry import TelemetryTables
from tuner.searching.duplicates import FINGERPRINT, FinishedTwins, fingerprint, outcome_of
from tuner.searching.names import is_importable, task_name
from tuner.searching.pruners import FIRST_RUNG, CohortPruner
from tuner.searching.sparing import Sparing
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig, direction_of
from tuner.training.data import Dataset, load_dataset
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.lanes.lane import Lane
from tuner.training.stopwatch import Stopwatch

DIRECTIONS = ("maximize", "minimize")
Task = str | Callable[..., Any]
OF_THE_SPLIT = ("split", "validation_fraction")
"""Config keys that all trials of a study share: they are compared on the same validation samples."""
_KEPT_OF_A_TWIN = ("test_accuracy", "test_loss", "resolved_learning_rate")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of one trial's training."""

    outcome: Outcome
    value: float | None
    """The objective's value; None when the training gave none."""
    best_epoch: int | None
    lane: Lane | None
    """With the weights, for whoever wants to keep them; None where an earlier trial's result was taken over."""
    attributes: Mapping[str, float | int] = field(default_factory=dict)
    """What else is recorded with the trial, as user attributes."""


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """What a trial asks for."""

    trial: optuna.Trial
    config: TrainingConfig
    training: str
    """Hex digits that trials share when they train the same thing."""


class Objective:
    """A plain Optuna objective, for a ``study.optimize(...)`` of one's own.

    Telemetry is kept beside the trials when the study lives in a database, and not at all in memory.

    Args:
        space: a `Space`, a preset's name, or a YAML file.
        task: a task's name, ``npz:FILE``, ``module:function``, or a function that returns arrays (DESIGN §3).
        fixed: config keys that are not searched, such as ``{"batch_size": 128}``.
        epochs: of each training.
        metric: ``validation_accuracy``, ``validation_loss``, ``train_loss``, ``calibration_error`` or ``seconds``.
        direction: of the metric; None takes its natural one. The study's own direction must agree.
        defaults: config keys that rule where nothing is searched or fixed, in place of today's own, as a study has
            recorded them.
        evaluates_test: whether each trial's best weights are also evaluated on the test split, for its attributes
            ``test_accuracy`` and ``test_loss``. For confirming winners: a search that looks at the test split has none.
            Data without a test split gives no such attributes.
        model: a function ``(config, input_shape, n_outputs) -> nn.Module``; None takes the config key ``model``.
        seed: of the split, and of every training (weights, dropout, data order) unless the space says another.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        data_dir: where the data lies; default ``TUNER_DATA``.
        announce: takes what a person should know of the data, such as a download.

    Raises:
        ConfigurationError: for an unknown space, task, metric or config key, and for a space that searches the split.
    """

    def __init__(  # noqa: PLR0913 - as `tuner.search`: one keyword per concern
        self,
        space: Space | str | Path,
        task: Task,
        *,
        epochs: int = 10,
        metric: str = "validation_accuracy",
        direction: str | None = None,
        fixed: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        evaluates_test: bool = False,
        model: Callable[..., Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        data_dir: Path | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self.task = _checked_task(task)
        self.metric = metric
        self.direction = checked_direction(direction, metric)
        self.device = device
        self.model = model
        self.seed = seed
        self.evaluates_test = evaluates_test
        self.searched_space = _space_of(space)
        said = {"seed": seed, "epochs": epochs}
        self.base_config = TrainingConfig.from_mapping(
            {**(defaults or {}), **said, **self.searched_space.fixed, **(fixed or {})}
        )
        """Every key that no trial changes, and what the others are where nothing is suggested."""
        self.fixed = {key: getattr(self.base_config, key) for key in fixed or {}}
        self.space = self.searched_space
        for key, value in self.fixed.items():
            self.space = decided(self.space, key, _as_plain(value))
        _check_split_is_shared(self.space)
        self._model_name = None if model is None else _name_that_is_its_own(model)
        self._data_dir = data_dir
        self._announce = announce

    @cached_property
    def dataset(self) -> Dataset:
        """Loaded on first use, so that an objective can be sent to another process."""
        return load_dataset(self.task, data_dir=self._data_dir, announce=self._announce)

    @cached_property
    def splits(self) -> Splits:
        config = self.base_config
        return split_dataset(
            self.dataset,
            split=config.split,
            validation_fraction=config.validation_fraction,
            seed=self.seed,
            device=self.device,
        )

    def __call__(self, trial: optuna.Trial) -> float:
        """Train one trial for Optuna's own loop.

        Raises:
            TrialPruned: when the pruner ends it, and when it diverges: samplers learn from its last finite value.
            ConfigurationError: when the study's direction is not the metric's.
        """
        studys = trial.study.direction.name.lower()
        if studys != self.direction:
            raise ConfigurationError(
                f"{self.metric} is to {self.direction}, but the study's direction is {studys}; "
                f"create it with direction={self.direction!r}."
            )
        trained = self.train(trial, telemetry=telemetry_of(trial.study))
        for key, value in {"outcome": trained.outcome.value, **trained.attributes}.items():
            trial.set_user_attr(key, value)
        if trained.outcome in {Outcome.PRUNED, Outcome.DIVERGED} or trained.value is None:
            raise TrialPruned(trained.outcome.sentence)
        return trained.value

    def config(self, suggested: Mapping[str, Any]) -> TrainingConfig:
        """The config of a trial: what was suggested, over what is fixed, over the defaults."""
        return TrainingConfig.from_mapping({**self.base_config.to_mapping(), **suggested})

    def suggest(self, trial: optuna.Trial) -> Suggested:
        """Let the sampler choose, and note with the trial what training that makes."""
        config = self.config(self.space.suggest(trial))
        training = self._fingerprint(config)
        trial.set_user_attr(FINGERPRINT, training)
        return Suggested(trial=trial, config=config, training=training)

    def cohort(
        self, *, should_stop: Callable[[], Outcome | None], stopwatch: Stopwatch | None = None
    ) -> Cohort:
        """An empty cohort for configs of this objective."""
        return Cohort(
            self.splits,
            model=self.model,
            metric=self.metric,
            direction=self.direction,
            should_stop=should_stop,
            stopwatch=stopwatch,
        )

    def train(
        self,
        trial: optuna.Trial,
        *,
        telemetry: TelemetryTables | None,
        should_stop: Callable[[], Outcome | None] = lambda: None,
    ) -> Trained:
        """Suggest a config and train it, epoch by epoch, until it ends or is ended. Tells Optuna nothing final.

        A config that a finished trial of the study has trained is not trained again: its result is taken over.
        """
        suggested = self.suggest(trial)
        twin = FinishedTwins(trial.study).find(suggested.training)
        if twin is not None:
            return taken_over(twin, trial)
        cohort = self.cohort(should_stop=should_stop)
        lane = cohort.admit(suggested.config)
        try:
            while cohort.advance():
                if telemetry is not None:
                    _keep(telemetry, trial, lane)
                self._report(trial, lane)
        except UpdateFinishedTrialError:
            lane.stop(Outcome.LOST)  # another worker took the trial over: drop the work
        return self.trained(lane)

    def reading(self, lane: Lane) -> float | None:
        """The metric after the epoch that ``lane`` has just been through, if Optuna is to know it: trained and finite.

        The untrained network is well calibrated and quick: as a best-so-far it would hide what follows.
        """
        return lane.latest(self.metric) if lane.n_epochs_done >= FIRST_RUNG else None

    def trained(self, lane: Lane) -> Trained:
        """What came of a lane that has ended."""
        return Trained(
            outcome=lane.outcome,
            value=lane.value(self.metric),
            best_epoch=lane.best_epoch,
            lane=lane,
            attributes={"resolved_learning_rate": lane.peak_learning_rate, **self._tested(lane)},
        )

    def _fingerprint(self, config: TrainingConfig) -> str:
        """A model that was handed over counts as the key ``model`` that a worker, or `tuner resume`, is told."""
        return fingerprint(
            config if self._model_name is None else dataclasses.replace(config, model=self._model_name),
            data=self.dataset.content_hash,
            split=repr(self.splits.describe()),
            metric=self.metric,
            direction=self.direction,
            tests=str(self.evaluates_test),
        )

    def _report(self, trial: optuna.Trial, lane: Lane) -> None:
        value = self.reading(lane)
        if value is None:
            return
        trial.report(value, lane.n_epochs_done)
        is_condemned = lane.n_epochs_done < lane.config.epochs and trial.should_prune()
        if is_condemned and not self._is_spared(trial, lane.n_epochs_done):
            lane.stop(Outcome.PRUNED)

    def _is_spared(self, trial: optuna.Trial, epoch: int) -> bool:
        """Whether a condemned trial runs on, to check the pruner; someone else's pruner has the last word."""
        is_ours = isinstance(trial.study.pruner, CohortPruner)
        if not is_ours or not Sparing(seed=self.seed).spares(trial.number):
            return False
        if SPARED_AT not in trial.user_attrs:
            trial.set_user_attr(SPARED_AT, epoch)
        return True

    def _tested(self, lane: Lane) -> dict[str, float]:
        """What the best weights reach on the test split, where that was asked for and there are both."""
        has_both = lane.best_weights is not None and lane.splits.test_x is not None
        if not self.evaluates_test or not lane.outcome.is_answer or not has_both:
            return {}
        lane.restore_best()
        found = lane.evaluate("test")
        readings = {"test_accuracy": found.accuracy, "test_loss": found.loss}
        return {key: value for key, value in readings.items() if math.isfinite(value)}


def taken_over(twin: FrozenTrial, trial: optuna.Trial) -> Trained:
    """The twin's result as this trial's: its intermediate values too, so that pruners and samplers see one curve."""
    for step, value in twin.intermediate_values.items():
        trial.report(value, step)
    recorded = {key: twin.user_attrs[key] for key in _KEPT_OF_A_TWIN if key in twin.user_attrs}
    has_value = twin.state is TrialState.COMPLETE
    return Trained(
        outcome=outcome_of(twin),
        value=twin.value if has_value else None,
        best_epoch=twin.user_attrs.get("best_epoch"),
        lane=None,
        attributes={REUSES: twin.number, **recorded},
    )


def _keep(telemetry: TelemetryTables, trial: optuna.Trial, lane: Lane) -> None:
    trial_id = trial._trial_id  # noqa: SLF001 - telemetry is keyed by it, as Optuna's own tables are
    if lane.n_epochs_done == 0:
        telemetry.save_probes(trial_id, lane.step_zero, lane.data_probe)
    telemetry.save_epoch(trial_id, lane.last_readings, lane.last_steps)


def _space_of(space: object) -> Space:
    if isinstance(space, Space):
        return space
    if isinstance(space, str | Path):
        return load_space(space)
    raise ConfigurationError(
        f"A space must be a Space, a preset's name or a YAML file, but got a {type(space).__name__}."
    )


def _as_plain(value: Any) -> Any:
    """A space holds words and numbers; a list of numbers, such as ``milestones``, is one as text."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _check_split_is_shared(space: Space) -> None:
    searched = [lever.key for lever in space if lever.key in OF_THE_SPLIT]
    if searched:
        raise ConfigurationError(
            f"All trials of a study share one split, so {' and '.join(searched)} cannot be searched, but the space "
            f"{space.name!r} has {'it as a lever' if len(searched) == 1 else 'them as levers'}; fix with --set."
        )


def _name_that_is_its_own(model: Callable[..., Any]) -> str:
    """``module:function``; where another function may have that name, such as a lambda, with a mark of this objective.

    So the trainings of such a model are found again through this objective only, and in no other process.
    """
    return task_name(model) if is_importable(model) else f"{task_name(model)} {uuid.uuid4().hex}"


def _checked_task(task: Task) -> Task:
    if isinstance(task, str) or callable(task):
        return task
    raise ConfigurationError(
        f"A task must be a name, npz:FILE, module:function or a function that returns (x, y), "
        f"but got a {type(task).__name__}."
    )


def checked_direction(direction: str | None, metric: str) -> str:
    natural = direction_of(metric)  # also checks the metric
    if direction not in {None, *DIRECTIONS}:
        raise unknown_name("The direction", direction, DIRECTIONS)
    return direction or natural
