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

MIN_WEIGHTS = 4000
"""Of fewer, the moments are too uncertain to tell an initialization from what a training made of it."""
FIXED_DEVIATIONS = (1.0, 0.02, 0.01)
"""Of embeddings, and of transformers whatever their size."""
_MOMENTS = ((3.0, 105.0), (9.0 / 5.0, 9.0))
"""The fourth and the eighth moment of a normal and of a uniform distribution of deviation 1."""


def weight_matrix(module: nn.Module, weights: Sequence[Tensor]) -> Tensor:
    """The weights of ``module`` as [units, fan-in]; of several, the largest."""
    weight = largest_of(weights)
    if isinstance(module, _ConvTransposeNd):
        weight = weight.transpose(0, 1)
    return weight.flatten(1)


def largest_of(weights: Sequence[Tensor]) -> Tensor:
    """The one of ``weights`` with the most entries, without its gradient."""
    return max((weight.detach() for weight in weights), key=Tensor.numel)


def weight_gain(module: nn.Module, matrix: Tensor) -> float:
    """The deviation of the weights times the root of their fan-in: it decides how the variance goes on.

    A table of embeddings adds nothing up: what it gives is one of its rows.
    """
    fan_in = 1 if isinstance(module, nn.Embedding | nn.EmbeddingBag) else matrix.shape[1]
    return float(matrix.std(correction=0)) * math.sqrt(fan_in)


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


def initialization_distance(weight: Tensor) -> float:
    """How far the weights are from the nearest of the usual initial distributions, in standard errors.

    Those of torch's default, LeCun, Glorot and He, of either fan, and of `FIXED_DEVIATIONS`, normal or uniform; by the
    second and the fourth moment about zero, the farther one. Below about 3 the weights are as an initialization leaves
    them. NaN for fewer than `MIN_WEIGHTS`, and for weights that are not finite.
    """
    n = weight.numel()
    if weight.ndim < 2 or n < MIN_WEIGHTS:
        return NAN
    squares = weight.detach().cpu().double().square()
    second, fourth = float(squares.mean()), float(squares.square().mean())
    if not math.isfinite(fourth):
        return NAN
    return min(
        _distance(second / variance, fourth / variance**2, n, of=moments)
        for variance in _initial_variances(weight)
        for moments in _MOMENTS
    )


def _distance(second: float, fourth: float, n: int, *, of: tuple[float, float]) -> float:
    """The farther of two mean powers of ``n`` weights from those that are expected, in standard errors."""
    k4, k8 = of
    return max(
        abs(second - 1.0) / math.sqrt((k4 - 1.0) / n), abs(fourth - k4) / math.sqrt((k8 - k4 * k4) / n)
    )


def _initial_variances(weight: Tensor) -> set[float]:
    field = math.prod(weight.shape[2:])
    fans = (weight.shape[1] * field, weight.shape[0] * field)
    by_fan = {share / fan for share in (1.0 / 3.0, 1.0, 2.0) for fan in fans}
    return by_fan | {2.0 / sum(fans)} | {deviation**2 for deviation in FIXED_DEVIATIONS}
