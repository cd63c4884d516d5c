"""From replicates to verdicts: one function, whether the replicates lie in a database or in memory.

Proven: on every claim together with 95% the gain's interval lies above 0, a new seed would favor the change with 75%,
80% of the gap to the healthy reference are recovered where there is one, most replicates no longer show the symptom and
none shows a new one. (Reference notes: symptom clearance alone is never a repair.)

A diverged replicate counts as a network that knows nothing, and no better than the worst that did not diverge. Signed
ranks, which `studies.comparison` takes otherwise, have no bounds below six seeds, so that five could prove nothing of
the commonest fault; chance is more than a diverged network is worth, so a remedy gains no less than this says.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from studies.comparison import Comparison, compare
from studies.diagnosis import Finding, Severity, diagnose_record
from studies.diagnosis.symptoms import falls_behind
from studies.intervals import INF, Interval, t_bounds
from studies.records import StudyRecord, TrialRecord
from tuner.proving.contest import BASELINE, Contest
from tuner.proving.proof import Proof, Tried, Values, Verdict
from tuner.proving.share import recovered_share, share_text
from tuner.proving.stepping import Trials
from tuner.proving.yardstick import Yardstick
from tuner.replication import Config

RECOVERED = 0.8
"""Of the gap to the healthy reference (reference notes, on scoring repairs)."""
P_BETTER = 0.75
"""Likewise."""
MIN_SEEDS = 3
"""Likewise."""
BLOWN_UP = 10.0
"""A loss of so many times the indifferent one says that nothing was learned, however large it is (own design): the
spread of 1e7 and 2e9 would hide what mends both, and an overfitted network's loss lies well below."""
ERROR_RATE = 0.05
"""The chance that any of a finding's remedies is called proven, or worse, though it changes nothing (Bonferroni: the
changes are each compared with the faulty config, not with each other; each step along a lever counts)."""


def judged(
    contest: Contest,
    trials: Trials,
    record: StudyRecord,
    yardstick: Yardstick,
    *,
    seeds: Sequence[int],
    replicates: str = "",
    own_seed: int = 0,
) -> Proof:
    """The verdicts.

    Args:
        contest: who was trained.
        trials: all that were, ended; members of ``record``.
        record: of the replicates, with steps: they are diagnosed beside each other.
        yardstick: what they are compared by.
        seeds: of the replicates.
        replicates: the name of their study, if it has one.
        own_seed: of the config that a user goes on with.
    """
    judge = _Judge.of(contest, trials, record, yardstick)
    remedies = tuple(judge.tried(label, own_seed) for label in contest.remedies)
    proof = Proof(
        finding=contest.finding,
        sentence="",
        metric=yardstick.metric,
        direction=yardstick.direction,
        reason=yardstick.reason,
        confidence=judge.confidence,
        seeds=tuple(seeds),
        baseline=judge.values[BASELINE],
        n_with_symptom=judge.n_with_symptom(BASELINE),
        reference=None if contest.reference is None else judge.values[contest.reference],
        remedies=remedies,
        left_out=contest.left_out,
        replicates=replicates,
    )
    return dataclasses.replace(proof, sentence=_sentence(proof, judge))


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """All that the verdicts rest on, read once."""

    contest: Contest
    yardstick: Yardstick
    values: Mapping[str, Values]
    """By label; None is diverged."""
    filled: Mapping[str, tuple[float | None, ...]]
    """The same with numbers in place of None, as far as it is known what nothing is worth."""
    own: Mapping[str, tuple[float | None, ...]]
    """In the study's own metric."""
    symptoms: Mapping[str, Sequence[frozenset[str]]]
    """By label, of each replicate its faults and what follows from them."""
    resolution: float
    """What one validation sample is worth; 0 where the metric is no accuracy."""
    confidence: float
    gap: float | None
    """From the faulty config to the healthy reference, if that one is told to be better."""

    @classmethod
    def of(cls, contest: Contest, trials: Trials, record: StudyRecord, yardstick: Yardstick) -> "_Judge":
        values = {label: tuple(map(yardstick.value, row)) for label, row in trials.items()}
        every = [trial for row in trials.values() for trial in row]
        own = Yardstick.own(yardstick.own_metric, yardstick.own_direction)
        judge = cls(
            contest=contest,
            yardstick=yardstick,
            values=values,
            filled=_filled(values, every, yardstick),
            own=_filled({label: tuple(map(own.value, row)) for label, row in trials.items()}, every, own),
            symptoms={
                label: [_faults(trial, record, contest.finding) for trial in row]
                for label, row in trials.items()
            },
            resolution=_resolution(every, yardstick),
            confidence=1.0 - ERROR_RATE / max(contest.n_changes, 1),
            gap=None,
        )
        return dataclasses.replace(judge, gap=judge.healthy_gap())

    def healthy_gap(self) -> float | None:
        if self.contest.reference is None:
            return None
        found = self.against_baseline(self.contest.reference)
        return found.difference.mean if found.difference.low > 0.0 else None

    def against_baseline(self, label: str) -> Comparison:
        return self._compared(label, self.filled, self.yardstick.direction, self.resolution)

    def costs(self, label: str) -> bool:
        """Whether the study's own metric is worse with the remedy, where another one judges."""
        if self.yardstick.is_own:
            return False
        found = self._compared(label, self.own, self.yardstick.own_direction, 0.0)
        return found.difference.high < 0.0

    @property
    def signature(self) -> frozenset[str]:
        """What shows the fault: one cause may show as another symptom with another seed."""
        finding = self.contest.finding
        shown = {name for each in self.symptoms[BASELINE] for name in each}
        common = {name for name in shown if self._is_common(name, BASELINE)}
        return frozenset({finding.symptom, *finding.consequences, *common})

    def n_with_symptom(self, label: str) -> int:
        return sum(bool(self.signature & each) for each in self.symptoms[label])

    def new_symptoms(self, label: str) -> tuple[str, ...]:
        """What most replicates show with the remedy, and is no sign of the fault itself."""
        present = {name for each in self.symptoms[label] for name in each}
        new = [name for name in present - self.signature if self._is_common(name, label)]
        return tuple(sorted(new))

    def tried(self, label: str, own_seed: int) -> Tried:
        """The remedy of that label with its verdict."""
        found = self.against_baseline(label)
        share = self.share(label, found)
        verdict, why = self._verdict(label, found, share)
        return Tried(
            label=label,
            remedy=self.contest.remedies[label],
            config=_ready(self.contest.configs[label], own_seed),
            changes=self.contest.changes(label),
            steps={step: self.values[step] for step in self.contest.steps_of_remedies[label]},
            values=self.values[label],
            gain=found.difference,
            p_better=found.p_better,
            share=share,
            n_with_symptom=self.n_with_symptom(label),
            new_symptoms=self.new_symptoms(label),
            verdict=verdict,
            why=why,
        )

    def _verdict(self, label: str, found: Comparison, share: Interval | None) -> tuple[Verdict, str]:
        gain, n = found.difference, found.n_pairs
        before = self.contest.steps_of_remedies[label]
        steps = f" in {len(before) + 1} steps ({' and '.join(before)} left the same cause)" if before else ""
        if gain.high < 0.0:
            return Verdict.MADE_WORSE, f"It {self.change(gain)}{steps} over {n} seeds."
        faults = self._doubts(label, found, None if share is None else share.mean)
        recovers = "" if share is None else f", {share_text(share)}"
        said = f"It {self.change(gain)}{steps} over {n} seeds{recovers}"
        if faults:
            return Verdict.NOT_PROVEN, f"{said}, but {'; '.join(faults)}."
        gone = n - self.n_with_symptom(label)
        return Verdict.PROVEN, f"{said}, and the symptom is gone from {gone} of {n}."

    def share(self, label: str, found: Comparison) -> Interval | None:
        """Of the healthy gap, what the remedy recovers; without bounds where a replicate has no number."""
        if self.gap is None or self.contest.reference is None:
            return None
        rows = list(
            zip(*(self.filled[each] for each in (label, self.contest.reference, BASELINE)), strict=True)
        )
        numbers = [row for row in rows if None not in row]
        if len(numbers) < len(rows):
            mean = found.difference.mean / self.gap
            return dataclasses.replace(found.difference, mean=mean, low=-INF, high=INF, method="none")
        after, healthy, before = np.array(numbers, dtype=np.float64).T
        sign = self.yardstick.sign
        return recovered_share(
            sign * (after - before),
            sign * (healthy - before),
            confidence=self.confidence,
            resolution=self.resolution,
        )

    def change(self, gain: Interval) -> str:
        """``gains 12.1 points (98.75% interval 3.5 to 28.6)``; a loss is told as one, with its bounds turned round."""
        verb, sign = ("loses", -1.0) if gain.mean < 0.0 else ("gains", 1.0)
        scale, unit = (100.0, " points") if self.yardstick.metric.endswith("accuracy") else (1.0, "")
        mean, *ends = (sign * scale * each for each in (gain.mean, gain.low, gain.high))
        low, high = sorted(ends)
        if math.isinf(low) and math.isinf(high):
            return f"{verb} {mean:.3g}{unit} (no bounds from {gain.n})"
        return f"{verb} {mean:.3g}{unit} ({100 * gain.confidence:.4g}% interval {low:.3g} to {high:.3g})"

    def _doubts(self, label: str, found: Comparison, recovered: float | None) -> list[str]:
        """A clause for each condition of a proof that does not hold."""
        n, n_with = found.n_pairs, self.n_with_symptom(label)
        doubts = []
        if n < MIN_SEEDS:
            doubts.append(f"a proof needs {MIN_SEEDS} seeds")
        if not found.difference.low > 0.0:
            doubts.append("that can be noise")
        if found.p_better < P_BETTER:
            doubts.append(f"a new seed would favor it with {found.p_better:.0%} only")
        if recovered is not None and recovered < RECOVERED:
            doubts.append(f"a repair recovers {RECOVERED:.0%}")
        if 2 * n_with >= n:
            doubts.append(f"the symptom remains in {n_with} of {n}")
        if new := self.new_symptoms(label):
            doubts.append(f"{' and '.join(new)} {'is' if len(new) == 1 else 'are'} new")
        if self.costs(label):
            doubts.append(f"it costs {self.yardstick.own_metric.replace('_', ' ')}")
        return doubts

    def _is_common(self, symptom: str, label: str) -> bool:
        rows = self.symptoms[label]
        return 2 * sum(symptom in each for each in rows) > len(rows)

    def _compared(
        self, label: str, values: Mapping[str, Sequence[float | None]], direction: str, resolution: float
    ) -> Comparison:
        found = compare(
            values[label],
            values[BASELINE],
            direction=direction,
            names=(label, BASELINE),
            confidence=self.confidence,
        )
        return dataclasses.replace(found, difference=_bounded(found.difference, resolution))


def _bounded(gain: Interval, resolution: float) -> Interval:
    """The interval; of gains that are all the same, Student's with one validation sample's worth for their spread.

    `compare` goes by ranks there, which have no bounds below six seeds: the gains of a perfect remedy are all the same.
    """
    if gain.method != "signed rank" or not gain.sd < resolution or gain.n < 2:
        return gain
    error = resolution / math.sqrt(gain.n)
    low, high = t_bounds(gain.mean, error, df=gain.n - 1, confidence=gain.confidence)
    return dataclasses.replace(gain, low=low, high=high, method="t")


def _filled(
    values: Mapping[str, Values], trials: Sequence[TrialRecord], yardstick: Yardstick
) -> dict[str, tuple[float | None, ...]]:
    """With what nothing is worth in place of None, and no loss far beyond it; as they are where that is not known."""
    sign = yardstick.sign
    known = [worth for trial in trials if math.isfinite(worth := yardstick.worth_of_nothing(trial))]
    if not known:
        return dict(values)
    nothing = statistics.median(known)
    limit = BLOWN_UP * nothing if yardstick.metric.endswith("loss") else math.inf
    bounded = {
        label: [None if each is None else min(each, limit) for each in row] for label, row in values.items()
    }
    finite = [value for row in bounded.values() for value in row if value is not None]
    floor = sign * min(sign * each for each in (nothing, *finite))
    return {label: tuple(floor if each is None else each for each in row) for label, row in bounded.items()}


def _faults(trial: TrialRecord, record: StudyRecord, finding: Finding) -> frozenset[str]:
    """The symptoms of one replicate that are worse than notes, with what follows from them.

    That it is behind the luckiest of all replicates is none, unless that is what is to be mended: the paired gain says
    by how much it is worse, and whether that is sure. Nor is a poorer fit at as good an accuracy, for the same reason.
    """
    found = [
        each
        for each in diagnose_record(record, trial.number, weighs_fit=False)
        if each.severity.rank > Severity.NOTE.rank
    ]
    named = {name for each in found for name in (each.symptom, *each.consequences)}
    return frozenset(named - ({falls_behind.NAME} - {finding.symptom}))


def _resolution(trials: Sequence[TrialRecord], yardstick: Yardstick) -> float:
    if not yardstick.metric.endswith("accuracy"):
        return 0.0
    sizes = [
        trial.telemetry.data.n_validation
        for trial in trials
        if trial.telemetry is not None and trial.telemetry.data is not None
    ]
    return 1.0 / float(np.median(sizes)) if sizes else 0.0


def _ready(config: Config, seed: int) -> dict[str, object]:
    return {**config, "seed": seed}


def _sentence(proof: Proof, judge: _Judge) -> str:
    """The verdict over all remedies."""
    if proof.finding is None:
        raise ValueError("What is judged has a finding.")
    n, symptom = len(proof.seeds), proof.finding.symptom
    came_back = f"Without a remedy it came back in {proof.n_with_symptom} of {n} fresh seeds."
    lost = proof.reference is not None and judge.gap is None
    more = " The healthy reference is not told from the faulty config, so it plays no part." if lost else ""
    if proof.best is None:
        return f"No remedy is proven against {symptom}. {came_back}{more}"
    return f"Proven against {symptom}: {proof.best.label}. {proof.best.why} {came_back}{more}"
