"""What was tried on a fault and what it brought: plain data, kept in a file for each case, read without torch.

A change repairs when, on samples that nothing was trained on, it recovers 80% of the gap to the healthy twin and a new
seed favors it with 75% (Laplace's rule), and when most replicates lose the symptom and most show no new one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RECOVERED = 0.8
P_BETTER = 0.75
FOLDER, BY_HAND_FOLDER = "repairs", "by_hand"
"""Under the folder of a part."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One change of the faulty config, trained with every new seed."""

    change: str
    levers: tuple[str, ...]
    recovered: float
    """The share of the gap to the healthy twin, by the test part: of the means over the seeds."""
    p_better: float
    symptom_gone: bool
    new_symptoms: tuple[str, ...] = ()
    n_trials: int = 1
    """Configs that were trained for it: of a lever that was gone along, each step."""
    verdict: str = ""
    """What `tuner fix` says of it, which sees the validation part alone; empty where it was none of our remedies."""

    @property
    def repairs(self) -> bool:
        return (
            self.recovered >= RECOVERED
            and self.p_better >= P_BETTER
            and self.symptom_gone
            and not self.new_symptoms
        )


@dataclass(frozen=True, kw_only=True)
class Repair:
    """One case: our remedies, and what else was tried on the same seeds."""

    case: str
    gap: float
    """To the healthy twin, on the new seeds, in the case's own metric on the test part."""
    named: str
    """The first cause of the top finding; empty where nothing was found."""
    ours: tuple[Attempt, ...]
    """All that the top finding has, in their order."""
    random: tuple[Attempt, ...]
    """A draw from all single changes: at least as many as `n_trials`."""
    rate: tuple[Attempt, ...]
    """The rate divided by ten, then multiplied by ten."""
    tpe: tuple[Attempt, ...]
    seconds: float

    @property
    def cause(self) -> str:
        return self.case.split("/")[0]

    @property
    def n_trials(self) -> int:
        """That every method may use: as many as our remedies took until one repaired, or all of them."""
        return n_trials_of(self.ours)

    @property
    def repaired_by(self) -> Attempt | None:
        """The first of ours that repairs."""
        return first_repairing(self.ours)

    @property
    def is_repaired(self) -> bool:
        return self.repaired_by is not None

    @property
    def is_proven(self) -> bool:
        """By `tuner fix` itself, and truly: what it calls proven repairs by the test part too."""
        return any(attempt.verdict == "proven" and attempt.repairs for attempt in self.ours)

    @property
    def is_proven_wrongly(self) -> bool:
        """Whether `tuner fix` calls something proven that recovers less than half of the gap by the test part."""
        return any(attempt.verdict == "proven" and attempt.recovered < 0.5 for attempt in self.ours)

    @property
    def random_chance(self) -> float:
        """That one of `n_trials` different random changes repairs: without bias from the draw (a U-statistic)."""
        n_left, n_bad = len(self.random), sum(not each.repairs for each in self.random)
        chance_of_none = 1.0
        for _ in range(min(self.n_trials, n_left)):
            chance_of_none *= n_bad / n_left
            n_left, n_bad = n_left - 1, max(n_bad - 1, 0)
        return 1.0 - chance_of_none

    @property
    def rate_repairs(self) -> bool:
        return any(attempt.repairs for attempt in self.rate[: self.n_trials])

    @property
    def tpe_repairs(self) -> bool:
        return any(attempt.repairs for attempt in self.tpe[: self.n_trials])

    @property
    def neutral(self) -> frozenset[str]:
        """Levers of which a single change repairs the case, whatever its planted cause is."""
        tried = (*self.ours, *self.random, *self.rate)
        return frozenset(each.levers[0] for each in tried if each.repairs and len(each.levers) == 1)


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """One case that no lever mends: was the right action named, and does it help once it is done?"""

    case: str
    named: str
    actions: tuple[str, ...]
    """The sentences of the top finding's remedies, in their order."""
    place: int
    """Of the first remedy that undoes what was planted, counted from 0; -1 where none does."""
    recovered: float
    """What the fault undone reaches on new seeds, as a share of the gap between the diagnosed runs and their twins."""
    p_better: float
    seconds: float

    @property
    def cause(self) -> str:
        return self.case.split("/")[0]

    @property
    def is_named(self) -> bool:
        return self.place >= 0

    @property
    def recovers(self) -> bool:
        return self.recovered >= RECOVERED and self.p_better >= P_BETTER

    @property
    def is_right(self) -> bool:
        return self.is_named and self.recovers


def first_repairing(attempts: Sequence[Attempt]) -> Attempt | None:
    """None where none repairs."""
    return next((attempt for attempt in attempts if attempt.repairs), None)


def n_trials_of(ours: Sequence[Attempt]) -> int:
    """Until one repaired, or all of them, each step along a lever counted; one where there are none."""
    repairing = first_repairing(ours)
    tried = ours if repairing is None else ours[: ours.index(repairing) + 1]
    return max(sum(attempt.n_trials for attempt in tried), 1)


def p_better(new: Sequence[float], old: Sequence[float]) -> float:
    """The chance that a new seed favors ``new``, by Laplace's rule of succession; both in the order of the seeds."""
    wins = sum(after > before for after, before in zip(new, old, strict=True))
    return (wins + 1) / (len(new) + 2)


# -- files --


def write(result: Repair | ByHand, path: Path) -> None:
    """Under a temporary name first: a killed benchmark leaves whole files only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_repairs(folder: Path) -> list[Repair]:
    """All repairs of a part's folder, by name."""
    return [_repair(each) for each in _read(folder / FOLDER)]


def read_by_hand(folder: Path) -> list[ByHand]:
    """All cases of a part's folder that no lever mends, by name."""
    return [ByHand(**{**each, "actions": tuple(each["actions"])}) for each in _read(folder / BY_HAND_FOLDER)]


def _read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _repair(read: dict[str, Any]) -> Repair:
    attempts = {name: tuple(map(_attempt, read[name])) for name in ("ours", "random", "rate", "tpe")}
    return Repair(**{**read, **attempts})


def _attempt(read: dict[str, Any]) -> Attempt:
    return Attempt(**{**read, "levers": tuple(read["levers"]), "new_symptoms": tuple(read["new_symptoms"])})
