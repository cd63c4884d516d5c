"""Ray Tune: two CPUs, one a trial, images in its shared memory, actors reused, the expert's training function."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # there may be no network

import ray
from ray import tune
from ray.tune.search.basic_variant import BasicVariantGenerator
from workload import DROPOUTS, WEIGHT_DECAYS, Workload

from rivals.job import Answer, Job

N_CPUS = 2
BENCHMARKS = Path(__file__).resolve().parents[1]
"""Where the actors import the training function from."""


def trained(levers: dict[str, float], *, arrays: dict[str, Any], workload: Workload) -> None:
    import torch

    from rivals.training import Tensors, accuracies

    torch.set_num_threads(1)
    tensors = Tensors(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    for accuracy in accuracies(workload, levers, tensors):
        tune.report({"validation_accuracy": accuracy})


def main() -> None:
    job, answer = Job.from_arguments(), Answer()
    ray.init(
        num_cpus=N_CPUS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": str(BENCHMARKS), "OMP_NUM_THREADS": "1"}},
    )
    arrays = {
        f"{part}_{kind}": array
        for part in ("train", "validation")
        for kind, array in (
            ("x", job.images_of(part).astype("float32") / 255),
            ("y", job.labels_of(part)),
        )
    }
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trained, arrays=arrays, workload=job.workload), {"cpu": 1}),
        param_space={
            "learning_rate": tune.loguniform(*job.workload.learning_rates),
            "weight_decay": tune.loguniform(*WEIGHT_DECAYS),
            "dropout": tune.uniform(*DROPOUTS),
        },
        tune_config=tune.TuneConfig(
            num_samples=job.workload.n_trials,
            metric="validation_accuracy",
            mode="max",
            reuse_actors=True,
            search_alg=BasicVariantGenerator(random_state=job.seed),
        ),
        run_config=tune.RunConfig(storage_path=str(job.scratch), verbose=0),
    )
    with answer.searching():
        results = tuner.fit()
    if results.errors:
        raise SystemExit(f"{len(results.errors)} trials of Ray failed, the first with {results.errors[0]}.")
    best = results.get_best_result(scope="all")
    answer.best = float(best.metrics_dataframe["validation_accuracy"].max())
    answer.n_trials = len(results)
    answer.about = {"ray": ray.__version__}
    answer.print()


if __name__ == "__main__":
    main()
