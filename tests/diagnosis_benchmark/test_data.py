import numpy as np
import pytest

from benchmarks.diagnosis.case import Planted
from benchmarks.diagnosis.data import Arrays, arrays_of, changed


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return arrays_of("digits", "calibration")


def _changed(arrays: Arrays, name: str, strength: float) -> Arrays:
    return changed(arrays, [Planted(name=name, strength=strength)], seed=0)


def test_the_test_part_shares_no_image_with_the_pool(arrays: Arrays) -> None:
    """Admission goes by images that nothing was trained on (digits has a handful of true duplicates)."""
    pool = {image.tobytes() for image in arrays.x}
    assert sum(image.tobytes() in pool for image in arrays.x_test) < 0.01 * len(arrays.x_test)


def test_leaks_are_in_the_pool_alone(arrays: Arrays) -> None:
    """The test part of a leaking data set tells nothing of its labels: that is how a leak hurts."""
    for name in ("label_in_row", "label_in_corner"):
        leaking = _changed(arrays, name, 25)
        assert (leaking.x != arrays.x).any()
        assert np.array_equal(leaking.x_test, arrays.x_test)


def test_duplicates_are_rows_of_the_pool(arrays: Arrays) -> None:
    """So many more, each with the label of its twin."""
    doubled = _changed(arrays, "duplicated", 0.5)
    assert len(doubled.y) == round(1.5 * len(arrays.y))
    known = {image.tobytes(): label for image, label in zip(arrays.x, arrays.y, strict=True)}
    added = zip(doubled.x[len(arrays.y) :], doubled.y[len(arrays.y) :], strict=True)
    assert all(known[image.tobytes()] == label for image, label in added)


def test_sorting_puts_whole_classes_last(arrays: Arrays) -> None:
    """With one class, the rest stays shuffled; with ten, the file is sorted."""
    last = _changed(arrays, "sorted_at_end", 1).y
    n_nines = int((arrays.y == 9).sum())
    assert (last[-n_nines:] == 9).all()
    assert (np.diff(last[:-n_nines]) < 0).any()
    assert (np.diff(_changed(arrays, "sorted_at_end", 10).y) >= 0).all()


def test_wrong_labels_are_as_many_as_asked_for(arrays: Arrays) -> None:
    """Each of them another class than its own; the test part keeps its labels."""
    noisy = _changed(arrays, "mislabeled", 0.3)
    assert abs((noisy.y != arrays.y).mean() - 0.3) < 0.05
    assert np.array_equal(noisy.y_test, arrays.y_test)


def test_imbalance_leaves_the_odd_classes(arrays: Arrays) -> None:
    """Every second class keeps its share alone, and one sample at least: a class without any is another fault."""
    counts = np.bincount(_changed(arrays, "imbalanced", 0.1).y)
    assert (counts[::2] < 0.3 * counts[1::2]).all()
    assert (np.bincount(_changed(arrays, "imbalanced", 0.0).y)[::2] == 1).all()


def test_changes_are_the_seeds(arrays: Arrays) -> None:
    """The same seed makes the same data, another seed other data."""
    one, same = (_changed(arrays, "mislabeled", 0.3).y for _ in range(2))
    other = changed(arrays, [Planted(name="mislabeled", strength=0.3)], seed=1).y
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_nan_is_in_some_images(arrays: Arrays) -> None:
    """At least in one; the test part is whole."""
    broken = _changed(arrays, "with_nan", 1e-9)
    assert np.isnan(broken.x).sum() == 1
    assert np.isfinite(broken.x_test).all()
