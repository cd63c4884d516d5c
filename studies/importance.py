"""How much each lever mattered, and how sure we are: Optuna's evaluators with intervals and a noise floor.

Optuna gives one number a lever and no hint that it is noise, which with the 10 to 60 complete trials of a
usual study it often is. Here the trials are drawn again with replacement ``n_bootstrap`` times. Each draw
gets a *shadow* of every lever: the same values, shuffled over the drawn trials, so that they cannot matter
(the idea of Boruta, Kursa 2010).

- ``low`` and ``high`` are the 2.5 % and 97.5 % quantiles of a lever's importance over the draws, stretched
  where needed to hold the importance from all trials.
- A lever is ``significant`` when it beats the best of all shadows in 95 % of the draws: comparing with the
  best one, not with its own, keeps the chance of any false claim in a study near 5 %, however many levers
  there are.

Importances of one evaluator add up to 1. Pruned and diverged trials are not used: their values are of another
kind.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

from studies.encoding import jsonable
from studies.records import StudyRecord, TrialRecord

MIN_TRIALS_TO_RANK = 4
"""Complete trials; Optuna gives confident-looking numbers from 2 on (own design)."""
MIN_TRIALS_TO_CLAIM = 10
"""Complete trials below which no lever is called significant (own design)."""
TOP_TRIALS = 5
"""PED-ANOVA compares the best trials with all; its authors advise at least 5 of them."""
SIGNIFICANT_SHARE = 0.95
N_TREES = 64
"""fANOVA's default, for the importance itself."""
N_TREES_DRAWN = 12
"""For each of the draws, whose scatter is larger than that of a small forest."""
DRAWS_PER_FANOVA = 2.5
"""A forest costs ten times a PED-ANOVA: this many times fewer draws keep 100 trials x 10 levers under 5 s."""
MIN_DRAWS = 10
LARGEST_VALUE = 1e140
"""Of an objective, in size: the sum of its squares over the trials no longer fits a float beyond, nor does infinity."""
MAX_DRAWN_TRIALS = 200
"""A draw of a larger study holds this many: intervals are then rather too wide than too narrow, and fast."""
SHADOW = " (shuffled)"

Shares = npt.NDArray[np.float64]
Distributions = Mapping[str, BaseDistribution]


@dataclass(frozen=True, kw_only=True)
class LeverImportance:
    """A lever's share of the importance, in 0..1, with its 95 % interval."""

    lever: str
    importance: float
    low: float
    high: float
    significant: bool


@dataclass(frozen=True, kw_only=True)
class Importances:
    """What two evaluators say of a study; no rows where there is nothing to go by."""

    study: str
    evaluators: Mapping[str, tuple[LeverImportance, ...]]
    """``ped_anova``: what it took to be among the best; ``fanova``: what moved the value over all trials."""
    verdict: str
    """For a person: which levers matter beyond noise, and what could not be said."""
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By evaluator, the levers it cannot rank: fANOVA takes only those that all complete trials share."""
    n_trials: int = 0
    """Complete trials used."""

    def to_json(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "evaluators": jsonable(self.evaluators),
            "verdict": self.verdict,
            "left_out": jsonable(self.left_out),
            "n_trials": self.n_trials,
        }


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """A complete trial as an evaluator sees it."""

    params: Mapping[str, Any]
    distributions: Distributions
    value: float


def importances_of(record: StudyRecord, *, seed: int = 0, n_bootstrap: int = 50) -> Importances:
    """The importance of every searched lever by PED-ANOVA and fANOVA; the same for the same ``seed``.

    ``n_bootstrap`` draws are made for PED-ANOVA, and fewer for fANOVA (``DRAWS_PER_FANOVA``).
    """
    usable = [trial for trial in record.complete_trials if abs(_value(trial)) <= LARGEST_VALUE]
    # A record's complete trials are those with a finite value: the infinite ones are missed among all.
    n_left_out = sum(trial.state == "complete" and trial.value is not None for trial in record.trials) - len(
        usable
    )
    samples = [_sample_of(trial) for trial in usable]
    levers = sorted({name for sample in samples for name in sample.params})
    refusal = _refusal(samples, levers)
    if refusal:
        return Importances(
            study=record.name,
            evaluators={"ped_anova": (), "fanova": ()},
            verdict=refusal + _said_of_left_out(n_left_out),
            n_trials=len(samples),
        )
    common = _common_levers(samples)
    n_forests = max(MIN_DRAWS, round(n_bootstrap / DRAWS_PER_FANOVA))
    logged = [_in_log_space(sample, common) for sample in samples]
    with _quiet_optuna():
        evaluators = {
            "ped_anova": _rank(
                "ped_anova", samples, levers, record.direction, n_draws=n_bootstrap, seed=seed
            ),
            "fanova": _rank("fanova", logged, common, record.direction, n_draws=n_forests, seed=seed),
        }
    left_out = {"fanova": tuple(name for name in levers if name not in common)}
    return Importances(
        study=record.name,
        evaluators=evaluators,
        verdict=_verdict(evaluators, left_out["fanova"], len(samples)) + _said_of_left_out(n_left_out),
        left_out=left_out,
        n_trials=len(samples),
    )


def _sample_of(trial: TrialRecord) -> _Sample:
    known = {name: value for name, value in trial.params.items() if name in trial.distributions}
    distributions = {name: trial.distributions[name] for name in known}
    return _Sample(params=known, distributions=distributions, value=_value(trial))


def _value(trial: TrialRecord) -> float:
    return float(trial.value or 0.0)


def _said_of_left_out(n_trials: int) -> str:
    if n_trials == 0:
        return ""
    which = "1 complete trial is" if n_trials == 1 else f"{n_trials} complete trials are"
    return f" {which} left out: infinite, or beyond {LARGEST_VALUE:.0e}, a value explains nothing."


def _refusal(samples: Sequence[_Sample], levers: Sequence[str]) -> str:
    """Why nothing can be ranked; empty when something can."""
    if len(samples) < MIN_TRIALS_TO_RANK:
        n = len(samples)
        return (
            f"Importances need at least {MIN_TRIALS_TO_RANK} complete trials, and {MIN_TRIALS_TO_CLAIM} to "
            f"tell a lever from noise, but {n or 'no'} trial{'s have' if n > 1 else ' has'} completed."
        )
    if not levers:
        return "No lever was searched, so there is nothing to rank."
    if len({sample.value for sample in samples}) == 1:
        return "All complete trials have the same value: no lever made a difference."
    return ""


def _common_levers(samples: Sequence[_Sample]) -> list[str]:
    """Those that every trial has, on one unchanged range."""
    first = samples[0].distributions
    return sorted(name for name, d in first.items() if all(s.distributions.get(name) == d for s in samples))


def _in_log_space(sample: _Sample, levers: Sequence[str]) -> _Sample:
    """``levers`` alone, those of a log range as their logarithm.

    fANOVA would otherwise weigh the raw range, nearly all of which lies in the highest decade.
    """
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    for name in levers:
        distribution, value = sample.distributions[name], sample.params[name]
        if isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log:
            low, high = math.log(distribution.low), math.log(distribution.high)
            distributions[name] = FloatDistribution(low, high)
            params[name] = min(max(math.log(value), low), high)
        else:
            distributions[name], params[name] = distribution, value
    return _Sample(params=params, distributions=distributions, value=sample.value)


def _evaluator(name: str, *, n_trials: int, n_trees: int, seed: int) -> BaseImportanceEvaluator:
    if name == "fanova":
        return FanovaImportanceEvaluator(n_trees=n_trees, seed=seed)
    return PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, TOP_TRIALS / n_trials)))


def _rank(
    name: str, samples: Sequence[_Sample], levers: Sequence[str], direction: str, *, n_draws: int, seed: int
) -> tuple[LeverImportance, ...]:
    """One evaluator's levers, the most important first."""
    if not levers:
        return ()
    # A forest's time grows with trials and trees, its scatter falls with both.
    n_trees = max(N_TREES_DRAWN, min(N_TREES, N_TREES * MAX_DRAWN_TRIALS // len(samples)))
    evaluator = _evaluator(name, n_trials=len(samples), n_trees=n_trees, seed=seed)
    whole = _evaluate(evaluator, samples, levers, direction)
    rng = np.random.default_rng(seed)
    shares, beats = np.empty((n_draws, len(levers))), np.empty((n_draws, len(levers)), dtype=bool)
    shadows = [lever + SHADOW for lever in levers]
    for draw in range(n_draws):
        drawn = _draw(samples, rng)
        evaluator = _evaluator(name, n_trials=len(drawn), n_trees=N_TREES_DRAWN, seed=seed + draw)
        raw = _evaluate(
            evaluator,
            [_with_shadows(*pair) for pair in _shuffled(drawn, rng)],
            [*levers, *shadows],
            direction,
        )
        own = raw[: len(levers)]
        shares[draw], beats[draw] = _normalized(own), own > raw[len(levers) :].max()
    may_claim = len(samples) >= MIN_TRIALS_TO_CLAIM
    ranked = [
        LeverImportance(
            lever=lever,
            importance=float(importance),
            low=float(min(importance, np.quantile(shares[:, i], 0.025))),
            high=float(max(importance, np.quantile(shares[:, i], 0.975))),
            significant=may_claim and bool(beats[:, i].mean() >= SIGNIFICANT_SHARE),
        )
        for i, (lever, importance) in enumerate(zip(levers, _normalized(whole), strict=True))
    ]
    return tuple(sorted(ranked, key=lambda row: (-row.importance, row.lever)))


def _normalized(raw: Shares) -> Shares:
    total = float(raw.sum())
    return raw / total if total > 0.0 else np.zeros_like(raw)


def _draw(samples: Sequence[_Sample], rng: np.random.Generator) -> list[_Sample]:
    """Trials drawn with replacement, again until their values differ: else there is nothing to explain."""
    size = min(len(samples), MAX_DRAWN_TRIALS)
    while True:
        drawn = [samples[i] for i in rng.integers(len(samples), size=size)]
        if len({sample.value for sample in drawn}) > 1:
            return drawn


def _shuffled(samples: Sequence[_Sample], rng: np.random.Generator) -> list[tuple[_Sample, dict[str, Any]]]:
    """Each sample with every lever's shadow: shuffled among the samples that have it on the same range."""
    shadows: list[dict[str, Any]] = [{} for _ in samples]
    regimes: dict[tuple[str, BaseDistribution], list[int]] = {}
    for position, sample in enumerate(samples):
        for lever, distribution in sample.distributions.items():
            regimes.setdefault((lever, distribution), []).append(position)
    for (lever, _), positions in regimes.items():
        for target, source in zip(positions, rng.permutation(positions), strict=True):
            shadows[target][lever] = samples[source].params[lever]
    return list(zip(samples, shadows, strict=True))


def _with_shadows(sample: _Sample, shadow: Mapping[str, Any]) -> _Sample:
    return _Sample(
        params={**sample.params, **{lever + SHADOW: value for lever, value in shadow.items()}},
        distributions={
            **sample.distributions,
            **{lever + SHADOW: sample.distributions[lever] for lever in shadow},
        },
        value=sample.value,
    )


def _evaluate(
    evaluator: BaseImportanceEvaluator, samples: Sequence[_Sample], names: Sequence[str], direction: str
) -> Shares:
    """The raw importances of ``names``, in their order: levers and shadows are not to be normalized together.

    A name that no drawn sample has counts as 0, and so does every name where a forest cannot tell the samples
    apart.
    """
    study = optuna.create_study(direction=optuna.study.StudyDirection[direction.upper()])
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(sample.params), distributions=dict(sample.distributions), value=sample.value
            )
            for sample in samples
        ]
    )
    present = sorted({name for sample in samples for name in sample.params if name in set(names)})
    try:
        found = evaluator.evaluate(study, params=present)
    except RuntimeError as error:
        if "zero total variance" not in str(error):
            raise
        found = {}
    return np.array([max(float(found.get(name, 0.0)), 0.0) for name in names])


def _verdict(
    evaluators: Mapping[str, Sequence[LeverImportance]], left_out: Sequence[str], n_trials: int
) -> str:
    """Which levers matter beyond noise, and for whom; then what could not be said."""
    if n_trials < MIN_TRIALS_TO_CLAIM:
        text = (
            f"With {n_trials} complete trials a lever cannot be told from noise: take the order as a hint, "
            f"and run at least {MIN_TRIALS_TO_CLAIM}."
        )
    else:
        claimed = {name: {row.lever for row in rows if row.significant} for name, rows in evaluators.items()}
        both = [
            row.lever for row in evaluators["ped_anova"] if row.lever in set.intersection(*claimed.values())
        ]
        one = sorted(set.union(*claimed.values()) - set(both))
        said = []
        if both:
            said.append(
                f"{_listed(both)} matter{'s' if len(both) == 1 else ''} beyond noise by both evaluators"
            )
        if one:
            said.append(
                f"{_listed(one)} by only one of them" if both else f"{_listed(one)} by one evaluator only"
            )
        text = (
            f"{'; '.join(said)} ({n_trials} complete trials)."
            if said
            else (f"No lever can be told from noise with {n_trials} complete trials: more may show one.")
        )
    if left_out:
        text += f" fANOVA leaves out {_listed(left_out)}: not every trial has it on the same range."
    return text


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Silence what Optuna says of throw-away studies: that they were made, that a draw is uneven."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Some regimes for parameter")
            warnings.filterwarnings("ignore", message="Target and region quantiles select the same set")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
