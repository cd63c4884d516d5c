"""Experiment 2: the batch size decides how many steps an epoch has, and how noisy each of them is."""

from collections.abc import Mapping

from search_spaces import Space
from search_spaces.catalog import lever
from tuner.experiments.claims import end_below, ends_above, final_train_losses
from tuner.experiments.experiment import Claim, Experiment, Judgment, Run, Variant
from tuner.experiments.network import shared_config

_TIMES_THE_LOSS = 10

_SPACE = Space(
    name="batch-size",
    levers=(
        lever("batch_size").among((1, 32, 256, "full")),
        lever("learning_rate").among((0.001, 0.1)),
    ),
)


def _full_hardly_moves(runs: Mapping[str, Run]) -> Judgment:
    full, small = runs["full"].final_train_loss, runs["32"].final_train_loss
    return Judgment(held=full > _TIMES_THE_LOSS * small, numbers=final_train_losses(runs))


EXPERIMENT = Experiment(
    name="batch-size",
    question="What does a batch size do at one learning rate, and why must the rate move with it?",
    space=_SPACE,
    fixed=shared_config(_SPACE),
    variants=(
        # 480,000 steps each, so on one seed only; first, so that several workers end together.
        Variant(label="1", config={"batch_size": 1, "learning_rate": 0.1}, max_seeds=1),
        Variant(label="1 at 0.001", config={"batch_size": 1, "learning_rate": 0.001}, max_seeds=1),
        Variant(label="32", config={"batch_size": 32, "learning_rate": 0.1}),
        Variant(label="256", config={"batch_size": 256, "learning_rate": 0.1}),
        Variant(label="full", config={"batch_size": "full", "learning_rate": 0.1}),
    ),
    claims=(
        Claim(
            sentence="The full batch ends with more than 10 times the train loss of batch 32.",
            labels=("full", "32"),
            check=_full_hardly_moves,
        ),
        ends_above("Batch 1 at rate 0.1 ends with a train loss above 0.5.", "1", 0.5),
        end_below("Batch 1 at rate 0.001 ends with a train loss below 0.15.", ("1 at 0.001",), 0.15),
    ),
)
