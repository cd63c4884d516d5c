"""Levers of the learning rate's schedule: how it starts, and how it ends.

Cosine with warmup is ``schedule=cosine`` with a warmup lever; so is linear with warmup, and so on.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.lever import Family, Lever

LEVERS = (
    Lever(
        name="schedule",
        distribution=CategoricalDistribution(
            (
                "constant",
                "step",
                "multistep",
                "exponential",
                "cosine",
                "one_cycle",
                "linear",
                "plateau",
                "restarts",
            )
        ),
        default="constant",
        family=Family.SCHEDULING,
        reason="A rate that falls lets the last epochs settle; it allows a higher rate at the start.",
        source="Deep Learning Tuning Playbook prefers linear or cosine decay; the list is our own",
    ),
    Lever(
        name="warmup_steps",
        distribution=IntDistribution(100, 1000, log=True),
        default=0,
        family=Family.SCHEDULING,
        reason="Raises the rate from zero over so many steps; in a training of few steps take warmup_fraction.",
        source="Goyal et al. 2017 (arXiv:1706.02677) for the method; the range is usual for trainings of 10,000 steps",
    ),
    Lever(
        name="warmup_fraction",
        distribution=FloatDistribution(0.0, 0.1),
        default=0.0,
        family=Family.SCHEDULING,
        reason="Raises the rate from zero over the first steps where training is unstable only at its start.",
        source="Goyal et al. 2017 (arXiv:1706.02677) for the method; the range is our own",
    ),
    Lever(
        name="final_lr_fraction",
        distribution=FloatDistribution(1e-4, 0.3, log=True),
        default=0.01,
        family=Family.SCHEDULING,
        reason="Where the rate ends, as a share of its peak: lower settles more, and wastes steps when too low.",
        source="our own range, around the hundredth at which cosine schedules are often ended",
    ),
    Lever(
        name="step_size",
        distribution=IntDistribution(1, 10),
        default=None,
        family=Family.SCHEDULING,
        reason="Epochs between the drops of schedule=step: too early a drop freezes what has not settled.",
        source="our own range, for trainings of 3 to 30 epochs; a third of the training is the default",
    ),
    Lever(
        name="step_gamma",
        distribution=FloatDistribution(0.05, 0.9, log=True),
        default=0.1,
        family=Family.SCHEDULING,
        reason="How far each drop goes; gentle drops want to be many.",
        source="He et al. 2016 (arXiv:1512.03385), section 4.2, use 0.1; the range is our own",
    ),
    Lever(
        name="plateau_patience",
        distribution=IntDistribution(0, 5),
        default=3,
        family=Family.SCHEDULING,
        reason="Epochs without a better validation loss before schedule=plateau drops the rate.",
        source="our own range, for trainings of up to 50 epochs; torch's default of 10 suits longer ones",
    ),
    Lever(
        name="restart_period",
        distribution=IntDistribution(1, 10),
        default=None,
        family=Family.SCHEDULING,
        reason="Epochs of one cosine of schedule=restarts; the last one should end with the training.",
        source="Loshchilov and Hutter 2017 (arXiv:1608.03983), who begin with 1 and 10 epochs",
    ),
)
