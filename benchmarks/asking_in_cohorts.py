"""Claim: TPE that is asked for 8 trials at once finds as good a value as one that is asked for one, at equal trials;
and it does worse where all trials of a cohort are made to share one structure.

The objective is made, so that nothing but the asking counts: learning rate, weight decay and dropout are parabolas, the
first of which depends on the structure; two structural levers (3 optimizers x 4 depths) shift the whole; noise 0.01.
Told is the loss of the best trial without its noise (-0.15 is the best there is), mean and standard error over seeds.
`lanes` is how many trials a cohort has when those of one structure are grouped:

    python benchmarks/asking_in_cohorts.py --seeds 40
"""

import argparse
import json
import math
import warnings
from collections.abc import Mapping

import numpy as np
import optuna
from machine import described
from optuna.samplers import BaseSampler, PartialFixedSampler, TPESampler

from search_spaces import Space
from search_spaces.catalog import lever
from tuner.searching.points import RandomSampler

SPACE = Space(
    name="made",
    levers=(
        lever("learning_rate").within(low=1e-4, high=1.0),
        lever("weight_decay").within(low=1e-6, high=1e-2),
        lever("dropout").within(low=0.0, high=0.5),
        lever("optimizer").among(["sgd", "adam", "rmsprop"]),
        lever("depth").within(low=1, high=4),
    ),
)
RATE_EXPONENT = {"sgd": -0.7, "adam": -2.6, "rmsprop": -3.0}
BASE = {"sgd": 0.0, "adam": -0.15, "rmsprop": 0.1}
NOISE = 0.01
N_TRIALS = (32, 64)


def loss(params: Mapping[str, float | str]) -> float:
    """Of a config, without noise."""
    optimizer, depth = str(params["optimizer"]), float(params["depth"])
    off = math.log10(float(params["learning_rate"])) - RATE_EXPONENT[optimizer] + 0.25 * (depth - 1)
    decay = math.log10(float(params["weight_decay"])) + 4
    dropout = float(params["dropout"]) - 0.2
    base = BASE[optimizer] + 0.08 * abs(depth - 3)
    return base + 0.25 * off**2 + 0.025 * decay**2 + 0.8 * dropout**2


def losses(
    sampler: BaseSampler, *, seed: int, batch: int, shares_structure: bool
) -> tuple[list[float], float]:
    """The noiseless losses in the order of asking, and the mean size of the cohorts that the batches make."""
    noise = np.random.default_rng(seed + 1000)
    study = optuna.create_study(sampler=sampler)
    found: list[float] = []
    n_cohorts = 0
    while len(found) < max(N_TRIALS):
        study.sampler = sampler
        trials = []
        for place in range(min(batch, max(N_TRIALS) - len(found))):
            trial = study.ask()
            SPACE.suggest(trial)
            trials.append(trial)
            if shares_structure and place == 0:
                structure = {name: trial.params[name] for name in SPACE.structural_names}
                study.sampler = PartialFixedSampler(structure, sampler)
        n_cohorts += len({tuple(trial.params[name] for name in SPACE.structural_names) for trial in trials})
        for trial in trials:
            found.append(loss(trial.params))
            study.tell(trial, found[-1] + NOISE * noise.standard_normal())
    return found, max(N_TRIALS) / n_cohorts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    n_seeds = parser.parse_args().seeds
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    rows = []
    for name, batch, shares in (
        ("tpe", 1, False),
        ("tpe", 4, False),
        ("tpe", 8, False),
        ("tpe", 16, False),
        ("tpe", 4, True),
        ("tpe", 8, True),
        ("random", 1, False),
        ("random", 8, False),
        ("random", 8, True),
    ):
        results = []
        for seed in range(n_seeds):
            sampler = TPESampler(seed=seed) if name == "tpe" else RandomSampler(SPACE, seed=seed)
            results.append(losses(sampler, seed=seed, batch=batch, shares_structure=shares))
        row: dict[str, object] = {"sampler": name, "batch": batch, "one_structure": shares}
        for n_trials in N_TRIALS:
            best = np.array([min(found[:n_trials]) for found, _ in results])
            row[f"best_of_{n_trials}"] = round(float(best.mean()), 4)
            row[f"error_of_{n_trials}"] = round(float(best.std(ddof=1) / math.sqrt(n_seeds)), 4)
        row["lanes"] = round(float(np.mean([size for _, size in results])), 2)
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print(json.dumps({"machine": described("optuna"), "n_seeds": n_seeds, "rows": rows}))


if __name__ == "__main__":
    main()
