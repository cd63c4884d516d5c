"""Which of a trial's symptoms is the cause: the earliest stage explains the later ones, an anomaly needs harm."""

import dataclasses
from collections.abc import Sequence

from studies.diagnosis.finding import CauseName, Finding, Severity
from studies.diagnosis.stages import Stage
from studies.diagnosis.standing import Standing
from studies.diagnosis.symptom import TrialSymptom

SET_BY_LEVERS = frozenset({CauseName.AUGMENTATION_DRIFT, CauseName.UNNORMALIZED_INPUT})
"""What shows in the data, and differs from trial to trial of a search."""
KNOWN_ERRORS = frozenset({CauseName.EVALUATION_MODE_BUG, CauseName.STALE_GRADIENTS})
"""Of the code, known to be wrong even where it is not known what they cost; layers may be frozen by design."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """A symptom together with what it found in one trial."""

    symptom: TrialSymptom
    finding: Finding
    is_shared: bool = False
    """Whether the study's best trial shows it too: then it is not what this one is worse by."""

    @property
    def is_fault(self) -> bool:
        return self.finding.severity is not Severity.NOTE

    @property
    def is_soft(self) -> bool:
        """Whether it is a fault only together with the harm it does."""
        return self.is_fault and not (self.symptom.hurts_by_itself and self.finding.hurts_by_itself)

    def at_most(self, limit: Severity) -> "Shown":
        return dataclasses.replace(self, finding=at_most(limit, self.finding))


def root_causes(shown: Sequence[Shown], *, standing: Standing) -> list[Finding]:
    """The findings of one trial that no earlier one explains, in the order of ``shown``.

    Args:
        shown: all that was found, in the order of a training; each finding has its stage.
        standing: beside the study's best. Who ends as well as that has notes, but for what all trials share or no
            accuracy shows. Who ends worse is not excused for an error in the code that costs nothing by itself.
    """
    if standing is Standing.HEALTHY:
        shown = [one.at_most(Severity.NOTE) if _is_excused(one.finding) else one for one in shown]
    weighed = _with_harm_only(
        sorted(shown, key=lambda one: one.finding.stage), is_worse=standing is Standing.WORSE
    )
    stage = min((one.finding.stage for one in weighed if one.is_fault), default=None)
    later = [one for one in weighed if stage is not None and one.finding.stage > stage]
    kept = _unexplained([one for one in weighed if one not in later])
    root = next((i for i, finding in enumerate(kept) if finding.severity is not Severity.NOTE), None)
    if root is not None:
        kept[root] = _explaining(kept[root], [one.finding for one in later])
    return kept


def at_most(limit: Severity, finding: Finding) -> Finding:
    """The finding with its severity, or ``limit`` if that is less."""
    return dataclasses.replace(finding, severity=min(finding.severity, limit, key=lambda s: s.rank))


def _is_excused(finding: Finding) -> bool:
    """Whether a place among the best of the study is a sign of health.

    Not of an error in the code or the data: all trials have it in common, the best among them too, and it may be the
    accuracy itself that is wrong. Nor of how sure the answers are, which no accuracy shows.
    """
    cause = finding.causes[0].name if finding.causes else None
    is_common = finding.stage <= Stage.DATA and cause not in SET_BY_LEVERS
    return not (is_common or cause is CauseName.OVERCONFIDENCE)


def _with_harm_only(shown: Sequence[Shown], *, is_worse: bool) -> list[Shown]:
    """Anomalies without harm become notes: those whose consequences are missing, or explained without them."""
    hard = [one for one in shown if one.is_fault and not one.is_soft]
    poor = [one for one in shown if one.is_soft and one.symptom.shows_harm]
    soft = [one for one in shown if one.is_soft and one not in poor]
    harmful = [one for one in soft if _harms(one, hard, poor) or (is_worse and _is_known_error(one))]
    kept = [*hard, *harmful, *(poor if harmful else ())]
    return [one if one in kept else _without_harm(one) for one in shown]


def _without_harm(one: Shown) -> Shown:
    """A note; of an error in the code, which a reader would mend anyway, it says why it is no more."""
    lowered = one.at_most(Severity.NOTE)
    if not one.is_fault or one.finding.stage is not Stage.CODE:
        return lowered
    said = f"{one.finding.sentence} No harm shows that it alone explains."
    return dataclasses.replace(lowered, finding=dataclasses.replace(lowered.finding, sentence=said))


def _is_known_error(one: Shown) -> bool:
    return one.finding.causes[0].name in KNOWN_ERRORS and not one.is_shared


def _harms(anomaly: Shown, hard: Sequence[Shown], poor: Sequence[Shown]) -> bool:
    """Whether what the anomaly may lead to shows after it, and no fault before or beside it."""
    stage, possible = anomaly.finding.stage, anomaly.symptom.leads_to
    if any(one.finding.stage <= stage for one in hard):
        return False
    later = [one for one in (*hard, *poor) if one.finding.stage > stage]
    # That others are better is harm of any kind, but none of what the best of them has too.
    return any(
        not anomaly.is_shared
        if one.symptom.stage is Stage.STUDY
        else not possible or one.symptom.name in possible
        for one in later
    )


def _unexplained(shown: Sequence[Shown]) -> list[Finding]:
    """Without those that another of the same stage leads to: these become its consequences."""
    explained: set[str] = set()
    kept = []
    for one in shown:
        if one.symptom.name in explained:
            continue
        consequences = [
            other.finding
            for other in shown
            if other.symptom.name in one.symptom.leads_to
            and other.finding.stage == one.finding.stage
            and other.symptom.name not in explained
        ]
        explained.update(finding.symptom for finding in consequences)
        kept.append(_explaining(one.finding, consequences))
    return kept


def _explaining(finding: Finding, consequences: Sequence[Finding]) -> Finding:
    """What explains a blocker is one."""
    if not consequences:
        return finding
    return dataclasses.replace(
        finding,
        consequences=(*finding.consequences, *(f.symptom for f in consequences)),
        severity=max((f.severity for f in (finding, *consequences)), key=lambda s: s.rank),
    )
