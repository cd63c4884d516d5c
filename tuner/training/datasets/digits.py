"""scikit-learn's 1,797 handwritten digits: real images that are there without a network.

Read beside scikit-learn, whose import takes most of a second, in every worker.
"""

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tuner.training.datasets.splits import stratified_parts
from tuner.training.datasets.user_data import TaskData

N_TEST = 360
INK_MAXIMUM = 16
"""Pixels are counts of ink from 0 to 16."""
FILE_IN_SCIKIT_LEARN = Path("datasets", "data", "digits.csv.gz")


def digits() -> TaskData:
    """Images [n, 8, 8] as uint8 up to 255; a fixed stratified fifth of them is the test part."""
    x, y = read_digits()
    images = np.round(x * (255 / INK_MAXIMUM)).astype(np.uint8).reshape(-1, 8, 8)
    test, train = stratified_parts(y, N_TEST, seed=0)
    return TaskData(x=images[train], y=y[train], x_test=images[test], y_test=y[test])


def read_digits() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Ink [1797, 64] and labels [1797]; where the file has moved, scikit-learn itself reads it, only slower."""
    package = importlib.util.find_spec("sklearn")
    for folder in (package.submodule_search_locations if package else None) or ():
        path = Path(folder) / FILE_IN_SCIKIT_LEARN
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x, y.astype(np.int64)
