"""The article's experiments: five studies that teach, with claims that a machine checks."""

from search_spaces.errors import unknown_name
from tuner.experiments import activation_depth, architecture, batch_size, epochs, learning_rate
from tuner.experiments.experiment import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (
    learning_rate.EXPERIMENT,
    batch_size.EXPERIMENT,
    architecture.EXPERIMENT,
    activation_depth.EXPERIMENT,
    epochs.EXPERIMENT,
)
"""All of them, in the article's order."""


def experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ConfigurationError: if there is none.
    """
    by_name = {found.name: found for found in EXPERIMENTS}
    if name not in by_name:
        raise unknown_name("An experiment", name, by_name)
    return by_name[name]
