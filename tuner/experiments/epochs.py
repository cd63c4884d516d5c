"""Experiment 5: after the best epoch more training only memorizes; early stopping gives the best epoch back."""

import math
from collections.abc import Mapping

from optuna.distributions import CategoricalDistribution

from search_spaces import Space
from search_spaces.lever import Family, Lever
from tuner.experiments.claims import end_below, ratio
from tuner.experiments.experiment import Claim, Experiment, Judgment, Run, Variant
from tuner.experiments.network import shared_config

_LONG, _STOPPED = "50 epochs", "early stopping"
_MINIMUM_BEFORE_EPOCH = 30
_RISE = 1.05
"""Of the last validation loss over the smallest."""
_STOPS_BEFORE_EPOCH = 50
_SAME_WEIGHTS = 1e-6
"""Relative: the same weights on the same samples give the same loss, but for the last bits of float32."""
_SAME_TRAINING = 0.01
"""Relative: the same training by a process with another number of threads adds in another order."""

_SPACE = Space(
    name="epochs",
    levers=(
        Lever(
            name="epochs",
            distribution=CategoricalDistribution((50, 100)),
            default=10,
            family=Family.SCHEDULING,
            reason="Too few underfit, too many overfit.",
        ),
        Lever(
            name="patience",
            distribution=CategoricalDistribution((0, 5)),
            default=0,
            family=Family.REGULARIZATION,
            reason="Epochs without a better validation loss before the training stops.",
        ),
    ),
)


def _overfits(runs: Mapping[str, Run]) -> Judgment:
    losses = runs[_LONG].validation_losses()
    best_epoch, smallest = smallest_loss(losses)
    return Judgment(
        held=best_epoch < _MINIMUM_BEFORE_EPOCH and losses[-1] > _RISE * smallest,
        numbers={
            "best_epoch": best_epoch,
            "smallest_validation_loss": smallest,
            "final_validation_loss": losses[-1],
            "final_over_smallest": ratio(losses[-1], smallest),
        },
    )


def _stops_in_time(runs: Mapping[str, Run]) -> Judgment:
    n_epochs = runs[_STOPPED].n_epochs
    return Judgment(held=n_epochs < _STOPS_BEFORE_EPOCH, numbers={"epochs": n_epochs})


def _gives_the_best_back(runs: Mapping[str, Run]) -> Judgment:
    run = runs[_STOPPED]
    best_epoch, smallest = smallest_loss(run.validation_losses())
    restored = run.restored
    if restored is None:
        raise ValueError("A training with early stopping must have been evaluated with what it gave back.")
    has_best_weights = math.isclose(restored.evaluated, restored.recorded_minimum, rel_tol=_SAME_WEIGHTS)
    is_same_training = math.isclose(restored.evaluated, smallest, rel_tol=_SAME_TRAINING)
    return Judgment(
        held=has_best_weights and is_same_training,
        numbers={
            "best_epoch": best_epoch,
            "recorded_minimum": smallest,
            "recorded_minimum_trained_again": restored.recorded_minimum,
            "evaluated": restored.evaluated,
        },
    )


def smallest_loss(losses: list[float]) -> tuple[int, float]:
    """The first epoch with the smallest loss, counted from 1, and that loss."""
    smallest = min(losses)
    return losses.index(smallest) + 1, smallest


EXPERIMENT = Experiment(
    name="epochs",
    question="What do more epochs do, and when should a training stop?",
    space=_SPACE,
    # The rate and the batch of the lowest train loss in experiments 1 and 2, which are the network's own.
    fixed=shared_config(_SPACE),
    variants=(
        Variant(label=_LONG, config={"epochs": 50, "patience": 0}),
        Variant(label=_STOPPED, config={"epochs": 100, "patience": 5}),
    ),
    claims=(
        end_below("In 50 epochs the train loss falls below 0.01.", (_LONG,), 0.01),
        Claim(
            sentence="In 50 epochs the validation loss is smallest before epoch 30, and ends more than 5% above that.",
            labels=(_LONG,),
            check=_overfits,
        ),
        Claim(
            sentence="Early stopping with patience 5 under a bound of 100 ends before epoch 50.",
            labels=(_STOPPED,),
            check=_stops_in_time,
        ),
        Claim(
            sentence="Early stopping returns the weights of the smallest recorded validation loss.",
            labels=(_STOPPED,),
            check=_gives_the_best_back,
        ),
    ),
    metric="validation_loss",
)
