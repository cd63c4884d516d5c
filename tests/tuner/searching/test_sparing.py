"""Condemned trials that run on: who they are, what is recorded of them, and that nothing else changes."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from search_spaces import Space
from search_spaces.catalog import lever
from search_spaces.errors import ConfigurationError
from studies.diagnosis.pruning import pruning_check
from studies.plan import StudyPlan
from studies.recorded import open_study, record_of
from studies.records import SPARED_AT, Outcome, StudyRecord, TrialRecord
from tests.studies.plans import plan
from tests.tuner import user_code
from tuner import preparing
from tuner.searching import objective, planning
from tuner.searching.ask_tell import AskTellLoop, Limits
from tuner.searching.curves import Curve
from tuner.searching.objective import Objective
from tuner.searching.parallelism import LaneChoice
from tuner.searching.pruners import CohortPruner
from tuner.searching.sparing import NO_SPARING, SPARED_SHARE, Sparing

RATES = Space(name="rates", levers=(lever("learning_rate"), lever("dropout")))
EPOCHS = 3


class Harsh(CohortPruner):
    """Condemns whatever is not first, from epoch 1 on."""

    def _is_condemned(self, lane: Curve, known: Sequence[Curve]) -> bool:  # noqa: ARG002
        return lane.number > 0


class Theirs(optuna.pruners.BasePruner):
    """A pruner that is not ours, as strict."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:  # noqa: ARG002
        return trial.number > 0


def test_the_lottery_is_fair_and_repeatable() -> None:
    """A twentieth of many numbers; the same for the same seed, others for another."""
    drawn = [Sparing(seed=3).spares(number) for number in range(4000)]
    assert drawn == [Sparing(seed=3).spares(number) for number in range(4000)]
    assert drawn != [Sparing(seed=4).spares(number) for number in range(4000)]
    assert sum(drawn) / 4000 == pytest.approx(SPARED_SHARE, abs=3 * (0.05 * 0.95 / 4000) ** 0.5)
    assert not any(NO_SPARING.spares(number) for number in range(100))
    with pytest.raises(ConfigurationError, match=r"must lie in 0\.\.1, but got 1\.5"):
        Sparing(seed=0, share=1.5)


def searched(
    monkeypatch: pytest.MonkeyPatch,
    study: str,
    *,
    share: float,
    n_lanes: int = 4,
    sampler: str = "random",
    space: Space = RATES,
    fixed: Mapping[str, Any] | None = None,
    metric: str = "validation_accuracy",
) -> StudyRecord:
    """Eight trials under a harsh pruner, of which the plan spares a share."""
    monkeypatch.setattr("tuner.searching.ask_tell.make_pruner", lambda _name, *, epochs: Harsh())  # noqa: ARG005
    monkeypatch.setattr(planning, "SPARED_SHARE", share)
    search = preparing.prepare_search(
        space,
        user_code.blob_arrays,
        study=study,
        fixed={"width": 4, **(fixed or {})},
        trials=8,
        epochs=EPOCHS,
        sampler=sampler,
        metric=metric,
        pruner="median",
    )
    lanes = LaneChoice(n_lanes=n_lanes, refills=False, reason="as the test says")
    limits = Limits(n_trials=8, deadline=None)
    AskTellLoop(search.recorded, search.objective, limits, grace_seconds=60, lanes=lanes).run()
    return open_study(study).record()


def summary(trials: Sequence[TrialRecord]) -> list[tuple[str, int | None, int]]:
    return [(trial.state, trial.spared_at, len(trial.intermediate_values)) for trial in trials]


@pytest.mark.parametrize("n_lanes", [1, 4])
def test_spared_trials_run_to_their_end_and_are_marked(monkeypatch: pytest.MonkeyPatch, n_lanes: int) -> None:
    """Complete, with the epoch at which they were condemned first; the others end there. Alone or in cohorts."""
    record = searched(monkeypatch, "half", share=0.5, n_lanes=n_lanes)
    is_spared = [Sparing(seed=0, share=0.5).spares(number) for number in range(8)]
    assert any(is_spared[1:])
    assert not all(is_spared[1:])
    ended = [("complete", 1, EPOCHS) if spared else ("pruned", None, 1) for spared in is_spared[1:]]
    assert summary(record.trials) == [("complete", None, EPOCHS), *ended]
    assert all(trial.outcome is Outcome.COMPLETED for trial in record.trials if trial.spared_at)
    check = pruning_check(record)
    assert (check.n_pruned, check.n_spared) == (7 - sum(is_spared[1:]), sum(is_spared[1:]))


def test_what_has_no_finite_value_is_never_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot end among the best: at an absurd rate every trial ends as the pruner says, whoever would be spared."""
    absurd = Space(name="absurd", levers=(lever("dropout"),))
    record = searched(
        monkeypatch,
        "absurd",
        share=1.0,
        space=absurd,
        metric="validation_loss",
        fixed={"learning_rate": 1e30, "stop_on_divergence": False},
    )
    assert {trial.spared_at for trial in record.trials} == {None}
    assert all(trial.state != "complete" for trial in record.trials[1:])


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_sparing_draws_nothing_from_the_samplers_stream(
    monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    """The same eight configs, whether all condemned trials run on or none. TPE starts with ten of its own stream."""
    none, all_of_them = (
        searched(monkeypatch, f"{sampler}-{share}", share=share, sampler=sampler) for share in (0.0, 1.0)
    )
    assert [t.params for t in all_of_them.trials] == [t.params for t in none.trials]
    assert all(trial.state == "complete" for trial in all_of_them.trials)
    assert [trial.spared_at for trial in none.trials] == [None] * 8


def test_the_plan_records_the_share_and_an_older_one_has_none() -> None:
    """A study that was begun without sparing goes on without it, and may be joined all the same."""
    search = preparing.prepare_search(
        RATES, user_code.blob_arrays, study="new", trials=1, epochs=1, pruner="median"
    )
    assert search.recorded.plan is not None
    assert search.recorded.plan.spared_share == SPARED_SHARE
    unpruned = preparing.prepare_search(
        RATES, user_code.blob_arrays, study="np", trials=1, epochs=1, pruner="none"
    )
    assert unpruned.recorded.plan is not None
    assert unpruned.recorded.plan.spared_share == 0.0
    assert plan().spared_share == 0.0
    assert plan().differences(plan(spared_share=SPARED_SHARE)) == []
    assert StudyPlan.__dataclass_fields__["spared_share"].default == 0.0


@pytest.mark.parametrize(("pruner", "n_spared"), [(Harsh(), 3), (Theirs(), 0)], ids=["ours", "theirs"])
def test_an_objective_in_someone_elses_study_spares_under_our_pruners_only(
    monkeypatch: pytest.MonkeyPatch, pruner: optuna.pruners.BasePruner, n_spared: int
) -> None:
    """Optuna's own loop: what our pruner condemns may run on; another's word is final."""
    monkeypatch.setattr(objective, "Sparing", lambda seed: Sparing(seed=seed, share=1.0))
    study = optuna.create_study(
        direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(Objective(RATES, user_code.blob_arrays, epochs=EPOCHS, fixed={"width": 4}), n_trials=4)
    assert [trial.user_attrs.get(SPARED_AT) for trial in study.trials].count(1) == n_spared
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.PRUNED) == 3 - n_spared
    assert pruning_check(record_of(study)).n_spared == n_spared
