"""The image sets that torchvision knows: where their files may lie, and how they are read.

Looked up in this order: the data directory (``--data-dir`` or ``TUNER_DATA``), the user's cache, a download.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs

from search_spaces.errors import DataError
from tuner.training.datasets.downloads import Announce, DownloadError, download
from tuner.training.datasets.idx import read_idx

Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""x_train [N, C, H, W], y_train [N], x_test, y_test."""

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")


class UnavailableDataError(DataError):
    """The data is nowhere to be found: not wrong, just not here."""


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """One of torchvision's sets."""

    name: str
    torchvision_name: str
    places: tuple[str, ...]
    """Folders below a root that may hold the files, torchvision's own first."""
    find: Callable[[Path], list[Path] | None]
    """The files in a folder, or None when one is missing."""
    read: Callable[[list[Path]], Arrays]
    megabytes: int

    def folders(self, root: Path) -> list[Path]:
        """Where the files may lie below ``root``; ``root`` itself, too, unless its name says another set."""
        below = [root / place for place in self.places]
        return [*below, root] if _set_of_files_in(root) == self.name else below


def _set_of_files_in(folder: Path) -> str:
    """The set that files lying loose in ``folder`` belong to, by its name; MNIST unless it says another.

    MNIST's relatives have its file names and its shapes: nothing else tells them apart.
    """
    name = (folder.parent if folder.name == "raw" else folder).name.lower().replace("_", "-")
    aliases = {"fashionmnist": "fashion-mnist", "cifar-10-batches-py": "cifar10"}
    return aliases.get(name, name if name in IMAGE_SETS else "mnist")


def load_image_set(
    name: str, *, data_dir: Path | None, may_download: bool, announce: Announce | None
) -> Arrays:
    """The arrays of the set called ``name``.

    Raises:
        UnavailableDataError: when it is in none of the places and cannot be downloaded.
        DataError: when a file that was found is damaged.
    """
    image_set = IMAGE_SETS[name]
    cache = Path(platformdirs.user_cache_dir("symptune")) / "data"
    files = _find(image_set, [root for root in (data_dir, cache) if root is not None])
    if files is None:
        _fetch(image_set, cache, data_dir=data_dir, may_download=may_download, announce=announce)
        files = _find(image_set, [cache])
    if files is None:
        raise DataError(f"The download of {name} left no complete set of files in {cache}.")
    return image_set.read(files)


def _find(image_set: ImageSet, roots: list[Path]) -> list[Path] | None:
    for folder in (folder for root in roots for folder in image_set.folders(root)):
        files = image_set.find(folder)
        if files is not None:
            return files
    return None


def _fetch(
    image_set: ImageSet, cache: Path, *, data_dir: Path | None, may_download: bool, announce: Announce | None
) -> None:
    looked = " and ".join(str(root) for root in (data_dir, cache) if root is not None)
    obstacle = "downloading is switched off"
    if may_download:
        try:
            download(image_set.torchvision_name, into=cache, megabytes=image_set.megabytes, announce=announce)
        except DownloadError as error:
            obstacle = str(error)
        else:
            return
    raise UnavailableDataError(
        f"The {image_set.name} files are not in {looked}, and {obstacle}: put them into a folder that "
        "--data-dir or TUNER_DATA names, or let it download where there is a network, or take "
        "--task digits or auto."
    )


def _find_idx(folder: Path) -> list[Path] | None:
    found = []
    for name in IDX_FILES:
        candidates = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
        if not candidates:
            return None
        found.append(candidates[0])
    return found


def _read_idx_set(files: list[Path]) -> Arrays:
    x_train, y_train, x_test, y_test = (
        read_idx(path, n_axes=n) for path, n in zip(files, (3, 1, 3, 1), strict=True)
    )
    for images, labels, path in ((x_train, y_train, files[1]), (x_test, y_test, files[3])):
        if len(images) != len(labels):
            raise DataError(
                f"There must be one label an image, but {path} has {len(labels)} for {len(images)} images."
            )
    return x_train[:, None], y_train, x_test[:, None], y_test


def _find_cifar10(folder: Path) -> list[Path] | None:
    files = [folder / name for name in CIFAR10_FILES]
    # torchvision insists on the folder's name.
    is_whole = folder.name == "cifar-10-batches-py" and all(path.is_file() for path in files)
    return files if is_whole else None


def _read_cifar10(files: list[Path]) -> Arrays:
    from torchvision.datasets import CIFAR10

    root = files[0].parent.parent
    try:
        train, test = CIFAR10(root, train=True), CIFAR10(root, train=False)
    except (RuntimeError, EOFError) as error:
        raise DataError(
            f"A CIFAR10 file in {files[0].parent} is damaged ({error}); fetch it again."
        ) from error
    x_train, x_test = (np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)) for part in (train, test))
    y_train, y_test = (np.array(part.targets, dtype=np.uint8) for part in (train, test))
    return x_train, y_train, x_test, y_test


def _idx_set(name: str, torchvision_name: str, megabytes: int) -> ImageSet:
    return ImageSet(
        name=name,
        torchvision_name=torchvision_name,
        places=(f"{torchvision_name}/raw", torchvision_name, name),
        find=_find_idx,
        read=_read_idx_set,
        megabytes=megabytes,
    )


IMAGE_SETS = {
    image_set.name: image_set
    for image_set in (
        _idx_set("mnist", "MNIST", 11),
        _idx_set("fashion-mnist", "FashionMNIST", 30),
        _idx_set("kmnist", "KMNIST", 21),
        ImageSet(
            name="cifar10",
            torchvision_name="CIFAR10",
            places=("cifar-10-batches-py", "CIFAR10/cifar-10-batches-py", "cifar10/cifar-10-batches-py"),
            find=_find_cifar10,
            read=_read_cifar10,
            megabytes=170,
        ),
    )
}
