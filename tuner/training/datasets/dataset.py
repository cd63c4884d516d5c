"""One data set in memory, and its fingerprint."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch

Kind = Literal["classification", "regression"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One data set in memory.

    Shapes: ``x_*`` [n, features] or [n, channels, height, width], uint8 or float32;
    ``y_*`` int64 [n] for classification, float32 [n, n_outputs] for regression.
    """

    name: str
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor | None
    y_test: torch.Tensor | None
    n_outputs: int
    kind: Kind

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.x_train.shape[1:])

    @cached_property
    def content_hash(self) -> str:
        """A sha256 over shapes, types and bytes: the same data has it on every machine."""
        digest = hashlib.sha256(self.kind.encode())
        for tensor in (self.x_train, self.y_train, self.x_test, self.y_test):
            if tensor is None:
                digest.update(b"absent")
            else:
                array = tensor.numpy()
                digest.update(f"{array.dtype.str} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
