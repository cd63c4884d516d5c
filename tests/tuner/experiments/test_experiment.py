"""What an experiment plans, refuses and judges."""

import math

import pytest

from search_spaces import Space
from search_spaces.catalog import lever
from search_spaces.errors import ConfigurationError
from search_spaces.lever import is_same
from tests.tuner.experiments.made_runs import N_TRAIN, ending_at, made_run
from tuner.experiments import EXPERIMENTS, experiment
from tuner.experiments.claims import end_below, end_in_order
from tuner.experiments.experiment import Claim, Experiment, JudgedClaim, Variant
from tuner.training.config import TrainingConfig

WIDTHS = Space(name="widths", levers=(lever("width").among((8, 16)),))
NARROW = Variant(label="narrow", config={"width": 8})
WIDE = Variant(label="wide", config={"width": 16})


def widths(*claims: Claim, narrow: Variant = NARROW, wide: Variant = WIDE) -> Experiment:
    return Experiment(
        name="widths",
        question="Which?",
        space=WIDTHS,
        fixed={"batch_size": 32},
        variants=(narrow, wide),
        claims=claims,
    )


def test_the_experiments_are_the_articles() -> None:
    """Five, by name, in its order, with as many trainings on 3 seeds as the issue asks for (batch 1 on one)."""
    n_trainings = {each.name: len(each.planned((0, 1, 2))) for each in EXPERIMENTS}
    assert n_trainings == {
        "learning-rate": 15,
        "batch-size": 11,
        "architecture": 15,
        "activation-depth": 18,
        "epochs": 6,
    }


@pytest.mark.parametrize("each", EXPERIMENTS, ids=lambda each: each.name)
def test_every_variant_is_the_articles_network_but_for_what_is_varied(each: Experiment) -> None:
    """784-128-10 with ReLU, glorot, SGD at 0.1 and batch 32, the last fifth for validation, 10 epochs."""
    article = TrainingConfig(
        width=128, depth=1, activation="relu", initialization="glorot", optimizer="sgd", momentum=0.0,
        learning_rate=0.1, batch_size=32, schedule="constant", split="last", epochs=10,
        stop_on_divergence=False,
    ).to_mapping()  # fmt: skip
    for variant in each.variants:
        whole = {"epochs": each.epochs, **each.fixed, **variant.config}
        config = TrainingConfig.from_mapping(whole).to_mapping()
        differing = {key for key in article if not is_same(config[key], article[key])}
        assert differing <= {lever.key for lever in each.space}


def test_an_unknown_experiment_is_named_with_the_nearest() -> None:
    """As every other name."""
    with pytest.raises(ConfigurationError, match=r"An experiment must be one of .* Did you mean 'epochs'"):
        experiment("epoch")


def test_variants_and_claims_that_cannot_be_are_refused_together() -> None:
    """A value outside the space, a key that is not varied, a label twice, a claim on a training that is not there."""
    with pytest.raises(ConfigurationError) as refused:
        widths(
            end_below("Deep ends low.", ("deep",), 1.0),
            narrow=Variant(label="x", config={"width": 9}),
            wide=Variant(label="x", config={"depth": 1}),
        )
    assert str(refused.value) == (
        "The experiment 'widths' cannot be: the label 'x' must be there once; of 'x', width must be one of 8, 16, "
        "but got 9; 'x' must set width, but sets depth; a claim speaks of 'deep', which is none of x, x."
    )


def test_a_costly_variant_is_planned_on_fewer_seeds() -> None:
    """The first of them."""
    wide = Variant(label="wide", config={"width": 16}, max_seeds=1)
    planned = [(variant.label, seed) for variant, seed in widths(wide=wide).planned((4, 5))]
    assert planned == [("narrow", 4), ("wide", 4), ("narrow", 5)]


def test_a_claim_is_held_when_it_holds_on_most_seeds() -> None:
    """Half of them are not most; its numbers are told seed by seed, and on which it held."""
    runs = [
        ending_at("narrow", 0.3),
        ending_at("wide", 0.2),
        made_run("narrow", train_losses=[0.3], seed=1),
        made_run("wide", train_losses=[0.4], seed=1),
    ]
    each = widths(end_in_order("Wide is lower.", ("narrow", "wide")))
    numbers = {"final_train_loss_of_narrow": [0.3, 0.3], "final_train_loss_of_wide": [0.2, 0.4]}
    assert each.judge(runs, (0, 1)) == [
        JudgedClaim(claim="Wide is lower.", held=False, held_on=[0], numbers={"seeds": [0, 1], **numbers})
    ]
    assert each.judge(runs[:2], (0,))[0].held is True
    third = [made_run("narrow", train_losses=[0.3], seed=2), made_run("wide", train_losses=[0.1], seed=2)]
    (claim,) = each.judge([*runs, *third], (0, 1, 2))
    assert (claim.held, claim.held_on) == (True, [0, 2])


def test_a_claim_whose_training_is_missing_is_not_judged() -> None:
    """What is there is told, but it is no verdict."""
    each = widths(end_in_order("Wide is lower.", ("narrow", "wide")))
    runs = [ending_at("narrow", 0.3), ending_at("wide", 0.2), made_run("narrow", train_losses=[0.3], seed=1)]
    (claim,) = each.judge(runs, (0, 1))
    assert claim.held is None
    assert claim.numbers["seeds"] == [0]
    assert each.judge([], (0, 1)) == [
        JudgedClaim(claim="Wide is lower.", held=None, held_on=[], numbers={"seeds": []})
    ]


def test_a_claim_on_a_costly_variant_is_judged_on_its_seeds() -> None:
    """The other seeds do not wait for it."""
    wide = Variant(label="wide", config={"width": 16}, max_seeds=1)
    each = widths(end_in_order("Wide is lower.", ("narrow", "wide")), wide=wide)
    runs = [ending_at("narrow", 0.3), ending_at("wide", 0.2), made_run("narrow", train_losses=[0.1], seed=1)]
    (claim,) = each.judge(runs, (0, 1))
    assert claim.held is True
    assert claim.numbers["seeds"] == [0]


def test_the_computation_log_adds_up_what_the_epochs_read() -> None:
    """Three epochs of 48,000 samples, each trained for 2 of its 3 seconds; the untrained network's pass is left out."""
    assert made_run("x", train_losses=[0.3, 0.2, 0.1]).computation == {
        "steps": 4500,
        "samples": 3 * N_TRAIN,
        "seconds": 9.0,
        "samples_per_second": N_TRAIN / 2.0,
    }


def test_a_loss_that_is_no_number_is_worse_than_any() -> None:
    """So that no claim takes a training that blew up for a good one."""
    run = made_run("x", train_losses=[0.5, math.nan], validation_losses=[0.5, math.nan])
    assert run.final_train_loss == math.inf
    assert run.train_loss(1) == 0.5
    assert run.validation_losses() == [0.5, math.inf]
