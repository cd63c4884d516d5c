"""``tuner experiments``: what it prints where, and its exit codes."""

import dataclasses
import re
import signal
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from studies.recorded import list_studies
from tests.tuner.cli.conftest import Run
from tuner import experiments
from tuner.experiments import EXPERIMENTS
from tuner.experiments.claims import end_below
from tuner.experiments.epochs import EXPERIMENT as EPOCHS
from tuner.experiments.experiment import Claim, Experiment, Judgment, Variant
from tuner.experiments.experiment import Run as ExperimentRun
from tuner.experiments.learning_rate import EXPERIMENT as LEARNING_RATE

SMALL = ("experiments", "small", "--task", "digits", "--seeds", "1", "--workers", "1")


def small(bound: float) -> Experiment:
    """Two short trainings, and a claim that holds for a bound of 9 and for none of 0."""
    return Experiment(
        name="small",
        question="Does it run?",
        space=LEARNING_RATE.space,
        fixed={"width": 8, "split": "last"},
        variants=(
            Variant(label="0.1", config={"learning_rate": 0.1}),
            Variant(label="1", config={"learning_rate": 1.0}),
        ),
        claims=(end_below(f"Both end below {bound:g}.", ("0.1", "1"), bound),),
        epochs=1,
    )


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "EXPERIMENTS", (small(9.0),))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "EXPERIMENTS", (small(0.0),))


@pytest.mark.usefixtures("holding")
def test_claims_are_told_as_held_with_their_numbers(run: Run) -> None:
    """The table, the claims and the next command on stdout; progress and what claims were made for on stderr."""
    ran = run(*SMALL)
    assert ran.code == 0
    assert re.search(r"^held +Both end below 9\.$", ran.out, flags=re.MULTILINE)
    assert re.search(r"^ +final train loss of 0\.1: \d\.\d+$", ran.out, flags=re.MULTILINE)
    assert "1 of 1 held, all of them on every seed" in ran.out
    assert "tuner report digits-experiment-small-seeds-0" in ran.out
    assert re.search(r"^ 0\.1 +1 +1 +\d\.\d{4} +\d+\.\d\d +\d+\.\d\d +\d+\.\d $", ran.out, flags=re.MULTILINE)
    assert "The claims were made for mnist; on digits they are checked all the same." in ran.err
    assert "Experiment 1 of 1, small: Does it run?" in ran.err
    assert "[2/2] trial 1" in ran.err


@pytest.mark.usefixtures("broken")
def test_a_claim_that_does_not_hold_exits_with_4(run: Run) -> None:
    """And says so."""
    ran = run(*SMALL, "--quiet")
    assert ran.code == 4
    assert ran.err == ""
    assert "NOT HELD  " in ran.out
    assert "0 of 1 held" in ran.out


@pytest.mark.usefixtures("broken")
def test_json_is_as_the_design_says(run: Run) -> None:
    """Nothing else on stdout, whatever comes of the claims."""
    ran = run(*SMALL, "--json", "--quiet")
    assert ran.code == 4
    (told,) = ran.json["experiments"]
    assert {"name", "runs", "claims"} <= set(told)
    assert [set(found) >= {"label", "config", "telemetry"} for found in told["runs"]] == [True, True]
    telemetry = told["runs"][0]["telemetry"]
    assert [row["epoch"] for row in telemetry] == [0, 1]
    assert {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy"} <= set(telemetry[0])
    (claim,) = told["claims"]
    assert claim["claim"] == "Both end below 0."
    assert claim["held"] is False
    assert claim["numbers"]["seeds"] == [0]
    assert [len(numbers) for numbers in claim["numbers"].values()] == [1, 1, 1]


@pytest.mark.usefixtures("holding")
def test_a_training_that_fails_exits_with_1_and_its_claims_are_not_judged(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What did end is shown."""
    from tuner.training.cohort import Cohort

    admit = Cohort.admit

    def failing(self: Cohort, config: Any) -> object:
        if config.learning_rate == 1.0:
            raise RuntimeError("no luck")
        return admit(self, config)

    monkeypatch.setattr(Cohort, "admit", failing)
    ran = run(*SMALL, "--quiet")
    assert ran.code == 1
    assert "1 of 2 trainings failed; `tuner show digits-experiment-small-seeds-0` says why." in ran.err
    assert "not judged" in ran.out
    assert "none of 1 judged: their trainings have not all ended" in ran.out
    assert " held" not in ran.out.split("Claims")[1]
    assert re.search(r"^ 0\.1 ", ran.out, flags=re.MULTILINE)


def test_a_dry_run_tells_all_five_and_writes_nothing(run: Run) -> None:
    """Questions, numbers of trainings, claims."""
    ran = run("experiments", "--dry-run")
    assert ran.code == 0
    assert ran.err == ""
    for each in EXPERIMENTS:
        assert f"{each.name}  {each.question}" in ran.out
        assert all(claim.sentence in ran.out for claim in each.claims)
    planned = run("experiments", "batch-size", "--dry-run", "--json").json["experiments"]
    assert [len(each["runs"]) for each in planned] == [11]
    assert planned[0]["runs"][0]["config"]["batch_size"] == 1
    assert [set(claim) for claim in planned[0]["claims"]] == [{"claim", "held", "numbers"}] * 3
    assert [(claim["held"], claim["numbers"]) for claim in planned[0]["claims"]] == [(None, {})] * 3
    with pytest.raises(ValueError, match="tuner search"):
        list_studies()


def test_an_unknown_experiment_exits_with_2(run: Run) -> None:
    """In one sentence, before torch is loaded."""
    ran = run("experiments", "learning_rate")
    assert ran.code == 2
    assert ran.err.startswith("error: An experiment must be one of ")
    assert "Did you mean 'learning-rate'?" in ran.err


def test_a_claim_that_holds_on_some_seeds_only_says_on_how_many(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether most of them bear it out or not, a person should know how far."""

    def is_even(runs: Mapping[str, ExperimentRun]) -> Judgment:
        return Judgment(held=runs["1"].seed % 2 == 0, numbers={"seed": runs["1"].seed})

    def is_one(runs: Mapping[str, ExperimentRun]) -> Judgment:
        return Judgment(held=runs["1"].seed == 1, numbers={"seed": runs["1"].seed})

    even = Claim(sentence="Seeds are even.", labels=("1",), check=is_even)
    one = Claim(sentence="Seeds are one.", labels=("1",), check=is_one)
    monkeypatch.setattr(experiments, "EXPERIMENTS", (dataclasses.replace(small(9.0), claims=(even, one)),))
    ran = run("experiments", "small", "--task", "digits", "--workers", "1", "--quiet")
    assert ran.code == 4
    assert "held        Seeds are even. On 2 of 3 seeds." in ran.out
    assert "NOT HELD    Seeds are one. On 1 of 3 seeds." in ran.out
    assert "seed: 0, 1, 2" in ran.out
    assert "1 of 2 held, 0 of them on every seed" in ran.out


def test_an_unknown_task_is_told_before_torch_is_loaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence."""
    monkeypatch.setitem(sys.modules, "tuner.experiments.running", None)
    ran = run("experiments", "--task", "mnits")
    assert ran.code == 2
    assert "Did you mean 'mnist'?" in ran.err


@pytest.mark.usefixtures("holding")
def test_after_an_interruption_nothing_is_said_to_have_failed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was judged."""
    from tuner.searching.cohorts import CohortTrainer

    train = CohortTrainer.train

    def interrupting(self: CohortTrainer, *trials: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        train(self, *trials)

    monkeypatch.setattr(CohortTrainer, "train", interrupting)
    ran = run(*SMALL, "--quiet")
    assert ran.code == 130
    assert "none of 1 judged: their trainings have not all ended" in ran.out


def test_an_interruption_while_weights_are_trained_again_says_what_is_left(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code of the signal, and one sentence, though nothing else is asked for."""
    from tuner.experiments import running

    class Interrupted:
        def __init__(self, *_data: object, **_asked: object) -> None:
            raise KeyboardInterrupt

    patience = EPOCHS.space["patience"].among((1,))
    stopping = dataclasses.replace(
        small(9.0),
        space=dataclasses.replace(LEARNING_RATE.space, levers=(*LEARNING_RATE.space, patience)),
        variants=(
            Variant(label="0.1", config={"learning_rate": 0.1, "patience": 1}),
            Variant(label="1", config={"learning_rate": 1.0, "patience": 1}),
        ),
    )
    monkeypatch.setattr(experiments, "EXPERIMENTS", (stopping,))
    monkeypatch.setattr(running, "TrainingAlone", Interrupted)
    ran = run(*SMALL, "--quiet")
    assert ran.code == 130
    assert "Interrupted with 2 of 2 trainings with early stopping still to be done again" in ran.err
    assert "the same command does what is left" in ran.err
