"""Levers of batching: how many examples make one step."""

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
)
