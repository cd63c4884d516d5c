"""Levers of regularization: what keeps a network from learning its training examples by heart."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.lever import Family, Lever

LEVERS = (
    Lever(
        name="weight_decay",
        distribution=FloatDistribution(1e-6, 1e-1, log=True),
        default=0.0,
        family=Family.REGULARIZATION,
        reason="Pulls weights to zero; its size only shows on a log scale, where 0 (off) has no place.",
        source="Goodfellow et al. 2016, section 11.4, on its effect; the anchor is AdamW's, the range our own",
        anchor=(0.01, 0.1),
    ),
    Lever(
        name="weight_decay_kind",
        distribution=CategoricalDistribution(("l2", "decoupled")),
        default="auto",
        family=Family.REGULARIZATION,
        reason="Decay as part of the gradient (l2) or beside it (decoupled), which Adam's scaling leaves alone.",
        source="Loshchilov and Hutter 2019 (arXiv:1711.05101)",
    ),
    Lever(
        name="dropout",
        distribution=FloatDistribution(0.0, 0.6),
        default=0.0,
        family=Family.REGULARIZATION,
        reason="Drops units at random in training; helps a network that overfits and slows every other.",
        source="Srivastava et al. 2014 for the method, with 0.5 in hidden layers; anchor and range are our own",
        anchor=(0.0, 0.3),
    ),
    Lever(
        name="label_smoothing",
        distribution=FloatDistribution(0.0, 0.1),
        default=0.0,
        family=Family.REGULARIZATION,
        reason="Keeps the network from claiming certainty; softens wrong labels too.",
        source="Szegedy et al. 2016 (arXiv:1512.00567), who use 0.1; the anchor is our own",
        anchor=(0.05, 0.1),
    ),
    Lever(
        name="augmentation",
        distribution=FloatDistribution(0.0, 1.0),
        default=0.0,
        family=Family.REGULARIZATION,
        reason="Shifts, turns, scales and erases training images: more examples, at the price of harder ones.",
        source="Ciresan et al. 2010 (arXiv:1003.0358) turn and scale MNIST about as far as 1 does; the rest is ours",
        anchor=(0.0, 0.5),
    ),
    Lever(
        name="class_weights",
        distribution=CategoricalDistribution(("none", "balanced")),
        default="none",
        family=Family.REGULARIZATION,
        structural=True,
        reason="Lets rare classes count as much as common ones; where all are equally common it does nothing.",
        source="King and Zeng 2001, weights by inverse frequency",
    ),
)
