"""Proving on data at hand and without a database: the replicates are lanes of cohorts in this process."""

import functools
from collections.abc import Mapping, Sequence

from search_spaces.errors import ConfigurationError
from studies.diagnosis.finding import Finding
from studies.records import Outcome, StudyRecord, TrialRecord
from tuner.proving.contest import Contest
from tuner.proving.judging import judged
from tuner.proving.proof import Proof
from tuner.proving.stepping import MAX_STEPS, Trials, trained_in_steps
from tuner.proving.yardstick import Yardstick
from tuner.replication import Config, fresh_seeds
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig, direction_of
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.lane import Lane
from tuner.training.lanes.structure import structure_of
from tuner.training.models import ModelBuilder


def prove_in_memory(  # noqa: PLR0913 - as `prove`
    finding: Finding,
    config: Config,
    splits: Splits,
    *,
    seeds: int | Sequence[int] = 5,
    reference: Config | None = None,
    model: ModelBuilder | None = None,
    metric: str | None = None,
    direction: str | None = None,
    max_steps: int = MAX_STEPS,
) -> Proof:
    """As `prove`, on splits that are there; nothing is kept.

    Args:
        finding: whose remedies are tried.
        config: the faulty one.
        splits: what all replicates train on.
        seeds: how many fresh ones, or which; none of them the config's own.
        reference: a healthy config.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of the configs' own.
        metric: of the study that is stood in for; None is validation_accuracy, or validation_loss for regression.
        direction: of the metric; None is its own.
        max_steps: along a lever whose remedy leaves the same cause, the remedy among them.
    """
    own_seed = TrainingConfig.from_mapping(config).seed
    chosen = fresh_seeds(seeds, seed=own_seed)
    metric = metric or ("validation_loss" if splits.kind == "regression" else "validation_accuracy")
    direction = direction or direction_of(metric)
    contest = Contest.of(finding, config, reference=reference)
    if not contest.remedies:
        raise ConfigurationError(
            f"A proof needs a remedy that edits the config, but those of {finding.symptom} do not."
        )

    def train(configs: Mapping[str, Config], _step: int) -> Trials:
        return _trained(configs, splits, chosen, model=model, metric=metric, direction=direction)

    empty = StudyRecord(name="replicates in memory", direction=direction, metric=metric, trials=())
    yardstick = Yardstick.of(finding, metric=metric, direction=direction)
    judge = functools.partial(judged, yardstick=yardstick, seeds=chosen, own_seed=own_seed)
    stepped = trained_in_steps(
        contest, train, empty, is_settled=lambda *so_far: judge(*so_far).is_proven, max_steps=max_steps
    )
    return judge(*stepped)


def _trained(
    configs: Mapping[str, Config],
    splits: Splits,
    seeds: Sequence[int],
    *,
    model: ModelBuilder | None,
    metric: str,
    direction: str,
) -> dict[str, list[TrialRecord]]:
    """By label, one ended trial for each seed: all configs of one structure are lanes of one cohort."""
    whole = {
        (label, seed): TrainingConfig.from_mapping({**config, "seed": seed})
        for label, config in configs.items()
        for seed in seeds
    }
    cohorts: list[tuple[Mapping[str, object], Cohort]] = []
    lanes: dict[tuple[str, int], Lane] = {}
    for pair, config in whole.items():
        structure = structure_of(config)
        cohort = next((found for known, found in cohorts if known == structure), None)
        if cohort is None:
            cohort = Cohort(splits, model=model, metric=metric, direction=direction)
            cohorts.append((structure, cohort))
        lanes[pair] = cohort.admit(config)
    for _, cohort in cohorts:
        while cohort.advance():
            pass
    numbers = {pair: number for number, pair in enumerate(whole)}
    return {
        label: [_record_of(numbers[label, seed], lanes[label, seed], metric) for seed in seeds]
        for label in configs
    }


def _record_of(number: int, lane: Lane, metric: str) -> TrialRecord:
    has_diverged = lane.outcome is Outcome.DIVERGED
    value = None if has_diverged else lane.value(metric)
    return TrialRecord(
        number=number,
        state="pruned" if value is None else "complete",
        outcome=lane.outcome,
        value=value,
        config=lane.config.to_mapping(),
        telemetry=lane.telemetry(),
    )
