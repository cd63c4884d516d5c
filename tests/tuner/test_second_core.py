"""What a second core gains: the second process does the same work, and ends with whoever started it."""

import psutil
import pytest

from tuner import second_core
from tuner.searching.objective import Objective
from tuner.second_core import SecondCore, SecondProcessError, second_process, time_second_core


def test_both_ways_are_timed_on_the_searchs_own_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes together do more than nothing beside each other; the second is gone afterwards."""
    monkeypatch.setattr(second_core, "SECONDS", 0.05)
    objective = Objective("quick", "digits", fixed={"width": 8}, device="cpu")
    with second_process() as other:
        timed = time_second_core(objective, 2, other, data_dir=None)
        pid = other._process.pid
    assert min(timed.alone, timed.as_thread, timed.as_process) > 0
    assert not psutil.pid_exists(pid)


def test_a_second_process_that_ends_early_says_why() -> None:
    """In its own last words."""
    objective = Objective("quick", "tests.tuner.user_code:blob_arrays", device="cpu")
    objective.task = "tests.tuner.user_code:nothing_of_that_name"
    with second_process() as other, pytest.raises(SecondProcessError, match="nothing_of_that_name"):
        time_second_core(objective, 1, other, data_dir=None)


@pytest.mark.parametrize(
    ("as_thread", "as_process", "said"),
    [
        (1100.0, 1900.0, "one worker a core is right here"),
        (2000.0, 1900.0, "half as many --workers"),
        (100.0, 950.0, "could not be measured, since other work has it now"),
    ],
)
def test_what_follows_depends_on_which_is_faster(as_thread: float, as_process: float, said: str) -> None:
    """A machine may be other than ours, or busy: then no share is told, which would be the other work's."""
    timed = SecondCore(alone=1000.0, as_thread=as_thread, as_process=as_process)
    assert said in timed.sentence
    assert ("%" in timed.sentence) is timed.was_free
