"""The idx files that MNIST and its relatives come in, plain or gzipped.

Format: two zero bytes, one byte for the type (8 = unsigned byte), one for the number of axes, the length of
each axis as a big-endian 32-bit integer, then the values (http://yann.lecun.com/exdb/mnist/).
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from search_spaces.errors import DataError

UNSIGNED_BYTE = 8


def read_idx(path: Path, *, n_axes: int) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes in ``path``.

    Raises:
        DataError: when the file is truncated, damaged or no idx file of ``n_axes`` axes.
    """
    content = _content(path)
    header_size = 4 + 4 * n_axes
    if len(content) < header_size:
        raise DataError(
            f"An idx file begins with {header_size} bytes of header, but {path} ends before that."
        )
    if content[:4] != bytes((0, 0, UNSIGNED_BYTE, n_axes)):
        raise DataError(
            f"An idx file of {n_axes} axes begins with 0000{UNSIGNED_BYTE:02x}{n_axes:02x}, "
            f"but {path} begins with {content[:4].hex()}."
        )
    shape = struct.unpack(f">{n_axes}I", content[4:header_size])
    n_values = len(content) - header_size
    if n_values != math.prod(shape):
        raise DataError(
            f"{path} must hold {math.prod(shape)} values as its header says, but it holds {n_values}: "
            "the file is truncated or damaged; fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header_size).reshape(shape)


def _content(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); fetch it again.") from error
