"""What the weights of a layer say by themselves: their scale, units that are twins, and whether they were ever trained.

The weights are a matrix: a row for each unit (a convolution's channel), its incoming weights in it.
"""

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from studies.readings import NAN


def weight_matrix(module: nn.Module, weights: Sequence[Tensor]) -> Tensor:
    """The weights of ``module`` as [units, fan-in]; of several, the largest."""
    weight = max((weight.detach() for weight in weights), key=Tensor.numel)
    if isinstance(module, _ConvTransposeNd):
        weight = weight.transpose(0, 1)
    return weight.flatten(1)


def weight_gain(matrix: Tensor) -> float:
    """The deviation of the weights times the root of their fan-in: it decides how the variance goes on."""
    return float(matrix.std(correction=0)) * math.sqrt(matrix.shape[1])


def twin_fraction(matrix: Tensor) -> float:
    """Share of the units whose incoming weights are, value for value, those of another unit; 0 for one unit."""
    rows = Counter(row.tobytes() for row in matrix.float().cpu().numpy())
    return sum(n for n in rows.values() if n > 1) / rows.total()


def spectral_ratio(matrix: Tensor) -> float:
    """The largest singular value over that of a random matrix of the same shape and deviation: s (sqrt(m) + sqrt(n)).

    The edge of the Marchenko-Pastur distribution. NaN for weights without deviation, or that are not finite.
    """
    matrix = matrix.float()
    edge = float(matrix.std(correction=0)) * sum(math.sqrt(side) for side in matrix.shape)
    if not edge or not math.isfinite(edge):
        return NAN
    return float(torch.linalg.matrix_norm(matrix, ord=2)) / edge
