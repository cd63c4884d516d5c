"""Which of a trial's symptoms is the cause: the earliest stage explains the later ones, an anomaly needs harm."""

import dataclasses
from collections.abc import Sequence

from studies.diagnosis.finding import CauseName, Finding, Severity
from studies.diagnosis.stages import Stage
from studies.diagnosis.standing import Standing
from studies.diagnosis.symptom import TrialSymptom

SET_BY_LEVERS = frozenset({CauseName.AUGMENTATION_DRIFT, CauseName.UNNORMALIZED_INPUT})
"""What shows in the data, and differs from trial to trial of a search."""
SET_BY_LOOP = frozenset({CauseName.UNSHUFFLED_DATA})
"""What shows in the data and is a matter of the code: an accuracy tells its harm as it is."""
KNOWN_ERRORS = frozenset({CauseName.EVALUATION_MODE_BUG, CauseName.STALE_GRADIENTS})
"""Of the code, known to be wrong even where it is not known what they cost; layers may be frozen by design."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """A symptom together with what it found in one trial."""

    symptom: TrialSymptom
    finding: Finding
    is_shared: bool = False
    """Whether the study's best trial shows it too: then it is not what this one is worse by."""
    is_free: bool = False
    """Of an error: whether a trial that does not show it is as good as this one, and no better."""

    @property
    def is_fault(self) -> bool:
        return self.finding.severity is not Severity.NOTE

    @property
    def is_error(self) -> bool:
        """Whether it is a mistake of the code, of which an accuracy tells what it costs."""
        return self.is_fault and (self.finding.stage is Stage.CODE or self.cause in SET_BY_LOOP)

    @property
    def cause(self) -> CauseName | None:
        """The likeliest."""
        return self.finding.causes[0].name if self.finding.causes else None

    @property
    def is_soft(self) -> bool:
        """Whether it is a fault only together with the harm it does."""
        return self.is_fault and not (self.symptom.hurts_by_itself and self.finding.hurts_by_itself)


def root_causes(shown: Sequence[Shown], *, standing: Standing) -> list[Finding]:
    """The findings of one trial that no earlier one explains, in the order of ``shown``.

    Args:
        shown: all that was found, in the order of a training; each finding has its stage.
        standing: beside the study's best. Who ends as well as that has notes, but for what the best has too or no
            accuracy shows. Who ends worse is not excused for an error in the code that costs nothing by itself.
    """
    is_healthy = standing is Standing.HEALTHY
    shown = [_excused(one) if _is_excused(one, is_healthy=is_healthy) else one for one in shown]
    is_worse = standing in {Standing.WORSE, Standing.FITS_WORSE}
    weighed = _with_harm_only(sorted(shown, key=lambda one: one.finding.stage), is_worse=is_worse)
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


def _is_excused(one: Shown, *, is_healthy: bool) -> bool:
    """Whether a place among the best of the study is a sign of health.

    Not of an error in the data, by which the accuracy itself is wrong or counts what it should not; nor of how sure the
    answers are, which no accuracy shows. Of an error in the code only beside a trial that does not have it: where all
    share it, nobody knows how good they could be.
    """
    if one.is_error:
        return one.is_free
    if one.cause is CauseName.OVERCONFIDENCE:
        return False
    return is_healthy and (one.finding.stage is not Stage.DATA or one.cause in SET_BY_LEVERS)


def _excused(one: Shown) -> Shown:
    """A note; of an error in the code it says what it was measured by."""
    return _noted(
        one, " A trial without it is no better: nothing shows that it costs this one anything." * one.is_error
    )


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
    is_error = one.is_fault and one.finding.stage is Stage.CODE
    return _noted(one, " No harm shows that it alone explains." if is_error else "")


def _noted(one: Shown, said: str) -> Shown:
    """As a note, whose sentence goes on with ``said``."""
    finding = at_most(Severity.NOTE, one.finding)
    return dataclasses.replace(one, finding=dataclasses.replace(finding, sentence=finding.sentence + said))


def _is_known_error(one: Shown) -> bool:
    return one.cause in KNOWN_ERRORS and not one.is_shared


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
