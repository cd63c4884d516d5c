"""What tasks are called. Loads no torch, so that a slip of the pen is told at once."""

from search_spaces.errors import unknown_name
from tuner.training.datasets.image_sets import IMAGE_SETS

TASKS = (*IMAGE_SETS, "digits", "auto")


def check_task_name(task: str) -> None:
    """Raise ConfigurationError unless ``task`` is one of `TASKS`, ``npz:FILE`` or ``module:function``."""
    if ":" not in task and task not in TASKS:
        raise unknown_name("task", task, [*TASKS, "npz:FILE", "module:function"])
