"""Experiment 1: the learning rate decides whether a training creeps, arrives, jumps about or falls apart."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from search_spaces import Space
from search_spaces.catalog import lever
from tuner.experiments.claims import end_in_order, ratio
from tuner.experiments.experiment import Claim, Experiment, Judgment, Run, Variant
from tuner.experiments.network import shared_config

_RATES = (0.001, 0.01, 0.1, 1.0, 10.0)
_LOST_ACCURACY = 0.2
"""A fraction: twice what guessing one of ten classes gives."""
_N_LAST_EPOCHS = 5
_TIMES_THE_MOVEMENT = 3

_SPACE = Space(name="learning-rate", levers=(lever("learning_rate").among(_RATES),))


def _is_lost_at_10(runs: Mapping[str, Run]) -> Judgment:
    accuracy = runs["10"].last.train_accuracy
    return Judgment(held=accuracy < _LOST_ACCURACY, numbers={"final_train_accuracy": accuracy})


def _creeps_at_0_001(runs: Mapping[str, Run]) -> Judgment:
    slow, fast = runs["0.001"].train_loss(10), runs["0.1"].train_loss(1)
    numbers = {"train_loss_of_0.001_in_epoch_10": slow, "train_loss_of_0.1_in_epoch_1": fast}
    return Judgment(held=slow > fast, numbers=numbers)


def _jumps_about_at_1(runs: Mapping[str, Run]) -> Judgment:
    wild, calm = (movement(runs[label].validation_losses()) for label in ("1", "0.1"))
    numbers = {"movement_of_1": wild, "movement_of_0.1": calm, "ratio": ratio(wild, calm)}
    return Judgment(held=wild > _TIMES_THE_MOVEMENT * calm, numbers=numbers)


def movement(losses: Sequence[float], n_epochs: int = _N_LAST_EPOCHS) -> float:
    """How far a loss moves in an epoch, up or down: the mean over the last ``n_epochs`` of its changes."""
    changes = [abs(after - before) for before, after in pairwise(losses)]
    return sum(changes[-n_epochs:]) / n_epochs


EXPERIMENT = Experiment(
    name="learning-rate",
    question="What does a learning rate do that is too low, right, or too high?",
    space=_SPACE,
    fixed=shared_config(_SPACE),
    variants=tuple(Variant(label=f"{rate:g}", config={"learning_rate": rate}) for rate in _RATES),
    claims=(
        Claim(
            sentence="At rate 10 the final train accuracy is below 0.2.",
            labels=("10",),
            check=_is_lost_at_10,
        ),
        Claim(
            sentence="Rate 0.001 has a higher train loss after 10 epochs than rate 0.1 after 1.",
            labels=("0.001", "0.1"),
            check=_creeps_at_0_001,
        ),
        Claim(
            sentence="At rate 1 the validation loss moves more than 3 times as much over the last 5 epochs as at 0.1.",
            labels=("1", "0.1"),
            check=_jumps_about_at_1,
        ),
        end_in_order("At rate 1 the final train loss is higher than at 0.1.", ("1", "0.1")),
    ),
)
