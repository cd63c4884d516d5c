"""Which batch sizes are tried, and at which learning rates."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import ConfigurationError
from tuner.training.batching.candidates import batch_candidates, rate_rule
from tuner.training.config import TrainingConfig


def sizes_of(config: TrainingConfig, n_train: int, **chosen: object) -> list[int]:
    rule = rate_rule(config, n_train)
    return [c.batch_size for c in batch_candidates(config, n_train, rule=rule, **chosen)]  # type: ignore[arg-type]


def test_candidates_are_powers_of_two_up_to_a_quarter_of_the_data() -> None:
    """16 to 8192 where there is enough data."""
    assert sizes_of(TrainingConfig(), 48_000) == [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
    assert sizes_of(TrainingConfig(), 2000) == [16, 32, 64, 128, 256]


def test_the_configs_own_effective_batch_is_a_candidate() -> None:
    """However odd or large it is, or made up by accumulation."""
    assert 100 in sizes_of(TrainingConfig(batch_size=100), 2000)
    assert 2000 in sizes_of(TrainingConfig(batch_size="full"), 2000)
    assert 300 in sizes_of(TrainingConfig(batch_size=100, accumulation_steps=3), 2000)


def test_small_data_has_small_candidates() -> None:
    """96 samples are tried in batches of 4 to 24 at most, and all at once, as the config has it."""
    assert sizes_of(TrainingConfig(), 96) == [4, 8, 16, 96]


@given(effective=st.integers(2, 5000), size=st.integers(1, 5000))
@settings(deadline=None)
def test_accumulation_comes_as_near_the_wanted_batch_as_a_divisor_allows(effective: int, size: int) -> None:
    """The micro-batch is in (size / 2, size]; it divides the batch when any in there does, else it falls short by less
    than one micro-batch."""
    size = min(size, effective)
    config = TrainingConfig()
    rule = rate_rule(config, 5000)
    (made,) = batch_candidates(config, 5000, rule=rule, effective=effective, sizes=[size])
    assert size / 2 < made.batch_size <= size
    short = effective - made.effective_batch_size
    if any(effective % part == 0 for part in range(size // 2 + 1, size + 1)):
        assert short == 0
    else:
        assert made.batch_size == size
        assert 0 < short < size


def test_the_wanted_effective_batch_itself_is_tried() -> None:
    """Where it fits into memory there may be nothing to accumulate."""
    assert sizes_of(TrainingConfig(), 2000, effective=500) == [10, 25, 50, 125, 250, 500]


@pytest.mark.parametrize(("rule", "expected"), [("linear", 0.4), ("sqrt", 0.2), ("none", 0.1), (None, 0.4)])
def test_the_rate_follows_the_batch_by_the_rule(rule: str | None, expected: float) -> None:
    """From 0.1 at batch 128 to batch 512; sgd's own rule is linear."""
    assert rate_rule(TrainingConfig(), 10_000, rule).rate(512, 10_000) == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
def test_adaptive_optimizers_scale_by_the_square_root(optimizer: str) -> None:
    """Unless one says otherwise."""
    config = TrainingConfig.from_mapping({"optimizer": optimizer, "learning_rate": 0.001})
    assert rate_rule(config, 10_000).rate(512, 10_000) == pytest.approx(0.002)


def test_a_configs_own_rule_and_base_pair_are_kept() -> None:
    """Its learning rate is meant for base_batch_size, not for its batch."""
    config = TrainingConfig(batch_size=512, batch_lr_rule="sqrt", base_batch_size=32)
    rule = rate_rule(config, 10_000)
    assert (rule.rule, rule.batch_size) == ("sqrt", 32)
    assert rule.rate(128, 10_000) == pytest.approx(0.1 * math.sqrt(4))
    assert rate_rule(config, 10_000, "linear").rate(128, 10_000) == pytest.approx(0.4)


def test_a_candidates_config_says_its_rate_as_it_is() -> None:
    """No rule is applied twice."""
    config = TrainingConfig(batch_lr_rule="linear", base_batch_size=32, dropout=0.1)
    rule = rate_rule(config, 1000)
    (candidate,) = batch_candidates(config, 1000, rule=rule, sizes=[64])
    resolved = candidate.config(config)
    assert resolved.batch_lr_rule == "none"
    assert (resolved.batch_size, resolved.learning_rate, resolved.dropout) == (64, 0.2, 0.1)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"effective": 1}, r"effective must be 2 to 96, the samples there are, but got 1\."),
        ({"effective": 97}, r"but got 97\."),
        ({"sizes": [0, 8, 200]}, r"Candidates must be 1 to 96, but got 0, 200\."),
        ({"sizes": []}, r"one batch size or more, but got none"),
        ({"effective": 97, "sizes": [98]}, r"(?s)effective must.*Candidates must"),
    ],
)
def test_sizes_that_cannot_be_are_refused(chosen: dict[str, object], said: str) -> None:
    """All faults at once."""
    with pytest.raises(ConfigurationError, match=said):
        sizes_of(TrainingConfig(), 96, **chosen)


def test_an_unknown_rule_is_refused() -> None:
    """With the rules there are."""
    with pytest.raises(ConfigurationError, match=r"batch_lr_rule must be .*linear"):
        rate_rule(TrainingConfig(), 96, "cubic")
