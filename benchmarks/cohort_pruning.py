"""Claim: the median of cohorts keeps the best trial of a search 95 times of 100, and saves half the epochs.

240 real learning curves: configs of the space `quick` drawn at random, 9 epochs each on digits; once with one seed for
all, as in a search, and once each with its own, which is noisier. A search draws 64 of them; its best trial is the one
that would have been best had nobody been pruned. Ours see them in cohorts, Optuna's one at a time with the settings
that this project had before:

    python benchmarks/cohort_pruning.py --searches 100
"""

import argparse
import dataclasses
import functools
import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import optuna
from machine import described
from numpy.typing import NDArray
from optuna.pruners import BasePruner, MedianPruner, PercentilePruner, SuccessiveHalvingPruner

from tuner.searching.curves import Curve
from tuner.searching.objective import Objective
from tuner.searching.points import RandomSampler
from tuner.searching.pruners import CohortPruner
from tuner.searching.strategy import make_pruner

N_CURVES, N_EPOCHS, N_TRIALS, COHORT = 240, 9, 64, 8
Curves = NDArray[np.float64]


def learning_curves(*, own_seeds: bool) -> Curves:
    """[N_CURVES, N_EPOCHS]: validation accuracies; nan after a divergence."""
    objective = Objective("quick", "digits", epochs=N_EPOCHS, fixed={"width": 64, "batch_size": 64})
    study = optuna.create_study(sampler=RandomSampler(objective.space, seed=0))
    curves = np.full((N_CURVES, N_EPOCHS), np.nan)
    for first in range(0, N_CURVES, COHORT):
        cohort = objective.cohort(should_stop=lambda: None)
        configs = [objective.suggest(study.ask()).config for _ in range(COHORT)]
        if own_seeds:
            configs = [
                dataclasses.replace(config, seed=first + place) for place, config in enumerate(configs)
            ]
        lanes = [cohort.admit(config) for config in configs]
        while cohort.advance():
            pass
        for place, lane in enumerate(lanes, start=first):
            found = lane.telemetry().series("validation_accuracy")[1:]
            curves[place, : len(found)] = found
    return curves


def in_cohorts(pruner: CohortPruner, size: int, curves: Curves) -> tuple[int, list[int]]:
    """The epochs that were trained, and the trials that came to their end."""
    seen: dict[int, dict[int, float]] = {}
    finished: list[int] = []
    for first in range(0, len(curves), size):
        alive = list(range(first, min(first + size, len(curves))))
        for epoch in range(1, N_EPOCHS + 1):
            for number in alive:
                value = curves[number, epoch - 1]
                seen.setdefault(number, {})[epoch] = -value if math.isfinite(value) else math.inf
            known = [Curve(number=number, losses=losses) for number, losses in seen.items()]
            lanes = [curve for curve in known if curve.number in alive]
            if epoch < N_EPOCHS and lanes:
                gone = pruner.condemned(lanes, [curve for curve in known if curve.number not in alive])
                alive = [number for number in alive if number not in gone]
        finished += alive
    return sum(map(len, seen.values())), finished


def one_by_one(pruner: BasePruner, curves: Curves) -> tuple[int, list[int]]:
    """As `in_cohorts`, with a pruner of Optuna's."""
    study = optuna.create_study(direction="maximize", pruner=pruner)
    n_epochs, finished = 0, []
    for number, values in enumerate(curves):
        trial = study.ask()
        is_pruned = False
        for epoch, value in enumerate(values, start=1):
            n_epochs += 1
            is_pruned = not math.isfinite(value)
            if not is_pruned:
                trial.report(float(value), epoch)
                is_pruned = epoch < N_EPOCHS and trial.should_prune()
            if is_pruned:
                break
        if is_pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, float(values.max()))
            finished.append(number)
    return n_epochs, finished


def judged(
    prune: Callable[[Curves], tuple[int, Sequence[int]]], curves: Curves, n_searches: int
) -> dict[str, float]:
    """How often the best was kept, what was lost on average, and what share of the epochs was saved."""
    kept, lost, used = [], [], []
    for seed in range(n_searches):
        drawn = curves[np.random.default_rng(seed).choice(len(curves), N_TRIALS, replace=False)]
        bests = np.nanmax(drawn, axis=1)
        n_epochs, finished = prune(drawn)
        best = max((bests[number] for number in finished), default=0.0)
        kept.append(best >= bests.max())
        lost.append(bests.max() - best)
        used.append(n_epochs / drawn.size)
    return {
        "kept_best": round(float(np.mean(kept)), 3),
        "epochs_saved": round(1 - float(np.mean(used)), 3),
        "accuracy_lost": round(float(np.mean(lost)), 5),
    }


def table(curves: Curves, n_searches: int) -> dict[str, dict[str, float]]:
    """`judged`, of each pruner."""
    rows: dict[str, dict[str, float]] = {}
    theirs: dict[str, BasePruner] = {
        "median": MedianPruner(n_warmup_steps=1),
        "percentile": PercentilePruner(25.0, n_warmup_steps=1),
        "asha": SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    }
    for name, stock in theirs.items():
        rows[f"Optuna's {name}"] = judged(functools.partial(one_by_one, stock), curves, n_searches)
    for name in ("median", "percentile", "asha", "hyperband", "patient"):
        pruner = make_pruner(name, epochs=N_EPOCHS)
        for size in (1, COHORT):
            prune = functools.partial(in_cohorts, pruner, size)
            rows[f"{name}, cohorts of {size}"] = judged(prune, curves, n_searches)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=100)
    n_searches = parser.parse_args().searches
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tables = {}
    for name, own_seeds in (("one seed for all", False), ("each its own seed", True)):
        tables[name] = table(learning_curves(own_seeds=own_seeds), n_searches)
        print(name)
        for pruner, row in tables[name].items():
            print(f"  {pruner:26}" + "  ".join(f"{key} {value:.2%}" for key, value in row.items()))
    print(json.dumps({"machine": described("optuna", "torch"), "n_searches": n_searches, "tables": tables}))


if __name__ == "__main__":
    main()
