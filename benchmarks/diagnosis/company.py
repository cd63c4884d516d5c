"""A run within a study: beside its healthy twin at other seeds, as a trial of a search stands beside sound ones.

By itself a run has nothing to be compared with: no healthy gate opens, and nothing shows that it could be better.
"""

import dataclasses
import math
from collections.abc import Sequence

from benchmarks.diagnosis.runs import Run
from studies.diagnosis.standing import best_accuracy
from studies.records import TrialRecord

N_PEERS = 3
"""Sound trainings beside a run, at most: of healthy runs there are the two other seeds."""


def in_studies(runs: Sequence[Run], twins: Sequence[Run]) -> list[Run]:
    """Each of ``runs`` as the first trial of a study whose others are ``twins`` of other seeds.

    Not that of its own seed, which has the same images and first weights. A search's trials share these, and differ in
    levers: beside them less is taken for a difference that is the luck of a split.

    Args:
        runs: of one case, one a seed.
        twins: of its healthy twin, of the same seeds in the same order.
    """
    return [
        _beside(run, [twin for other, twin in enumerate(twins) if other != at][:N_PEERS])
        for at, run in enumerate(runs)
    ]


def _beside(run: Run, peers: Sequence[Run]) -> Run:
    trials = [each.record.trials[0] for each in (run, *peers)]
    numbered = (dataclasses.replace(trial, number=number) for number, trial in enumerate(trials))
    return dataclasses.replace(
        run, record=dataclasses.replace(run.record, trials=tuple(map(_valued, numbered)))
    )


def _valued(trial: TrialRecord) -> TrialRecord:
    """A training that was watched in memory has no value; in a study of its own it would have its best accuracy."""
    best = best_accuracy(trial)
    if trial.value is not None or trial.state != "complete" or math.isnan(best):
        return trial
    return dataclasses.replace(trial, value=best)
