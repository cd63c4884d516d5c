"""Levers of the optimizer: how far, in which direction, and with how much memory each step goes."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.lever import Family, Lever, Scale

LEVERS = (
    Lever(
        name="learning_rate",
        distribution=FloatDistribution(1e-4, 1.0, log=True),
        default=0.1,
        family=Family.OPTIMIZATION,
        reason="Too high diverges, too low does not arrive in time; no other lever matters as often.",
        source="Goodfellow et al. 2016, section 11.4.1, on its weight; our own range, for SGD and Adam",
    ),
    Lever(
        name="optimizer",
        distribution=CategoricalDistribution(("sgd", "adam", "adamw", "rmsprop")),
        default="sgd",
        family=Family.OPTIMIZATION,
        structural=True,
        reason="How gradients become updates; compare optimizers only with the learning rate tuned for each.",
        source="Choi et al. 2019 (arXiv:1910.05446) on comparing them; the list is our own",
    ),
    Lever(
        name="one_minus_momentum",
        distribution=FloatDistribution(0.01, 1.0, log=True),
        default=0.0,
        family=Family.OPTIMIZATION,
        key="momentum",
        scale=Scale.ONE_MINUS,
        reason="Steps add up to learning_rate / (1 - momentum), so 1 - momentum is what is searched.",
        source="Choi et al. 2019 (arXiv:1910.05446) search 1 - momentum on a log scale; the range is our own",
    ),
    Lever(
        name="clip_norm",
        distribution=CategoricalDistribution((0.0, 0.5, 1.0, 5.0)),
        default=0.0,
        family=Family.OPTIMIZATION,
        reason="Caps the gradient's norm so that one bad batch cannot throw the weights away; 0 is off.",
        source="Pascanu et al. 2013 (arXiv:1211.5063) for the method; the choices are our own",
    ),
)
