"""A fault on the bench: its config with one change after another, each trained with the same new seeds."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmarks.diagnosis.case import Case
from benchmarks.diagnosis.networks import builder
from benchmarks.diagnosis.repaired import Attempt, p_better
from benchmarks.diagnosis.telemetry import quality_of, splits_of, trial_record
from search_spaces.edits import Edit, EditKind
from search_spaces.errors import ConfigurationError
from studies.diagnosis import Finding
from studies.diagnosis.finding import Remedy
from studies.records import StudyRecord, TrialRecord
from tuner.proving.contest import BASELINE, REFERENCE, Contest, edited, label_of
from tuner.proving.judging import judged
from tuner.proving.proof import Tried
from tuner.proving.stepping import MAX_STEPS, trained_in_steps
from tuner.proving.yardstick import Yardstick
from tuner.replication import seedless
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.lanes.lane import Lane
from tuner.training.lanes.structure import structure_of

Config = Mapping[str, Any]

_NO_TRIALS = StudyRecord(name="on the bench", direction="maximize", metric="validation_accuracy", trials=())


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One config after its seeds."""

    trials: tuple[TrialRecord, ...]
    qualities: tuple[float, ...]
    """Of the weights that were kept, on the test part, one for each seed; larger is better."""


class Bench:
    """One case with its finding; a config is trained once, whoever asks for it.

    Like `tuner fix`, all replicates share the data and its split: those of the first seed.
    """

    def __init__(self, case: Case, finding: Finding, *, task: str, part: str, seeds: Sequence[int]) -> None:
        self._case, self._finding = case, finding
        self._task, self._part, self._seeds = task, part, tuple(seeds)
        self._known: dict[str, Trained] = {}
        self.faulty = seedless(case.config(seeds[0]))
        self._healthy = seedless(case.reference.config(seeds[0]))
        self._worst = self._trained({BASELINE: self.faulty}, case)[BASELINE]
        self._best = self._trained({REFERENCE: self._healthy}, case.reference)[REFERENCE]

    @property
    def gap(self) -> float:
        """From the faulty config to the healthy twin, by the means over the seeds."""
        return fmean(self._best.qualities) - fmean(self._worst.qualities)

    def attempts(self, remedies: Sequence[Remedy], *, is_ours: bool = False) -> list[Attempt]:
        """Each remedy that this config can take and that changes it, trained and judged, in their order.

        Ours go on along their lever, as `tuner fix` does: every step of them is a trial.
        """
        changed = {label_of(remedy.edits): remedy for remedy in remedies if self.takes(remedy)}
        if not changed:
            return []
        yardstick = Yardstick.of(self._finding, metric=_NO_TRIALS.metric, direction=_NO_TRIALS.direction)
        judge = functools.partial(judged, yardstick=yardstick, seeds=self._seeds)
        contest, trials, record = trained_in_steps(
            self._contest(changed),
            self._trials,
            _NO_TRIALS,
            is_settled=lambda *so_far: judge(*so_far).is_proven,
            max_steps=MAX_STEPS if is_ours else 1,
        )
        proof = judge(contest, trials, record)
        return [self._attempt(each, contest, is_ours=is_ours) for each in proof.remedies]

    def takes(self, remedy: Remedy) -> bool:
        """Whether the edits make another config that can be trained."""
        changed = edited(self.faulty, remedy.edits) if remedy.edits else None
        if changed is None:
            return False
        try:
            return seedless(changed) != self.faulty
        except ConfigurationError:
            return False

    def _recovered(self, trained: Trained) -> float:
        return (fmean(trained.qualities) - fmean(self._worst.qualities)) / self.gap if self.gap > 0 else 0.0

    def _attempt(self, tried: Tried, contest: Contest, *, is_ours: bool) -> Attempt:
        trained = self._trained({tried.label: contest.configs[tried.label]}, self._case)[tried.label]
        return Attempt(
            change=tried.label,
            levers=tuple(edit.lever for edit in tried.remedy.edits),
            n_trials=1 + len(tried.steps),
            recovered=self._recovered(trained),
            p_better=p_better(trained.qualities, self._worst.qualities),
            symptom_gone=tried.symptom_gone,
            new_symptoms=tried.new_symptoms,
            verdict=tried.verdict.value if is_ours else "",
        )

    def _contest(self, remedies: Mapping[str, Remedy]) -> Contest:
        configs = {label: seedless(edited(self.faulty, each.edits) or {}) for label, each in remedies.items()}
        return Contest(
            finding=self._finding,
            configs={BASELINE: self.faulty, **configs, REFERENCE: self._healthy},
            remedies=remedies,
            reference=REFERENCE,
        )

    def _trials(self, configs: Mapping[str, Config], _step: int) -> dict[str, Sequence[TrialRecord]]:
        """Trained if they are not yet; the healthy reference on its own data and network."""
        own = {label: config for label, config in configs.items() if label != REFERENCE}
        trained = self._trained(own, self._case)
        if REFERENCE in configs:
            trained[REFERENCE] = self._best
        return {label: trained[label].trials for label in configs}

    # -- training --

    def _trained(self, configs: Mapping[str, Config], case: Case) -> dict[str, Trained]:
        """``case`` with each of the configs; those of one structure are lanes of one cohort."""
        keys = {label: f"{case.name} {sorted(config.items())}" for label, config in configs.items()}
        left = {keys[label]: config for label, config in configs.items() if keys[label] not in self._known}
        cohorts: list[tuple[Mapping[str, Any], Cohort]] = []
        lanes: dict[str, list[Lane]] = {}
        for key, config in left.items():
            whole = [TrainingConfig.from_mapping({**config, "seed": seed}) for seed in self._seeds]
            cohort = self._cohort(whole[0], case, cohorts)
            lanes[key] = [cohort.admit(each) for each in whole]
        for _, cohort in cohorts:
            while cohort.advance():
                pass
        for key, row in lanes.items():
            self._known[key] = Trained(
                trials=tuple(trial_record(lane) for lane in row),
                qualities=tuple(self._quality(lane) for lane in row),
            )
        return {label: self._known[key] for label, key in keys.items()}

    def _cohort(
        self, config: TrainingConfig, case: Case, cohorts: list[tuple[Mapping[str, Any], Cohort]]
    ) -> Cohort:
        structure = structure_of(config)
        found = next((cohort for known, cohort in cohorts if known == structure), None)
        if found is None:
            splits = splits_of(case, config, task=self._task, part=self._part)
            found = Cohort(splits, model=builder(case.setup.network))
            cohorts.append((structure, found))
        return found

    def _quality(self, lane: Lane) -> float:
        """By the metric of the faulty case: its healthy twin has none of its own."""
        return quality_of(lane.model, lane.scaling, lane.splits, metric=self._case.metric)


def change(**values: Any) -> Remedy:
    """A remedy that sets levers, without a reason."""
    edits = tuple(Edit(kind=EditKind.FIX, lever=lever, value=value) for lever, value in values.items())
    return Remedy(sentence=label_of(edits), edits=edits)
