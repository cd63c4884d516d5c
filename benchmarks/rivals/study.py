"""The Optuna study of those rivals that have one, on SQLite as a careful user sets it up."""

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage
from workload import DROPOUTS, WEIGHT_DECAYS, Workload

from rivals.job import Job

STUDY = "rival"
_LOCK_SECONDS = 60.0


def open_study(job: Job, *, seed: int) -> optuna.Study:
    """The job's study, made if need be; the sampler's stream is ``seed``'s.

    WAL with synchronous NORMAL, which takes SQLite's waits for the disk away from the rivals too.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = RDBStorage(
        f"sqlite:///{job.database}", engine_kwargs={"connect_args": {"timeout": _LOCK_SECONDS}}
    )
    with storage.engine.connect() as connection:
        connection.execute(sa.text("PRAGMA journal_mode=WAL"))

    @sa.event.listens_for(storage.engine, "connect")
    def _relax(connection, _record) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        connection.execute("PRAGMA synchronous=NORMAL")

    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    is_random = job.sampler == "random"
    return optuna.create_study(
        storage=storage,
        sampler=samplers[job.sampler](seed=seed),
        pruner=optuna.pruners.NopPruner() if is_random else optuna.pruners.MedianPruner(),
        study_name=STUDY,
        direction="maximize",
        load_if_exists=True,
    )


def suggested(trial: optuna.Trial, workload: Workload) -> dict[str, float]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", *workload.learning_rates, log=True),
        "weight_decay": trial.suggest_float("weight_decay", *WEIGHT_DECAYS, log=True),
        "dropout": trial.suggest_float("dropout", *DROPOUTS),
    }
