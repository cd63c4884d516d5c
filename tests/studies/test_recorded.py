"""Recorded studies: created once, joined only under the same plan, read, listed and deleted."""

import math
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search_spaces.errors import ConfigurationError
from studies.leases import Lease, Leases
from studies.readings import EpochReadings
from studies.recorded import create_study, delete_study, list_studies, open_study, record_of
from studies.records import Outcome
from studies.storage import open_storage
from tests.studies.plans import plan, study


def test_a_study_is_joined_under_the_same_plan_only(storage_url: str) -> None:
    """The refusal names each part that differs, and the way out; nothing is written."""
    first = study(storage_url)
    assert study(storage_url).study_id == first.study_id
    with pytest.raises(
        ConfigurationError, match="epochs was 3 and is now 4; data_hash was 'abc' and is now 'xyz'"
    ):
        study(storage_url, epochs=4, data_hash="xyz")
    assert open_study("first", storage_url).plan == first.plan


def test_a_study_is_created_without_optunas_line(sqlite_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The caller's verbosity stays what it is, and what is theirs is announced as ever, at the same moment too."""
    optuna.logging.set_verbosity(optuna.logging.INFO)
    study(sqlite_url)
    assert "new study" not in capfd.readouterr().err
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    optuna.create_study(study_name="theirs", storage=sqlite_url)
    assert "new study" in capfd.readouterr().err


def test_versions_and_defaults_may_differ(sqlite_url: str) -> None:
    """An upgrade of a library does not end a study."""
    first = study(sqlite_url, versions={"torch": "2.6"})
    again = study(sqlite_url, versions={"torch": "2.7"}, defaults={"new": 1})
    assert again.study_id == first.study_id
    assert again.plan == first.plan  # what was recorded first stands


def test_the_plan_survives_the_database(storage_url: str) -> None:
    """What is read equals what was planned."""
    planned = plan(fixed={"batch_size": 64}, split={"kind": "stratified", "n_train": 10})
    create_study("mine", planned, storage_url)
    assert open_study("mine", storage_url).plan == planned


def test_trials_are_read_with_config_outcome_and_telemetry(sqlite_url: str) -> None:
    """Searched over fixed over defaults; momentum under its config key; the value of a diverged trial is None."""
    recorded = study(sqlite_url, fixed={"width": 32})
    trial = recorded.study.ask()
    params = {"learning_rate": 0.01, "one_minus_momentum": 0.1, "weight_decay": 1e-4, "dropout": 0.2}
    recorded.study.enqueue_trial(params)
    trial.report(0.4, 1)
    trial.set_user_attr("outcome", "diverged")
    recorded.study.tell(trial, state=TrialState.PRUNED)
    from search_spaces import preset

    second = recorded.study.ask()
    preset("quick").suggest(second)
    second.report(0.9, 1)
    recorded.telemetry.save_epoch(second._trial_id, EpochReadings(epoch=1, train_loss=0.5), None)
    recorded.study.tell(second, 0.9)
    record = open_study("first", sqlite_url).record()
    assert record.trials[0].outcome is Outcome.DIVERGED
    assert record.trials[0].value is None
    good = record.trials[1]
    assert good.outcome is Outcome.COMPLETED
    assert good.searched == {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4, "dropout": 0.2}
    assert good.config == {**good.searched, "width": 32}
    assert good.intermediate_values == {1: 0.9}
    assert good.telemetry is not None
    assert good.telemetry.series("train_loss").tolist() == [0.5]
    assert good.seconds >= 0
    assert record.best == good
    assert record.counts.complete == record.counts.diverged == 1
    assert record.counts.counted == 2
    assert not recorded.record(telemetry=False).has_telemetry


def test_a_study_of_optunas_own_is_read_too(sqlite_url: str) -> None:
    """No plan, no telemetry: states become outcomes, parameters are the config, and joining it is refused."""
    foreign = optuna.create_study(storage=sqlite_url, study_name="theirs")
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    foreign.tell(foreign.ask(), state=TrialState.FAIL)
    foreign.ask()
    recorded = open_study("theirs", sqlite_url)
    record = recorded.record()
    assert record.plan is None
    assert [trial.outcome for trial in record.trials] == [Outcome.COMPLETED, Outcome.COMPLETED, None, None]
    assert record.trials[0].config == record.trials[0].params
    assert math.isnan(record.trials[3].seconds)
    assert record.counts.failed == 1
    assert record.direction == "minimize"
    assert record.best == min(record.trials[:2], key=lambda trial: trial.value or 0)
    with pytest.raises(ConfigurationError, match="exists but was not made by symptune"):
        study(sqlite_url, "theirs", direction="minimize")


def test_several_objectives_are_refused_in_one_sentence(sqlite_url: str) -> None:
    """We compare values; a vector has no order."""
    optuna.create_study(storage=sqlite_url, study_name="both", directions=["minimize", "maximize"])
    with pytest.raises(ConfigurationError, match="must have one objective, but 'both' has 2"):
        open_study("both", sqlite_url)


def test_an_unknown_name_is_answered_with_the_nearest(sqlite_url: str) -> None:
    """And with the first step where there is no study yet."""
    study(sqlite_url, "mnist-quick")
    with pytest.raises(ConfigurationError, match="Did you mean 'mnist-quick'"):
        open_study("mnist-quik", sqlite_url)
    open_storage("sqlite:///empty.db")
    with pytest.raises(ConfigurationError, match="holds no studies yet"):
        open_study("anything", "sqlite:///empty.db")


def test_a_deleted_study_leaves_nothing_behind(sqlite_url: str) -> None:
    """Neither its trials nor its telemetry, not even when SQLite gives its ids out again."""
    first = study(sqlite_url, "doomed")
    trial = first.study.ask()
    first.telemetry.save_epoch(trial._trial_id, EpochReadings(epoch=1, train_loss=1.0), None)
    delete_study(open_study("doomed", sqlite_url))
    again = study(sqlite_url, "doomed", seed=5)
    assert again.telemetry.read() == {}
    assert again.plan is not None
    assert again.plan.seed == 5


def test_telemetry_of_a_study_deleted_elsewhere_is_not_inherited(sqlite_url: str) -> None:
    """The dashboard deletes Optuna's rows and not ours; a new study with the same id starts clean."""
    first = study(sqlite_url, "old")
    first.telemetry.save_epoch(1, EpochReadings(epoch=1, train_loss=1.0), None)
    optuna.delete_study(study_name="old", storage=sqlite_url)
    again = study(sqlite_url, "new", seed=7)
    assert again.study_id == first.study_id
    assert again.telemetry.read() == {}
    assert again.plan is not None
    assert again.plan.seed == 7


def test_leases_of_a_study_deleted_elsewhere_hide_no_trial(sqlite_url: str) -> None:
    """A reclaimed lease of a former trial with the same id would leave a new trial out of the count."""
    first = study(sqlite_url, "old")
    former = Leases(first.storage, first.study)
    lease = former.take(None)
    assert isinstance(lease, Lease)
    former.hand_back(former.bind(lease, first.study.ask()._trial_id))
    optuna.delete_study(study_name="old", storage=sqlite_url)
    again = study(sqlite_url, "new")
    again.study.tell(again.study.ask(), 1.0)
    assert Leases(again.storage, again.study).n_counted() == 1


def test_a_foreign_study_under_a_former_id_shows_no_telemetry(sqlite_url: str) -> None:
    """Neither the plan nor the readings of the study that had the id before."""
    first = study(sqlite_url, "old")
    first.telemetry.save_epoch(1, EpochReadings(epoch=1, train_loss=1.0), None)
    optuna.delete_study(study_name="old", storage=sqlite_url)
    foreign = optuna.create_study(study_name="theirs", storage=sqlite_url)
    foreign.tell(foreign.ask(), 1.0)
    recorded = open_study("theirs", sqlite_url)
    assert recorded.study_id == first.study_id
    assert recorded.plan is None
    assert not recorded.record().has_telemetry


def test_a_study_whose_creator_died_before_its_plan_is_adopted(storage_url: str) -> None:
    """Killed between the study and its plan, or looked at by another node just then; one with trials is not ours."""
    optuna.create_study(study_name="first", storage=open_storage(storage_url), direction="maximize")
    assert study(storage_url).plan is not None
    theirs = optuna.create_study(study_name="theirs", storage=open_storage(storage_url), direction="maximize")
    theirs.tell(theirs.ask(), 1.0)
    with pytest.raises(ConfigurationError, match="not made by symptune"):
        study(storage_url, "theirs")


def test_attributes_of_our_names_in_a_foreign_study_are_no_harm(sqlite_url: str) -> None:
    """Anyone may call an attribute error, outcome or replaces."""
    foreign = optuna.create_study(study_name="theirs", storage=sqlite_url)
    trial = foreign.ask()
    for name, value in (("error", {"msg": "theirs"}), ("outcome", ["a", "list"]), ("replaces", [1])):
        trial.set_user_attr(name, value)
    foreign.tell(trial, 1.0)
    (record,) = open_study("theirs", sqlite_url).record().trials
    assert (record.outcome, record.error, record.replaces) == (Outcome.COMPLETED, None, None)
    assert [recorded.name for recorded in list_studies(sqlite_url)] == ["theirs"]


def test_any_optuna_study_has_a_record(sqlite_url: str) -> None:
    """One in memory, one in a database, and ours with its telemetry."""
    in_memory = optuna.create_study(direction="maximize")
    in_memory.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert len(record_of(in_memory).complete_trials) == 2
    ours = study(sqlite_url)
    trial = ours.study.ask()
    ours.telemetry.save_epoch(trial._trial_id, EpochReadings(epoch=1, train_loss=1.0), None)
    assert record_of(ours.study).has_telemetry
    with pytest.raises(ConfigurationError, match="must have one objective"):
        record_of(optuna.create_study(directions=["minimize", "minimize"]))


def test_studies_are_listed_by_name(sqlite_url: str) -> None:
    """All of them, ours or not."""
    study(sqlite_url, "b")
    study(sqlite_url, "a")
    assert [recorded.name for recorded in list_studies(sqlite_url)] == ["a", "b"]


def test_the_wanted_total_is_recorded(sqlite_url: str) -> None:
    """For `tuner resume`."""
    recorded = study(sqlite_url)
    assert recorded.n_trials_wanted() is None
    recorded.want_trials(24)
    recorded.want_trials(10)  # a smaller total takes nothing back
    assert open_study("first", sqlite_url).n_trials_wanted() == 24


def test_files_lie_beside_the_database(sqlite_url: str, tmp_path: Path) -> None:
    """Under a folder whose name every system takes."""
    paths = study(sqlite_url, "mnist-mlp").paths
    assert paths.report == tmp_path / "mnist-mlp" / "report.html"
    assert paths.artifacts == tmp_path / "artifacts"
