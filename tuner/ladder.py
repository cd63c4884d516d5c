"""From baseline to best one change at a time: what each change gained, with its interval.

Every rung is the one before it with one more change, trained with the same seeds, so that a step is a paired
difference. A gain is of its place in the order: the same change may gain more or less on another rung. Intervals are of
each step by itself; of twenty steps without any effect one will exclude zero.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.catalog import LEVERS
from search_spaces.errors import ConfigurationError, unknown_name
from search_spaces.lever import Family
from studies.comparison import Comparison, Interval, Verdict, compare, interval
from studies.encoding import jsonable
from tuner.replication import N_SEEDS, Config, Replicates, base_config, replicate
from tuner.searching.objective import Task
from tuner.training.config import TrainingConfig

BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Keys that only mean something together: when one of ``when`` changes, all that differ move as one change."""

    name: str
    when: tuple[str, ...]
    also: tuple[str, ...] = ()


BUNDLES = (
    Bundle(
        name="model",
        when=("model",),
        also=("depth", "width", "activation", "normalization", "initialization"),
    ),
    # A learning rate is tuned for an optimizer and for a batch size: neither is judged fairly with another one's.
    Bundle(
        name="optimizer",
        when=("optimizer",),
        also=(
            "learning_rate",
            "momentum",
            "nesterov",
            "beta1",
            "beta2",
            "alpha",
            "epsilon",
            # One value is another penalty where it is decoupled, or divided by the gradient's size.
            "weight_decay",
            "weight_decay_kind",
        ),
    ),
    Bundle(
        name="batch_size",
        when=("batch_size", "accumulation_steps", "batch_lr_rule", "base_batch_size"),
        also=("learning_rate",),
    ),
    Bundle(name="momentum", when=("momentum", "nesterov")),
    Bundle(name="betas", when=("beta1", "beta2")),
    Bundle(name="clipping", when=("clipping", "clip_norm")),
    Bundle(name="weight_decay", when=("weight_decay", "weight_decay_kind")),
    Bundle(
        name="schedule",
        when=(
            "schedule",
            "warmup_steps",
            "warmup_fraction",
            "final_lr_fraction",
            "step_size",
            "step_gamma",
            "milestones",
            "plateau_patience",
            "restart_period",
        ),
    ),
)
"""In order of precedence: a key that differs moves with the first bundle that changes and holds it."""

_OF_THE_DATA = ("split", "validation_fraction")
_NO_CHANGES = ("seed", "order_seed")
_FAMILIES = {lever.key: lever.family for lever in LEVERS}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One step from baseline to best."""

    name: str
    keys: Mapping[str, tuple[Any, Any]]
    """Config key -> its value before and after; the key that names the change first."""

    @property
    def text(self) -> str:
        return ", ".join(f"{key} {_shown(old)} → {_shown(new)}" for key, (old, new) in self.keys.items())

    def applied(self, config: Config) -> dict[str, Any]:
        return {**config, **{key: new for key, (_, new) in self.keys.items()}}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A change, and what it did on its rung."""

    change: Change
    comparison: Comparison
    """With the change against without it."""
    level: Interval
    """The metric with the change."""

    @property
    def gain(self) -> Interval:
        """In the metric's unit; positive is better, whatever the direction."""
        return self.comparison.difference

    @property
    def sentence(self) -> str:
        said = {
            Verdict.BETTER: f"{self.change.text} gains {self.gain.text}.",
            Verdict.WORSE: f"{self.change.text} makes it worse: {self.gain.text}.",
            Verdict.NO_DIFFERENCE: f"{self.change.text} cannot be told from noise: its gain is {self.gain.text}.",
        }
        lost = self.comparison.n_diverged[0]
        diverged = f" It diverged in {lost} of {self.comparison.n_pairs} seeds." if lost else ""
        return said[self.comparison.verdict] + diverged

    def to_json(self) -> dict[str, Any]:
        return {
            "change": self.change.text,
            "gain": jsonable(self.gain.mean),
            "low": jsonable(self.gain.low),
            "high": jsonable(self.gain.high),
            "name": self.change.name,
            "keys": jsonable(self.change.keys),
            "level": jsonable(self.level),
            "verdict": self.comparison.verdict.value,
            "n_seeds": self.comparison.n_pairs,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The way from baseline to best."""

    baseline: Interval
    steps: tuple[Step, ...]
    total: Comparison
    """Best against baseline."""
    direction: str
    metric: str
    replicates: Replicates

    @property
    def best(self) -> Interval:
        return self.steps[-1].level

    @property
    def is_complete(self) -> bool:
        """Whether every rung has ended with every seed; else the same call goes on."""
        return self.replicates.is_complete

    @property
    def sentence(self) -> str:
        """The whole way, and which steps it does not need as far as one can tell."""
        if not self.is_complete:
            rungs = self.replicates
            return f"No verdict yet: {rungs.n_missing} of {rungs.n_trainings} trainings are missing."
        idle = [step.change.name for step in self.steps if step.comparison.verdict is not Verdict.BETTER]
        said = (
            f" Not told from noise, or worse: {', '.join(idle)}."
            if idle
            else " Every step is told from noise."
        )
        return self.total.sentence + said

    def to_json(self) -> list[dict[str, Any]]:
        """The steps, as `tuner tune --json` prints them (DESIGN §3)."""
        return [step.to_json() for step in self.steps]


def ladder(  # noqa: PLR0913 - as `confirm_configs`
    baseline: Config,
    best: Config,
    task: Task,
    *,
    study: str,
    storage: str | None = None,
    order: Sequence[str] = (),
    seeds: int | Sequence[int] = N_SEEDS,
    seed: int = 0,
    confidence: float = 0.95,
    known: Replicates | None = None,
    epochs: int = 10,
    fixed: Config | None = None,
    model: str | Callable[..., Any] | None = None,
    **training: Any,
) -> Ladder:
    """Train every rung from ``baseline`` to ``best`` with the same seeds, and say what each change gained.

    Args:
        baseline: where it begins; what it leaves out are the defaults.
        best: where it ends.
        task: as for `tuner.search`.
        study: of the rungs; on an existing one what is left is done.
        storage: where it lives.
        order: of the changes, by their names, config keys or families; those not named come last, by family.
        seeds: how many fresh ones, or which: those of the confirmation, if its replicates are ``known``.
        seed: of the search, so that the split is the search's.
        confidence: of intervals and verdicts.
        known: the confirmation's replicates: baseline and best among them are not trained again.
        epochs: of each training whose config names none.
        fixed: what both configs rest on.
        model: as for `tuner.search`.
        training: the others of `tuner.confirmation.confirm_configs`.

    Raises:
        ConfigurationError: when the two are the same, or of different splits, or a rung on the way cannot be.
    """
    base = base_config(epochs=epochs, fixed=fixed, model=model)
    changes = changes_between({**base, **baseline}, {**base, **best}, order=order)
    labels = [BASELINE, *(change.text for change in changes)]
    rungs = dict(zip(labels, _rungs({**base, **baseline}, changes), strict=True))
    replicates = replicate(
        rungs,
        task,
        study=study,
        storage=storage,
        seeds=seeds,
        seed=seed,
        known=known,
        epochs=epochs,
        fixed=fixed,
        model=model,
        **training,
    )
    return _ladder(changes, replicates, labels, confidence=confidence)


def _ladder(
    changes: Sequence[Change], replicates: Replicates, labels: Sequence[str], *, confidence: float
) -> Ladder:
    """What the replicates of all rungs, labeled from the baseline on, say of each step."""
    values = {label: replicates.values(label) for label in labels}
    levels = {label: interval(own, confidence=confidence) for label, own in values.items()}

    def compared(after: str, before: str, names: tuple[str, str]) -> Comparison:
        return compare(
            values[after],
            values[before],
            direction=replicates.direction,
            names=names,
            confidence=confidence,
        )

    steps = [
        Step(
            change=change,
            comparison=compared(after, before, names=("with it", "without it")),
            level=levels[after],
        )
        for change, before, after in zip(changes, labels, labels[1:], strict=False)
    ]
    return Ladder(
        baseline=levels[BASELINE],
        steps=tuple(steps),
        total=compared(labels[-1], BASELINE, names=("best", BASELINE)),
        direction=replicates.direction,
        metric=str(replicates.settings["metric"]),
        replicates=replicates,
    )


def changes_between(baseline: Config, best: Config, *, order: Sequence[str] = ()) -> tuple[Change, ...]:
    """The changes that lead from one config to the other, in the order of `ladder`.

    Raises:
        ConfigurationError: when there is none, or when the two split the data differently; and for an unknown name in
            ``order``.
    """
    old, new = (TrainingConfig.from_mapping(config).to_mapping() for config in (baseline, best))
    _check_order(order, old)
    differing = [key for key in old if old[key] != new[key] and key not in _NO_CHANGES]
    if of_data := [key for key in differing if key in _OF_THE_DATA]:
        said = ", ".join(f"{key} {old[key]} and {new[key]}" for key in of_data)
        raise ConfigurationError(f"The rungs of a ladder must share one split of the data, but got {said}.")
    if not differing:
        raise ConfigurationError(
            "A ladder needs a best config that differs from the baseline, but they are the same."
        )
    keys: dict[str, list[str]] = {}
    for key in differing:
        keys.setdefault(_change_of(key, differing), []).append(key)
    found = [
        Change(name=name, keys={key: (old[key], new[key]) for key in sorted(own, key=_naming_first(name))})
        for name, own in keys.items()
    ]
    return tuple(sorted(found, key=_place_in(order)))


def _check_order(order: Sequence[str], keys: Iterable[str]) -> None:
    known = [*keys, *(bundle.name for bundle in BUNDLES), *(family.value for family in Family)]
    for name in order:
        if name not in known:
            raise unknown_name("An order's name", name, dict.fromkeys(known))


def _rungs(baseline: Config, changes: Sequence[Change]) -> Iterator[Config]:
    config = dict(baseline)
    yield config
    for change in changes:
        config = change.applied(config)
        yield config


def _change_of(key: str, differing: Sequence[str]) -> str:
    """The name of the change that ``key`` moves with; its own where no bundle that changes holds it."""
    holding = (
        bundle.name
        for bundle in BUNDLES
        if key in (*bundle.when, *bundle.also) and any(each in differing for each in bundle.when)
    )
    return next(holding, key)


def _naming_first(name: str) -> Callable[[str], bool]:
    return lambda key: key != name  # sorting is stable: the others stay as the config has them


def _place_in(order: Sequence[str]) -> Callable[[Change], tuple[int, int]]:
    """A sorting key: the first of ``order`` that names the change, one of its keys or its family; then the family."""
    families = list(Family)

    def place(change: Change) -> tuple[int, int]:
        family = _family_of(change)
        names = {change.name, *change.keys, *([] if family is None else [family.value])}
        named = next((at for at, name in enumerate(order) if name in names), len(order))
        return named, len(families) if family is None else families.index(family)

    return place


def _family_of(change: Change) -> Family | None:
    """Of the key that names it, else of the first that has one; None for what is no lever, such as epochs."""
    return next((_FAMILIES[key] for key in change.keys if key in _FAMILIES), None)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.3g}"
    return "default" if value is None else str(value)
