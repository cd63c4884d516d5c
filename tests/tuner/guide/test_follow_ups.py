"""What follows from a round: the questions' answers change what is trained next."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.tuner.guide.scripted import scripted
from tuner.guide.checklist import ItemState, Notes
from tuner.guide.follow_ups import admissible, search_round
from tuner.guide.questions import EDGE, NEAR
from tuner.guide.rounds import Candidate

RATES = ("learning_rate",)
QUESTIONS = {EDGE, NEAR, "Was the best still improving at the end?", "How many configs were infeasible?"}


def rates(*values: float) -> list[Candidate]:
    return [Candidate(label=f"rate {value:g}", changes={"learning_rate": value}) for value in values]


def peak_at(best: float) -> Any:
    """A score that falls with the distance from a rate."""
    return lambda config: 0.9 - abs(config["learning_rate"] - best)


def test_every_round_asks_all_four_questions(tmp_path: Path) -> None:
    """Where a question has no answer, it is skipped with the reason."""
    session = scripted(tmp_path)
    for ranges in (RATES, ()):
        notes = Notes(step="rate")
        search_round(session, notes, "rate.around", rates(0.002, 0.004), ranges=ranges)
        assert {item.name for item in notes.items} >= QUESTIONS
    edge = next(item for item in notes.items if item.name == EDGE)
    assert (edge.state, edge.why) == (ItemState.SKIPPED, "What was tried has no order.")
    assert any("diagnosis" in item.name for item in notes.items)


def test_rates_above_the_largest_that_trained_are_not_tried_again(tmp_path: Path) -> None:
    """Half of a round diverged above 0.01: later rounds stay below, those of others and of larger batches do not."""

    def score(config: Mapping[str, Any]) -> float | None:
        return None if config["learning_rate"] > 0.01 else 0.9

    session, notes = scripted(tmp_path, score=score), Notes(step="rate")
    search_round(session, notes, "rate.around", rates(0.01, 0.02, 0.04, 0.08), ranges=RATES)
    later = [
        Candidate(label="above", changes={"learning_rate": 0.02}),
        Candidate(label="below", changes={"learning_rate": 0.008}),
        Candidate(label="sgd", changes={"learning_rate": 0.1, "optimizer": "sgd"}),
        Candidate(label="larger batch", changes={"learning_rate": 0.02, "batch_size": 256}),
        Candidate(label="smaller batch", changes={"learning_rate": 0.02, "batch_size": 32}),
    ]
    notes = Notes(step="batch")
    kept = [each.label for each in admissible(session, notes, later)]
    assert kept == ["below", "sgd", "larger batch"]
    assert [item.name for item in notes.items] == ["above", "smaller batch"]
    assert "the largest that trained" in notes.items[0].why


def test_a_best_that_stands_alone_gets_points_between_it_and_its_neighbors(tmp_path: Path) -> None:
    """Halfway, in factors; where they are no better, the best stays."""
    session, notes = scripted(tmp_path, score=peak_at(0.014)), Notes(step="rate")
    search_round(session, notes, "rate.around", rates(0.004, 0.016, 0.064), ranges=RATES)
    assert session.names == ["rate.around", "rate.around.finer"]
    assert [each.config["learning_rate"] for each in notes.rounds[1].tried[1:]] == [0.008, 0.032]
    near = next(item for item in notes.items if item.name == NEAR)
    assert "Next come learning_rate 0.008, learning_rate 0.032" in near.why
    assert session.current.learning_rate == 0.016


def test_a_finer_point_that_is_better_is_adopted(tmp_path: Path) -> None:
    """The incumbent of what follows."""
    session, notes = scripted(tmp_path, score=peak_at(0.01)), Notes(step="rate")
    search_round(session, notes, "rate.around", rates(0.004, 0.016, 0.064), ranges=RATES)
    assert session.current.learning_rate == 0.008


def test_without_budget_for_finer_points_it_is_said(tmp_path: Path) -> None:
    """A lone best stays a warning."""
    session, notes = scripted(tmp_path, score=peak_at(0.014)), Notes(step="rate")
    whole = session.round
    session.round = lambda notes, name, candidates: (  # type: ignore[method-assign]
        None if name.endswith(".finer") else whole(notes, name, candidates)
    )
    search_round(session, notes, "rate.around", rates(0.004, 0.016, 0.064), ranges=RATES)
    near = next(item for item in notes.items if item.name == NEAR)
    assert near.state is ItemState.WARNING
    assert near.why.endswith("The budget does not allow points in between.")


def test_the_best_at_an_edge_is_followed_beyond_it_once(tmp_path: Path) -> None:
    """In a round of its own beside the incumbent."""
    session, notes = scripted(tmp_path, score=lambda config: config["learning_rate"]), Notes(step="rate")
    search_round(session, notes, "rate.around", rates(0.002, 0.004), ranges=RATES)
    assert session.names[:2] == ["rate.around", "rate.around.wider"]
    assert [each.config["learning_rate"] for each in notes.rounds[1].tried[1:]] == [0.008, 0.016]
    assert session.current.learning_rate == 0.016


def test_configs_that_train_the_same_are_one(tmp_path: Path) -> None:
    """Equal to the incumbent, to one before it, or different only in keys that play no part."""
    candidates = [
        Candidate(label="incumbent again", changes={"learning_rate": 1e-3}),
        Candidate(label="no part", changes={"momentum": 0.9}),
        Candidate(label="new", changes={"dropout": 0.1}),
        Candidate(label="twice", changes={"dropout": 0.1, "warmup_steps": 0}),
    ]
    kept = admissible(scripted(tmp_path), Notes(step="rate"), candidates)
    assert [each.label for each in kept] == ["new"]


def test_follow_ups_have_seeds_of_their_own(tmp_path: Path) -> None:
    """No two rounds, wider and finer ones included, share a seed."""
    session = scripted(tmp_path)
    names = [each.name + end for each in session.planned for end in ("", ".wider", ".finer")]
    seeds = [seed for name in names for seed in session.seeds_of(name, 3)]
    assert len(set(seeds)) == len(seeds)
