"""Decisions are made once, and read back ever after."""

import pytest

from search_spaces import Space
from studies.plan import StudyPlan
from studies.recorded import create_study, open_study
from tuner.guide.ledger import Ledger


@pytest.fixture
def ledger(sqlite_url: str) -> Ledger:
    plan = StudyPlan(
        task="digits",
        model="mlp",
        space=Space(name="guide", levers=()).to_json(),
        sampler="guide",
        pruner="none",
        epochs=0,
        seed=0,
        metric="validation_accuracy",
        direction="maximize",
    )
    return Ledger(create_study("g", plan, sqlite_url))


def again(sqlite_url: str) -> Ledger:
    """The ledger as another process reads it."""
    return Ledger(open_study("g", sqlite_url, writable=True))


def test_a_decision_is_made_once_and_read_back_by_another_process(ledger: Ledger, sqlite_url: str) -> None:
    """What is returned the first time is what is read later, floats to the last bit."""
    made = ledger.decide("rate.range_test", lambda: {"suggested": 0.1 + 0.2, "marks": (1, 2), "none": None})
    assert made == {"suggested": 0.1 + 0.2, "marks": [1, 2], "none": None}
    assert again(sqlite_url).decide("rate.range_test", lambda: pytest.fail("decided twice")) == made


def test_the_seconds_of_all_decisions_add_up_over_runs(ledger: Ledger, sqlite_url: str) -> None:
    """What a decision says of its own seconds counts where it is more than passed just now."""
    ledger.decide("baseline.floor.ended", lambda: {"seconds": 12.5})
    later = again(sqlite_url)
    later.decide("rate.around.ended", lambda: {"seconds": 2.5, "n_trials": 4})
    assert 15.0 <= later.seconds < 16.0
    assert later.n_trials == 4
    assert later.read("baseline.floor.ended") == {}


@pytest.mark.usefixtures("ledger")
def test_a_clock_measures_what_a_decision_took(sqlite_url: str) -> None:
    """Instruments say nothing of their time: it is taken."""
    times = iter([100.0, 107.5])
    timed = Ledger(open_study("g", sqlite_url, writable=True), clock=lambda: next(times))
    timed.decide("batch.finder", lambda: {"sizes": []})
    assert again(sqlite_url).seconds == 7.5


def test_forgetting_a_step_leaves_the_others(ledger: Ledger, sqlite_url: str) -> None:
    """Names begin with their step and a dot: `rate` is not `rates`."""
    for key in ("rate.range_test", "rates.other", "batch.finder"):
        ledger.decide(key, lambda: {"n_trials": 1})
    ledger.forget(["rate", "batch"])
    later = again(sqlite_url)
    assert [key in later for key in ("rate.range_test", "rates.other", "batch.finder")] == [
        False,
        True,
        False,
    ]
    assert later.n_trials == ledger.n_trials == 1
    assert later.decide("rate.range_test", lambda: {"n_trials": 5}) == {"n_trials": 5}


def test_a_failed_decision_is_none(ledger: Ledger) -> None:
    """Whatever breaks while deciding leaves nothing behind."""
    with pytest.raises(ZeroDivisionError):
        ledger.decide("rate.range_test", lambda: {"suggested": 1 / 0})
    assert "rate.range_test" not in ledger


def test_what_may_change_is_written_over(ledger: Ledger, sqlite_url: str) -> None:
    """A budget may be larger the next time."""
    ledger.remember("guide.budget", {"trials": 50})
    ledger.remember("guide.budget", {"trials": 80})
    assert again(sqlite_url).read("guide.budget") == {"trials": 80}


def test_forgetting_is_one_write_that_is_done_or_not(ledger: Ledger, sqlite_url: str) -> None:
    """A guide that is killed while it forgets begins all of these steps anew, or none of them."""
    for key in ("rate.around.round", "batch.finder", "seeds.round"):
        ledger.decide(key, lambda: {"n_trials": 1})
    writes: list[str] = []
    ledger._write_attribute = lambda attribute, _text: writes.append(attribute)  # type: ignore[method-assign]
    ledger.forget(["rate", "batch", "seeds"])
    assert writes == ["guide_begun_anew"]
    assert again(sqlite_url).n_trials == 3


def test_every_time_a_step_is_forgotten_it_gets_a_generation_that_none_had(
    ledger: Ledger, sqlite_url: str
) -> None:
    """Seeds are counted from it: it is never forgotten itself, and is the same for the steps forgotten together."""
    assert ledger.generation("rate") == 0
    ledger.forget(["rate", "seeds"])
    ledger.forget(["seeds"])
    later = again(sqlite_url)
    assert [later.generation(step) for step in ("baseline", "rate", "seeds")] == [0, 1, 2]
    later.forget(["rate", "seeds"])
    assert {again(sqlite_url).generation(step) for step in ("rate", "seeds")} == {3}


def test_a_plan_sees_steps_as_forgotten_and_writes_nothing(ledger: Ledger, sqlite_url: str) -> None:
    """For a dry run of --from."""
    for key in ("baseline.epochs", "seeds.round"):
        ledger.decide(key, lambda: {"n_trials": 1})
    seen = Ledger(open_study("g", sqlite_url), without=["seeds"])
    assert list(seen.items()) == ["baseline.epochs"]
    assert seen.spent.trials == 1
    assert again(sqlite_url).items().keys() == {"baseline.epochs", "seeds.round"}


def test_a_guide_that_lost_its_hold_writes_nothing(ledger: Ledger, sqlite_url: str) -> None:
    """The check comes before every write."""

    def lost() -> None:
        raise RuntimeError("taken over")

    fenced = Ledger(open_study("g", sqlite_url, writable=True), check=lost)
    for write in (
        lambda: fenced.decide("rate.range_test", dict),
        lambda: fenced.remember("guide.budget", {"trials": 50}),
        lambda: fenced.forget(["rate"]),
    ):
        with pytest.raises(RuntimeError, match="taken over"):
            write()
    assert again(sqlite_url).items() == {}
    assert ledger.generation("rate") == 0
