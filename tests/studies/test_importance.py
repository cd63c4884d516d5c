import dataclasses
import json
import time
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from studies.importance import Importances, importances_of
from studies.records import Outcome, StudyRecord, TrialRecord

UNIT = FloatDistribution(0.0, 1.0)
Objective = Callable[[Mapping[str, float], np.random.Generator], float]


def searched(
    objective: Objective,
    distributions: Mapping[str, BaseDistribution],
    *,
    n: int = 40,
    seed: int = 0,
    direction: str = "maximize",
) -> StudyRecord:
    """A random search of ``objective``, complete trials only."""
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(n):
        params = {name: _draw(distribution, rng) for name, distribution in distributions.items()}
        trials.append(
            TrialRecord(
                number=number,
                state="complete",
                outcome=Outcome.COMPLETED,
                value=float(objective(params, rng)),
                params=params,
                distributions=distributions,
            )
        )
    return StudyRecord(name="known", direction=direction, trials=tuple(trials))


def _draw(distribution: BaseDistribution, rng: np.random.Generator) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[rng.integers(len(distribution.choices))]  # type: ignore[return-value]  # numbers here
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if isinstance(distribution, IntDistribution):
        return int(rng.integers(distribution.low, distribution.high + 1))
    if distribution.log:
        return float(np.exp(rng.uniform(np.log(distribution.low), np.log(distribution.high))))
    return float(rng.uniform(distribution.low, distribution.high))


def shares(importances: Importances, evaluator: str) -> dict[str, float]:
    return {row.lever: row.importance for row in importances.evaluators[evaluator]}


def significant(importances: Importances) -> set[str]:
    return {row.lever for rows in importances.evaluators.values() for row in rows if row.significant}


def test_fanova_finds_the_shares_of_a_function_known_by_hand() -> None:
    """For 2a + b with uniform levers a explains 4/5 of the variance and b 1/5, within the forest's error."""
    record = searched(lambda p, _: 2.0 * p["a"] + p["b"], {"a": UNIT, "b": UNIT, "idle": UNIT}, n=120)
    found = shares(importances_of(record, n_bootstrap=10), "fanova")
    assert found["a"] == pytest.approx(0.8, abs=0.12)
    assert found["b"] == pytest.approx(0.2, abs=0.12)
    assert found["idle"] < 0.03


def test_the_importances_are_optunas_own() -> None:
    """What all trials say is what Optuna says of the same study: only intervals and claims are added."""
    record = searched(lambda p, g: p["a"] + 0.1 * g.normal(), {"a": UNIT, "b": UNIT, "c": UNIT}, n=60)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(t.params), distributions=dict(t.distributions), value=t.value
            )
            for t in record.trials
        ]
    )
    found = importances_of(record, n_bootstrap=10)
    ped = optuna.importance.PedAnovaImportanceEvaluator()
    assert shares(found, "ped_anova") == pytest.approx(
        optuna.importance.get_param_importances(study, evaluator=ped)
    )
    forest = optuna.importance.FanovaImportanceEvaluator(seed=0)
    assert shares(found, "fanova") == pytest.approx(
        optuna.importance.get_param_importances(study, evaluator=forest)
    )


def test_a_lever_searched_by_logarithm_is_weighed_by_logarithm() -> None:
    """For log10(rate) + 4b over four decades each explains half; on the raw range b would take nearly all."""
    distributions = {"rate": FloatDistribution(1e-4, 1.0, log=True), "b": UNIT}
    record = searched(lambda p, _: float(np.log10(p["rate"])) + 4.0 * p["b"], distributions, n=120)
    found = shares(importances_of(record, n_bootstrap=10), "fanova")
    assert found["rate"] == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_lever_that_matters_is_significant_and_the_idle_ones_are_not(direction: str) -> None:
    """Both evaluators, both directions: x beyond noise, the rest not, and the verdict says so."""
    sign = 1.0 if direction == "maximize" else -1.0
    record = searched(
        lambda p, g: -sign * (p["x"] - 0.5) ** 2 + 0.005 * g.normal(),
        {"x": UNIT, "y": UNIT, "kind": CategoricalDistribution([1, 2, 3]), "depth": IntDistribution(1, 9)},
        n=60,
        direction=direction,
    )
    importances = importances_of(record, n_bootstrap=30)
    assert significant(importances) == {"x"}
    assert all(rows[0].lever == "x" and rows[0].significant for rows in importances.evaluators.values())
    assert importances.verdict == "x matters beyond noise by both evaluators (60 complete trials)."


def test_pure_noise_is_called_noise() -> None:
    """Of ten studies in which no lever matters at most one claims that some lever does."""
    levers = dict.fromkeys("abcd", UNIT)
    found = [
        significant(
            importances_of(searched(lambda _, g: g.normal(), levers, n=20, seed=seed), n_bootstrap=20)
        )
        for seed in range(10)
    ]
    assert sum(map(bool, found)) <= 1


def test_intervals_hold_the_importance_and_shares_add_up() -> None:
    """low <= importance <= high for each lever, and an evaluator's importances sum to 1."""
    record = searched(lambda p, g: p["a"] + 0.3 * g.normal(), {"a": UNIT, "b": UNIT})
    for rows in importances_of(record, n_bootstrap=20).evaluators.values():
        assert all(0.0 <= row.low <= row.importance <= row.high <= 1.0 for row in rows)
        assert any(row.low < row.high for row in rows)
        assert sum(row.importance for row in rows) == pytest.approx(1.0)


def test_more_trials_give_narrower_intervals() -> None:
    """The bootstrap's interval of the same function shrinks from 15 trials to 90."""

    def width(n: int) -> float:
        record = searched(lambda p, g: p["a"] + p["b"] + 0.1 * g.normal(), {"a": UNIT, "b": UNIT}, n=n)
        return sum(row.high - row.low for row in importances_of(record, n_bootstrap=20).evaluators["fanova"])

    assert width(90) < width(15)


def test_the_same_seed_gives_the_same_numbers() -> None:
    """Deterministic for a seed; another seed moves the intervals."""
    record = searched(lambda p, g: p["a"] + g.normal(), {"a": UNIT, "b": UNIT}, n=20)
    first = importances_of(record, seed=3, n_bootstrap=20)
    assert first == importances_of(record, seed=3, n_bootstrap=20)
    assert first != importances_of(record, seed=4, n_bootstrap=20)


@pytest.mark.parametrize(
    ("n", "said"), [(0, "no trial has completed"), (1, "1 trial has"), (3, "3 trials have")]
)
def test_too_few_trials_are_not_ranked(n: int, said: str) -> None:
    """Below four complete trials there are no rows, and the verdict counts them."""
    importances = importances_of(searched(lambda p, _: p["a"], {"a": UNIT}, n=n))
    assert set(importances.evaluators) == {"ped_anova", "fanova"}
    assert not any(importances.evaluators.values())
    assert said in importances.verdict


def test_few_trials_are_ranked_without_a_claim() -> None:
    """With six trials there is an order, and nothing is called significant."""
    importances = importances_of(searched(lambda p, _: p["a"], {"a": UNIT, "b": UNIT}, n=6))
    assert all(importances.evaluators.values())
    assert not significant(importances)
    assert "cannot be told from noise" in importances.verdict


def test_one_lever_has_it_all() -> None:
    """A single lever's share is 1, and whether it matters is still a question."""
    matters = importances_of(searched(lambda p, _: p["a"], {"a": UNIT}), n_bootstrap=20)
    assert shares(matters, "fanova") == {"a": 1.0}
    assert significant(matters) == {"a"}
    assert not significant(
        importances_of(searched(lambda _, g: g.normal(), {"a": UNIT}, seed=1), n_bootstrap=20)
    )


def test_equal_values_show_no_difference() -> None:
    """When every trial has one value, no lever made a difference."""
    importances = importances_of(searched(lambda _, __: 0.5, {"a": UNIT}))
    assert "same value" in importances.verdict


@pytest.mark.parametrize("extreme", [1e308, -1e308, float("inf"), float("-inf"), 2e140])
def test_values_too_large_to_compute_with_are_left_out_and_said(extreme: float) -> None:
    """They neither stop the forest nor change what the others say."""
    record = searched(lambda p, _: p["a"], {"a": UNIT, "b": UNIT}, n=20)
    odd = dataclasses.replace(record.trials[0], number=20, value=extreme)
    importances = importances_of(dataclasses.replace(record, trials=(*record.trials, odd)), n_bootstrap=20)
    assert importances.evaluators == importances_of(record, n_bootstrap=20).evaluators
    assert importances.n_trials == 20
    assert "1 complete trial is left out" in importances.verdict
    only = importances_of(dataclasses.replace(record, trials=(odd, odd)))
    assert "2 complete trials are left out" in only.verdict


@pytest.mark.parametrize("large", [1e139, 1e-300])
def test_values_that_are_only_large_or_small_are_ranked(large: float) -> None:
    """Up to the limit, beside ordinary ones and alone."""
    record = searched(lambda p, _: p["a"] * large, {"a": UNIT, "b": UNIT}, n=20)
    assert importances_of(record, n_bootstrap=10).evaluators["ped_anova"][0].lever == "a"
    odd = dataclasses.replace(record.trials[0], number=20, value=1.0)
    assert (
        importances_of(dataclasses.replace(record, trials=(*record.trials, odd)), n_bootstrap=10).n_trials
        == 21
    )


def test_a_study_without_levers_has_nothing_to_rank() -> None:
    """Replicates of one config are no search."""
    assert "No lever was searched" in importances_of(searched(lambda _, g: g.normal(), {})).verdict


def test_a_lever_with_one_setting_has_no_importance() -> None:
    """What never changed did not matter, alone or beside others."""
    fixed = CategoricalDistribution([7])
    beside = importances_of(searched(lambda p, _: p["a"], {"a": UNIT, "fixed": fixed}), n_bootstrap=10)
    assert shares(beside, "ped_anova")["fixed"] == 0.0
    assert shares(beside, "fanova")["fixed"] == 0.0
    alone = importances_of(searched(lambda _, g: g.normal(), {"fixed": fixed}), n_bootstrap=10)
    assert shares(alone, "fanova") == {"fixed": 0.0}
    same = searched(lambda _, g: g.normal(), {"a": UNIT})
    stuck = tuple(dataclasses.replace(trial, params={"a": 0.5}) for trial in same.trials)
    assert shares(importances_of(dataclasses.replace(same, trials=stuck), n_bootstrap=10), "fanova") == {
        "a": 0.0
    }


def test_conditional_levers_are_left_to_ped_anova() -> None:
    """A lever of some trials only is ranked by PED-ANOVA; fANOVA leaves it out, and the verdict says so."""
    record = searched(lambda p, g: p["a"] + 0.1 * g.normal(), {"a": UNIT, "momentum": UNIT})
    trials = tuple(
        trial
        if trial.number % 2
        else dataclasses.replace(trial, params={"a": trial.params["a"]}, distributions={"a": UNIT})
        for trial in record.trials
    )
    importances = importances_of(dataclasses.replace(record, trials=trials), n_bootstrap=20)
    assert set(shares(importances, "ped_anova")) == {"a", "momentum"}
    assert set(shares(importances, "fanova")) == {"a"}
    assert importances.left_out == {"fanova": ("momentum",)}
    assert "fANOVA leaves out momentum" in importances.verdict


def test_pruned_and_diverged_trials_are_not_used() -> None:
    """They change nothing, whatever their last values."""
    record = searched(lambda p, _: p["a"], {"a": UNIT, "b": UNIT})
    extra = dataclasses.replace(
        record.trials[0], number=99, state="pruned", outcome=Outcome.PRUNED, value=1e9
    )
    more = dataclasses.replace(record, trials=(*record.trials, extra))
    assert importances_of(more, n_bootstrap=10) == importances_of(record, n_bootstrap=10)


def test_json_has_the_public_shape() -> None:
    """study, evaluators with their rows, verdict: strict JSON."""
    record = searched(lambda p, _: p["a"], {"a": UNIT}, n=12)
    data = json.loads(json.dumps(importances_of(record, n_bootstrap=20).to_json(), allow_nan=False))
    assert {"study", "evaluators", "verdict"} <= set(data)
    row = data["evaluators"]["ped_anova"][0]
    assert set(row) == {"lever", "importance", "low", "high", "significant"}


def test_optunas_voice_and_warnings_are_as_before() -> None:
    """Neither the log level nor the warning filters of the caller are changed, and nothing is warned."""
    optuna.logging.set_verbosity(optuna.logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importances_of(searched(lambda p, _: p["a"], {"a": UNIT}, n=12), n_bootstrap=20)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


def test_a_hundred_trials_of_ten_levers_take_seconds() -> None:
    """5 s is the aim on a quiet core (3.5 measured); 30 s leaves room for a busy one, not for a blunder."""
    record = searched(lambda p, g: p["l0"] + 0.1 * g.normal(), {f"l{i}": UNIT for i in range(10)}, n=100)
    start = time.perf_counter()
    importances_of(record)
    assert time.perf_counter() - start < 30.0
