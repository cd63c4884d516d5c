"""A generator on the CPU that is asked as one of a CUDA device is: for a seed and an offset."""

from typing import Any, Self

import torch


class CountedGenerator(torch.Generator):
    def __new__(cls, seed: int) -> Self:
        del seed
        return super().__new__(cls)

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._offset = 0

    def initial_seed(self) -> int:
        return self._seed

    def get_offset(self) -> int:
        return self._offset

    def set_offset(self, offset: int) -> Any:
        assert offset % 4 == 0, "CUDA's generators count in fours"
        self._offset = offset
