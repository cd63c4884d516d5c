"""A worker's loop over cohorts: each trial ends as it would alone, whatever happens to those beside it."""

import dataclasses
import time
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import tuner
from search_spaces import Space
from search_spaces.catalog import lever
from studies.leases import Leases, Refusal
from studies.readings import EpochReadings
from studies.recorded import RecordedStudy, open_study
from studies.records import Outcome
from tests.tuner import user_code
from tuner import preparing
from tuner.listed import search_listed
from tuner.prepared_search import PreparedSearch
from tuner.searching import cohorts
from tuner.searching.ask_tell import AskTellLoop, Ending, Limits, WorkerEnd
from tuner.searching.desk import Desk
from tuner.searching.parallelism import LaneChoice
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.lanes.lane import Lane
from tuner.training.lanes.structure import structure_of
from tuner.training.stopwatch import ACTIVITIES, Stopwatch

RATES = Space(name="rates", levers=(lever("learning_rate"), lever("dropout")))
STRUCTURES = Space(name="structures", levers=(lever("learning_rate"), lever("width").among([4, 8])))


def prepared(space: Space = RATES, task: Any = user_code.blob_arrays, **more: Any) -> PreparedSearch:
    settings: dict[str, Any] = {"trials": 8, "epochs": 3, "sampler": "random", "pruner": "none", **more}
    fixed = {"width": 4} if space is RATES else {}
    return preparing.prepare_search(space, task, study="s", fixed=fixed, **settings)


def loop_of(search: PreparedSearch, n_lanes: int = 8, *, refills: bool = False, **more: Any) -> AskTellLoop:
    limits = more.pop("limits", None) or Limits(n_trials=search.n_trials, deadline=time.monotonic() + 60)
    lanes = LaneChoice(n_lanes=n_lanes, refills=refills, reason="as the test says")
    return AskTellLoop(search.recorded, search.objective, limits, grace_seconds=60, lanes=lanes, **more)


def run(search: PreparedSearch, n_lanes: int = 8, **more: Any) -> WorkerEnd:
    return loop_of(search, n_lanes, **more).run()


def trials_of(name: str = "s") -> list[optuna.trial.FrozenTrial]:
    return open_study(name).study.get_trials(deepcopy=False)


@pytest.fixture
def cohort_sizes(monkeypatch: pytest.MonkeyPatch) -> list[list[TrainingConfig]]:
    """The configs of each cohort, as they were admitted."""
    made: list[list[TrainingConfig]] = []
    begin, admit = Cohort.__init__, Cohort.admit

    def beginning(cohort: Cohort, *arguments: Any, **more: Any) -> None:
        made.append([])
        begin(cohort, *arguments, **more)

    def admitting(cohort: Cohort, config: TrainingConfig) -> Any:
        made[-1].append(config)
        return admit(cohort, config)

    monkeypatch.setattr(Cohort, "__init__", beginning)
    monkeypatch.setattr(Cohort, "admit", admitting)
    return made


def test_trials_in_cohorts_end_as_trials_alone() -> None:
    """The same configs, values and curves, whether one lane trains at a time or eight."""
    found = [
        tuner.search(
            RATES,
            user_code.blob_arrays,
            study=f"s{lanes}",
            lanes=lanes,
            trials=9,
            epochs=3,
            sampler="random",
            pruner="none",
            workers=1,
            fixed={"width": 4},
        )
        .record()
        .trials
        for lanes in (1, 8)
    ]
    for alone, together in zip(*found, strict=True):
        assert (together.params, together.outcome) == (alone.params, alone.outcome)
        assert together.value == pytest.approx(alone.value)
        assert list(together.intermediate_values) == [1, 2, 3]
        assert together.telemetry is not None
        assert alone.telemetry is not None
        assert together.telemetry.series("train_loss") == pytest.approx(
            alone.telemetry.series("train_loss"), rel=1e-4
        )


def test_trials_of_one_structure_train_together(cohort_sizes: list[list[TrainingConfig]]) -> None:
    """Sixteen trials of two structures in eights: neighbors share theirs, so that cohorts are few."""
    assert run(prepared(STRUCTURES, trials=16)).ending is Ending.BUDGET_SPENT
    assert all(len({tuple(structure_of(each).items()) for each in configs}) == 1 for configs in cohort_sizes)
    assert sum(map(len, cohort_sizes)) == 16
    assert len(cohort_sizes) <= 4


def test_replicates_are_lanes_of_one_cohort(cohort_sizes: list[list[TrainingConfig]]) -> None:
    """Of a list that goes seed by seed through two widths: each width's seeds train together."""
    configs = [{"width": width, "seed": seed} for seed in range(4) for width in (4, 8)]
    found = search_listed(configs, user_code.blob_arrays, study="l", epochs=1, workers=1, lanes=8)
    assert found.is_complete
    assert [[(each.width, each.seed) for each in cohort] for cohort in cohort_sizes] == [
        [(width, seed) for seed in range(4)] for width in (4, 8)
    ]


def test_only_the_guilty_trial_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of its cohort are trained again, each alone, and Optuna hears of each epoch once."""
    advance = Cohort.advance

    def advancing(cohort: Cohort) -> tuple[Lane, ...]:
        for lane in cohort.lanes:
            if lane.config.learning_rate > 0.1 and lane.n_epochs_done == 1:
                raise RuntimeError(f"a rate of {lane.config.learning_rate} is too high")
        return advance(cohort)

    monkeypatch.setattr(Cohort, "advance", advancing)
    search = prepared(trials=6)
    search.recorded.study.enqueue_trial({"learning_rate": 0.5})
    assert run(search).ending is Ending.BUDGET_SPENT
    for trial in trials_of():
        is_guilty = trial.params["learning_rate"] > 0.1
        assert trial.state is (TrialState.FAIL if is_guilty else TrialState.COMPLETE)
        assert list(trial.intermediate_values) == ([1] if is_guilty else [1, 2, 3])
    assert trials_of()[0].user_attrs["error"]["where"].startswith("test_cohorts.py")


def test_a_signal_hands_every_unfinished_lane_back() -> None:
    """Each is queued again, none is counted; the next run ends with the exact total."""
    search = prepared(trials=6, epochs=30)
    seen: list[int] = []
    limits = Limits(n_trials=6, is_interrupted=lambda: len(seen) > 12)
    end = run(search, limits=limits, on_epoch=lambda number, _readings: seen.append(number))
    assert end.ending is Ending.INTERRUPTED
    record = open_study("s").record()
    assert [trial.outcome for trial in record.trials[:6]] == [Outcome.INTERRUPTED] * 6
    assert sorted(trial.replaces for trial in record.trials[6:] if trial.replaces is not None) == [*range(6)]
    assert run(prepared(trials=6, epochs=30)).ending is Ending.BUDGET_SPENT
    assert open_study("s").record().counts.complete == 6


def taken_over_by_another_worker(recorded: RecordedStudy, number: int) -> None:
    """What a worker does that takes this one for dead."""
    storage = open_study(recorded.name, recorded.url, writable=True).study._storage
    storage.set_trial_state_values(
        storage.get_trial_id_from_study_id_trial_number(recorded.study_id, number), TrialState.FAIL
    )


def test_a_trial_that_was_taken_over_is_dropped_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next flush; its result here is told to nobody."""
    monkeypatch.setattr(cohorts, "FLUSH_SECONDS", 0.0)
    search = prepared(trials=4, epochs=4)

    def take_over(number: int, readings: EpochReadings) -> None:
        if (number, readings.epoch) == (2, 2):
            taken_over_by_another_worker(search.recorded, number)

    told: list[int] = []
    loop_of(search, 4, on_epoch=take_over, on_trial=told.append).run()
    trials = trials_of()
    assert told[:3] == [0, 1, 3]
    assert trials[2].state is TrialState.FAIL
    assert "best_epoch" not in trials[2].user_attrs
    assert [trial.state for trial in trials[:2] + trials[3:4]] == [TrialState.COMPLETE] * 3


def test_a_trial_that_was_taken_over_while_it_waited_is_not_trained(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a sleep of the machine, while a cohort of another structure trained; the loop goes on."""
    monkeypatch.setattr(cohorts, "FLUSH_SECONDS", 0.0)
    search = prepared(STRUCTURES, trials=8)
    trained: list[int] = []

    def take_over(number: int, readings: EpochReadings) -> None:
        trained.append(number)
        if readings.epoch == 1 and not taken_over:
            taken_over.append(next(each.number for each in reversed(loop._desk.held) if not each.values))
            taken_over_by_another_worker(search.recorded, taken_over[0])

    taken_over: list[int] = []
    loop = loop_of(search, 8, on_epoch=take_over)
    assert loop.run().ending is Ending.BUDGET_SPENT
    (lost,) = taken_over
    assert lost not in trained
    assert {trial.number: trial.state for trial in trials_of() if trial.state is not TrialState.COMPLETE} == {
        lost: TrialState.FAIL
    }
    assert caplog.text.count(f"Trial {lost} was taken over by another worker") == 1


def test_a_trial_that_was_taken_over_is_not_trained_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a cohort in which something raised: the guilty one fails, and the others end as ever."""
    monkeypatch.setattr(cohorts, "FLUSH_SECONDS", 0.0)
    search = prepared(trials=4)
    advance, n_raised = Cohort.advance, []

    def advancing(cohort: Cohort) -> tuple[Lane, ...]:
        if len(cohort.lanes) > 1:
            taken_over_by_another_worker(search.recorded, 2)
            n_raised.append(1)
            raise RuntimeError("of one of them")
        return advance(cohort)

    monkeypatch.setattr(Cohort, "advance", advancing)
    trained: list[int] = []
    end = run(search, 4, on_epoch=lambda number, _readings: trained.append(number))
    assert end.ending is Ending.BUDGET_SPENT
    trials = trials_of()
    assert n_raised == [1]
    assert 2 not in trained
    assert (trials[2].state, trials[2].intermediate_values) == (TrialState.FAIL, {})
    assert {trial.state for trial in trials if trial.number != 2} == {TrialState.COMPLETE}


def test_a_lane_that_is_found_lost_while_others_are_asked_for_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing more is set on its trial, which another worker has ended."""
    search = prepared(pruner="median", task=user_code.noise_task, metric="validation_loss", trials=16)
    ask, lost = Desk.ask, []

    def asking(desk: Desk, leases: Any) -> Any:
        if desk.held and not lost:
            lost.append(desk.held[0].number)
            taken_over_by_another_worker(search.recorded, lost[0])
        return ask(desk, leases)

    monkeypatch.setattr(Desk, "ask", asking)
    assert run(search, 8, refills=True).ending is Ending.BUDGET_SPENT
    assert len(lost) == 1
    states = [trial.state for trial in trials_of()]
    assert states.count(TrialState.FAIL) == 1
    assert states[lost[0]] is TrialState.FAIL
    assert all(state.is_finished() for state in states)


def test_pruning_is_decided_by_all_lanes_at_once() -> None:
    """Of eight equal beginnings half go on, in the first cohort; the best of all is among them."""
    search = prepared(
        pruner="median", task=user_code.noise_task, metric="validation_loss", trials=8, epochs=4
    )
    assert run(search).ending is Ending.BUDGET_SPENT
    trials = trials_of()
    firsts = sorted(trials, key=lambda trial: trial.intermediate_values[1])
    assert all(trial.state is TrialState.COMPLETE for trial in firsts[:4])
    assert {trial.last_step for trial in firsts[4:]} == {1}


def test_a_width_that_is_not_marked_structural_refills_no_cohort_of_another(
    cohort_sizes: list[list[TrainingConfig]],
) -> None:
    """A space file of someone's own may say what it likes: its trials do not fail for it."""
    width = dataclasses.replace(STRUCTURES["width"], structural=False)
    space = Space(name="own", levers=(STRUCTURES["learning_rate"], width))
    search = prepared(space, pruner="median", task=user_code.noise_task, metric="validation_loss", trials=16)
    assert run(search, 8, refills=True).ending is Ending.BUDGET_SPENT
    assert TrialState.FAIL not in {trial.state for trial in trials_of()}
    assert all(len({each.width for each in cohort}) == 1 for cohort in cohort_sizes)


@pytest.mark.parametrize("space", [RATES, STRUCTURES], ids=lambda space: space.name)
def test_lanes_that_ended_are_replaced_at_once(
    space: Space, cohort_sizes: list[list[TrainingConfig]]
) -> None:
    """So that cohorts outlive their lanes; not where structures are searched."""
    search = prepared(space, pruner="median", task=user_code.noise_task, metric="validation_loss", trials=16)
    assert run(search, 4, refills=True).ending is Ending.BUDGET_SPENT
    assert sum(map(len, cohort_sizes)) == 16
    assert (max(map(len, cohort_sizes)) > 4) == (space is RATES)


@pytest.mark.parametrize(("n_workers", "sizes"), [(1, [8, 4]), (2, [6, 3, 2, 1]), (4, [3, 3, 2, 1, 1, 1, 1])])
def test_no_worker_takes_more_than_its_share(n_workers: int, sizes: list[int]) -> None:
    """Of twelve trials in cohorts of eight; so that workers end together."""
    recorded = prepared(trials=12).recorded
    leases = Leases(recorded.storage, recorded.study)
    taken = []
    while not isinstance(batch := leases.take_many(8, 12, n_workers=n_workers), Refusal):
        taken.append(len(batch))
    assert taken == sizes


def test_the_same_exception_ends_a_run_although_more_trials_are_in_hand() -> None:
    """Three of eight fail; the rest is handed back, not failed."""
    end = run(prepared(model=user_code.always_raises, trials=10))
    assert end.ending is Ending.HALTED
    assert end.error is not None
    counts = open_study("s").record().counts
    assert counts.failed == 3
    waiting = [trial for trial in trials_of() if trial.state is TrialState.WAITING]
    assert len(waiting) == 5


def test_the_loop_says_where_its_time_went() -> None:
    """Sampler and storage beside what the cohort counts; nothing under a name that nobody knows."""
    stopwatch = Stopwatch()
    run(prepared(), stopwatch=stopwatch)
    assert set(stopwatch.seconds) == set(ACTIVITIES)
    assert all(
        stopwatch.seconds[name] > 0 for name in ("sampler", "storage", "training", "evaluation", "data")
    )
    assert stopwatch.seconds["idle"] == 0
