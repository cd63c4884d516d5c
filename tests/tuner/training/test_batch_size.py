"""The batch-size finder as a whole, on tasks that train in a moment."""

import dataclasses
import types
from typing import Any

import pytest
import torch

from search_spaces.errors import ConfigurationError
from studies.encoding import jsonable
from tests.problems import blobs, line, linear_model
from tests.tuner.training.batching.fakes import fake_candidates
from tuner.training import batch_size
from tuner.training.batch_size import (
    BatchSizeChoice,
    Progress,
    Verdict,
    find_batch_size,
    pick_candidate,
)
from tuner.training.batching import recheck
from tuner.training.batching.candidates import Candidate, rate_rule
from tuner.training.batching.race import finalists, race
from tuner.training.batching.reasons import reason_of
from tuner.training.batching.recheck import Recheck
from tuner.training.batching.stepping import SteppedTraining, Stretch
from tuner.training.config import TrainingConfig

CONFIG = TrainingConfig(batch_size=16, width=8, learning_rate=0.05, epochs=3)


def found(config: TrainingConfig = CONFIG, data: Any = None, **chosen: Any) -> BatchSizeChoice:
    """A choice on overlapping blobs, without the recheck, in about a second."""
    data = data if data is not None else blobs(400, spread=1.0)
    return find_batch_size(
        config, data, **{"recheck": False, "budget_seconds": 0.5, "device": "cpu"} | chosen
    )


def range_test_that_says(monkeypatch: pytest.MonkeyPatch, **answer: Any) -> list[TrainingConfig]:
    """Every range test gives ``answer``; returns the configs that were tested."""
    tested: list[TrainingConfig] = []

    def fake(config: TrainingConfig, *_data: Any, **_chosen: Any) -> Any:
        tested.append(config)
        return types.SimpleNamespace(**({"reliable": True, "reason": "As asked."} | answer))

    monkeypatch.setattr(recheck, "learning_rate_range", fake)
    return tested


def test_the_pick_is_measured_and_explained() -> None:
    """One of the candidates, with a time, a throughput, memory, and the rate that the rule gives its batch."""
    choice = found(budget_seconds=4.0)  # that ends no scan, on a slow machine either
    picked = choice.picked
    assert [c.batch_size for c in choice.candidates] == [16, 32, 64]
    assert picked.verdict is Verdict.REACHED
    assert picked.samples_per_second is not None
    assert picked.samples_per_second > 0
    assert picked.memory_bytes is not None
    assert choice.learning_rate == pytest.approx(0.05 * choice.batch_size / 16)
    assert picked.seconds_to_target == pytest.approx(
        (picked.steps_to_target or 0) * choice.batch_size / picked.samples_per_second
    )
    assert choice.reason.startswith(f"Batch size {choice.batch_size} reaches a validation loss of ")
    assert "follows by the linear rule from 0.05 at batch 16" in choice.reason


def test_json_has_the_keys_of_the_design() -> None:
    """And more; every value is JSON."""
    told = jsonable(found().to_json())
    assert {"batch_size", "accumulation_steps", "learning_rate", "candidates"} <= set(told)
    for candidate in told["candidates"]:
        assert {"batch_size", "samples_per_second", "seconds_to_target", "memory_bytes"} <= set(candidate)
    assert {"value", "low", "high"} <= set(told["noise_scale"])


def test_a_wanted_effective_batch_is_accumulated() -> None:
    """96 samples a step: the pick's parts make just that, and its rate is that of 96."""
    choice = found(effective=96, rule="sqrt")
    assert choice.batch_size * choice.accumulation_steps == 96
    assert choice.learning_rate == pytest.approx(0.05 * (96 / 16) ** 0.5)
    assert (
        f"{choice.accumulation_steps} x {choice.batch_size} make an effective batch of 96." in choice.reason
    )


def test_a_batch_that_nothing_divides_is_missed_by_little_and_said() -> None:
    """97 is a prime: 6 x 16 is as near as parts of 16 come."""
    choice = found(effective=97, candidates=[16])
    assert (choice.batch_size, choice.accumulation_steps) == (16, 6)
    assert "make an effective batch of 96, the nearest below the wanted 97" in choice.reason


def test_a_users_model_and_a_regression_work() -> None:
    """The target is the mean squared error."""
    config = TrainingConfig(batch_size=8, learning_rate=0.01, epochs=4)
    choice = found(config, line(), model=linear_model, candidates=[4, 8, 16])
    assert choice.picked.verdict is Verdict.REACHED
    assert 0 < choice.target_loss < 5


def test_the_loss_one_asks_for_is_the_target() -> None:
    """Instead of what the config reaches."""
    assert found(target_loss=0.9).target_loss == 0.9


def test_a_target_out_of_reach_leaves_the_knee_and_says_so() -> None:
    """Speed of a step alone is no answer, and is not passed off as one."""
    choice = found(target_loss=1e-9, budget_seconds=0.3)
    assert choice.picked.seconds_to_target is None
    assert choice.batch_size == choice.knee
    assert choice.reason.startswith("No candidate reached a validation loss of 1e-09")


def test_a_config_that_cannot_learn_is_refused() -> None:
    """With the command that finds a rate."""
    with pytest.raises(ConfigurationError, match="find a rate with `tuner lr-range`"):
        found(dataclasses.replace(CONFIG, learning_rate=1e-30))


def test_the_callers_random_state_is_untouched() -> None:
    """Though trainings, the noise scale and a range test draw meanwhile."""
    before = torch.get_rng_state()
    found(dataclasses.replace(CONFIG, dropout=0.2), recheck=True, candidates=[16])
    assert torch.equal(before, torch.get_rng_state())


def test_progress_rises_to_the_end_and_names_its_stage() -> None:
    """With an estimate of the seconds left, which never rises and begins at the budget."""
    told: list[Progress] = []
    found(on_progress=told.append, recheck=True)
    left = [progress.seconds_left for progress in told]
    assert left == sorted(left, reverse=True)
    assert left[0] == 0.5
    fractions = [progress.fraction for progress in told]
    stages = [*dict.fromkeys(progress.stage for progress in told)]
    assert [stage for stage in stages if stage != "timing"] == ["throughput", "training", "recheck"]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert all(0 <= fraction <= 1 + 1e-9 for fraction in fractions)
    assert left[-1] >= 0


def test_a_rate_that_the_range_test_finds_stable_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The range test sees the pick's own batch and rate."""
    tested = range_test_that_says(monkeypatch, highest_stable=100.0, suggested=85.0)
    choice = found(recheck=True, budget_seconds=3.0)
    assert [(config.batch_size, config.learning_rate) for config in tested] == [
        (choice.batch_size, choice.learning_rate)
    ]
    assert choice.recheck is not None
    assert not choice.recheck.is_lowered
    assert "the range test found rates up to 100 stable" in choice.reason


def test_a_recheck_that_there_is_no_time_for_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest range test takes some 300 steps, whatever the budget."""
    monkeypatch.setattr(batch_size, "shortest_steps", lambda: 10**9)
    choice = found(recheck=True, candidates=[16])
    assert choice.recheck is None
    assert "was not rechecked" in choice.reason


def test_a_rate_above_the_stable_ones_is_lowered_and_competes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lowered rate is the one that is returned and the one its time was measured at."""
    tested = range_test_that_says(monkeypatch, highest_stable=0.04, suggested=0.034)
    choice = found(recheck=True, budget_seconds=3.0)
    assert len({config.batch_size for config in tested}) == len(tested)
    assert choice.learning_rate == 0.034 == choice.picked.learning_rate
    assert choice.picked.verdict is Verdict.REACHED
    assert choice.recheck is not None
    assert choice.recheck.is_lowered
    assert "above the highest stable rate 0.04: it was lowered to 0.034" in choice.reason


def test_a_range_test_without_an_answer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words say why."""
    range_test_that_says(
        monkeypatch, highest_stable=None, suggested=None, reliable=False, reason="Too flat: x."
    )
    choice = found(recheck=True, budget_seconds=3.0)
    assert choice.learning_rate == pytest.approx(0.05 * choice.batch_size / 16)
    assert "the range test found no limit to check it against (Too flat: x)" in choice.reason


def timed(**seconds: float | None) -> tuple[Candidate, ...]:
    """Candidates b16=1.0, ... with their times."""
    sizes = fake_candidates(*(int(name[1:]) for name in seconds))
    return tuple(
        dataclasses.replace(
            candidate,
            seconds_to_target=each,
            samples_per_second=100.0,
            verdict=Verdict.TOO_SLOW if each is None else Verdict.REACHED,
        )
        for candidate, each in zip(sizes, seconds.values(), strict=True)
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"b16": 3.0, "b32": 2.0, "b64": 1.0, "b128": 1.5}, 64),
        ({"b16": 3.0, "b32": 1.04, "b64": 1.0, "b128": 1.02}, 32),
        ({"b16": None, "b32": 1.06, "b64": 1.0}, 64),
        ({"b16": None, "b32": None, "b64": None}, 32),
    ],
)
def test_among_near_equals_the_smallest_batch_is_picked(seconds: dict[str, Any], expected: int) -> None:
    """Within 5% of the best time; the knee, here 32, where no candidate has a time."""
    assert pick_candidate(timed(**seconds), knee=32).batch_size == expected


@pytest.mark.parametrize(("seconds_of_exact", "expected"), [(1.2, 97), (1.4, 16)])
def test_the_exact_effective_batch_is_preferred_unless_clearly_slower(
    seconds_of_exact: float, expected: int
) -> None:
    """97 was asked for: 6 x 16 make 96, 1 x 97 makes it."""
    near, exact = timed(b16=1.0, b97=seconds_of_exact)
    near = dataclasses.replace(near, accumulation_steps=6)
    assert pick_candidate((near, exact), knee=16, effective=97).batch_size == expected
    assert pick_candidate((near, exact), knee=16).batch_size == 16


def test_the_seed_that_sets_the_target_does_not_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """The config's own training comes to its own target by construction."""
    seen: dict[str, Any] = {}

    def spy(*candidates: Any, **asked: Any) -> Any:
        seen.update(asked)
        return race(*candidates, **asked)

    monkeypatch.setattr(batch_size, "race", spy)
    found(dataclasses.replace(CONFIG, seed=5), candidates=[16])
    assert [*seen["seeds"]] == [6, 7, 8]


@pytest.mark.parametrize(("model", "n_lanes"), [(None, 4), (linear_model, 1)])
def test_a_perceptron_is_timed_in_lanes_and_other_models_alone(
    monkeypatch: pytest.MonkeyPatch, model: Any, n_lanes: int
) -> None:
    """What trains to the target is one lane."""
    seen: list[int] = []

    class Spied(SteppedTraining):
        def train(self, n_steps: int) -> Stretch:
            seen.append(self.n_lanes)
            return super().train(n_steps)

    monkeypatch.setattr(batch_size, "SteppedTraining", Spied)
    found(model=model, candidates=[16])
    assert max(seen) == n_lanes
    assert seen[-1] == 1


def test_another_speed_is_another_time_to_the_target() -> None:
    """Steps stay what they are."""
    (candidate,) = timed(b32=1.0)
    stepped = dataclasses.replace(candidate, steps_to_target=10.0)
    assert stepped.at_speed(640.0).seconds_to_target == pytest.approx(10 * 32 / 640)
    assert fake_candidates(32)[0].at_speed(640.0).seconds_to_target is None


def test_finalists_are_those_near_the_best_time() -> None:
    """Within 1.3 times of it; nobody is one where nobody came to the target."""
    sizes = [c.batch_size for c in finalists(timed(b16=1.31, b32=1.29, b64=1.0, b128=None))]
    assert sizes == [32, 64]
    assert finalists(timed(b16=None)) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (
            {"b32": 1.0, "b64": 1.03, "b128": 2.0},
            "in 1 s, 2 times as fast as 128; 64 makes no difference worth",
        ),
        (
            {"b32": 1.0, "b64": 1.0, "b96": 1.04, "b128": 1.2},
            "1.2 times as fast as 128; 64 and 96 make no difference",
        ),
        ({"b32": 1.0, "b64": None}, "in 1 s; no other candidate reached it in 1.5 times that time."),
        ({"b32": 1.0}, "in 1 s. Its rate"),
    ],
)
def test_the_reason_tells_who_else_is_as_fast(seconds: dict[str, Any], said: str) -> None:
    """And how the pick compares with the config's own batch, 128."""
    candidates = timed(**seconds)
    rule = rate_rule(TrainingConfig(), 1000)
    assert said in reason_of(candidates[0], candidates, 0.5, rule, None, effective=None)


def test_a_kept_rate_is_called_kept() -> None:
    """Under rule none nothing follows anything."""
    rule = rate_rule(TrainingConfig(), 1000, "none")
    (candidate,) = timed(b32=1.0)
    checked = Recheck(rule_rate=0.1, learning_rate=0.1, highest_stable=0.5, reliable=True, reason="")
    reason = reason_of(candidate, [candidate], 0.5, rule, checked, effective=None)
    assert (
        "Its rate 0.1 is kept from 0.1 at batch 128, and the range test found rates up to 0.5 stable."
        in reason
    )
