"""Optuna by an expert: two spawned processes of one thread each, tensors in memory, one SQLite study."""

import multiprocessing
from typing import Any

from rivals.job import Answer, Job

N_PROCESSES = 2


def work(job: Job, number: int, n_left: Any, study_is_there: Any) -> None:
    """One process: take trials until none is left. torch is imported while the parent makes the study."""
    import torch

    from rivals.training import Tensors, accuracies

    torch.set_num_threads(1)
    torch.manual_seed(job.seed * N_PROCESSES + number)
    tensors = Tensors.of(job)

    import optuna

    from rivals.study import open_study, suggested

    def objective(trial: optuna.Trial) -> float:
        best = 0.0
        for epoch, accuracy in enumerate(
            accuracies(job.workload, suggested(trial, job.workload), tensors), 1
        ):
            best = max(best, accuracy)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return best

    study_is_there.wait()
    study = open_study(job, seed=job.seed * N_PROCESSES + number)
    while took_one(n_left):
        study.optimize(objective, n_trials=1)


def took_one(n_left: Any) -> bool:
    with n_left.get_lock():
        n_left.value -= 1
        return bool(n_left.value >= 0)


def main() -> None:
    job, answer = Job.from_arguments(), Answer()
    spawning = multiprocessing.get_context("spawn")
    n_left, study_is_there = spawning.Value("i", job.workload.n_trials), spawning.Event()
    processes = [
        spawning.Process(target=work, args=(job, number, n_left, study_is_there))
        for number in range(N_PROCESSES)
    ]
    for process in processes:
        process.start()
    from rivals.study import open_study

    study = open_study(job, seed=job.seed)
    study_is_there.set()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit(f"Processes ended with {[process.exitcode for process in processes]}.")
    trials = study.trials
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    answer.search_seconds = (max(ends) - min(starts)).total_seconds()
    answer.best, answer.n_trials = study.best_value, len(trials)
    answer.print()


if __name__ == "__main__":
    main()
