"""What the steps list for their rounds: distinct configs, fair to both sides, within what may change."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search_spaces import Space, catalog
from studies.readings import EpochReadings, Telemetry
from studies.records import StudyRecord
from tests.tuner.guide.made_rounds import made_trial
from tests.tuner.guide.scripted import ScriptedSession, scripted
from tuner.guide import schedule
from tuner.guide.checklist import ItemState, Notes
from tuner.guide.follow_ups import admissible
from tuner.guide.optimizers import compare_optimizers, note_comparison
from tuner.guide.regularization import weights_grid
from tuner.guide.rounds import Candidate, Round, Tried
from tuner.listed import _check_distinct
from tuner.searching.equivalence import canonical
from tuner.training.config import TrainingConfig

SUGGESTED = {"sgd": 0.3, "adamw": 0.006}


@pytest.fixture(autouse=True)
def _ready_range_test(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(
        _session: Any, _notes: Any, _name: str, config: TrainingConfig, **_more: Any
    ) -> dict[str, Any]:
        return {"suggested": SUGGESTED[config.optimizer]}

    monkeypatch.setattr("tuner.guide.optimizers.range_test", answer)


def whole(session: ScriptedSession, candidates: list[Candidate]) -> list[dict[str, Any]]:
    """Every config of a round, the incumbent first."""
    entrants = [{}, *(each.changes for each in candidates)]
    return [
        session.config({**session.incumbent, **changes}, epochs=session.epochs).to_mapping()
        for changes in entrants
    ]


@pytest.mark.parametrize(
    "present",
    [
        {},
        {"schedule": "cosine", "warmup_fraction": 0.05},
        {"schedule": "cosine", "warmup_fraction": 0.1},
        {"schedule": "linear", "warmup_steps": 7},
        {"schedule": "constant", "warmup_steps": 7},
    ],
)
def test_every_shape_says_its_warmup_so_that_all_are_distinct(
    tmp_path: Path, present: Mapping[str, Any]
) -> None:
    """A present config that warms up once made two candidates equal, and a round that nobody could train."""
    session = scripted(tmp_path, present={"learning_rate": 0.001, "optimizer": "adam", **present})
    listed = whole(session, admissible(session, Notes(step="schedule"), schedule.shapes(session)))
    _check_distinct(listed)
    assert len({str(canonical(TrainingConfig.from_mapping(each))) for each in listed}) == len(listed)
    assert len(listed) == len(schedule.SHAPES) + (present.get("warmup_fraction") == 0.1) + bool(
        present.get("warmup_steps")
    )
    cosines = [each["warmup_fraction"] for each in listed[1:] if each["schedule"] == "cosine"]
    assert set(cosines) <= {0.0, 0.05}
    assert all(each["warmup_steps"] == 0 for each in listed[1:])


def test_the_warmup_of_the_best_schedule_is_refined(tmp_path: Path) -> None:
    """0.02, 0.05 and 0.1 of the steps, and none; the best length goes on."""

    def score(config: Mapping[str, Any]) -> float:
        bonus = 1.0 if config["schedule"] == "cosine" else 0.0
        return 0.9 - abs(float(config["warmup_fraction"]) - 0.1) + bonus

    space = Space(name="own", levers=(catalog.lever("schedule"), catalog.lever("warmup_fraction")))
    session = scripted(
        tmp_path, score=score, epochs=20, space=space, present={"batch_size": 4, "optimizer": "adam"}
    )
    schedule.take(session, Notes(step="schedule"))
    assert session.names[:2] == ["schedule.shapes", "schedule.warmup"]
    assert session.current.schedule == "cosine"
    assert session.current.warmup_fraction == 0.1
    assert [change.label for change in session.changes][1:] == ["warmup_fraction 0.1"]


def test_lengths_of_warmup_that_come_to_the_same_steps_are_one(tmp_path: Path) -> None:
    """A training of ten steps has no 2% of them."""
    session = scripted(tmp_path, epochs=1, present={"batch_size": 16, "optimizer": "adam"})
    fractions = [each.changes["warmup_fraction"] for each in schedule.warmups(session)]
    assert fractions == [0.1]
    session.incumbent |= {"warmup_fraction": 0.1}
    assert [each.changes["warmup_fraction"] for each in schedule.warmups(session)] == [0.05]


@pytest.mark.parametrize(
    ("present", "rates"),
    [
        ({"optimizer": "adam"}, {"sgd": [0.3, 0.1], "adamw": [0.006, 0.002]}),
        ({"optimizer": "adamw", "weight_decay": 0.01}, {"sgd": [0.3, 0.1], "adamw": [0.001, 0.000333]}),
        ({"optimizer": "sgd", "momentum": 0.9}, {"sgd": [0.001, 0.000333], "adamw": [0.006, 0.002]}),
        ({"optimizer": "rmsprop"}, {"sgd": [0.3, 0.1], "adamw": [0.006, 0.002]}),
    ],
)
def test_sgd_and_adamw_have_as_many_rates(
    tmp_path: Path, present: Mapping[str, Any], rates: Mapping[str, list[float]]
) -> None:
    """The incumbent counts as one of its own; a range test of each says which."""
    session, notes = scripted(tmp_path, present={"learning_rate": 0.001, **present}), Notes(step="schedule")
    compare_optimizers(session, notes, "schedule.optimizers")
    tried = notes.rounds[0].tried
    found = {
        name: [each.config["learning_rate"] for each in tried if each.config["optimizer"] == name]
        for name in rates
    }
    assert found == rates
    assert all(each.config["momentum"] == 0.9 for each in tried if each.config["optimizer"] == "sgd")


@pytest.mark.parametrize(("n_allowed", "n_each"), [(1, 0), (2, 1), (3, 1), (4, 2)])
def test_a_small_budget_leaves_no_optimizer_out_alone(tmp_path: Path, n_allowed: int, n_each: int) -> None:
    """One rate of each, or none of either."""
    session = scripted(
        tmp_path, n_allowed=n_allowed, present={"learning_rate": 0.001, "optimizer": "rmsprop"}
    )
    notes = Notes(step="schedule")
    compare_optimizers(session, notes, "schedule.optimizers")
    tried = [each.config["optimizer"] for each in notes.rounds[0].tried] if notes.rounds else []
    assert (tried.count("sgd"), tried.count("adamw")) == (n_each, n_each)


def test_an_optimizer_that_may_not_be_tried_is_skipped_and_so_is_the_comparison(tmp_path: Path) -> None:
    """With the reason; the other one is tried all the same."""
    levers = (
        catalog.lever("optimizer").among(("rmsprop", "sgd")),
        catalog.lever("learning_rate"),
    )
    session = scripted(tmp_path, space=Space(name="own", levers=levers), present={"optimizer": "rmsprop"})
    notes = Notes(step="schedule")
    compare_optimizers(session, notes, "schedule.optimizers")
    skipped = {item.name: item.why for item in notes.items if item.state is ItemState.SKIPPED}
    assert skipped["adamw"] == "It is not among the optimizers that may be tried."
    assert "no value of adamw" in skipped["compare curves and calibration"]
    assert "momentum is no lever" in skipped["momentum of SGD"]


def test_sgd_that_may_have_no_momentum_does_not_look_ahead_with_it(tmp_path: Path) -> None:
    """Nesterov's step needs a momentum; that SGD is tried without is said."""
    session = scripted(tmp_path, fixed={"momentum": 0.0}, present={"optimizer": "rmsprop"})
    notes = Notes(step="schedule")
    compare_optimizers(session, notes, "schedule.optimizers")
    why = next(item.why for item in notes.items if item.name == "momentum of SGD")
    assert why == "It is tried without: momentum is fixed at 0.0."
    assert not any(each.config["nesterov"] for each in notes.rounds[0].tried)


def test_a_range_test_without_a_suggestion_leaves_the_usual_rates_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither optimizer loses for want of a measurement."""
    monkeypatch.setitem(SUGGESTED, "sgd", None)
    session, notes = scripted(tmp_path, present={"optimizer": "rmsprop"}), Notes(step="schedule")
    compare_optimizers(session, notes, "schedule.optimizers")
    found = [
        each.config["learning_rate"] for each in notes.rounds[0].tried if each.config["optimizer"] == "sgd"
    ]
    assert found == [0.1, 0.0333]
    assert any(item.name == "rates of sgd" and "usual 0.1" in item.why for item in notes.items)


def tried(optimizer: str, *seeds: tuple[list[float], list[float]]) -> Tried:
    """Accuracies and calibration errors, epoch by epoch, of each seed."""
    trials = []
    for accuracies, errors in seeds:
        rows = [
            EpochReadings(epoch=epoch, train_loss=1.0, validation_accuracy=accuracy, calibration_error=error)
            for epoch, (accuracy, error) in enumerate(zip(accuracies, errors, strict=True), start=1)
        ]
        trial = made_trial(max(accuracies))
        trials.append(dataclasses.replace(trial, telemetry=Telemetry(epochs=tuple(rows))))
    config = TrainingConfig.from_mapping({"optimizer": optimizer}).to_mapping()
    return Tried(label=optimizer, changes={"optimizer": optimizer}, config=config, trials=tuple(trials))


def test_curves_and_calibration_are_compared_over_all_seeds_at_the_best_epoch() -> None:
    """The epochs to what the worse one reaches, and the error where the metric, not the loss, is best."""
    sgd = tried("sgd", ([0.5, 0.7, 0.8], [0.3, 0.2, 0.10]), ([0.5, 0.7, 0.8], [0.3, 0.2, 0.20]))
    adamw = tried("adamw", ([0.8, 0.9, 0.85], [0.1, 0.04, 0.5]), ([0.8, 0.9, 0.85], [0.1, 0.06, 0.5]))
    record = StudyRecord(name="made", direction="maximize", trials=(), metric="validation_accuracy")
    notes = Notes(step="schedule")
    note_comparison(notes, Round(study="made", tried=(sgd, adamw), record=record))
    (item,) = notes.items
    assert item.state is ItemState.DONE
    assert "sgd (learning_rate 0.1) has 0.8 and reaches 0.8 after 3 epochs" in item.why
    assert "adamw (learning_rate 0.1) has 0.9 and reaches it after 1." in item.why
    assert "Calibration error at the best epoch: 0.150 against 0.050." in item.why


@pytest.mark.parametrize(
    ("present", "levers", "decays"),
    [
        ({"optimizer": "adam"}, ("weight_decay", "dropout"), {1e-4, 1e-3}),
        ({"optimizer": "adam"}, ("weight_decay", "weight_decay_kind"), {0.01, 0.1}),
        ({"optimizer": "adamw"}, ("weight_decay", "dropout"), {0.01, 0.1}),
        ({"optimizer": "adam", "weight_decay_kind": "decoupled"}, ("weight_decay",), {0.01, 0.1}),
        ({"optimizer": "sgd"}, ("weight_decay", "weight_decay_kind"), {1e-4, 1e-3}),
    ],
)
def test_decays_are_those_of_their_kind(
    tmp_path: Path, present: Mapping[str, Any], levers: tuple[str, ...], decays: set[float]
) -> None:
    """What AdamW takes apart from the gradient would drown the loss as Adam's L2."""
    space = Space(name="own", levers=tuple(catalog.lever(name) for name in levers))
    session = scripted(tmp_path, space=space, present={"learning_rate": 0.001, **present})
    candidates = weights_grid(session, Notes(step="regularization"))
    changed = [each for each in candidates if "weight_decay" in each.changes]
    assert {each.changes["weight_decay"] for each in changed} == decays
    if max(decays) == 0.1 and present["optimizer"] == "adam":
        kinds = {each["weight_decay_kind"] for each in whole(session, changed)[1:]}
        assert kinds == {"decoupled"}
