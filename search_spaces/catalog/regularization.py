"""Levers of regularization: what keeps a network from learning its training examples by heart."""

from optuna.distributions import FloatDistribution

from search_spaces.lever import Family, Lever

LEVERS = (
    Lever(
        name="weight_decay",
        distribution=FloatDistribution(1e-6, 1e-1, log=True),
        default=0.0,
        family=Family.REGULARIZATION,
        reason="Pulls weights to zero; its size only shows on a log scale, where 0 (off) has no place.",
        source="Goodfellow et al. 2016, section 11.4, on its effect; the range is our own",
    ),
    Lever(
        name="dropout",
        distribution=FloatDistribution(0.0, 0.6),
        default=0.0,
        family=Family.REGULARIZATION,
        reason="Drops units at random in training; helps a network that overfits and slows every other.",
        source="Srivastava et al. 2014 for the method, with 0.5 in hidden layers; the range is our own",
    ),
    Lever(
        name="label_smoothing",
        distribution=FloatDistribution(0.0, 0.1),
        default=0.0,
        family=Family.REGULARIZATION,
        reason="Keeps the network from claiming certainty; softens wrong labels too.",
        source="Szegedy et al. 2016 (arXiv:1512.00567), who use 0.1",
    ),
)
