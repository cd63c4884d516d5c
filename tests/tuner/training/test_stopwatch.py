from typing import Never

import pytest

from tuner.training.stopwatch import ACTIVITIES, Stopwatch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_moment_counts_once() -> None:
    """What an inner activity takes is not the outer one's, and what is in neither is no one's."""
    clock = Clock()
    watch = Stopwatch(clock=clock)
    with watch.on("training"):
        clock.now += 1
        with watch.on("data"):
            clock.now += 2
            with watch.on("training"):
                clock.now += 4
        clock.now += 8
    clock.now += 16
    with watch.on("idle"):
        clock.now += 32
    watch.add("startup", 64)
    counted = {activity: seconds for activity, seconds in watch.seconds.items() if seconds}
    assert counted == {"training": 13, "data": 2, "idle": 32, "startup": 64}
    assert set(watch.seconds) == set(ACTIVITIES)


def test_an_exception_stops_the_watch() -> None:
    """What comes behind an activity that failed does not count as it."""
    clock = Clock()
    watch = Stopwatch(clock=clock)

    def fail() -> Never:
        with watch.on("storage"):
            clock.now += 1
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    clock.now += 5
    assert watch.seconds["storage"] == 1
