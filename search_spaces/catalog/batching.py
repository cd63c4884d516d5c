"""Levers of batching: how many examples make one step, and how the learning rate follows."""

from optuna.distributions import CategoricalDistribution

from search_spaces.lever import Family, Lever

LEVERS = (
    Lever(
        name="batch_size",
        distribution=CategoricalDistribution((32, 64, 128, 256, 512)),
        default=128,
        family=Family.BATCHING,
        structural=True,
        reason="Sets speed and gradient noise; the best learning rate and regularization move with it.",
        source="Deep Learning Tuning Playbook on what moves with it; the powers of two are our own range",
    ),
    Lever(
        name="accumulation_steps",
        distribution=CategoricalDistribution((1, 2, 4, 8)),
        default=1,
        family=Family.BATCHING,
        structural=True,
        reason="Minibatches added up before a step: the effect of a larger batch where memory ends.",
        source="Goyal et al. 2017 (arXiv:1706.02677), section 3, on how they add up; the powers are our own",
    ),
    Lever(
        name="batch_lr_rule",
        distribution=CategoricalDistribution(("none", "linear", "sqrt")),
        default="none",
        family=Family.BATCHING,
        reason="Carries a learning rate found at base_batch_size over to another batch: linear for SGD, sqrt for Adam.",
        source="Goyal et al. 2017 (arXiv:1706.02677), linear; Malladi et al. 2022 (arXiv:2205.10287), square root",
    ),
)
