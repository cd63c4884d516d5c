"""The images of a task as the rivals read them: the very samples that our search trains on and validates with."""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rivals.job import PARTS

from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset


def prepared_images(task: str, folder: Path, *, seed: int) -> Splits:
    """Write the splits of ``task`` into a new ``folder``, and return them."""
    splits = split_dataset(load_dataset(task), seed=seed, device="cpu")
    folder.mkdir()
    for name in PARTS:
        np.save(folder / f"{name}.npy", getattr(splits, name).numpy())
    raw = folder / "MNIST" / "raw"  # where torchvision's class MNIST looks
    raw.mkdir(parents=True)
    for part, file in (("train", "train"), ("validation", "t10k")):
        images = getattr(splits, f"{part}_x").numpy()
        labels = getattr(splits, f"{part}_y").numpy()
        _write_idx(raw / f"{file}-images-idx3-ubyte", images.reshape(len(images), *images.shape[-2:]))
        _write_idx(raw / f"{file}-labels-idx1-ubyte", labels.astype(np.uint8))
    return splits


def _write_idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    """Two zero bytes, 8 for unsigned bytes, the number of axes, their lengths as big-endian integers, the values."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + np.ascontiguousarray(array).tobytes())
