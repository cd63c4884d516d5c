import gzip
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

import numpy as np
import numpy.typing as npt
import pytest
import torch

from search_spaces.errors import ConfigurationError, DataError
from tests.problems import blob_arrays, blobs, images, line_task
from tuner.training.data import TaskData, load_dataset
from tuner.training.datasets import digits, image_sets
from tuner.training.datasets.downloads import DownloadError
from tuner.training.datasets.idx import read_idx
from tuner.training.datasets.image_sets import IDX_FILES
from tuner.training.datasets.user_data import check_data

PARTS = ((6, 3, 2), (6,), (4, 3, 2), (4,))


def idx_bytes(array: npt.NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx_set(folder: Path, *, offset: int = 0, packed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape in zip(IDX_FILES, PARTS, strict=True):
        values = (np.arange(np.prod(shape)) + offset) % 256
        content = idx_bytes((values % 2 if len(shape) == 1 else values).astype(np.uint8).reshape(shape))
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user cache, and no TUNER_DATA."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(image_sets.platformdirs, "user_cache_dir", lambda _name: str(folder))
    monkeypatch.delenv("TUNER_DATA", raising=False)
    return folder / "data"


class TestIdx:
    @pytest.mark.parametrize("packed", [False, True])
    def test_reads_what_was_written(self, tmp_path: Path, packed: bool) -> None:
        """The reader gives back the array whose bytes are in the file, gzipped or not."""
        array = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        path = tmp_path / ("a.gz" if packed else "a")
        path.write_bytes(gzip.compress(idx_bytes(array)) if packed else idx_bytes(array))
        np.testing.assert_array_equal(read_idx(path, n_axes=3), array)

    @pytest.mark.parametrize(
        ("name", "damage", "message"),
        [
            ("a", lambda raw: raw[:-1], "must hold 24 values as its header says, but it holds 23"),
            ("a", lambda raw: raw + b"x", "must hold 24 values as its header says, but it holds 25"),
            ("a", lambda raw: raw[:7], "begins with 16 bytes of header"),
            ("a", lambda raw: b"\x1f" + raw[1:], "begins with 00000803"),
            ("a.gz", lambda raw: gzip.compress(raw)[:-9], "a.gz is truncated or damaged"),
            ("a.gz", lambda raw: raw, "a.gz is truncated or damaged"),
        ],
    )
    def test_a_damaged_file_is_named(
        self, tmp_path: Path, name: str, damage: Callable[[bytes], bytes], message: str
    ) -> None:
        """A truncated, prolonged or foreign file is a DataError that names it."""
        path = tmp_path / name
        path.write_bytes(damage(idx_bytes(np.zeros((2, 3, 4), dtype=np.uint8))))
        with pytest.raises(DataError, match=message) as caught:
            read_idx(path, n_axes=3)
        assert str(path) in str(caught.value)


@pytest.mark.usefixtures("cache")
class TestImageSets:
    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("place", [".", "MNIST/raw", "mnist"])
    def test_mnist_is_found_where_it_may_lie(self, tmp_path: Path, place: str, packed: bool) -> None:
        """The four files are found loose or in torchvision's layout, plain or gzipped."""
        write_idx_set(tmp_path / "data" / place, packed=packed)
        dataset = load_dataset("mnist", data_dir=tmp_path / "data", download=False)
        assert dataset.x_train.shape == (6, 1, 3, 2)
        assert dataset.x_train.dtype == torch.uint8
        assert dataset.x_train.flatten().tolist() == list(range(36))
        assert dataset.y_test.tolist() == [0, 1, 0, 1]

    def test_tuner_data_is_the_default_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """TUNER_DATA stands in for data_dir."""
        write_idx_set(tmp_path / "data")
        monkeypatch.setenv("TUNER_DATA", str(tmp_path / "data"))
        assert load_dataset("mnist", download=False).name == "mnist"

    def test_the_cache_is_looked_at_after_the_directory(self, cache: Path, tmp_path: Path) -> None:
        """What the directory lacks is taken from the cache; what it has wins."""
        write_idx_set(cache / "MNIST" / "raw", offset=100)
        (tmp_path / "data").mkdir()
        assert load_dataset("mnist", data_dir=tmp_path / "data", download=False).x_train[0, 0, 0, 0] == 100
        write_idx_set(tmp_path / "data")
        assert load_dataset("mnist", data_dir=tmp_path / "data", download=False).x_train[0, 0, 0, 0] == 0

    def test_loose_files_are_not_mistaken_for_a_relative(self, tmp_path: Path) -> None:
        """Loose files count as MNIST unless the folder's name says FashionMNIST or KMNIST."""
        write_idx_set(tmp_path / "anything")
        write_idx_set(tmp_path / "FashionMNIST")
        with pytest.raises(DataError, match="fashion-mnist files are not in"):
            load_dataset("fashion-mnist", data_dir=tmp_path / "anything", download=False)
        with pytest.raises(DataError, match="The mnist files are not in"):
            load_dataset("mnist", data_dir=tmp_path / "FashionMNIST", download=False)
        folder = tmp_path / "FashionMNIST"
        assert load_dataset("fashion-mnist", data_dir=folder, download=False).name == "fashion-mnist"

    def test_what_cannot_be_had_names_three_ways(self, cache: Path, tmp_path: Path) -> None:
        """The error says where it looked and the three ways to provide the data."""
        with pytest.raises(DataError, match="--data-dir or TUNER_DATA") as caught:
            load_dataset("mnist", data_dir=tmp_path, download=False)
        for part in (str(tmp_path), str(cache), "let it download", "--task digits or auto"):
            assert part in str(caught.value)

    def test_a_directory_that_is_not_there_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A mistyped TUNER_DATA is an error, never a silent download or the digits."""
        monkeypatch.setenv("TUNER_DATA", str(tmp_path / "typo"))
        with pytest.raises(DataError, match="TUNER_DATA must name a folder that exists"):
            load_dataset("auto", download=False)

    def test_auto_falls_back_to_digits_and_says_so_once(
        self,
    ) -> None:
        """Without MNIST, auto is digits, with one line that tells it."""
        lines = []
        dataset = load_dataset("auto", download=False, announce=lines.append)
        assert dataset.name == "digits"
        assert len(lines) == 1
        assert "1,797 digits" in lines[0]

    def test_auto_does_not_hide_a_damaged_file(self, tmp_path: Path) -> None:
        """A truncated MNIST is an error for auto, too."""
        write_idx_set(tmp_path)
        (tmp_path / IDX_FILES[0]).write_bytes(b"\0")
        with pytest.raises(DataError, match=IDX_FILES[0]):
            load_dataset("auto", data_dir=tmp_path, download=False)

    def test_a_download_fills_the_cache_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was downloaded is found in the cache the next time."""
        calls = []

        def download(name: str, *, into: Path, megabytes: int, announce: object) -> None:
            assert announce is None
            calls.append((name, megabytes))
            write_idx_set(into / name / "raw", packed=True)

        monkeypatch.setattr(image_sets, "download", download)
        first, second = load_dataset("kmnist"), load_dataset("kmnist")
        assert calls == [("KMNIST", 21)]
        assert first.content_hash == second.content_hash

    def test_a_failed_download_says_why(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The obstacle is part of the sentence."""

        def download(*_args: Any, **_keywords: Any) -> Never:
            raise DownloadError("no mirror can be reached from here")

        monkeypatch.setattr(image_sets, "download", download)
        with pytest.raises(DataError, match="and no mirror can be reached from here: put them"):
            load_dataset("mnist")

    def test_labels_and_images_must_be_as_many(self, tmp_path: Path) -> None:
        """Six images with four labels are refused."""
        write_idx_set(tmp_path)
        (tmp_path / IDX_FILES[1]).write_bytes(idx_bytes(np.zeros(4, dtype=np.uint8)))
        with pytest.raises(DataError, match="has 4 for 6 images"):
            load_dataset("mnist", data_dir=tmp_path, download=False)


class TestDigits:
    def test_are_images_with_a_fixed_test_part(self) -> None:
        """1,797 images of 8 x 8 as uint8 up to 255, a stratified fifth of them for the test."""
        dataset = load_dataset("digits")
        assert dataset.x_train.shape == (1437, 1, 8, 8)
        assert dataset.x_test.shape == (360, 1, 8, 8)
        assert dataset.x_train.dtype == torch.uint8
        assert dataset.x_train.max() == 255
        assert torch.bincount(dataset.y_test).min() >= 34
        assert dataset.content_hash == load_dataset("digits").content_hash

    def test_are_scikit_learns_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Read from the file or, where a release has moved it, by scikit-learn: the same numbers."""
        with monkeypatch.context() as patch:
            patch.setattr(digits, "FILE_IN_SCIKIT_LEARN", Path("moved.csv.gz"))
            theirs_x, theirs_y = digits.read_digits()
        monkeypatch.setattr("sklearn.datasets.load_digits", None)
        x, y = digits.read_digits()
        np.testing.assert_array_equal(x, theirs_x)
        np.testing.assert_array_equal(y, theirs_y)


class TestOwnData:
    def test_a_function_may_return_a_pair(self) -> None:
        """module:function with (x, y) is a data set without a test part."""
        dataset = load_dataset("tests.problems:blob_arrays")
        assert dataset.name == "tests.problems:blob_arrays"
        assert (dataset.kind, dataset.n_outputs, dataset.input_shape) == ("classification", 3, (4,))
        assert dataset.x_test is None

    def test_a_callable_is_the_same_as_its_name(self) -> None:
        """A function and its module:function name give the same data."""
        assert (
            load_dataset(blob_arrays).content_hash == load_dataset("tests.problems:blob_arrays").content_hash
        )

    def test_four_arrays_bring_their_test_part(self) -> None:
        """(x_train, y_train, x_test, y_test) keeps the test part."""
        data = blobs(n_test=6)
        loaded = load_dataset(lambda: (data.x_train, data.y_train, data.x_test, data.y_test))
        assert torch.equal(loaded.x_test, data.x_test)
        assert torch.equal(loaded.y_test, data.y_test)

    def test_a_regression_is_declared(self) -> None:
        """TaskData(kind="regression") gives float targets of [n, outputs]."""
        dataset = load_dataset(line_task)
        assert (dataset.kind, dataset.n_outputs, dataset.y_train.shape) == ("regression", 1, (80, 1))

    def test_the_current_directory_is_importable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """module:function finds a file in the directory one is in, as python -m does."""
        (tmp_path / "my_own_task.py").write_text("def data():\n    return [[0.0], [1.0]], [0, 1]\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", sys.path.copy())
        assert load_dataset("my_own_task:data").input_shape == (1,)

    def test_npz_files_are_read(self, tmp_path: Path) -> None:
        """npz:FILE takes x and y; 3-D images get their one channel."""
        np.savez(tmp_path / "a.npz", x=np.zeros((4, 5, 6), dtype=np.uint8), y=np.array([0, 1, 0, 1]))
        assert load_dataset(f"npz:{tmp_path / 'a.npz'}").input_shape == (1, 5, 6)

    def test_npz_faults_are_told(self, tmp_path: Path) -> None:
        """A missing file, a file that is none, and missing arrays are DataErrors."""
        with pytest.raises(DataError, match="needs an existing file"):
            load_dataset(f"npz:{tmp_path / 'none.npz'}")
        (tmp_path / "bad.npz").write_bytes(b"no zip")
        with pytest.raises(DataError, match=r"cannot be read as \.npz"):
            load_dataset(f"npz:{tmp_path / 'bad.npz'}")
        np.savez(tmp_path / "a.npz", images=np.zeros(3))
        with pytest.raises(DataError, match=r"a\.npz has images"):
            load_dataset(f"npz:{tmp_path / 'a.npz'}")

    @pytest.mark.parametrize(
        ("task", "message"),
        [
            ("mnits", "Did you mean 'mnist'"),
            ("no_such_module:data", "module 'no_such_module', which cannot be imported"),
            ("tests.problems:blob_array", "needs a function 'blob_array' in tests.problems, which has"),
            (":data", "task must be written module:function"),
        ],
    )
    def test_a_task_that_is_not_there_is_one_sentence(
        self, task: str, message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An unknown task and a function that cannot be imported are ConfigurationErrors."""
        monkeypatch.setattr(sys, "path", sys.path.copy())
        with pytest.raises(ConfigurationError, match=message):
            load_dataset(task, download=False)

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            (([[1.0]] * 3, [0, 1]), "x has 3 samples and y has 2"),
            (([[1.0], [2.0]], ["a", "b"]), "y must hold numbers"),
            ((np.array([["a"], ["b"]]), [0, 1]), "x must hold numbers"),
            (([[1.0], [2.0, 3.0]], [0, 1]), "x must be an array, but its rows differ"),
            (([[1.0], [2.0]], [0.0, 1.0]), 'TaskData\\(x=x, y=y, kind="regression"\\)'),
            (([[1.0], [2.0]], [[0, 1], [1, 0]]), "y.argmax"),
            (([[1.0], [2.0]], [1, 2]), "no sample has 0"),
            (([[1.0], [2.0], [3.0]], [0, 1, 3]), "no sample has 2"),
            (([[1.0], [2.0]], [0, 2_000_000]), "y holds 2000000"),
            (([[1.0], [2.0]], [-1, 0]), "y holds -1"),
            (([[1.0], [2.0]], [0, 0]), "two classes or more"),
            (([1.0, 2.0], [0, 1]), r"x must be \[n, features\]"),
            ((np.zeros((2, 32, 32, 3)), [0, 1]), "x.transpose"),
            ((np.zeros((2, 0)), [0, 1]), "x must hold samples"),
            (([[1.0], [2.0]], [0, 1], [[1.0, 2.0]], [0]), "one shape a sample"),
            (([[1.0], [2.0]], [0, 1], [[1.0]], [2]), "y_test must hold classes that y_train has"),
            (([[1.0]], [0], [[1.0]]), "returned 3 values"),
            ("text", "returned str"),
            (None, "returned NoneType"),
        ],
    )
    def test_data_that_cannot_be_trained_on_is_refused(self, returned: Any, message: str) -> None:
        """Every misfit of a user's arrays is a DataError that says the rule."""
        with pytest.raises(DataError, match=message):
            load_dataset(lambda: returned)

    def test_task_data_is_checked(self) -> None:
        """A mistyped kind, half a test part, and a target that is not finite are refused."""
        with pytest.raises(DataError, match="classification or regression"):
            TaskData(x=[[1.0]], y=[0], kind="ranking")
        with pytest.raises(DataError, match="come together"):
            TaskData(x=[[1.0]], y=[0], x_test=[[1.0]])
        with pytest.raises(DataError, match="1 values are not"):
            check_data(TaskData(x=[[1.0]], y=[np.nan], kind="regression"), name="")
        with pytest.raises(DataError, match=r"y must be \[n\]"):
            check_data(TaskData(x=[[1.0]], y=[[[1.0]]], kind="regression"), name="")

    def test_nan_in_the_inputs_is_let_through(self) -> None:
        """NaN in x is for the probes to tell."""
        assert load_dataset(lambda: ([[np.nan], [1.0]], [0, 1])).x_train.isnan().sum() == 1


class TestContentHash:
    def test_it_changes_with_everything_that_matters(self) -> None:
        """Another value, type, shape or split of the same bytes is another hash."""
        x, y = np.arange(8, dtype=np.uint8).reshape(4, 2), np.array([0, 1, 0, 1])
        other = x.copy()
        other[0, 0] = 9
        variants = [
            TaskData(x=x, y=y),
            TaskData(x=other, y=y),
            TaskData(x=x, y=1 - y),
            TaskData(x=x.astype(np.float32), y=y),
            TaskData(x=x.reshape(4, 1, 1, 2), y=y),
            TaskData(x=x, y=y, x_test=x, y_test=y),
            TaskData(x=x, y=y, kind="regression"),
        ]
        hashes = {check_data(each, name="").content_hash for each in variants}
        assert len(hashes) == len(variants)
        assert check_data(TaskData(x=x, y=y), name="other").content_hash in hashes


def test_images_helper_is_an_image_set() -> None:
    """The tiny images of the tests are uint8 with a channel."""
    assert images().x_train.shape == (60, 1, 8, 8)
