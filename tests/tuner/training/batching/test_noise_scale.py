"""The gradient noise scale where it is known by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import blobs, line, linear_model
from tuner.training.batching.noise_scale import (
    Gradient,
    NoiseScale,
    fieller_interval,
    gradients_of,
    noise_scale,
    read_noise_scale,
)
from tuner.training.batching.stepping import SteppedTraining
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset

N = 5000


def quadratic(mean_norm: float, deviation: float, *, n_dimensions: int = 20) -> tuple[Gradient, float]:
    """Samples c_i of the loss |w - c_i|^2 / 2 at w = 0, whose gradients are -c_i; and their tr(S) / |G|^2."""
    generator = torch.Generator().manual_seed(0)
    centers = deviation * torch.randn(N, n_dimensions, generator=generator)
    centers += mean_norm / n_dimensions**0.5 - centers.mean(0)
    exact = centers.var(0, correction=0).sum() / centers.mean(0).square().sum()

    def gradient(indices: Tensor) -> Tensor:
        return -centers[indices].mean(0)

    return gradient, float(exact)


@pytest.mark.parametrize(("mean_norm", "deviation"), [(1.0, 0.5), (1.0, 3.0), (10.0, 10.0)])
def test_on_a_quadratic_it_is_the_trace_over_the_squared_norm(mean_norm: float, deviation: float) -> None:
    """Within a fifth of 5, 180 and 20, and inside its interval."""
    gradient, exact = quadratic(mean_norm, deviation)
    found = noise_scale(gradient, N, n_draws=200)
    assert found.value == pytest.approx(exact, rel=0.2)
    assert found.low is not None
    assert found.high is not None
    assert found.low < exact < found.high


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """95% are promised: of 100 seeds at least 88 and not all, which chance misses less than once in a hundred."""
    gradient, exact = quadratic(1.0, 3.0)
    found = [noise_scale(gradient, N, n_draws=24, seed=seed) for seed in range(100)]
    n_covering = sum(
        each.low is not None and each.low <= exact <= (np.inf if each.high is None else each.high)
        for each in found
    )
    assert 88 <= n_covering < 100


def test_neither_batch_size_biases_it() -> None:
    """Small batches of 4 or 64 give the same answer within its noise."""
    gradient, exact = quadratic(1.0, 1.0)
    for small_batch in (4, 64):
        assert noise_scale(gradient, N, n_draws=300, small_batch=small_batch).value == pytest.approx(
            exact, rel=0.15
        )


def test_a_gradient_that_is_all_noise_has_no_upper_end() -> None:
    """At the bottom of the quadratic G is zero, and the noise scale is infinite."""
    gradient, _ = quadratic(0.0, 1.0)
    found = noise_scale(gradient, N)
    assert found.high is None
    assert found.low is None or found.low > 100


def test_fiellers_interval_is_that_of_the_definition() -> None:
    """A scan over ratios: inside, the mean of a - r b is not told from zero by a t test; outside it is."""
    random = np.random.default_rng(0)
    a, b = random.normal(3, 1, 30), random.normal(1, 0.4, 30)
    low, high = fieller_interval(a, b, confidence=0.95)
    assert low is not None
    assert high is not None

    def is_inside(ratio: float) -> bool:
        rest = a - ratio * b
        return bool(
            abs(rest.mean()) <= 2.0452296 * rest.std(ddof=1) / np.sqrt(30)
        )  # t, 29 degrees of freedom

    assert is_inside(low * 1.0001)
    assert is_inside(high * 0.9999)
    assert not is_inside(low * 0.9999)
    assert not is_inside(high * 1.0001)


def test_fiellers_interval_says_where_it_ends_nowhere() -> None:
    """A denominator around zero leaves no upper end; with the numerator there, too, nothing is known."""
    random = np.random.default_rng(0)
    zero = random.normal(0, 1, 40)
    zero -= zero.mean()
    low, high = fieller_interval(random.normal(5, 1, 40), zero, confidence=0.95)
    assert low is not None
    assert low > 5
    assert high is None
    assert fieller_interval(zero[::-1].copy(), zero, confidence=0.95) == (None, None)


def test_a_trainings_gradient_is_that_of_its_loss() -> None:
    """A linear model with the mean squared error: 2 / n times x' (x w + b - y), by hand."""
    splits = split_dataset(line(), seed=0, device="cpu")
    training = SteppedTraining(TrainingConfig(input_scaling="none"), splits, model=linear_model)
    training.train(3)
    indices = torch.tensor([0, 3, 3, 7])
    x, y = splits.train_x[indices], splits.train_y[indices]
    weight, bias = (parameter.detach() for parameter in training.model.parameters())
    rest = x @ weight.T + bias - y
    expected = torch.cat([(2 / 4 * rest.T @ x).flatten(), 2 / 4 * rest.sum(0)])
    torch.testing.assert_close(gradients_of(training)(indices), expected)


def test_reading_it_changes_no_weight_and_no_random_state() -> None:
    """Dropout draws meanwhile; fewer draws are taken where time is short."""
    training = SteppedTraining(TrainingConfig(dropout=0.5), split_dataset(blobs(), seed=0, device="cpu"))
    training.train(2)
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    state = torch.get_rng_state()
    found = read_noise_scale(training, seed=0, n_most=10 * 256)
    assert torch.equal(state, torch.get_rng_state())
    assert found.n_draws == 10
    assert read_noise_scale(training, seed=0, n_most=0).n_draws == 8
    assert all(torch.equal(a, b) for a, b in zip(before, training.model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in training.model.parameters())
    assert {field.name for field in dataclasses.fields(NoiseScale)} >= {"value", "low", "high", "n_draws"}
