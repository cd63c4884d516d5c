import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from search_spaces.errors import ConfigurationError
from studies.comparison import Comparison, Verdict, compare, confirm, interval
from studies.encoding import to_json
from studies.intervals import signed_rank_interval

Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

numbers = st.floats(-1e3, 1e3).map(lambda value: round(value, 6))
samples = st.lists(numbers, min_size=2, max_size=12)
NOISES: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy": lambda rng, shape: rng.standard_t(3, shape) / math.sqrt(3),
    "skewed": lambda rng, shape: 1.0 - rng.exponential(size=shape),
}
"""All of standard deviation 1; the skewed one has its long tail below, as accuracies near 1 have."""


def winners(
    *,
    n_configs: int,
    n_seeds: int = 8,
    lead: float = 0.0,
    noise: str = "normal",
    correlation: float = 0.0,
    n_studies: int = 1000,
) -> list[str | None]:
    """Of studies of equal configs, but for config 0, which is better by ``lead`` standard deviations."""
    rng, found = np.random.default_rng(20), []
    for _ in range(n_studies):
        own = NOISES[noise](rng, (n_configs, n_seeds))
        shared = NOISES[noise](rng, (1, n_seeds))
        values = math.sqrt(1 - correlation) * own + math.sqrt(correlation) * shared
        values[0] += lead
        found.append(confirm({str(i): row.tolist() for i, row in enumerate(values)}).winner)
    return found


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("n_configs", "correlation"), [(2, 0.0), (2, 0.8), (3, 0.0), (5, 0.4)])
def test_equal_configs_have_no_winner(noise: str, n_configs: int, correlation: float) -> None:
    """In at least 93% of studies of pure noise no winner is named, whatever the noise."""
    named = sum(w is not None for w in winners(n_configs=n_configs, noise=noise, correlation=correlation))
    assert named / 1000 <= 0.07


@pytest.mark.parametrize("n_configs", [2, 3, 4])
def test_a_difference_of_two_noise_floors_is_found(n_configs: int) -> None:
    """At 8 seeds the better config is named in at least 88% of studies, also among four and with unrelated noise."""
    assert winners(n_configs=n_configs, lead=2.0).count("0") / 1000 >= 0.88


def share_named(values: np.ndarray) -> float:
    """Of studies, shape [n_studies, n_configs, n_seeds], in which a winner is named."""
    found = [confirm({str(i): row.tolist() for i, row in enumerate(study)}).winner for study in values]
    return sum(winner is not None for winner in found) / len(found)


def two_tied_above(block: np.ndarray, *, correlation: float = 0.0) -> np.ndarray:
    """``block``, shape [n_studies, n_configs, n_seeds], with the second moving with the first, far above the rest."""
    values = block.copy()
    values[:, 1] = correlation * values[:, 0] + math.sqrt(1.0 - correlation**2) * values[:, 1]
    values[:, 2:] -= 50.0
    return values


def test_two_tied_noisy_leaders_are_told_apart_no_more_often_than_any_two() -> None:
    """With two equal configs far above quieter ones a winner is named in at most 7% of studies: no pooled variance."""
    values = np.random.default_rng(3).standard_normal((1000, 5, 8))
    values[:, 2:] /= 3.0
    assert share_named(two_tied_above(values)) <= 0.07


@pytest.mark.parametrize("correlation", [-0.3, -0.5, -0.8])
def test_tied_leaders_that_move_against_each_other_are_not_told_apart(correlation: float) -> None:
    """A negative correlation widens the interval: no more than 7% false winners (8 to 15% were it taken for zero)."""
    values = np.random.default_rng(6).standard_normal((2000, 3, 8))
    assert (
        share_named(two_tied_above(values, correlation=correlation)) <= 0.075
    )  # 7% and the scatter of 2,000


@pytest.mark.parametrize(("n_configs", "shared"), [(5, 0.8), (11, 0.99)])
def test_an_unrelated_runner_up_does_not_profit_from_the_others_correlation(
    n_configs: int, shared: float
) -> None:
    """Where all but the second of two tied configs move together, a winner is named in at most 7% of studies."""
    rng = np.random.default_rng(4)
    own, common = rng.standard_normal((1000, n_configs, 8)), rng.standard_normal((1000, 1, 8))
    values = math.sqrt(1.0 - shared) * own + math.sqrt(shared) * common
    values[:, 1] = rng.standard_normal((1000, 8))
    assert share_named(two_tied_above(values)) <= 0.07


@pytest.mark.parametrize(("correlation", "power"), [(0.3, 0.93), (0.5, 0.97), (0.8, 0.99)])
def test_pairing_tells_five_configs_apart(correlation: float, power: float) -> None:
    """What seeds do to all configs falls out, so the leader is found more often."""
    named = winners(n_configs=5, lead=2.0, correlation=correlation, n_studies=500).count("0")
    assert named / 500 >= power


def _slow_interval(a: list[float], b: list[float]) -> tuple[float, float]:
    """Of two configs among several, from numpy's covariance matrix and scipy's distribution, as documented."""
    (var_a, both), (_, var_b) = np.cov(a, b)
    r = np.corrcoef(a, b)[0, 1]
    share = math.sqrt(r) if r > 0 else min(1.0, 1.2 * abs(r))
    # Satterthwaite: twice the squared estimate over its variance, the samples' covariance taken as independent.
    estimate = var_a + var_b - 2 * share * both
    spread = (2 * var_a**2 + 2 * var_b**2 + 4 * share**2 * var_a * var_b) / (len(a) - 1)
    df = 2 * (var_a + var_b) ** 2 / spread
    low, high = stats.t.interval(0.95, df, loc=np.mean(a) - np.mean(b), scale=math.sqrt(estimate / len(a)))
    return float(low), float(high)


@pytest.mark.parametrize("correlation", [-1.0, -0.9, -0.3, 0.0, 0.3, 0.9])
def test_the_interval_among_several_is_its_slow_twins(correlation: float) -> None:
    """Fast path and slow twin, with configs of different noise and any correlation."""
    rng = np.random.default_rng(8)
    a = rng.standard_normal(8)
    b = 3.0 * (correlation * a + math.sqrt(1 - correlation**2) * rng.standard_normal(8)) - 1.0
    found = confirm({"a": (a + 9).tolist(), "b": b.tolist(), "c": (b - 50).tolist()}).comparisons[0]
    assert found.difference.method == "t with a shrunken correlation"
    expected = _slow_interval((a + 9).tolist(), b.tolist())
    assert (found.difference.low, found.difference.high) == pytest.approx(expected)


@settings(deadline=None)
@given(values=samples, confidence=st.floats(0.5, 0.99))
def test_the_t_interval_is_scipys(values: list[float], confidence: float) -> None:
    """Fast path and slow twin: one formula against scipy's distribution object."""
    found = interval(values, confidence=confidence)
    if np.ptp(values) == 0.0:
        assert found.low == pytest.approx(values[0])
        assert found.high == pytest.approx(values[0])
        return
    low, high = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    assert found.sd == pytest.approx(np.std(values, ddof=1))


@pytest.mark.parametrize("n", [8, 20])
def test_the_bca_interval_is_scipys(n: int) -> None:
    """From the same draws both bounds agree to the last digits, on skewed values."""
    values = np.random.default_rng(n).exponential(size=n)
    found = interval(values.tolist(), method="bca", seed=7)
    twin = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(7), batch=9999
    ).confidence_interval
    assert found.method == "bca"
    assert (found.low, found.high) == pytest.approx((twin.low, twin.high), rel=1e-12)


def _rejects(differences: list[float]) -> bool:
    """Wilcoxon's two-sided test at 5% by trying all 2^n signs; no ties among the sizes."""
    ranks = stats.rankdata(np.abs(differences))
    observed = min(ranks[np.array(differences) > 0].sum(), ranks[np.array(differences) < 0].sum())
    sums = [
        sum(r for r, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product([0, 1], repeat=len(ranks))
    ]
    return bool(2 * np.mean(np.array(sums) <= observed) <= 0.05)


@settings(deadline=None, max_examples=60)
@given(
    differences=st.lists(numbers, min_size=2, max_size=9, unique_by=abs).filter(lambda row: 0.0 not in row)
)
def test_the_signed_rank_interval_excludes_zero_when_the_test_by_all_signs_rejects(
    differences: list[float],
) -> None:
    """Bounds from Walsh averages and the test by enumeration are one and the same."""
    assert signed_rank_interval(np.array(differences)).excludes_zero == _rejects(differences)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_signed_rank_interval_is_as_narrow_as_the_test_allows(sign: float) -> None:
    """Where differences lean to one side, so that verdicts fall both ways, it still is the test by all signs."""
    rng, found = np.random.default_rng(2), []
    for _ in range(60):
        differences = sign * (rng.standard_normal(8) + 0.8)
        found.append(_rejects(differences.tolist()))
        assert signed_rank_interval(differences).excludes_zero == found[-1]
    assert set(found) == {True, False}


def test_the_paired_t_is_scipys() -> None:
    """Of two configs the interval excludes zero exactly where scipy's paired test has p < 0.05."""
    rng, verdicts = np.random.default_rng(0), set()
    for shift in np.linspace(-2, 2, 60):
        a, b = rng.standard_normal(8) + shift, rng.standard_normal(8)
        found = compare(a.tolist(), b.tolist())
        assert (stats.ttest_rel(a, b).pvalue < 0.05) == (found.verdict is not Verdict.NO_DIFFERENCE)
        verdicts.add(found.verdict)
    assert verdicts == set(Verdict)


def _told(comparison: Comparison) -> tuple[Verdict, float, float]:
    return comparison.verdict, comparison.difference.mean, comparison.p_better


_TURNED = {
    Verdict.BETTER: Verdict.WORSE,
    Verdict.WORSE: Verdict.BETTER,
    Verdict.NO_DIFFERENCE: Verdict.NO_DIFFERENCE,
}


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | numbers, st.none() | numbers), min_size=2, max_size=10))
def test_a_comparison_turned_round_says_the_opposite(pairs: list[tuple[float | None, float | None]]) -> None:
    """Exchanging the configs, or the direction and the sign of the values, changes nothing but the point of view."""
    a, b = (list(side) for side in zip(*pairs, strict=True))
    verdict, mean, chance = _told(compare(a, b))
    assert _told(compare(b, a)) == (
        _TURNED[verdict],
        pytest.approx(-mean, nan_ok=True),
        pytest.approx(1 - chance),
    )
    lower = [[None if value is None else -value for value in side] for side in (a, b)]
    assert _told(compare(*lower, direction="minimize")) == (
        verdict,
        pytest.approx(mean, nan_ok=True),
        pytest.approx(chance),
    )


@pytest.mark.parametrize("lost", [None, math.nan, math.inf, -math.inf])
def test_a_diverged_replicate_counts_as_the_worst(lost: float | None) -> None:
    """A config far better in 7 seeds and diverged in one is no winner; the other is not either; it is said."""
    found = compare([0.9 + i / 1000 for i in range(7)] + [lost], [0.5] * 8, names=("wild", "tame"))
    assert found.verdict is Verdict.NO_DIFFERENCE
    assert found.n_diverged == (1, 0)
    assert found.difference.n == 7
    assert found.difference.low == -math.inf
    assert "wild diverged in 1 of 8, which counts as worst." in found.sentence


def test_diverging_everywhere_loses_to_anything_that_trains() -> None:
    """Eight diverged replicates against eight finite ones: beaten, though no difference can be given."""
    found = compare([0.1, 0.2, 0.3, 0.1, 0.2, 0.4, 0.1, 0.3], [None] * 8, direction="minimize")
    assert found.verdict is Verdict.BETTER
    assert math.isnan(found.difference.mean)
    assert found.p_better == pytest.approx(9 / 10)


def test_a_config_that_diverges_never_leads_one_that_does_not() -> None:
    """Ranking goes by how few replicates diverged before it goes by mean."""
    found = confirm({"wild": [0.99] * 7 + [None], "tame": [0.5 + i / 100 for i in range(8)]})
    assert [row.label for row in found.ranked] == ["tame", "wild"]
    assert found.winner is None


def test_both_diverged_in_a_seed_is_a_tie() -> None:
    """A seed in which neither trains favors neither, has no gain to average, and is judged by ranks."""
    found = compare([None, 1.0], [None, 2.0])
    assert found.p_better == pytest.approx((0.5 + 1) / 4)
    gain = compare([None, 1.0, 1.1, 1.3], [None, 2.0, 2.0, 2.0]).difference
    assert gain.method == "signed rank"
    assert gain.mean == pytest.approx(-2.6 / 3)
    assert gain.n == 3
    assert gain.sd == pytest.approx(np.std([-1.0, -0.9, -0.7], ddof=1))


def test_where_all_diverged_nothing_leads() -> None:
    """No config is named as the leader, and no number is given."""
    assert (
        confirm({"a": [None] * 8, "b": [None] * 8}).sentence
        == "No winner: every config diverged with every seed."
    )
    assert confirm({"a": [None] * 8}).sentence == "No winner: a diverged with every seed."
    assert confirm({"a": [], "b": []}).sentence == "No winner: no seed has a value of every config."


def test_an_incomplete_confirmation_names_no_winner() -> None:
    """However clear the pairs are so far: those that are missing may be the ones that went wrong."""
    values = {"a": [0.9, 0.91] * 4, "b": [0.1, 0.12] * 4}
    assert confirm(values).winner == "a"
    found = confirm(values, n_missing=3)
    assert found.winner is None
    assert found.sentence == "No winner yet: 3 of 19 trainings are missing."


@pytest.mark.parametrize(("n_configs", "is_noted"), [(4, False), (5, True)])
def test_too_few_seeds_for_many_configs_are_said_to_be(n_configs: int, is_noted: bool) -> None:
    """Eight seeds hold their power up to four configs."""
    found = confirm({str(i): [0.1 * ((i + j) % 3) for j in range(8)] for i in range(n_configs)})
    assert found.winner is None
    assert (f"few for {n_configs} configs: confirm fewer, or add seeds" in found.sentence) == is_noted


def test_one_seed_is_said_in_the_singular() -> None:
    """Over 1 seed, not over 1 seeds."""
    assert "over 1 seed." in confirm({"a": [0.9], "b": [0.8]}).sentence


@pytest.mark.parametrize(
    ("a", "b", "verdict", "phrase"),
    [
        ([0.9] * 8, [0.9] * 8, Verdict.NO_DIFFERENCE, "they are equal over 8 paired seeds"),
        ([0.9] * 8, [0.8] * 8, Verdict.BETTER, "A beats B by 0.1"),
        ([0.9] * 5, [0.8] * 5, Verdict.NO_DIFFERENCE, "no bounds from 5"),
        ([0.9], [0.1], Verdict.NO_DIFFERENCE, "needs at least 2 paired seeds, but there is 1"),
        ([], [], Verdict.NO_DIFFERENCE, "needs at least 2 paired seeds, but there is none"),
    ],
    ids=["equal", "same-gain", "same-gain-of-five", "one-pair", "no-pair"],
)
def test_without_spread_or_pairs_the_answer_is_honest(
    a: list[float], b: list[float], verdict: Verdict, phrase: str
) -> None:
    """Differences without spread are judged by their number alone: six are needed; one pair says nothing."""
    found = compare(a, b)
    assert found.verdict is verdict
    assert phrase in found.sentence
    assert found.p_better == pytest.approx(
        (
            sum(x > y for x, y in zip(a, b, strict=True))
            + 1
            + sum(x == y for x, y in zip(a, b, strict=True)) / 2
        )
        / (len(a) + 2)
    )


@pytest.mark.parametrize("method", ["t", "bca"])
def test_an_interval_of_nothing_has_no_bounds(method: str) -> None:
    """One value has a mean and nothing else; none has not even that; equal values have a width of zero."""
    one = interval([0.5], method=method)  # type: ignore[arg-type]  # parametrized
    assert (one.mean, one.low, one.high, one.n) == (0.5, -math.inf, math.inf, 1)
    none = interval([None, math.nan], method=method)  # type: ignore[arg-type]
    assert math.isnan(none.mean)
    assert none.n == 0
    same = interval([0.5, 0.5, 0.5], method=method)  # type: ignore[arg-type]
    assert (same.low, same.high, same.sd) == (0.5, 0.5, 0.0)


def test_the_winners_curse_is_told() -> None:
    """The search's value less the confirmed mean, positive where the search was too optimistic, in either direction."""
    up = confirm({"a": [0.90, 0.92] * 4, "b": [0.5, 0.52] * 4}, searched={"a": 0.95})
    assert up.winner == "a"
    assert up.selection_bias == pytest.approx(0.04)
    assert "found 0.95, 0.04 better than fresh seeds confirm" in up.sentence
    down = confirm({"a": [0.2, 0.22] * 4, "b": [0.5, 0.52] * 4}, direction="minimize", searched={"a": 0.15})
    assert down.winner == "a"
    assert down.selection_bias == pytest.approx(0.06)
    assert down.ranked[1].selection_bias is None


def test_a_winner_must_beat_every_other_config() -> None:
    """Beating two of three is not winning; the sentence names the one that it cannot be told from."""
    rng = np.random.default_rng(1)
    values = {"lead": 1.0 + rng.normal(0, 0.1, 8), "near": 0.99 + rng.normal(0, 0.1, 8)}
    values |= {"far": rng.normal(0, 0.1, 8), "farther": rng.normal(-1, 0.1, 8)}
    found = confirm({label: row.tolist() for label, row in values.items()})
    assert found.winner is None
    assert sum(each.verdict is Verdict.BETTER for each in found.comparisons) == 2
    assert f"cannot be told from {found.ranked[1].label} over 8 seeds" in found.sentence


def test_one_config_alone_is_no_winner() -> None:
    """There is nothing that it could have beaten; its mean and interval are there all the same."""
    found = confirm({"only": [0.9, 0.91, 0.92]})
    assert found.winner is None
    assert found.leader.confirmed.mean == pytest.approx(0.91)
    assert "confirmed alone" in found.sentence


def test_a_comparison_has_a_json_form_without_infinities() -> None:
    """Bounds that do not exist are null."""
    found = confirm({"a": [0.9, None], "b": [0.8, 0.7]})
    assert found.to_json()["comparisons"][0]["difference"]["low"] is None
    assert to_json(found.to_json())
    assert found.comparisons[0].to_json()["verdict"] == "no winner"


def test_what_cannot_be_compared_is_refused() -> None:
    """Unequal lengths, no config, an unknown direction or method, and a confidence out of range, each by its rule."""
    with pytest.raises(
        ConfigurationError, match="one value of each config for every seed, but got 2 of A, 1 of B"
    ):
        compare([1.0, 2.0], [1.0])
    with pytest.raises(ConfigurationError, match="Two configs need two names, but got 'A' for both"):
        compare([1.0], [1.0], names=("A", "A"))
    with pytest.raises(ConfigurationError, match="at least one config, but got none"):
        confirm({})
    with pytest.raises(ConfigurationError, match="direction must be one of maximize, minimize, but got 'up'"):
        compare([1.0], [1.0], direction="up")
    with pytest.raises(ConfigurationError, match="method must be one of auto, t, bca, but got 'percentile'"):
        interval([1.0, 2.0], method="percentile")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"between 0 and 1, but got 95\."):
        interval([1.0, 2.0], confidence=95.0)
