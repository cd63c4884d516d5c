"""Who is trained against whom: the faulty config, each remedy applied to it alone, and a healthy reference."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from search_spaces.catalog import LEVERS
from search_spaces.edits import Edit, EditKind
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Lever
from studies.diagnosis.finding import Finding, Remedy
from tuner.replication import Config, seedless
from tuner.training.config import TrainingConfig

BASELINE, REFERENCE = "as it is", "healthy reference"
IS_AN_ACTION = "it is an action on data or code, which no training here can take"


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A remedy that is told and not tried."""

    remedy: Remedy
    why: str
    """A clause."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """All configs by their labels, the faulty one first."""

    finding: Finding
    configs: Mapping[str, Config]
    """Whole, without their seeds."""
    remedies: Mapping[str, Remedy]
    """Those that are tried, by label."""
    reference: str | None
    """The label of the healthy reference; one of the remedies where it is the same config."""
    left_out: tuple[LeftOut, ...] = ()
    steps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the label of a remedy that went on along its lever, the labels of the steps before it; see `stepping`."""

    @property
    def n_changes(self) -> int:
        """Changes that were tried, each step along a lever counted."""
        return len(self.remedies) + sum(len(before) for before in self.steps_of_remedies.values())

    @property
    def steps_of_remedies(self) -> dict[str, tuple[str, ...]]:
        """Of each remedy, the labels of the steps before it."""
        return {label: self.steps.get(label, ()) for label in self.remedies}

    def changes(self, label: str) -> dict[str, Any]:
        """The keys in which a config differs from the faulty one."""
        baseline = self.configs[BASELINE]
        return {
            key: value
            for key, value in self.configs[label].items()
            if key not in baseline or value != baseline[key]
        }

    @classmethod
    def of(cls, finding: Finding, config: Config, *, reference: Config | None = None) -> "Contest":
        """The contest of a finding's remedies; without any where none can be tried."""
        baseline = seedless(config)
        configs: dict[str, Config] = {BASELINE: baseline}
        remedies: dict[str, Remedy] = {}
        left_out = []
        for remedy in finding.remedies:
            changed, why = _tried(baseline, remedy, configs.values())
            if changed is None:
                left_out.append(LeftOut(remedy=remedy, why=why))
                continue
            label = label_of(remedy.edits)
            configs[label], remedies[label] = changed, remedy
        healthy = None if reference is None or not remedies else seedless(reference)
        label_of_healthy = None
        if healthy is not None and healthy != baseline:
            same = [label for label, each in configs.items() if each == healthy]
            label_of_healthy = same[0] if same else REFERENCE
            configs[label_of_healthy] = healthy
        return cls(
            finding=finding,
            configs=configs,
            remedies=remedies,
            reference=label_of_healthy,
            left_out=tuple(left_out),
        )


def label_of(edits: Sequence[Edit]) -> str:
    """``clipping=true, clip_norm=1``: the change as one would ``--set`` it."""
    return ", ".join(
        f"{edit.lever}={_shown(edit.value)}"
        if edit.kind is EditKind.FIX
        else edit.sentence().rstrip(".").lower()
        for edit in edits
    )


def edited(config: Config, edits: Sequence[Edit]) -> dict[str, Any] | None:
    """The config with the edits made; None where one of them changes a search, and no single training."""
    found = dict(config)
    for edit in edits:
        lever = _lever(edit.lever)
        key = edit.lever if lever is None else lever.key
        if edit.kind is EditKind.FIX:
            found[key] = _in_config(lever, edit.lever, edit.value)
        elif edit.kind is EditKind.DROP:
            found[key] = _default(key)
        elif edit.kind is EditKind.NARROW and edit.choices is None:
            bounds = [
                None if each is None else float(_in_config(lever, edit.lever, each))
                for each in (edit.low, edit.high)
            ]
            found[key] = _within(float(found[key]), [each for each in bounds if each is not None], edit)
        else:
            return None
    return found


def _tried(baseline: Config, remedy: Remedy, others: Any) -> tuple[dict[str, Any] | None, str]:
    """The config with the remedy, or None and why it is left out."""
    if not remedy.edits:
        return None, IS_AN_ACTION
    changed = edited(baseline, remedy.edits)
    if changed is None:
        return None, "it changes what a search looks at, not what one training does"
    try:
        whole = seedless(changed)
    except ConfigurationError as error:
        return None, f"this config cannot take it: {str(error).rstrip('.')}"
    if whole == baseline:
        return None, "the config has it already"
    return (None, "another remedy is the same change") if whole in others else (whole, "")


def _lever(name: str) -> Lever | None:
    """The catalog's lever of that name or key; None for keys that are no levers, such as epochs."""
    return next((lever for lever in LEVERS if name in {lever.name, lever.key}), None)


def _in_config(lever: Lever | None, named: str, value: Any) -> Any:
    """A value in the config's own terms: one_minus_momentum 0.1 is momentum 0.9."""
    is_scaled = lever is not None and named == lever.name != lever.key
    return lever.to_config(value) if lever is not None and is_scaled else value


def _within(value: float, bounds: Sequence[float], edit: Edit) -> float:
    """``value``, or the bound that it lies beyond."""
    if len(bounds) == 2:
        return min(max(value, min(bounds)), max(bounds))
    return min(value, bounds[0]) if edit.low is None else max(value, bounds[0])


def _default(key: str) -> Any:
    found = {each.name: each.default for each in fields(TrainingConfig)}.get(key, MISSING)
    if found is MISSING:
        raise ConfigurationError(f"A key to drop must be a config key, but got {key!r}.")
    return found


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
