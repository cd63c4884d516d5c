"""Data sets by name: decoded once into one tensor, images as uint8.

A task is mnist, fashion-mnist, kmnist, cifar10, digits, auto, npz:FILE, module:function, or a function.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search_spaces.errors import DataError
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.digits import digits
from tuner.training.datasets.downloads import Announce
from tuner.training.datasets.image_sets import UnavailableDataError, load_image_set
from tuner.training.datasets.task_names import TASKS, check_task_name
from tuner.training.datasets.user_data import TaskData, check_data, data_from_function, data_from_npz

__all__ = ["TASKS", "Dataset", "TaskData", "load_dataset"]


def load_dataset(
    task: str | Callable[[], Any],
    *,
    data_dir: Path | None = None,
    download: bool = True,
    announce: Announce | None = None,
) -> Dataset:
    """The data set of ``task``.

    ``data_dir`` defaults to TUNER_DATA. ``announce`` takes what a person should know: a download, or
    what ``auto`` fell back to.

    Raises:
        ConfigurationError: an unknown task, or a function that cannot be imported.
        DataError: data that is not there, is damaged, or cannot be trained on.
    """
    if not isinstance(task, str):
        return data_from_function(task)
    if task.startswith("npz:"):
        return data_from_npz(Path(task.removeprefix("npz:")).expanduser())
    if ":" in task:
        return data_from_function(task)
    if task == "digits":
        return check_data(digits(), name="digits")
    check_task_name(task)
    data_dir = _data_dir(data_dir)
    name = "mnist" if task == "auto" else task
    try:
        arrays = load_image_set(name, data_dir=data_dir, may_download=download, announce=announce)
    except UnavailableDataError:
        if task != "auto":
            raise
        if announce is not None:
            announce(
                "MNIST cannot be had here (not in --data-dir, TUNER_DATA or the cache, and no download): "
                "training on scikit-learn's 1,797 digits instead."
            )
        return check_data(digits(), name="digits")
    x, y, x_test, y_test = arrays
    return check_data(TaskData(x=x, y=y, x_test=x_test, y_test=y_test), name=name)


def _data_dir(data_dir: Path | None) -> Path | None:
    source = "data_dir"
    if data_dir is None:
        source, value = "TUNER_DATA", os.environ.get("TUNER_DATA", "")
        data_dir = Path(value).expanduser() if value else None
    if data_dir is not None and not Path(data_dir).is_dir():
        raise DataError(f"{source} must name a folder that exists, but got {data_dir}.")
    return Path(data_dir) if data_dir is not None else None
