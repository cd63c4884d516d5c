"""Every claim of every experiment, on trainings made by hand: one set bears it out, each other breaks one part."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.tuner.experiments.made_runs import ending_at, made_run
from tuner.experiments import EXPERIMENTS
from tuner.experiments.experiment import Claim, Restored, Run
from tuner.experiments.learning_rate import movement

NAN = math.nan


@dataclass(frozen=True, kw_only=True)
class Case:
    """A claim by how its sentence begins, trainings that bear it out, and sets that do not."""

    begins: str
    held: Sequence[Run]
    not_held: Sequence[Sequence[Run]]


def swinging(label: str, *by: float) -> Run:
    """A validation loss that goes up and down by these amounts around 1."""
    losses = [1.0]
    for place, change in enumerate(by):
        losses.append(losses[-1] + change * (-1) ** place)
    return made_run(label, validation_losses=losses)


def u_shaped(*, lowest_at: int, last: float, n_epochs: int = 50) -> Run:
    """A validation loss that is 0.1 at ``lowest_at`` and ends at ``last``."""
    losses = [0.2] * n_epochs
    losses[lowest_at - 1], losses[-1] = 0.1, last
    return made_run("50 epochs", validation_losses=losses)


def stopped(*, evaluated: float = 0.08, recorded_again: float = 0.08, n_epochs: int = 12) -> Run:
    """A training whose smallest recorded validation loss is 0.08, ``n_epochs`` long."""
    losses = [0.2, 0.08] + [0.1] * (n_epochs - 2)
    restored = Restored(recorded_minimum=recorded_again, evaluated=evaluated)
    return made_run("early stopping", validation_losses=losses, restored=restored)


CASES = (
    Case(
        begins="At rate 10",
        held=[made_run("10", train_losses=[NAN], train_accuracy=0.199)],
        not_held=[[made_run("10", train_losses=[2.0], train_accuracy=0.2)]],
    ),
    Case(
        begins="Rate 0.001",
        held=[
            made_run("0.001", train_losses=[0.9] * 9 + [0.41]),
            made_run("0.1", train_losses=[0.4] + [0.9] * 9),
        ],
        not_held=[
            [
                made_run("0.001", train_losses=[0.9] * 9 + [0.4]),
                made_run("0.1", train_losses=[0.4] + [0.1] * 9),
            ]
        ],
    ),
    Case(
        begins="At rate 1 the validation loss",
        held=[swinging("1", 0.0, 0.31, 0.31, 0.31, 0.31, 0.31), swinging("0.1", *[0.1] * 6)],
        not_held=[
            [swinging("1", *[0.29] * 6), swinging("0.1", *[0.1] * 6)],
            # What it did before its last five epochs does not count.
            [swinging("1", 9.0, 0.1, 0.1, 0.1, 0.1, 0.1), swinging("0.1", *[0.1] * 6)],
            [swinging("1", *[0.0] * 6), swinging("0.1", *[0.0] * 6)],
        ],
    ),
    Case(
        begins="At rate 1 the final train loss",
        held=[ending_at("1", 0.2), ending_at("0.1", 0.03)],
        not_held=[[ending_at("1", 0.03), ending_at("0.1", 0.03)]],
    ),
    Case(
        begins="The full batch",
        held=[ending_at("full", 0.41), ending_at("32", 0.04)],
        not_held=[
            [ending_at("full", 0.4), ending_at("32", 0.04)],
            [ending_at("full", 1.6), ending_at("32", NAN)],
        ],
    ),
    Case(
        begins="Batch 1 at rate 0.1",
        held=[ending_at("1", NAN)],
        not_held=[[ending_at("1", 0.5)]],
    ),
    Case(
        begins="Batch 1 at rate 0.001",
        held=[ending_at("1 at 0.001", 0.149)],
        not_held=[[ending_at("1 at 0.001", 0.15)], [ending_at("1 at 0.001", NAN)]],
    ),
    Case(
        begins="Width 32 ends",
        held=[ending_at("32", 0.08), ending_at("128", 0.03), ending_at("512", 0.02)],
        not_held=[
            [ending_at("32", 0.08), ending_at("128", 0.03), ending_at("512", 0.04)],
            [ending_at("32", 0.03), ending_at("128", 0.03), ending_at("512", 0.02)],
        ],
    ),
    Case(
        begins="From width 128",
        held=[ending_at("32", 0.08), ending_at("128", 0.04), ending_at("512", 0.01)],
        not_held=[[ending_at("32", 0.08), ending_at("128", 0.06), ending_at("512", 0.01)]],
    ),
    Case(
        begins="2x128",
        held=[ending_at("128", 0.03), ending_at("2x128", 0.02)],
        not_held=[[ending_at("128", 0.03), ending_at("2x128", 0.03)]],
    ),
    Case(
        begins="Five sigmoid",
        held=[ending_at("sigmoid x 5", 2.21)],
        not_held=[[ending_at("sigmoid x 5", 2.2)]],
    ),
    Case(
        begins="One and three sigmoid",
        held=[ending_at("sigmoid x 1", 0.29), ending_at("sigmoid x 3", 0.29)],
        not_held=[
            [ending_at("sigmoid x 1", 0.3), ending_at("sigmoid x 3", 0.29)],
            [ending_at("sigmoid x 1", 0.29), ending_at("sigmoid x 3", 0.3)],
        ],
    ),
    Case(
        begins="One, three and five ReLU",
        held=[ending_at(f"relu x {depth}", 0.059) for depth in (1, 3, 5)],
        not_held=[
            [ending_at(f"relu x {depth}", 0.06 if depth == bad else 0.01) for depth in (1, 3, 5)]
            for bad in (1, 3, 5)
        ],
    ),
    Case(
        begins="In 50 epochs the train loss",
        held=[made_run("50 epochs", train_losses=[0.02] * 49 + [0.0099])],
        not_held=[[made_run("50 epochs", train_losses=[0.005] * 49 + [0.01])]],
    ),
    Case(
        begins="In 50 epochs the validation loss",
        held=[u_shaped(lowest_at=29, last=0.106)],
        not_held=[[u_shaped(lowest_at=30, last=0.106)], [u_shaped(lowest_at=29, last=0.104)]],
    ),
    Case(
        begins="Early stopping with patience",
        held=[stopped(n_epochs=49)],
        not_held=[[stopped(n_epochs=50)]],
    ),
    Case(
        begins="Early stopping returns",
        held=[stopped()],
        not_held=[
            [stopped(evaluated=0.0801)],  # other weights
            [stopped(evaluated=0.081, recorded_again=0.081)],  # another training
        ],
    ),
)

CLAIMS = [claim for experiment in EXPERIMENTS for claim in experiment.claims]


def claim_of(case: Case) -> Claim:
    (found,) = [claim for claim in CLAIMS if claim.sentence.startswith(case.begins)]
    return found


def test_every_claim_has_its_case() -> None:
    """A claim that is never seen to fail would say nothing."""
    assert sorted(claim_of(case).sentence for case in CASES) == sorted(claim.sentence for claim in CLAIMS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.begins)
def test_a_claim_holds_where_it_should_and_nowhere_else(case: Case) -> None:
    """Each part of the sentence alone can break it; the numbers that decided are told."""
    claim = claim_of(case)
    for runs in (case.held, *case.not_held):
        assert {run.label for run in runs} == set(claim.labels)
        judgment = claim.check({run.label: run for run in runs})
        assert judgment.held == (runs is case.held), judgment
        assert judgment.numbers


def test_movement_is_the_mean_change_of_the_last_epochs() -> None:
    """Up and down count alike: |0.3 - 0.1|, |0.2 - 0.3| over two epochs."""
    assert movement([9.0, 0.1, 0.3, 0.2], 2) == pytest.approx(0.15)


def test_early_stopping_cannot_be_judged_by_readings_alone() -> None:
    """Whoever forgets to evaluate the weights gets no verdict."""
    (case,) = [case for case in CASES if case.begins == "Early stopping returns"]
    run = made_run("early stopping", validation_losses=[0.2, 0.1])
    with pytest.raises(ValueError, match="must have been evaluated"):
        claim_of(case).check({"early stopping": run})
