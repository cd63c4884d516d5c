"""The gradient noise scale: how many samples a gradient needs until its noise is no larger than itself.

McCandlish et al. 2018, arXiv:1812.06162: B = tr(S) / |G|^2, with the covariance S of one sample's gradient and the true
gradient G. A batch far below it could grow at no loss, one far above it wastes samples. It holds at one point of a
training and grows while the loss falls.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tuner.training.batching.stepping import SteppedTraining
from tuner.training.precision import forward, targets
from tuner.training.reproducibility import RandomStream

MIN_DRAWS, N_DRAWS, N_PARTS = 8, 48, 8
"""Large batches that are drawn, and the small ones each is made of."""
SMALL_BATCH = 32
CONFIDENCE = 0.95

Gradient = Callable[[Tensor], Tensor]
"""Indices of samples to the flat gradient of their mean loss."""


@dataclass(frozen=True, kw_only=True)
class NoiseScale:
    """In samples, with its interval."""

    value: float | None
    """None where the gradient cannot be told from its noise."""
    low: float | None
    high: float | None
    """None where the interval has no end: the gradient may be zero as far as the draws can tell."""
    n_draws: int
    small_batch: int
    large_batch: int
    confidence: float = CONFIDENCE


def noise_scale(
    gradient: Gradient,
    n_samples: int,
    *,
    small_batch: int = SMALL_BATCH,
    n_parts: int = N_PARTS,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> NoiseScale:
    """The noise scale at one point, from ``n_draws`` batches of ``n_parts * small_batch`` samples.

    They are drawn with replacement. |G|^2 and tr(S) are estimated without bias from the norms at two batch sizes
    (appendix A.1 of the source), averaged over the draws, and only then divided. The interval is Fieller's for a
    ratio of means.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(n_samples, (n_draws, n_parts, small_batch), generator=generator)
    pairs = np.array([_norms(gradient, parts) for parts in drawn])
    small, large = pairs[:, 0], pairs[:, 1]
    n_large = n_parts * small_batch
    signal = (n_large * large - small_batch * small) / (n_large - small_batch)
    noise = (small - large) / (1 / small_batch - 1 / n_large)
    low, high = fieller_interval(noise, signal, confidence=CONFIDENCE)
    is_told = signal.mean() > 0 and noise.mean() > 0
    return NoiseScale(
        value=float(noise.mean() / signal.mean()) if is_told else None,
        low=low,
        high=high,
        n_draws=n_draws,
        small_batch=small_batch,
        large_batch=n_large,
    )


def fieller_interval(
    numerator: npt.NDArray[np.float64], denominator: npt.NDArray[np.float64], *, confidence: float
) -> tuple[float | None, float | None]:
    """An interval for the ratio of two means of paired values, where the ratio cannot be negative.

    Fieller 1954, J. R. Stat. Soc. B 16(2): the ratios r whose mean of ``numerator - r * denominator`` is not told from
    zero. There is no upper end, None, where the denominator is not told from zero, and none at all where neither is.
    """
    from scipy.special import stdtrit  # late: it costs every process 50 ms

    n = len(numerator)
    a, b = float(numerator.mean()), float(denominator.mean())
    (var_a, cov), (_, var_b) = (np.cov(numerator, denominator) / n).tolist()
    t2 = float(stdtrit(n - 1, (1 + confidence) / 2)) ** 2
    # (a - r b)^2 <= t2 (var_a - 2 r cov + r^2 var_b), a quadratic in r
    square, half, constant = b * b - t2 * var_b, a * b - t2 * cov, a * a - t2 * var_a
    inside = half * half - square * constant
    if inside < 0 or square == 0 or (square < 0 and constant <= 0):
        return None, None
    root = math.sqrt(inside)
    low = max((half - root) / square, 0.0)
    return low, (half + root) / square if square > 0 else None


def read_noise_scale(training: SteppedTraining, *, seed: int, n_most: int) -> NoiseScale:
    """The noise scale of a training where it stands, in train mode, from about ``n_most`` samples at most.

    Neither the training nor the caller's random state is touched.
    """
    n_draws = max(MIN_DRAWS, min(N_DRAWS, n_most // (N_PARTS * SMALL_BATCH)))
    with RandomStream(seed, training.splits.device).active():
        return noise_scale(gradients_of(training), len(training.splits.train_x), n_draws=n_draws, seed=seed)


def gradients_of(training: SteppedTraining) -> Gradient:
    """The gradients of a training's loss with its weights as they are, in train mode."""
    model, config, splits = training.model, training.config, training.splits
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def gradient(indices: Tensor) -> Tensor:
        indices = indices.to(splits.device)
        x = training.scaling(splits.train_x.index_select(0, indices))
        y = targets(splits.train_y.index_select(0, indices), config)
        found = torch.autograd.grad(
            training.loss(forward(model, x, config), y), parameters, materialize_grads=True
        )
        return torch.cat([part.flatten() for part in found])

    return gradient


def _norms(gradient: Gradient, parts: Tensor) -> tuple[float, float]:
    """Squared norms: the mean over the parts' gradients, and that of their mean."""
    total, squares = torch.zeros(()), 0.0
    for part in parts:
        found = gradient(part)
        squares += float(found.double().square().sum())
        total = total.to(found) + found
    n = len(parts)
    return squares / n, float((total / n).double().square().sum())
