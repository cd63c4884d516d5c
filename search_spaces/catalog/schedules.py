"""Levers of the learning rate's schedule: how it starts, and how it ends."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.lever import Family, Lever

LEVERS = (
    Lever(
        name="schedule",
        distribution=CategoricalDistribution(
            ("constant", "step", "cosine", "one_cycle", "plateau", "linear", "exponential")
        ),
        default="constant",
        family=Family.SCHEDULING,
        reason="A rate that falls lets the last epochs settle; it allows a higher rate at the start.",
        source="Deep Learning Tuning Playbook prefers linear or cosine decay; the list is our own",
    ),
    Lever(
        name="warmup_fraction",
        distribution=FloatDistribution(0.0, 0.1),
        default=0.0,
        family=Family.SCHEDULING,
        reason="Raises the rate from zero over the first steps where training is unstable only at its start.",
        source="Goyal et al. 2017 (arXiv:1706.02677) for the method; the range is our own",
    ),
)
