"""What a verdict says of the gap, from replicates of which no telemetry says what nothing is worth."""

import math
from collections.abc import Sequence

import pytest

from studies.records import Outcome, StudyRecord, TrialRecord
from tests.tuner.proving.made_findings import finding, fixing
from tuner.proving.contest import BASELINE, REFERENCE, Contest
from tuner.proving.judging import judged
from tuner.proving.proof import Proof
from tuner.proving.yardstick import Yardstick

FAULTY = (0.5, 0.52, 0.48, 0.51, 0.49, 0.5)
HEALTHY = (0.91, 0.92, 0.9, 0.93, 0.89, 0.9)
RATE = "learning_rate=0.01"


def _judged(mended: Sequence[float | None]) -> Proof:
    contest = Contest.of(
        finding(fixing("learning_rate", 0.01)), {"learning_rate": 3.0}, reference={"width": 8}
    )
    values = {BASELINE: FAULTY, RATE: mended, REFERENCE: HEALTHY}
    trials = {
        label: [
            TrialRecord(
                number=100 * row + seed,
                state="pruned" if value is None else "complete",
                outcome=Outcome.DIVERGED if value is None else Outcome.COMPLETED,
                value=value,
            )
            for seed, value in enumerate(values[label])
        ]
        for row, label in enumerate(contest.configs)
    }
    record = StudyRecord(
        name="r", direction="maximize", trials=tuple(trial for row in trials.values() for trial in row)
    )
    yardstick = Yardstick.own("validation_accuracy", "maximize")
    return judged(contest, trials, record, yardstick, seeds=range(6))


def test_a_share_is_told_with_its_bounds() -> None:
    """In the verdict and in JSON."""
    tried = _judged([value - 0.05 for value in HEALTHY]).remedies[0]
    assert tried.share is not None
    told = tried.to_json()
    assert told["recovered"] == tried.recovered == tried.share.mean
    assert (told["recovered_low"], told["recovered_high"]) == (tried.share.low, tried.share.high)
    assert told["recovered_low"] < 0.88 < told["recovered_high"]
    assert f"88% ({tried.share.low:.0%} to {tried.share.high:.0%}) of the gap" in tried.why


def test_a_replicate_without_a_number_leaves_the_share_without_bounds() -> None:
    """It diverged, and nobody knows what that is worth: the others' mean is all there is."""
    tried = _judged([None, *HEALTHY[1:]]).remedies[0]
    assert tried.share is not None
    assert (tried.share.low, tried.share.high) == (-math.inf, math.inf)
    assert tried.recovered == pytest.approx(1.0, abs=0.05)
    told = tried.to_json()
    assert (told["recovered_low"], told["recovered_high"]) == (None, None)
    assert "(no bounds) of the gap" in tried.why
