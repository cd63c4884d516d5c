"""Levers of the network itself: its size, its nonlinearity, and how its weights begin."""

from optuna.distributions import CategoricalDistribution, IntDistribution

from search_spaces.lever import Family, Lever

LEVERS = (
    Lever(
        name="model",
        distribution=CategoricalDistribution(("mlp", "cnn")),
        default="mlp",
        family=Family.ARCHITECTURE,
        structural=True,
        reason="Convolutions know that neighboring pixels belong together; they need images.",
        source="LeCun et al. 1998, Gradient-based learning; the two networks are our own",
    ),
    Lever(
        name="depth",
        distribution=IntDistribution(1, 5),
        default=1,
        family=Family.ARCHITECTURE,
        structural=True,
        reason="Hidden layers: more of them say more, and are harder to train.",
        source="our own range, for networks that train in minutes",
    ),
    Lever(
        name="width",
        distribution=CategoricalDistribution((32, 64, 128, 256, 512)),
        default=128,
        family=Family.ARCHITECTURE,
        structural=True,
        reason="Units per hidden layer: capacity, paid for in time and in overfitting.",
        source="Goodfellow et al. 2016, section 11.4, on its effect; the powers of two are our own range",
    ),
    Lever(
        name="activation",
        distribution=CategoricalDistribution(
            ("relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "selu")
        ),
        default="relu",
        family=Family.ARCHITECTURE,
        structural=True,
        reason="Decides whether gradients reach the first layers, and whether units can die.",
        source="our own list of those in common use",
    ),
    Lever(
        name="normalization",
        distribution=CategoricalDistribution(("none", "batch", "layer")),
        default="none",
        family=Family.ARCHITECTURE,
        structural=True,
        reason="Keeps the scale of activations in hand, so that higher learning rates are stable.",
        source="Ioffe and Szegedy 2015 (arXiv:1502.03167); Ba et al. 2016 (arXiv:1607.06450)",
    ),
    Lever(
        name="initialization",
        distribution=CategoricalDistribution(("default", "glorot", "he", "lecun")),
        default="glorot",
        family=Family.ARCHITECTURE,
        reason="The first weights must suit the activation, or signals fade or grow from layer to layer.",
        source="Glorot and Bengio 2010; He et al. 2015 (arXiv:1502.01852); LeCun et al. 1998",
    ),
)
