"""Searching: the total is a total, resuming repeats nothing, every ending is told, and strategies work by name."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
import torch
from optuna.trial import TrialState
from torch import nn

import tuner
from search_spaces import Condition, Space, preset
from search_spaces.catalog import lever
from search_spaces.errors import ConfigurationError, DataError
from studies import tables
from studies.encoding import to_json
from studies.recorded import list_studies, open_study
from studies.records import Outcome
from tests.tuner import user_code
from tuner import preparing
from tuner.searching.ask_tell import Ending
from tuner.searching.strategy import PRUNERS, SAMPLERS
from tuner.worker import Interruption, WorkerSettings, run_worker

FAST: dict[str, Any] = {
    "epochs": 2,
    "workers": 1,
    "pruner": "none",
    "sampler": "random",
    "fixed": {"width": 8},
}


def infinite_model(_config: Any, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """Diverges in its first step, and gives finite outputs before."""

    class Infinite(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = super().forward(x.flatten(1))
            return outputs * float("inf") if self.training else outputs

    return Infinite(math.prod(input_shape), n_outputs)


def found_by(space: Any = "quick", task: Any = user_code.blob_arrays, **changes: Any) -> tuner.Search:
    return tuner.search(space, task, **{**FAST, "trials": 4, "study": "s", **changes})


def params_of(found: tuner.Search) -> list[dict[str, Any]]:
    return [dict(trial.params) for trial in found.record().trials]


def test_trials_is_the_studys_total() -> None:
    """The same call again does nothing more; a larger total does what is missing; a smaller one nothing."""
    assert found_by(trials=3).n_trials.counted == 3
    assert found_by(trials=3).n_trials.counted == 3
    assert found_by(trials=5).n_trials.counted == 5
    assert found_by(trials=2).n_trials.counted == 5


def test_the_same_seed_finds_the_same() -> None:
    """Suggestions and values, in two fresh studies."""
    first, second = (found_by(study=name, sampler="tpe", trials=12).record() for name in ("a", "b"))
    assert [trial.params for trial in first.trials] == [trial.params for trial in second.trials]
    assert [trial.value for trial in first.trials] == [trial.value for trial in second.trials]


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc"])
def test_resuming_repeats_no_suggestion(sampler: str) -> None:
    """Optuna's samplers, seeded the same, suggest the same again; a resumed study of ours goes on instead."""
    for trials in (3, 6, 9):
        found = found_by(sampler=sampler, trials=trials)
    suggested = [trial.params["learning_rate"] for trial in found.record().trials]
    assert len(set(suggested)) == 9


def test_resume_takes_everything_from_the_plan() -> None:
    """Task, space, sampler, pruner, fixed keys and total; only the name is given."""
    found_by("quick", "digits", sampler="tpe", pruner="median", trials=2)
    resumed = tuner.resume("s", trials=4, workers=1)
    record = resumed.record()
    assert resumed.n_trials.counted == 4
    assert {trial.config["width"] for trial in record.trials} == {8}
    assert tuner.resume("s", workers=1).n_trials.counted == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 3}, "epochs was 2 and is now 3"),
        ({"space": "mlp"}, "space: .*width is new"),
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"task": user_code.other_blobs}, "data_hash was"),
        ({"fixed": {"width": 16}}, r"fixed was \{'width': 8\} and is now \{'width': 16\}"),
        ({"metric": "validation_loss"}, "metric was 'validation_accuracy' and is now 'validation_loss'"),
    ],
)
def test_a_study_begun_differently_is_refused(change: dict[str, Any], said: str) -> None:
    """In one sentence that names the difference; the study is left as it was."""
    before = found_by(trials=1).record()
    with pytest.raises(ConfigurationError, match=said):
        found_by(**{"trials": 2, **change})
    after = open_study("s").record()
    assert after.plan == before.plan
    assert len(after.trials) == len(before.trials) == 1


def test_other_workers_timeout_and_grace_are_fine() -> None:
    """They are the machine's business, not the plan's."""
    found_by(trials=1)
    assert found_by(trials=2, timeout=60, grace=5).n_trials.counted == 2


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_sampler_works_by_name(sampler: str) -> None:
    """On a space with choices, whole numbers and a condition; also beyond its start-up trials."""
    space = Space(
        name="mixed",
        levers=(
            lever("learning_rate"),
            lever("optimizer").among(["sgd", "adam"]),
            lever("one_minus_momentum"),
            lever("depth"),
        ),
        conditions={"one_minus_momentum": Condition(key="optimizer", values=("sgd",))},
    )
    found = found_by(space, sampler=sampler, trials=12, epochs=1)
    assert found.n_trials.complete == 12
    assert found.best is not None
    for trial in found.record().trials:
        assert ("one_minus_momentum" in trial.params) == (
            trial.params["optimizer"] == "sgd" or sampler == "none"
        )


@pytest.mark.parametrize("pruner", list(PRUNERS))
def test_every_pruner_works_by_name(pruner: str) -> None:
    """And all but `none` prune something among trials that differ by decades of learning rate."""
    found = found_by(
        "quick",
        user_code.noise_task,
        pruner=pruner,
        trials=14,
        epochs=8,
        metric="validation_loss",
        fixed={"width": 8, "batch_size": 16},
    )
    assert found.n_trials.counted == 14
    assert (found.n_trials.pruned > 0) == (pruner != "none")


def test_unknown_names_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The rule, what we got, the choices; no database appears."""
    for wrong, said in (
        ({"sampler": "tpee"}, "sampler must be one of tpe, .* but got 'tpee'. Did you mean 'tpe'"),
        ({"pruner": "x"}, "pruner must be one of median"),
        ({"metric": "accuracy"}, "metric must be one of"),
        ({"space": "quickk"}, "quick"),
        ({"task": "minst"}, "mnist"),
        ({"fixed": {"learnin_rate": 1}}, "learning_rate"),
        ({"trials": 0}, "trials must be at least 1, but got 0"),
        ({"device": "tpu"}, "device"),
        ({"direction": "up"}, "direction must be one of maximize, minimize, but got 'up'"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            found_by(**wrong)
    with pytest.raises(DataError):
        found_by(task="npz:missing.npz")
    assert not (tmp_path / "runs").exists()


def test_a_fixed_lever_is_not_searched() -> None:
    """``fixed`` wins over the space, and a space with nothing left to search is refused."""
    found = found_by(fixed={"learning_rate": 0.05, "momentum": "0.9"}, trials=2)
    for trial in found.record().trials:
        assert trial.config["learning_rate"] == 0.05
        assert trial.config["momentum"] == 0.9
        assert set(trial.params) == {"weight_decay", "dropout"}
    everything = {"learning_rate": 0.1, "momentum": 0, "weight_decay": 0, "dropout": 0}
    with pytest.raises(ConfigurationError, match="at least one lever that is not fixed"):
        found_by(study="none", fixed=everything)


def test_the_enqueued_config_is_trial_0_and_is_enqueued_once() -> None:
    """My present config is what everything is compared with; the same command again does not repeat it."""
    mine = {"learning_rate": 0.02, "momentum": 0.9, "weight_decay": 1e-4, "dropout": 0.1}
    for trials in (2, 4):
        found = found_by(enqueue=mine, trials=trials)
    record = found.record()
    assert record.trials[0].searched == mine
    assert sum(trial.searched == mine for trial in record.trials) == 1
    with pytest.raises(ConfigurationError, match="learning_rate"):
        found_by(study="other", enqueue={"learning_rate": 50.0})


def test_one_exception_fails_its_trial_and_not_the_study() -> None:
    """Its type, text and place are recorded; the others are trained on."""
    found = found_by(model=user_code.raises_at_random_places, trials=4)
    assert found.n_trials.failed == 4
    error = found.record().trials[0].error
    assert error is not None
    assert error.message
    assert error.where.startswith("user_code.py:")


def test_the_same_exception_three_times_in_a_row_ends_the_study() -> None:
    """It is the code, not the config; a later run may try again."""
    for n_failed in (3, 6):
        with pytest.raises(RuntimeError, match="ended early: ValueError: this model cannot be built"):
            found_by(model=user_code.always_raises, trials=10)
        assert open_study("s").record().counts.failed == n_failed


def test_a_diverged_trial_teaches_the_sampler_and_keeps_its_telemetry() -> None:
    """Told as PRUNED with its last finite value; its own value is null; it counts as diverged alone."""
    found = found_by(model=user_code.explosive_model, trials=2, epochs=5, fixed={"batch_size": 32})
    assert dataclasses.asdict(found.n_trials) == {
        "complete": 0,
        "pruned": 0,
        "diverged": 2,
        "failed": 0,
        "lost": 0,
    }
    assert found.best is None
    frozen = open_study("s").study.trials[0]
    assert frozen.state is TrialState.PRUNED
    assert frozen.value == frozen.intermediate_values[frozen.last_step]
    trial = found.record().trials[0]
    assert trial.outcome is Outcome.DIVERGED
    assert trial.value is None
    assert trial.telemetry is not None
    assert len(trial.telemetry.epochs) >= 3


def test_time_that_runs_out_hands_the_trial_back() -> None:
    """What was in the works is queued again and not counted; resuming ends with the exact total."""
    found = found_by("quick", "digits", epochs=400, trials=2, timeout=1.0)
    assert found.ending is Ending.OUT_OF_TIME
    assert found.n_trials.counted < 2
    record = found.record()
    handed_back = [trial.number for trial in record.trials if trial.outcome is Outcome.OUT_OF_TIME]
    waiting = [trial.replaces for trial in record.trials if trial.state == "waiting"]
    assert handed_back == waiting != []


def test_an_interrupted_trial_is_trained_again_on_resume() -> None:
    """Its config comes back as a new trial, and the total is exact with none RUNNING or WAITING."""
    prepared = preparing.prepare_search("quick", "digits", study="s", trials=3, epochs=2, fixed={"width": 8})
    interruption = Interruption()
    seen: list[int] = []

    def interrupt_second(number: int, _readings: Any) -> None:
        seen.append(number)
        if number == 1:
            interruption.notice(15, None)

    settings = WorkerSettings(n_trials=3)
    end = run_worker(
        prepared.recorded,
        settings,
        interruption=interruption,
        objective=prepared.objective,
        on_epoch=interrupt_second,
    )
    assert end.ending is Ending.INTERRUPTED
    assert interruption.exit_code == 143
    assert max(seen) == 1
    record = tuner.resume("s", workers=1).record()
    assert record.trials[1].outcome is Outcome.INTERRUPTED
    assert record.trials[2].replaces == 1
    assert record.trials[2].params == record.trials[1].params
    assert record.counts.counted == 3
    assert {trial.state for trial in record.trials} == {"complete", "fail"}


def test_values_are_the_best_epochs_and_intermediate_values_are_every_trained_epochs() -> None:
    """Epoch 0, the untrained network, is in the telemetry alone."""
    trial = found_by(trials=1, epochs=4).record().trials[0]
    assert list(trial.intermediate_values) == [1, 2, 3, 4]
    assert trial.value == max(trial.intermediate_values.values())
    assert trial.telemetry is not None
    series = trial.telemetry.series("validation_accuracy").tolist()
    assert series[1:] == list(trial.intermediate_values.values())
    assert len(series) == 5


def test_a_trial_that_diverges_at_once_is_not_told_with_the_untrained_networks_value() -> None:
    """It has no finite value of its own: Optuna's samplers then take it for the worst."""
    found_by(model=infinite_model, trials=1)
    frozen = open_study("s").study.trials[0]
    assert frozen.state is TrialState.PRUNED
    assert frozen.value is None
    assert frozen.intermediate_values == {}


def test_a_study_goes_on_with_the_defaults_it_was_begun_with() -> None:
    """Whatever today's are: the recorded ones make the configs of a resumed study."""
    found_by(trials=1)
    recorded = open_study("s", writable=True)
    assert recorded.plan is not None
    begun = dataclasses.replace(recorded.plan, defaults={**recorded.plan.defaults, "label_smoothing": 0.25})
    with recorded.storage.engine.begin() as connection:
        connection.execute(sa.update(tables.studies).values(plan=to_json(begun)))
    resumed = tuner.resume("s", trials=2, workers=1).record().trials[1]
    assert resumed.config["label_smoothing"] == 0.25
    assert resumed.telemetry is not None
    trained_alone = tuner.train(dict(resumed.config), user_code.blob_arrays)
    last_loss = resumed.telemetry.epochs[-1].train_loss
    assert trained_alone.telemetry.epochs[-1].train_loss == pytest.approx(last_loss, rel=1e-4)
    with pytest.raises(ConfigurationError, match=r"the default of label_smoothing was 0.25 and is now 0.0"):
        found_by(trials=3)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("validation_loss", "minimize"),
        ("train_loss", "minimize"),
        ("calibration_error", "minimize"),
        ("seconds", "minimize"),
        ("train_accuracy", "maximize"),
    ],
)
def test_another_metric_is_tuned_in_its_own_direction(metric: str, direction: str) -> None:
    """The study's direction is the metric's, and its values are that metric."""
    record = found_by(metric=metric, trials=2).record()
    assert record.direction == direction
    trial = record.trials[0]
    assert trial.value is not None
    assert trial.telemetry is not None
    assert list(trial.intermediate_values) == [1, 2]  # the untrained network is quick and well calibrated
    if metric != "seconds":
        assert trial.value in trial.telemetry.series(metric)


def test_a_function_of_a_script_cannot_reach_worker_processes() -> None:
    """Said in one sentence, with the way out; in this process it works."""

    def mine() -> Any:
        return user_code.blob_arrays()

    with pytest.raises(ConfigurationError, match=r"which worker processes cannot import; .* workers=1"):
        found_by(task=mine, workers=2)
    assert found_by(task=mine, study="here", workers=None).n_trials.counted == 4


def test_the_default_name_is_task_and_space() -> None:
    """`digits-quick`; a file's or function's own name where the task is one."""
    tuner.search("quick", "digits", trials=1, **{**FAST, "epochs": 1})
    tuner.search("quick", user_code.blob_arrays, trials=1, **{**FAST, "epochs": 1})
    assert [study.name for study in list_studies()] == ["blob_arrays-quick", "digits-quick"]


def test_progress_is_told_while_it_runs_and_at_the_end() -> None:
    """With counts that never fall, and the total reached last."""
    seen: list[int] = []
    found_by(trials=3, on_progress=lambda progress: seen.append(progress.record.counts.counted))
    assert seen == sorted(seen)
    assert seen[-1] == 3


def test_an_objective_of_ours_runs_in_a_study_of_theirs(sqlite_url: str) -> None:
    """In Optuna's own loop: values, pruning, and telemetry beside the trials where the study is in a database."""
    objective = tuner.Objective(preset("quick"), user_code.blob_arrays, epochs=2, fixed={"width": 8})
    theirs = optuna.create_study(storage=sqlite_url, study_name="theirs", direction="maximize")
    theirs.optimize(objective, n_trials=2)
    record = open_study("theirs", sqlite_url).record()
    assert record.plan is None
    assert all(trial.telemetry is not None and len(trial.telemetry.epochs) == 3 for trial in record.trials)
    in_memory = optuna.create_study(direction="maximize")
    in_memory.optimize(objective, n_trials=1)
    assert in_memory.best_value == in_memory.trials[0].value


def test_an_objective_refuses_a_study_of_the_other_direction() -> None:
    """A study that minimizes accuracy would crown the worst."""
    objective = tuner.Objective("quick", user_code.blob_arrays, epochs=1)
    with pytest.raises(ConfigurationError, match="maximize, but the study's direction is minimize"):
        optuna.create_study(direction="minimize").optimize(objective, n_trials=1)
