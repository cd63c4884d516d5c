import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.problems import N_CLASSES, blobs
from tests.tuner.training.rate.learners import Curve, Quadratic, alone, blob_batches
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.learning_rate_range import (
    LearningRateRange,
    SweepPlan,
    learning_rate_range,
    learning_rate_range_of,
    range_test,
)
from tuner.training.rate.holding import StabilityLimit, holding
from tuner.training.rate.learner import Floats
from tuner.training.rate.ramp import SMOOTHING, Ramp, ramping, smoothed

PLAN = SweepPlan(low=1e-4, high=100.0, n_steps=150, hold_steps=300)
SHORT: dict[str, Any] = {"n_sweeps": 2, "n_steps": 60, "hold_steps": 30}
CURVATURES = {"one": [0.05], "ten": list(np.geomspace(0.1, 10.0, 10))}


class TestAgainstTheory:
    @pytest.mark.parametrize("noise", [0.0, 0.1])
    @pytest.mark.parametrize("name", CURVATURES)
    def test_the_limit_of_a_quadratic(self, name: str, noise: float) -> None:
        """On 50 seeds the highest stable rate is within 25% of 2 / L, without noise and with 10% of the gradient."""
        curvatures = CURVATURES[name]
        theory = 2 / max(curvatures)
        for seed in range(50):
            found = range_test(Quadratic(curvatures, noise=noise), PLAN, seeds=[seed])
            assert found.highest_stable == pytest.approx(theory, rel=0.25), f"seed {seed}"

    @pytest.mark.parametrize("momentum", [0.5, 0.9])
    def test_the_limit_with_momentum(self, momentum: float) -> None:
        """Heavy-ball momentum m raises the limit to 2 (1 + m) / L."""
        for seed in range(10):
            found = range_test(Quadratic(CURVATURES["ten"], momentum=momentum), PLAN, seeds=[seed])
            assert found.highest_stable == pytest.approx(2 * (1 + momentum) / 10, rel=0.15), f"seed {seed}"

    def test_a_ramp_alone_overshoots(self) -> None:
        """The ramp still falls at rates that diverge when held: it has no time to blow up."""
        learner = Quadratic(CURVATURES["ten"])
        ramp = alone(learner, ramping(seed=0, low=1e-4, high=100.0, n_steps=200))
        lowest = float(ramp.learning_rate[ramp.loss.argmin()])
        held = alone(learner, holding(seed=0, learning_rate=lowest, n_steps=400))
        assert lowest > 2 / 10
        assert held.loss > ramp.initial_loss

    def test_the_search_agrees_with_holding_every_rate(self) -> None:
        """Bisection finds the same limit as a fine grid, each rate of which is held."""
        learner = Quadratic(CURVATURES["ten"], noise=0.1)
        learner.reset(7)
        initial = float(learner.advance([0.0])[0])
        search = StabilityLimit(seed=7, n_steps=400, initial_loss=initial)
        limit = alone(learner, search.search(0.01, low=1e-4, high=100.0))
        grid = np.geomspace(0.01, 1.0, 100)
        held = [alone(learner, holding(seed=7, learning_rate=rate, n_steps=400)) for rate in grid]
        stable = [each.learning_rate for each in held if each.loss < 1e-3]
        assert limit.highest_stable == pytest.approx(max(stable), rel=0.1)
        assert limit.lowest_unstable is not None
        assert limit.lowest_unstable <= 1.1 * (limit.highest_stable or 0)

    @pytest.mark.parametrize("noise", [0.0, 0.01])
    def test_settling_on_a_higher_loss_is_not_stable(self, noise: float) -> None:
        """As minibatch training above its limit does, far below the untrained loss: a lower rate ends lower."""
        curve = Curve(lambda rate: 2.3 if rate < 1e-3 else 0.2 if rate < 0.1 else 0.3, noise=noise)
        search = StabilityLimit(seed=0, n_steps=300, initial_loss=2.3)
        limit = alone(curve, search.search(2e-3, low=1e-4, high=10.0))
        assert limit.highest_stable == pytest.approx(0.1, rel=0.1)

    @pytest.mark.parametrize("start", [1e-3, 0.15, 0.3, 20.0])
    def test_the_limit_does_not_depend_on_where_the_search_starts(self, start: float) -> None:
        """Below the limit, just below, just above and far above it."""
        search = StabilityLimit(seed=0, n_steps=400, initial_loss=5.0)
        limit = alone(Quadratic([10.0]), search.search(start, low=1e-4, high=100.0))
        assert limit.highest_stable == pytest.approx(0.2, rel=0.1)


class TestMarks:
    def test_the_suggestion_backs_off_from_the_limit(self) -> None:
        """Suggested is 85% of the highest stable rate, and its interval that of the sweeps."""
        found = range_test(Quadratic(CURVATURES["ten"], noise=0.1), PLAN, seeds=range(5))
        limits = [sweep.highest_stable or 0.0 for sweep in found.sweeps]
        assert found.reliable
        assert found.highest_stable == pytest.approx(float(np.median(limits)))
        assert found.suggested == pytest.approx(0.85 * (found.highest_stable or 0))
        assert (found.low, found.high) == (
            pytest.approx(0.85 * min(limits)),
            pytest.approx(0.85 * max(limits)),
        )
        assert found.interval("highest_stable") == (min(limits), max(limits))

    def test_steepest_and_valley_of_a_known_curve(self) -> None:
        """A loss that is logistic in log rate falls fastest in its middle, where its descent's middle lies, too."""
        rates = np.geomspace(1e-5, 1.0, 300)
        ramp = Ramp(learning_rate=rates, loss=1 + 2 / (1 + (rates / 3e-3) ** 2))
        assert ramp.falls
        assert ramp.steepest == pytest.approx(3e-3, rel=0.2)
        assert ramp.valley == pytest.approx(3e-3, rel=0.2)

    @given(st.lists(st.floats(-10, 10), min_size=1, max_size=60))
    @settings(deadline=None)
    def test_smoothing_against_its_slow_twin(self, losses: list[float]) -> None:
        """Each value is the weighted mean of all losses; the last one is the bias-corrected running mean."""
        fast = smoothed(np.array(losses))
        for i in range(len(losses)):
            weights = [SMOOTHING ** abs(i - j) for j in range(len(losses))]
            slow = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
            assert fast[i] == pytest.approx(slow, abs=1e-9)
        mean = 0.0
        for loss in losses:
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        assert fast[-1] == pytest.approx(mean / (1 - SMOOTHING ** len(losses)), abs=1e-9)

    def test_smoothing_has_no_lag(self) -> None:
        """The middle of a step stays where it is."""
        values = smoothed(np.repeat([1.0, 0.0], 50))
        assert values[49] > 0.5 > values[50]
        assert values[49] - 0.5 == pytest.approx(0.5 - values[50])

    def test_the_ramp_stops_when_it_diverges(self) -> None:
        """Soon after the smoothed loss is four times its minimum; or before the first loss that is not finite."""
        settling = Curve(lambda rate: 2.0 if rate < 1e-2 else 0.5 if rate < 1e-1 else 5.0)
        ramp = alone(settling, ramping(seed=0, low=1e-4, high=1e2, n_steps=300))
        assert 1e-1 < ramp.learning_rate[-1] < 1
        infinite = Curve(lambda rate: 2.0 if rate < 1e-1 else math.inf)
        ramp = alone(infinite, ramping(seed=0, low=1e-4, high=1e2, n_steps=300))
        assert ramp.learning_rate[-1] == pytest.approx(1e-1, rel=0.1)
        assert np.isfinite(ramp.loss).all()


class TestRefusals:
    """A refusal is an answer: no suggestion, and the reason."""

    def refused(self, found: LearningRateRange, reason: str) -> bool:
        is_empty = found.suggested is None and found.low is None and found.high is None
        return is_empty and not found.reliable and found.reason.startswith(reason)

    def test_a_flat_loss(self) -> None:
        """Noise alone is no fall, on any of 50 seeds."""
        for seed in range(50):
            found = range_test(Curve(lambda _rate: 2.3, noise=2.0), PLAN, seeds=[seed])
            assert self.refused(found, "Too flat: in 1 of 1 sweeps"), f"seed {seed}"
            assert found.steepest is None

    @pytest.mark.parametrize(("share", "falls"), [(0.03, False), (0.08, True)])
    def test_a_fall_of_a_few_percent_is_none(self, share: float, falls: bool) -> None:
        """However clear it is: unlearning an untrained network's bias is worth as much."""
        rates = np.geomspace(1e-4, 1.0, 100)
        assert Ramp(learning_rate=rates, loss=np.where(rates < 1e-2, 2.3, 2.3 * (1 - share))).falls is falls

    def test_a_frozen_model(self) -> None:
        """One whose parameters do not require gradients."""
        model = nn.Linear(4, 3).requires_grad_(False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        found = learning_rate_range_of(model, optimizer, blob_batches(), nn.functional.cross_entropy, **SHORT)
        assert self.refused(found, "Too flat")

    def test_a_config_whose_model_is_frozen(self) -> None:
        """One whose parameters get gradients of zero."""
        found = learning_rate_range(TrainingConfig(), blobs(), model=detached_model, **SHORT)
        assert self.refused(found, "Too flat")

    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    @pytest.mark.parametrize("bounds", [{}, {"low": 1e-7, "high": 1e-4}])
    def test_random_labels(self, optimizer: str, bounds: dict[str, float]) -> None:
        """That all classes are as likely is soon learned, and no reason to suggest a rate; nor is a tiny range."""
        splits = split_dataset(blobs(600, n_features=20), device="cpu")
        labels = torch.randint(N_CLASSES, splits.train_y.shape, generator=torch.Generator().manual_seed(1))
        splits = dataclasses.replace(splits, train_y=labels)
        config = TrainingConfig(optimizer=optimizer, model="mlp", width=4)
        assert self.refused(learning_rate_range(config, splits, **SHORT, **bounds), "Too flat")

    def test_a_range_that_ends_below_the_limit(self) -> None:
        """Says at which rate the range ended."""
        plan = dataclasses.replace(PLAN, high=0.1)
        found = range_test(Quadratic([10.0]), plan, seeds=range(3))
        assert self.refused(found, "Never unstable: in 3 of 3 sweeps 0.1")
        assert found.highest_stable == pytest.approx(0.1)

    def test_a_range_that_begins_above_the_limit(self) -> None:
        """The ramp falls on its first steps, and no rate can be held."""
        found = range_test(_FallsThenRises(), PLAN, seeds=[0])
        assert self.refused(found, "Never stable: in 1 of 1 sweeps even 0.0001")

    def test_sweeps_that_differ_by_a_decade(self) -> None:
        """A limit that depends on the seed is nobody's limit."""
        found = range_test(_SeededLimit(), PLAN, seeds=[0, 1, 2])
        assert self.refused(found, "Spread over a decade")
        assert found.highest_stable is not None

    def test_a_loss_that_is_never_finite(self) -> None:
        """NaN in the data is told apart from a loss that does not fall."""
        data = blobs()
        data.x_train[:] = torch.nan
        found = learning_rate_range(TrainingConfig(), data, **SHORT)
        assert self.refused(found, "Not finite: in 2 of 2 sweeps")
        assert all(len(sweep.to_json()["loss"]) == 0 for sweep in found.sweeps)


class _FallsThenRises(Quadratic):
    """Held rates only make it worse; the ramp, which sees each rate once, falls."""

    def __init__(self) -> None:
        super().__init__([1.0])

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        if len(set(learning_rates)) == 1:
            return np.full(len(learning_rates), 10.0)
        return np.array([1.0 if rate < 1e-2 else 0.1 for rate in learning_rates])


class _SeededLimit(Quadratic):
    """Curvature 1, 10 or 100."""

    def __init__(self) -> None:
        super().__init__([1.0])

    def reset(self, seed: int) -> None:
        super().reset(0)
        self._curvatures = np.array([10.0**seed])


def detached_model(_config: object, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    return _Detached(input_shape[0], n_outputs)


class _Detached(nn.Module):
    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.linear(x)
        return output.detach() + 0.0 * output


def batches(n: int = 120) -> list[tuple[torch.Tensor, torch.Tensor]]:
    data = blobs(n)
    return list(zip(data.x_train.split(30), data.y_train.split(30), strict=True))
