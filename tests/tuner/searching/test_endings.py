"""How a search ends when something breaks: what counts, what comes back, and what is said."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

import tuner
from search_spaces import preset
from search_spaces.errors import ConfigurationError
from studies.batch import Batch
from studies.leases import Leases
from studies.recorded import open_study
from studies.records import Outcome, TrialError
from tests.tuner import user_code
from tuner.searching.ask_tell import Ending
from tuner.searching.failures import repeated_error

FAST: dict[str, Any] = {
    "epochs": 2,
    "workers": 1,
    "lanes": 3,  # how many a probe would choose depends on what else the machine does
    "pruner": "none",
    "sampler": "random",
    "fixed": {"width": 8},
}


def found_by(task: Any = user_code.blob_arrays, **changes: Any) -> tuner.Search:
    return tuner.search("quick", task, **{**FAST, "trials": 3, "study": "s", **changes})


def test_a_storage_error_is_never_told_as_a_bad_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials in hand are given back, the error reaches the caller, and the next run ends with the exact total."""
    real, calls = optuna.Trial.report, []

    def report(trial: optuna.Trial, value: float, step: int) -> None:
        calls.append(step)
        if len(calls) == 3:
            raise StorageInternalError("the database went away")
        real(trial, value, step)

    monkeypatch.setattr(optuna.Trial, "report", report)
    with pytest.raises(StorageInternalError, match="went away"):
        found_by()
    counts = open_study("s").record().counts
    assert (counts.failed, counts.lost) == (0, 3)
    assert found_by().n_trials.complete == 3


def test_an_interrupt_while_asking_leaves_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook the same process searches again at once, and does not wait for itself."""

    def ask(*_arguments: Any) -> optuna.Trial:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Batch, "ask_under", ask)
        with pytest.raises(KeyboardInterrupt):
            found_by()
    assert found_by(timeout=30).ending is Ending.BUDGET_SPENT


def test_an_interrupt_after_asking_leaves_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials are there and bound, although the worker never learned of them: they come back at once."""
    ask_under = Batch.ask_under

    def ask(batch: Batch, leases: Any) -> Any:
        ask_under(batch, leases)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Batch, "ask_under", ask)
        with pytest.raises(KeyboardInterrupt):
            found_by()
    assert found_by(timeout=30).ending is Ending.BUDGET_SPENT
    assert open_study("s").record().counts.lost == 3


def test_a_database_that_is_away_at_the_end_leaves_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be given back is stale: the same process searches again, and does not wait for itself."""

    def away(*_arguments: Any, **_more: Any) -> Any:
        raise StorageInternalError("the database went away")

    with monkeypatch.context() as patched:
        for owner, name in ((Batch, "tell"), (Leases, "release_many"), (Leases, "hand_back_many")):
            patched.setattr(owner, name, away)
        with pytest.raises(StorageInternalError, match="went away"):
            found_by()
    assert found_by(timeout=30).ending is Ending.BUDGET_SPENT
    assert open_study("s").record().counts.lost == 3


def test_what_is_handed_back_hides_no_exception_that_keeps_coming() -> None:
    """Three in a row are three in a row, although trials that were lost or handed back ended between and after them."""
    study = optuna.create_study()
    error = {"type": "ValueError", "message": "no", "where": "model.py:3"}

    def ended(**attributes: Any) -> None:
        trial = study.ask()
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        study.tell(trial, state=TrialState.FAIL)

    for _ in range(3):
        ended(outcome="failed", error=error)
        assert (repeated_error(study, since=0) is None) == (study.trials[-1].number < 4)
        ended(outcome="interrupted")
        ended()
    assert repeated_error(study, since=0) == TrialError(**error)
    assert repeated_error(study, since=1) is None
    study.tell(study.ask(), 1.0)
    assert repeated_error(study, since=0) is None


def test_code_that_exits_fails_its_trial() -> None:
    """`sys.exit` in a model is the trial's own failure; the search says so instead of ending silently."""
    with pytest.raises(RuntimeError, match="ended early: SystemExit"):
        found_by(model=user_code.exits)
    record = open_study("s").record()
    assert record.counts.failed == 3
    assert {trial.outcome for trial in record.trials} == {Outcome.FAILED}


def test_halted_workers_say_which_exception_it_was() -> None:
    """The study knows it, with its place; not just the last line of a log."""
    with pytest.raises(RuntimeError, match="ended early: ValueError: this model cannot be built"):
        found_by(model=user_code.always_raises, workers=2, trials=9)


def test_time_up_before_anything_completed_is_no_failure() -> None:
    """Of one worker as of two."""
    for workers in (1, 2):
        found = found_by("digits", study=f"s{workers}", workers=workers, epochs=3000, trials=2, timeout=0.5)
        assert found.ending is Ending.OUT_OF_TIME


def test_a_full_study_takes_no_more_configs() -> None:
    """A config that would wait for ever is refused; one that the study has had is fine."""
    mine = {"learning_rate": 0.02, "momentum": 0.9, "weight_decay": 1e-4, "dropout": 0.1}
    found_by(enqueue=mine, trials=2)
    found_by(enqueue=mine, trials=2)
    with pytest.raises(ConfigurationError, match="has all its 2; raise --trials"):
        found_by(enqueue=mine | {"dropout": 0.2}, trials=2)
    assert not any(trial.state == "waiting" for trial in open_study("s").record().trials)


@pytest.mark.parametrize("key", ["epochs", "seed"])
def test_what_has_its_own_option_is_not_fixed_too(key: str) -> None:
    """Two values for one thing: neither is taken silently."""
    with pytest.raises(ConfigurationError, match=f"{key} is said by --{key}"):
        found_by(fixed={key: 2})


@pytest.mark.parametrize("key", ["epochs", "seed"])
def test_what_has_its_own_option_is_not_fixed_by_a_space_either(key: str) -> None:
    """It would silently win over the option; nothing is written."""
    space = preset("quick").fix(key, 1)
    with pytest.raises(ConfigurationError, match=f"{key} is said by --{key} .* got {key}: 1 under `fixed`"):
        tuner.search(space, user_code.blob_arrays, study="s")
    assert not Path("runs").exists()


def test_weights_on_a_full_disk_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a convenience: the search goes on, and export trains again."""

    def full(*_arguments: Any, **_more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tuner.searching.weights.save_weights", full)
    assert found_by().n_trials.complete == 3
