"""The whole guide on small tasks. Its two instruments have tests of their own: here they answer at once."""

import contextlib
import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
import yaml

from search_spaces import Space, catalog
from search_spaces.errors import ConfigurationError, DataError
from studies.recorded import open_study
from tests.problems import blobs, linear_model
from tuner.guide.ledger import Ledger
from tuner.training.config import TrainingConfig
from tuner.training.data import TaskData
from tuner.workflow import InterruptedGuideError, Tuning, plan_tune, tune

TASK = "tests.problems:hard_blobs"
STEPS = ["baseline", "rate", "batch", "regularization", "schedule", "seeds"]


@pytest.fixture(autouse=True)
def _ready_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    make_ready(monkeypatch)


def make_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A range test and a batch-size finder that answer at once, the same every time."""
    marks = {"highest_stable": 0.06, "steepest": 0.02, "valley": 0.03, "low": 0.04, "high": 0.05}
    rates = SimpleNamespace(**marks, suggested=0.05, reliable=True, reason="ready made")
    sizes = [SimpleNamespace(batch_size=size, learning_rate=size / 1000) for size in (16, 32, 64, 128)]
    finder = SimpleNamespace(
        batch_size=32,
        candidates=sizes,
        rule=SimpleNamespace(rule="sqrt"),
        knee=32,
        reason="ready made",
        to_json=lambda: {"noise_scale": None, "candidates": []},
    )
    monkeypatch.setattr("tuner.guide.rate.learning_rate_range", lambda *_args, **_more: rates)
    monkeypatch.setattr("tuner.guide.batch.find_batch_size", lambda *_args, **_more: finder)


def tuned(url: str, task: Any = TASK, **more: Any) -> Tuning:
    """A guide of few short trainings in this process."""
    asked = {"budget": "30trials", "epochs": 1, "workers": 1, "device": "cpu", "storage": url, "study": "g"}
    return tune(task, **(asked | more))


def decisions(url: str) -> dict[str, Any]:
    """What was decided, without what a clock said."""
    found = Ledger(open_study("g", url)).items()
    found["baseline.epochs"].pop("seconds_per_epoch")
    return found


def told(tuning: Tuning) -> dict[str, Any]:
    """The JSON, without what a clock said, and without trials' numbers: one that is interrupted has its own."""
    found = tuning.to_json()
    del found["seconds"], found["storage"]
    for step in found["steps"]:
        for finding in step["findings"]:
            del finding["trial"]
        for item in step["checklist"]:
            item["numbers"].pop("seconds_per_epoch", None)
    return found


def seeds_in(url: str, study: str) -> set[int]:
    return {trial.config["seed"] for trial in open_study(study, url).record(telemetry=False).trials}


def stopped(*_args: Any, **_more: Any) -> None:
    raise StoppedError


def items(tuning: Tuning, step: str) -> dict[str, str]:
    """A step's checklist: name -> state."""
    taken = next(each for each in tuning.steps if each.name == step)
    return {item.name: item.state.value for item in taken.checklist}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tuning, str]]:
    """One guide from end to end, for whoever only looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        url = f"sqlite:///{Path.cwd() / 'g.db'}"
        make_ready(patch)
        yield tuned(url, budget="44trials"), url


FEW = Space(
    name="few",
    levers=(catalog.lever("learning_rate"), catalog.lever("dropout"), catalog.lever("width")),
    fixed={"optimizer": "sgd"},
)
"""A space that leaves two rounds beside the baseline's and the seeds'."""


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tuning, str]]:
    """A guide of two levers that nobody interrupted, for those that are interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("short"))
        url = f"sqlite:///{Path.cwd() / 'g.db'}"
        make_ready(patch)
        yield tuned(url, space=FEW), url


def test_the_guide_takes_its_steps_in_order_each_in_a_study_of_its_own(whole: tuple[Tuning, str]) -> None:
    """Named after the guide, its place and the step; a step of two rounds has two."""
    tuning, url = whole
    assert [step.name for step in tuning.steps] == STEPS
    studies = [name for step in tuning.steps for name in step.studies]
    assert studies[:2] == ["g-1-baseline", "g-2-rate"]
    assert {"g-3-batch", "g-4-regularization", "g-5-schedule", "g-5-schedule-b", "g-6-seeds"} <= set(studies)
    assert set(optuna.get_all_study_names(url)) == {"g", *studies}
    assert len(studies) == len(set(studies))


def test_a_budget_of_trials_is_kept(whole: tuple[Tuning, str]) -> None:
    """Over all studies."""
    tuning, url = whole
    studies = [name for step in tuning.steps for name in step.studies]
    counted = [len(open_study(name, url).record(telemetry=False).trials) for name in studies]
    assert sum(counted) <= 44


def test_every_round_has_the_incumbent_and_seeds_of_its_own(whole: tuple[Tuning, str]) -> None:
    """Rivals are compared on equal seeds; no seed comes again, so no luck lasts."""
    tuning, url = whole
    seeds = []
    for step in tuning.steps[1:-1]:
        for study in step.studies:
            trials = open_study(study, url).record(telemetry=False).trials
            configs = [{**trial.config} for trial in trials]
            own = [config.pop("seed") for config in configs]
            per_config = [seed for seed, config in zip(own, configs, strict=True) if config == configs[0]]
            assert len(own) == len(per_config) * len({yaml.safe_dump(config) for config in configs})
            seeds.append(set(own))
    assert len(set.union(*seeds)) == sum(map(len, seeds))
    fresh = {trial.config["seed"] for trial in open_study("g-6-seeds", url).record(telemetry=False).trials}
    assert min(fresh) > max(set.union(*seeds))


def test_a_step_changes_only_its_own_levers(whole: tuple[Tuning, str]) -> None:
    """One family at a time; between steps the incumbent is handed on."""
    own = {
        "baseline": set(),
        "rate": {"learning_rate"},
        "batch": {"batch_size", "learning_rate"},
        "regularization": {"weight_decay", "weight_decay_kind", "dropout", "label_smoothing", "augmentation"},
    }
    before: dict[str, Any] = {}
    for step in whole[0].steps:
        if before and step.name in own:
            changed = {key for key, value in step.config.items() if before.get(key, "absent") != value}
            assert changed <= own[step.name]
        before = dict(step.config)


def test_json_has_what_scripts_read(whole: tuple[Tuning, str]) -> None:
    """DESIGN section 3, and the ends of the ladder are the baseline and the best."""
    found = whole[0].to_json()
    assert {"steps", "baseline", "best", "ladder", "verdict"} <= found.keys()
    assert found["steps"][0].keys() >= {"name", "study", "checklist", "findings", "config"}
    assert found["best"].keys() >= {"config", "mean", "low", "high", "n_seeds", "test"}
    assert all(rung.keys() >= {"change", "gain", "low", "high"} for rung in found["ladder"])
    gains = sum(rung["gain"] for rung in found["ladder"])
    assert found["baseline"]["mean"] + gains == pytest.approx(found["best"]["mean"])
    assert found["best"]["n_seeds"] >= 8


def test_the_best_config_is_kept_as_yaml_that_trains(whole: tuple[Tuning, str]) -> None:
    """With its epochs; it is the last step's incumbent."""
    tuning, _url = whole
    config = yaml.safe_load(tuning.best_file.read_text(encoding="utf-8"))
    assert config == {**tuning.steps[-1].config, "epochs": 1}
    assert TrainingConfig.from_mapping(config).epochs == 1


def test_a_finished_guide_is_read_back_and_trains_nothing(whole: tuple[Tuning, str]) -> None:
    """The same call again says the same."""
    tuning, url = whole
    before = decisions(url)
    lines: list[str] = []
    assert told(tuned(url, budget=None, announce=lines.append)) == told(tuning)
    assert decisions(url) == before
    assert lines == []


class StoppedError(Exception):
    """Whoever runs the guide goes away."""


def test_a_guide_killed_before_and_after_every_decision_ends_as_if_it_had_not_been(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run dies at its first new entry in the ledger: one just before it is written, the next just after."""
    space = Space(name="one", levers=(catalog.lever("learning_rate"),))
    slow = {"optimizer": "adam", "learning_rate": 1e-6, "width": 16, "depth": 1}
    asked = {"space": space, "present": slow, "budget": "25trials"}
    monkeypatch.setattr("tuner.guide.baseline.noise_floor_of", lambda _values, *, least: least)
    other_url = f"sqlite:///{tmp_path / 'other.db'}"
    uninterrupted = tuned(other_url, **asked)
    assert uninterrupted.best["learning_rate"] > 1e-3
    write, stops = Ledger._write_attribute, []

    def dying(ledger: Ledger, attribute: str, text: str) -> None:
        if attribute not in stops:
            stops.append(attribute)
            raise StoppedError
        write(ledger, attribute, text)
        raise StoppedError

    monkeypatch.setattr(Ledger, "_write_attribute", dying)
    n_runs, found = 0, None
    while found is None:
        n_runs += 1
        with contextlib.suppress(StoppedError):
            found = tuned(sqlite_url, **asked)
    assert {"guide:rate.around.ended", "guide:seeds.round", "guide:seeds.ended"} <= set(stops)
    assert n_runs == 2 * len(stops) + 1
    assert told(found) == told(uninterrupted)
    assert decisions(sqlite_url) == decisions(other_url)


def test_a_signal_in_the_middle_of_a_round_hands_back_and_goes_on(
    sqlite_url: str, short: tuple[Tuning, str]
) -> None:
    """The training that was under way is repeated, in the last step too, and the end is the same."""
    for study in ("g-2-rate", "g-6-seeds"):
        sent: list[int] = []

        def interrupt(progress: Any, study: str = study, sent: list[int] = sent) -> None:
            if progress.record.name == study and not sent:
                sent.append(progress.n_trials)
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(InterruptedGuideError) as ended:
            tuned(sqlite_url, space=FEW, on_progress=interrupt)
        assert ended.value.exit_code == 130
        assert open_study(study, sqlite_url).record(telemetry=False).counts.complete < sent[0]
    assert told(tuned(sqlite_url, space=FEW)) == told(short[0])


def test_from_a_step_on_everything_is_done_again_in_new_studies(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier steps are read back; nothing is deleted; without --from the new ones are gone on with.

    A --from that was killed just before or after its one write is not done, or done. The seeds are new ones.
    """
    asked = {"space": FEW, "budget": "30trials"}
    first = tuned(sqlite_url, **asked)
    before = decisions(sqlite_url)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_write_attribute", stopped)
        with pytest.raises(StoppedError):
            tuned(sqlite_url, start_from="regularization", **asked)
        assert decisions(sqlite_url) == before
        assert told(tuned(sqlite_url, **asked)) == told(first)
    same = {"space": FEW, "study": "g", "storage": sqlite_url, "epochs": 1, "workers": 1, "device": "cpu"}
    assert plan_tune(TASK, **same).n_trials == 0
    planned = plan_tune(TASK, start_from="regularization", **same)
    assert planned.budget == "30 trials"
    assert [each.step for each in planned.rounds if each.skipped == "already done"] == ["baseline", "rate"]
    assert planned.rounds[-1].n_trials >= 16
    assert decisions(sqlite_url) == before
    again = tuned(sqlite_url, start_from="regularization", **asked)
    assert not seeds_in(sqlite_url, "g-6-seeds") & seeds_in(sqlite_url, "g-6-seeds-b")
    weights = [
        step.studies[0] for run in (first, again) for step in run.steps if step.name == "regularization"
    ]
    assert not seeds_in(sqlite_url, weights[0]) & seeds_in(sqlite_url, weights[1])
    assert [step.studies for step in again.steps[:3]] == [step.studies for step in first.steps[:3]]
    old, new = ({study for step in run.steps[3:] for study in step.studies} for run in (first, again))
    assert not old & new
    assert "g-6-seeds-b" in new
    assert old | new <= set(optuna.get_all_study_names(sqlite_url))
    assert told(tuned(sqlite_url, **asked)) == told(again)


def test_steps_without_levers_in_the_space_are_skipped_and_say_so(short: tuple[Tuning, str]) -> None:
    """The rest stays as the baseline has it; levers of architecture, which no step changes, are named."""
    tuning, _url = short
    assert items(tuning, "batch") == {"batch size": "skipped"}
    assert items(tuning, "baseline")["other levers of the space"] == "skipped"
    assert items(tuning, "regularization")["label smoothing x augmentation"] == "skipped"
    assert set(items(tuning, "schedule").values()) == {"skipped"}
    changed = {key for key in tuning.best if tuning.best[key] != tuning.baseline.get(key)}
    assert changed <= {"dropout", "learning_rate"}
    assert tuning.best["optimizer"] == "sgd"


def test_a_goal_that_is_reached_ends_the_search_for_more(sqlite_url: str) -> None:
    """The steps after it are left out, with the reason; what there is, is verified all the same.

    Such a guide is the shortest: it also shows that the plan was told, and that another baseline is refused later.
    """
    asked = {"goal": 0.1, "budget": "20trials"}
    plans: list[Any] = []
    tuning = tuned(sqlite_url, on_plan=plans.append, **asked)
    assert [items(tuning, step) for step in STEPS[1:5]] == [{step: "skipped"} for step in STEPS[1:5]]
    assert tuning.to_json()["best"]["n_seeds"] >= 8
    assert not tuning.is_confirmed
    assert tuning.has_succeeded
    assert tuning.to_json()["goal"]["is_reached"]
    assert tuning.to_json()["goal"]["sentence"].startswith("The goal, 10.00%, is reached on fresh seeds")
    preview = plan_tune(TASK, budget="20trials", epochs=1, workers=1, device="cpu")
    untimed = [[dataclasses.replace(each, seconds=0.0) for each in plan.rounds] for plan in (*plans, preview)]
    assert untimed[0] == untimed[1]
    for other in ({"present": {"width": 16}}, {"fixed": {"dropout": 0.0}}, {"epochs": 2}):
        with pytest.raises(ConfigurationError, match="A study goes on only as it was begun"):
            tuned(sqlite_url, **(asked | other))


def test_the_test_split_is_read_for_the_baseline_and_the_best_alone(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits have one; the rungs between them and all earlier rounds never see it.

    Adam at 1e-6 learns nothing, and little with a dropout of 0.6: two changes are adopted, and the best is far better.
    A goal above it is missed, and said to be.
    """
    monkeypatch.setattr("tuner.guide.baseline.noise_floor_of", lambda _values, *, least: least)
    bad = {"learning_rate": 1e-6, "dropout": 0.6, "width": 32, "depth": 1}
    names = ("optimizer", "batch_size", "weight_decay", "label_smoothing", "augmentation", "schedule")
    others = {"optimizer": "adam", "batch_size": 64, "schedule": "constant", "warmup_fraction": 0.0}
    fixed = dict.fromkeys(names, 0.0) | others
    tuning = tuned(sqlite_url, "digits", present=bad, fixed=fixed, budget="60trials", goal=1.0)
    found = tuning.to_json()
    assert tuning.is_confirmed
    assert 0.5 < found["best"]["test"] < 1.0
    assert found["baseline"]["test"] < 0.3
    assert not found["goal"]["is_reached"]
    assert "not reached on fresh seeds" in found["goal"]["sentence"]
    studies = [name for step in tuning.steps for name in step.studies]
    tested = {
        study: [trial.test_accuracy is not None for trial in open_study(study, sqlite_url).record().trials]
        for study in studies
    }
    assert all(tested.pop("g-6-seeds"))
    assert "g-6-seeds-rungs" in tested
    assert not any(any(row) for row in tested.values())
    # Had the fresh seeds not borne it out, the baseline would be what to use; the same call reads everything back.
    monkeypatch.setattr("tuner.guide.seeds.Verified.is_confirmed", False)
    again = tuned(sqlite_url, "digits", present=bad, fixed=fixed, budget="60trials", goal=1.0)
    assert again.best == again.baseline
    assert again.candidate == tuning.best
    assert again.to_json()["best"] == found["baseline"]


def test_two_guides_at_once_on_one_study_are_refused(sqlite_url: str) -> None:
    """In one sentence; when the first has ended, however it did, the second may go on."""
    refused: list[str] = []

    def another(_plan: Any) -> None:
        with pytest.raises(ConfigurationError, match="One guide at a time") as found:
            tuned(sqlite_url, space=FEW)
        refused.append(str(found.value))
        raise StoppedError

    for _ in range(2):
        with pytest.raises(StoppedError):
            tuned(sqlite_url, space=FEW, on_plan=another)
    assert len(refused) == 2


def test_a_budget_of_time_that_cannot_be_kept_is_said(sqlite_url: str) -> None:
    """In the plan and in the checklist; the sentence on the epochs says that not all rounds fit."""
    plans: list[Any] = []
    steps: list[Any] = []

    def stop(step: Any) -> None:
        steps.append(step)
        raise StoppedError

    with pytest.raises(StoppedError):
        tuned(sqlite_url, budget="0.001s", epochs=3, on_plan=plans.append, on_step=stop)
    said = {item.name: item for item in steps[0].checklist}
    assert said["keep the budget"].state == "warning"
    assert said["keep the budget"].why == plans[0].warning
    assert "3 baselines and 2 configs on 8 seeds are trained in any case" in plans[0].warning
    assert "as asked for; not all rounds fit into" in said["choose the epochs"].why


def test_where_nothing_is_better_the_baseline_is_the_answer(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No winner is an answer: with a noise floor that nothing beats, no change is adopted and none confirmed."""
    monkeypatch.setattr("tuner.guide.baseline.noise_floor_of", lambda _values, *, least: 1.0 + least)
    tuning = tuned(sqlite_url, space=FEW, budget="25trials")
    assert tuning.best == tuning.baseline
    assert not tuning.is_confirmed
    assert tuning.to_json()["ladder"] == []
    assert "Nothing was better than the baseline beyond the noise" in tuning.verdict


def test_a_range_test_that_refuses_leaves_rates_around_the_present_one(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal is no reason to stop: it is a warning, and the rates are spread wider."""
    marks = dict.fromkeys(("suggested", "highest_stable", "steepest", "valley", "low", "high"))
    refusal = SimpleNamespace(**marks, reliable=False, reason="Too flat.")
    monkeypatch.setattr("tuner.guide.rate.learning_rate_range", lambda *_args, **_more: refusal)
    steps: list[Any] = []

    def stop_after_rate(step: Any) -> None:
        steps.append(step)
        if step.name == "rate":
            raise StoppedError

    with pytest.raises(StoppedError):
        tuned(sqlite_url, space=FEW, on_step=stop_after_rate)
    states = {item.name: item.state.value for item in steps[-1].checklist}
    assert states["range test of sgd"] == "warning"
    rates = {trial.config["learning_rate"] for trial in open_study("g-2-rate", sqlite_url).record().trials}
    assert {0.1, 0.0316, 0.316} <= rates


def test_a_config_that_learns_too_little_to_be_timed_keeps_its_batch_size(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finder's refusal is an item of the checklist, not the end of the guide."""

    def refuse(*_args: Any, **_more: Any) -> None:
        raise ConfigurationError("The config must learn before batch sizes are compared on it.")

    def stop_after_batch(step: Any) -> None:
        if step.name == "batch":
            assert [item.why for item in step.checklist] == [
                "It stays: The config must learn before batch sizes are compared on it."
            ]
            raise StoppedError

    monkeypatch.setattr("tuner.guide.batch.find_batch_size", refuse)
    space = Space(name="own", levers=(catalog.lever("batch_size"),))
    with pytest.raises(StoppedError):
        tuned(sqlite_url, space=space, on_step=stop_after_batch)


def leaking_task() -> TaskData:
    """Every sample is there twice: whatever is held out has been seen."""
    data = blobs(200)
    x, y = data.x_train.repeat(2, 1), data.y_train.repeat(2)
    return TaskData(x=x, y=y, name="leaking")


def broken_task() -> TaskData:
    data = blobs()
    x = data.x_train.numpy().copy()
    x[5] = np.nan
    return TaskData(x=x, y=data.y_train, name="broken")


@pytest.mark.parametrize(
    ("task", "reason"), [(leaking_task, "are in train, too"), (broken_task, "NaN or infinite")]
)
def test_unsound_data_ends_the_guide_before_anything_is_written(
    sqlite_url: str, tmp_path: Path, task: Callable[[], TaskData], reason: str
) -> None:
    """One sentence, no study, no training."""
    with pytest.raises(DataError, match=reason):
        tuned(sqlite_url, task)
    with pytest.raises(DataError, match=reason):
        plan_tune(task, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_an_own_model_and_a_regression_are_tuned_too(sqlite_url: str) -> None:
    """By the validation loss; what needs classes or images is left out with the reason."""
    tuning = tuned(sqlite_url, "tests.problems:line_task", model=linear_model, budget="20trials")
    assert tuning.metric == "validation_loss"
    assert items(tuning, "regularization")["label smoothing x augmentation"] == "skipped"
    assert tuning.best["model"] == "tests.problems:linear_model"
    best, baseline = (tuning.to_json()[name] for name in ("best", "baseline"))
    assert best["mean"] <= baseline["mean"]
    assert best["test"] is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"start_from": "ladder"}, "A step to start from must be one of baseline, rate"),
        ({"budget": "soon"}, "A budget must be like 20m"),
        ({"fixed": {"seed": 3}}, "seed is said by --seed"),
        ({"fixed": {"lerning_rate": 3}}, "Did you mean 'learning_rate'"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"space": "quik"}, "quick"),
        ({"goal": float("nan")}, "A goal must be a finite number, but got nan"),
        ({"direction": "sideways"}, "The direction must be one of maximize, minimize, but got 'sideways'"),
        (
            {"space": Space(name="own", levers=FEW.levers, fixed={"epochs": 3})},
            "epochs .* part of the space too",
        ),
        ({"space": Space(name="own", levers=FEW.levers, fixed={"seed": 3})}, "seed .* part of the space too"),
    ],
)
def test_mistakes_are_told_in_one_sentence(sqlite_url: str, asked: dict[str, Any], message: str) -> None:
    """By a dry run too, and nothing is written."""
    with pytest.raises(ConfigurationError, match=message):
        tuned(sqlite_url, **asked)
    with pytest.raises(ConfigurationError, match=message):
        plan_tune(TASK, **({"device": "cpu", "storage": sqlite_url} | asked))
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()
