"""Guides of few short trainings, and what they tell.

Their two instruments have tests of their own: here they answer at once.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from search_spaces import Space, catalog
from studies.recorded import open_study
from tuner.guide.ledger import Ledger
from tuner.workflow import Tuning, tune

TASK = "tests.problems:hard_blobs"
STEPS = ["baseline", "rate", "batch", "regularization", "schedule", "seeds"]


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


FEW = Space(
    name="few",
    levers=(catalog.lever("learning_rate"), catalog.lever("dropout"), catalog.lever("width")),
    fixed={"optimizer": "sgd"},
)
"""A space that leaves two rounds beside the baseline's and the seeds'."""


class StoppedError(Exception):
    """Whoever runs the guide goes away."""
