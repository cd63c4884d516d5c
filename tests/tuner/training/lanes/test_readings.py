"""What the rows of an epoch cost."""

import pytest

from tests.tuner.training.lanes.twins import advanced, config_of, digits
from tuner.training.cohort import Cohort
from tuner.training.lanes import readings
from tuner.training.stopwatch import Stopwatch


def test_what_leaks_inflate_is_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The validation samples are run through the networks for it, as for their accuracy."""
    now = [0.0]

    def marks_of(*_: object) -> None:
        now[0] += 1.0

    monkeypatch.setattr(readings, "marks_of", marks_of)
    watch = Stopwatch(clock=lambda: now[0])
    cohort = Cohort(digits(), stopwatch=watch)
    cohort.admit(config_of(epochs=2))
    advanced(cohort)
    assert now[0] > 0
    assert {name: seconds for name, seconds in watch.seconds.items() if seconds} == {"evaluation": now[0]}
