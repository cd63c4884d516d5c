"""The playbook's questions, asked of rounds made by hand."""

import pytest

from search_spaces.edits import EditKind
from tests.tuner.guide.made_rounds import made_round
from tuner.guide.checklist import ItemState
from tuner.guide.questions import (
    Edge,
    NoEdge,
    between,
    edge_item,
    edge_of,
    infeasible_share,
    near_the_best,
    still_improving,
)
from tuner.guide.rounds import Round

RATES = ("learning_rate",)


def test_a_best_at_the_largest_rate_is_at_the_edge_and_goes_on_by_the_same_factor() -> None:
    """0.01, 0.02, 0.04 are best at 0.04: 0.08 and 0.16 come next, as an edit that widens."""
    edge = edge_of(made_round(*(({"learning_rate": 0.01 * 2**i}, 0.9 + i / 100) for i in range(3))), RATES)
    assert isinstance(edge, Edge)
    assert (edge.key, edge.at_high, edge.best, edge.beyond) == ("learning_rate", True, 0.04, (0.08, 0.16))
    assert (edge.edit.kind, edge.edit.low, edge.edit.high) == (EditKind.WIDEN, None, 0.16)


def test_a_best_at_the_smallest_rate_goes_on_downward() -> None:
    """Never to 0: rates are spaced by factors."""
    edge = edge_of(made_round(*(({"learning_rate": 0.01 * 2**i}, 0.9 - i / 100) for i in range(3))), RATES)
    assert isinstance(edge, Edge)
    assert edge.beyond == (0.005, 0.0025)
    assert (edge.edit.low, edge.edit.high) == (0.0025, None)


def test_a_best_inside_is_at_no_edge() -> None:
    """And the answer says where it lies."""
    inside = made_round(({}, 0.9), ({"learning_rate": 0.02}, 0.95), ({"learning_rate": 0.04}, 0.9))
    item = edge_item(edge_of(inside, RATES))
    assert (item.state, item.why) == (
        ItemState.DONE,
        "No: learning_rate = 0.02 lies inside of what was tried.",
    )


@pytest.mark.parametrize(
    ("round_", "why"),
    [
        (
            made_round(({}, 0.9), ({"learning_rate": 0.02}, 0.95)),
            "only 2 values of learning_rate were tried",
        ),
        (made_round(({}, None), ({"learning_rate": 0.02}, None)), "every config diverged"),
        (made_round(({}, 0.9), ({"dropout": 0.2}, 0.95)), "learning_rate had one value only"),
    ],
)
def test_where_no_value_is_inside_nobody_can_tell(round_: Round, why: str) -> None:
    """That is not the answer no: two values have no inside, and what diverged has no best."""
    found = edge_of(round_, RATES)
    assert isinstance(found, NoEdge)
    assert not found.is_known
    item = edge_item(found)
    assert item.state is ItemState.SKIPPED
    assert item.why.startswith(f"It cannot be told: {why}")


def test_beyond_a_natural_bound_there_is_nothing() -> None:
    """Dropout below 0 and augmentation above 1 mean nothing; evenly spaced levers go on evenly."""
    off_is_best = made_round(({}, 0.95), ({"dropout": 0.1}, 0.9), ({"dropout": 0.2}, 0.8))
    bound = edge_of(off_is_best, ("dropout",))
    assert isinstance(bound, NoEdge)
    assert bound.is_known
    assert bound.why == "dropout = 0 is at its natural bound"
    more = edge_of(made_round(({}, 0.8), ({"dropout": 0.1}, 0.9), ({"dropout": 0.2}, 0.95)), ("dropout",))
    assert isinstance(more, Edge)
    assert more.beyond == (0.3, 0.4)
    strong = made_round(({}, 0.8), ({"augmentation": 0.5}, 0.9), ({"augmentation": 0.8}, 0.95))
    assert [edge.beyond for edge in [edge_of(strong, ("augmentation",))] if isinstance(edge, Edge)] == [
        (1.0,)
    ]


def test_points_between_are_halfway_to_the_neighbors() -> None:
    """In factors for a rate, evenly for dropout, whole for a batch; none where nothing lies between."""
    tried = made_round(
        ({"dropout": 0.0, "batch_size": 32}, 0.9),
        ({"learning_rate": 0.04, "dropout": 0.1, "batch_size": 33}, 0.9),
        ({"learning_rate": 0.16, "dropout": 0.3, "batch_size": 64}, 0.9),
    ).tried
    assert between(tried, "learning_rate", 0.04) == (0.02, 0.08)
    assert between(tried, "learning_rate", 0.16) == (0.08,)
    assert between(tried, "dropout", 0.1) == (0.05, 0.2)
    assert between(tried, "batch_size", 33) == (46,)
    assert between(tried, "schedule", "constant") == ()


def test_the_answer_says_what_comes_next_or_why_nothing_does() -> None:
    """Widened is done, not widened is skipped; both carry the edit."""
    edge = edge_of(made_round(*(({"learning_rate": 0.01 * 2**i}, 0.9 + i / 100) for i in range(3))), RATES)
    assert isinstance(edge, Edge)
    done, skipped = edge_item(edge, is_widened=True), edge_item(edge, is_widened=False, why_not="no budget")
    assert (done.state, skipped.state) == (ItemState.DONE, ItemState.SKIPPED)
    assert "0.08 and 0.16 come next" in done.why
    assert "not widened: no budget" in skipped.why
    assert done.edits == skipped.edits == (edge.edit,)


def test_a_best_that_stands_alone_is_not_enough() -> None:
    """Three within two noise floors are; one that leads by far may have been lucky, or lie on a narrow ridge."""
    alone = made_round(({}, 0.90), ({"dropout": 0.1}, 0.91), ({"dropout": 0.2}, 0.95))
    assert near_the_best(alone, noise_floor=0.001).state is ItemState.WARNING
    assert near_the_best(alone, noise_floor=0.025).state is ItemState.DONE
    assert near_the_best(alone, noise_floor=0.001).numbers["n_near"] == 1


def test_a_loss_that_still_falls_asks_for_more_epochs() -> None:
    """Half as many again, as an edit; a curve that has arrived asks for nothing, two epochs tell nothing."""
    falling = still_improving(made_round(({}, 0.9), losses=(1.0, 0.8, 0.6, 0.4, 0.2)))
    assert falling.state is ItemState.WARNING
    assert "a proposal that the guide does not take" in falling.why
    assert [(edit.lever, edit.value) for edit in falling.edits] == [("epochs", 8)]
    arrived = still_improving(made_round(({}, 0.9), losses=(1.0, 0.5, 0.4, 0.4, 0.399)))
    assert (arrived.state, arrived.edits) == (ItemState.DONE, ())
    assert still_improving(made_round(({}, 0.9), losses=(1.0, 0.5))).state is ItemState.SKIPPED


def test_half_of_the_configs_diverging_narrows_the_rate() -> None:
    """To the largest rate that trained; fewer are what a search is expected to meet."""
    most = made_round(({}, 0.9), ({"learning_rate": 0.02}, None), ({"learning_rate": 0.04}, None))
    answer = infeasible_share(most)
    assert answer.state is ItemState.WARNING
    assert [(edit.kind, edit.high) for edit in answer.edits] == [(EditKind.NARROW, 0.01)]
    few = made_round(({}, 0.9), ({"learning_rate": 0.02}, 0.9), ({"learning_rate": 0.04}, None))
    assert infeasible_share(few).state is ItemState.DONE
    nothing = infeasible_share(made_round(({}, None), ({"learning_rate": 0.02}, None)))
    assert nothing.edits == ()
    assert "nothing trained" in nothing.why
