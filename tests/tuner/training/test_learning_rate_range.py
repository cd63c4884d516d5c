import copy
import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from search_spaces.errors import ConfigurationError
from studies.encoding import jsonable
from tests.problems import N_CLASSES, blobs, linear_model
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.learning_rate_range import (
    LearningRateRange,
    RangeProgress,
    SweepPlan,
    learning_rate_range,
    learning_rate_range_of,
    range_test,
)
from tuner.training.loop import TrainingRun
from tuner.training.rate.holding import StabilityLimit, hold
from tuner.training.rate.learner import ConfigLearner, Floats
from tuner.training.rate.own_loop import OwnLearner
from tuner.training.rate.ramp import SMOOTHING, Ramp, run_ramp, smoothed

PLAN = SweepPlan(low=1e-4, high=100.0, n_steps=150, hold_steps=300)
SHORT: dict[str, Any] = {"n_sweeps": 2, "n_steps": 60, "hold_steps": 30}
SHORTEST: dict[str, Any] = {"n_sweeps": 1, "n_steps": 60, "hold_steps": 30}
CURVATURES = {"one": [0.05], "ten": list(np.geomspace(0.1, 10.0, 10))}


class Quadratic:
    """1/2 sum(curvature * x^2) by gradient descent; noise as a share of the gradient as it is at that step."""

    def __init__(self, curvatures: Sequence[float], *, noise: float = 0.0, momentum: float = 0.0) -> None:
        self._curvatures = np.array(curvatures)
        self._noise = noise
        self._momentum = momentum

    def reset(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._x = self._random.standard_normal(len(self._curvatures))
        self._velocity = np.zeros_like(self._x)

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        n = len(self._curvatures)
        noises = self._noise / math.sqrt(n) * self._random.standard_normal((len(learning_rates), n))
        losses = []
        with np.errstate(over="ignore", invalid="ignore"):  # a rate too high may well reach infinity
            for rate, noise in zip(learning_rates, noises, strict=True):
                gradient = self._curvatures * self._x
                losses.append(0.5 * (gradient @ self._x))
                gradient += noise * math.sqrt(gradient @ gradient)
                self._velocity = self._momentum * self._velocity + gradient
                self._x = self._x - rate * self._velocity
        return np.array(losses)


class Curve:
    """A loss that is a function of the rate alone."""

    def __init__(self, loss: Callable[[float], float], *, noise: float = 0.0) -> None:
        self._loss = loss
        self._noise = noise

    def reset(self, seed: int) -> None:
        self._seed = seed
        self._random = np.random.default_rng(seed)

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        losses = np.array([self._loss(rate) for rate in learning_rates])
        return losses + self._noise * self._random.standard_normal(len(losses))


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
        ramp = run_ramp(learner, seed=0, low=1e-4, high=100.0, n_steps=200)
        lowest = float(ramp.learning_rate[ramp.loss.argmin()])
        held = hold(learner, seed=0, learning_rate=lowest, n_steps=400)
        assert lowest > 2 / 10
        assert held.loss > ramp.initial_loss

    def test_the_search_agrees_with_holding_every_rate(self) -> None:
        """Bisection finds the same limit as a fine grid, each rate of which is held."""
        learner = Quadratic(CURVATURES["ten"], noise=0.1)
        learner.reset(7)
        initial = float(learner.advance([0.0])[0])
        search = StabilityLimit(learner, seed=7, n_steps=400, initial_loss=initial)
        limit = search.search(0.01, low=1e-4, high=100.0)
        grid = np.geomspace(0.01, 1.0, 100)
        stable = [rate for rate in grid if hold(learner, seed=7, learning_rate=rate, n_steps=400).loss < 1e-3]
        assert limit.highest_stable == pytest.approx(max(stable), rel=0.1)
        assert limit.lowest_unstable is not None
        assert limit.lowest_unstable <= 1.1 * (limit.highest_stable or 0)

    @pytest.mark.parametrize("noise", [0.0, 0.01])
    def test_settling_on_a_higher_loss_is_not_stable(self, noise: float) -> None:
        """As minibatch training above its limit does, far below the untrained loss: a lower rate ends lower."""
        curve = Curve(lambda rate: 2.3 if rate < 1e-3 else 0.2 if rate < 0.1 else 0.3, noise=noise)
        search = StabilityLimit(curve, seed=0, n_steps=300, initial_loss=2.3)
        assert search.search(2e-3, low=1e-4, high=10.0).highest_stable == pytest.approx(0.1, rel=0.1)

    @pytest.mark.parametrize("start", [1e-3, 0.15, 0.3, 20.0])
    def test_the_limit_does_not_depend_on_where_the_search_starts(self, start: float) -> None:
        """Below the limit, just below, just above and far above it."""
        search = StabilityLimit(Quadratic([10.0]), seed=0, n_steps=400, initial_loss=5.0)
        limit = search.search(start, low=1e-4, high=100.0)
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
        ramp = run_ramp(settling, seed=0, low=1e-4, high=1e2, n_steps=300)
        assert 1e-1 < ramp.learning_rate[-1] < 1
        infinite = Curve(lambda rate: 2.0 if rate < 1e-1 else math.inf)
        ramp = run_ramp(infinite, seed=0, low=1e-4, high=1e2, n_steps=300)
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
        found = learning_rate_range_of(model, optimizer, batches(), nn.functional.cross_entropy, **SHORT)
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


class _Tensors:
    """What lies in a loop of one's own, to be compared bit for bit."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]) -> None:
        gradients = [parameter.grad for parameter in model.parameters()]
        self._values: dict[str, Any] = copy.deepcopy(
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "gradients": gradients,
                "training": [module.training for module in model.modules()],
                "torch": torch.get_rng_state(),
                "numpy": np.random.get_state(),  # noqa: NPY002
                "python": random.getstate(),
                "order": loader.generator.get_state() if loader.generator is not None else None,
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Tensors) and _same(self._values, other._values)

    __hash__ = None  # type: ignore[assignment]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor | np.ndarray):
        return bool((one == other).all())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def batches(n: int = 120) -> list[tuple[torch.Tensor, torch.Tensor]]:
    data = blobs(n)
    return list(zip(data.x_train.split(30), data.y_train.split(30), strict=True))


class TestOwnLoop:
    """A user's model, optimizer and data."""

    @pytest.fixture
    def loader(self) -> DataLoader[Any]:
        data = blobs()
        generator = torch.Generator().manual_seed(5)
        dataset = TensorDataset(data.x_train, data.y_train)
        return DataLoader(dataset, batch_size=30, shuffle=True, generator=generator)

    @pytest.fixture
    def model(self) -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, N_CLASSES)
        )

    @pytest.fixture(params=["sgd", "adam", "adamw", "rmsprop"])
    def optimizer(self, request: pytest.FixtureRequest, model: nn.Module) -> torch.optim.Optimizer:
        first, *others = model.children()
        groups = [
            {"params": list(first.parameters()), "lr": 0.001},
            {"params": [p for module in others for p in module.parameters()], "lr": 0.01},
        ]
        kinds: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
            "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9),
            "adam": torch.optim.Adam,
            "adamw": torch.optim.AdamW,
            "rmsprop": torch.optim.RMSprop,
        }
        return kinds[request.param](groups)

    def train(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]
    ) -> Iterator[float]:
        """One epoch of a user's loop; the last gradients stay."""
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            yield loss.item()

    def test_nothing_is_touched(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]
    ) -> None:
        """Weights, buffers, optimizer, gradients, modes, random states and data order stay the same, bit for bit."""
        list(self.train(model, optimizer, loader))
        model[3].eval()  # type: ignore[index]
        parameters = [id(parameter) for parameter in model.parameters()]
        before = _Tensors(model, optimizer, loader)
        found = learning_rate_range_of(model, optimizer, loader, nn.functional.cross_entropy, **SHORTEST)
        assert found.sweeps[0].held
        assert _Tensors(model, optimizer, loader) == before
        assert [id(parameter) for parameter in model.parameters()] == parameters

    def test_a_training_goes_on_as_if_there_had_been_no_test(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]
    ) -> None:
        """Its losses afterwards are those of an undisturbed twin, in the same order of data."""
        torch.manual_seed(11)
        list(self.train(model, optimizer, loader))
        twin, twin_optimizer = copy.deepcopy((model, optimizer))
        states = torch.get_rng_state(), loader.generator.get_state()  # type: ignore[union-attr]
        undisturbed = list(self.train(twin, twin_optimizer, loader))
        torch.set_rng_state(states[0])
        loader.generator.set_state(states[1])  # type: ignore[union-attr]
        learning_rate_range_of(model, optimizer, loader, nn.functional.cross_entropy, **SHORTEST)
        assert list(self.train(model, optimizer, loader)) == undisturbed

    def test_what_breaks_the_test_leaves_the_random_states_alone(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]
    ) -> None:
        """An exception of the user's loss comes through, and nothing else happened."""

        def broken(_outputs: torch.Tensor, _y: torch.Tensor) -> torch.Tensor:
            raise ValueError("not this one")

        before = _Tensors(model, optimizer, loader)
        with pytest.raises(ValueError, match="not this one"):
            learning_rate_range_of(model, optimizer, loader, broken)
        assert _Tensors(model, optimizer, loader) == before

    def test_it_finds_the_limit_of_linear_regression(self) -> None:
        """2 / L, where L is the largest eigenvalue of the features' second moments; torch's SGD, full batch."""
        x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1, 1, 1, 1])
        y = x @ torch.ones(5, 1)
        model = nn.Linear(5, 1, bias=False)
        theory = 2 / float(torch.linalg.eigvalsh(2 * x.T @ x / len(x)).max())
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        found = learning_rate_range_of(
            model, optimizer, [(x, y)], nn.functional.mse_loss, n_sweeps=1, hold_steps=150
        )
        assert found.highest_stable == pytest.approx(theory, rel=0.1)
        assert found.reliable

    def test_groups_keep_the_ratios_of_their_rates(self) -> None:
        """A rate is that of the group with the highest one."""
        model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        groups = [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[1].parameters(), "lr": 0.1}]
        optimizer = torch.optim.SGD(groups)
        learner = OwnLearner(
            model, optimizer, [(torch.ones(1, 1), torch.zeros(1, 1))], nn.functional.mse_loss
        )
        learner.reset(0)
        learner.advance([0.5])
        assert [group["lr"] for group in learner._optimizer.param_groups] == pytest.approx([0.05, 0.5])

    def test_batches_that_are_used_up_are_refused(self, model: nn.Module) -> None:
        """A generator has only one pass."""
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(
            ConfigurationError, match="again and again, such as a DataLoader or a list, but got"
        ):
            learning_rate_range_of(model, optimizer, iter(batches()), nn.functional.cross_entropy)

    def test_no_batches_are_refused(self, model: nn.Module) -> None:
        """Rather than waited for for ever."""
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(ConfigurationError, match="at least one minibatch"):
            learning_rate_range_of(model, optimizer, [], nn.functional.cross_entropy)

    def test_a_rate_of_zero_is_refused(self, model: nn.Module) -> None:
        """Ratios of rates need one that is not."""
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        with pytest.raises(ConfigurationError, match="above 0, but got 0"):
            learning_rate_range_of(model, optimizer, batches(), nn.functional.cross_entropy)

    def test_a_model_that_cannot_be_copied_is_refused(self) -> None:
        """With torch's reason."""
        model = nn.Linear(4, 3)
        model.computed = model.weight * 2
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(
            ConfigurationError, match=r"copy\.deepcopy\(\(model, optimizer, loss\)\) must work"
        ):
            learning_rate_range_of(model, optimizer, batches(), nn.functional.cross_entropy)


class TestConfigs:
    @pytest.fixture
    def splits(self) -> Splits:
        return split_dataset(blobs(spread=1.0), device="cpu")

    @pytest.mark.parametrize(
        "keys",
        [
            {"optimizer": "adam", "dropout": 0.3, "depth": 2, "normalization": "batch"},
            {"momentum": 0.9, "clip_norm": 0.5, "accumulation_steps": 2},
            {"batch_lr_rule": "linear", "base_batch_size": 64},
            {"batch_size": "full"},
        ],
    )
    def test_its_steps_are_those_of_a_training(self, splits: Splits, keys: dict[str, Any]) -> None:
        """At a constant rate, loss for loss over two epochs (of whole steps)."""
        config = TrainingConfig(**({"batch_size": 16, "width": 8, "learning_rate": 0.05, "epochs": 2} | keys))
        run = TrainingRun(config, splits)
        for _ in run.epochs():
            pass
        steps = [block for block in run.telemetry().steps if block.epoch > 0]
        n_samples = 96 if config.batch_size == "full" else 16 * config.accumulation_steps
        n_whole = 96 // n_samples
        wanted = [float(loss) for block in steps for loss in block.train_loss[:n_whole]]
        learner = ConfigLearner(config, splits)
        losses = learner.advance([0.05] * len(wanted))
        assert losses == pytest.approx(wanted, abs=1e-6)

    def test_resetting_starts_again(self, splits: Splits) -> None:
        """The same seed gives the same losses, another seed others, whatever was trained before."""
        learner = ConfigLearner(TrainingConfig(dropout=0.2, batch_size=16, width=8), splits)
        seen = []
        for seed in (0, 1, 0):
            learner.reset(seed)
            seen.append(list(learner.advance([0.1] * 20)))
        assert seen[0] == seen[2] != seen[1]

    def test_the_callers_randomness_is_untouched(self, splits: Splits) -> None:
        """And the result does not depend on it."""
        config = TrainingConfig(dropout=0.2, batch_size=16, width=8)
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = learning_rate_range(config, splits, **SHORT)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        again = learning_rate_range(config, splits, **SHORT)
        assert jsonable(first.to_json()) == jsonable(again.to_json())

    def test_the_rate_is_meant_for_the_config(self, splits: Splits) -> None:
        """Under batch_lr_rule a rate is one of the base batch, and is carried to the batch as in a training."""
        plain = ConfigLearner(TrainingConfig(batch_size=32, width=8), splits)
        ruled = ConfigLearner(
            TrainingConfig(batch_size=32, width=8, batch_lr_rule="linear", base_batch_size=8), splits
        )
        assert list(ruled.advance([0.1] * 12)) == list(plain.advance([0.4] * 12))

    def test_its_own_learning_rate_schedule_and_warmup_play_no_part(self, splits: Splits) -> None:
        """Only what the rate is tested for does."""
        bare = TrainingConfig(batch_size=16, width=8)
        dressed = dataclasses.replace(bare, learning_rate=7.0, schedule="cosine", warmup_steps=5, patience=2)
        found = [learning_rate_range(config, splits, **SHORTEST).to_json() for config in (bare, dressed)]
        assert jsonable(found[0]) == jsonable(found[1])

    def test_a_suggestion_that_trains(self, splits: Splits) -> None:
        """The blobs are learned at the suggested rate, and the sweeps differ in their seeds."""
        config = TrainingConfig(batch_size=16, width=8, epochs=10)
        found = learning_rate_range(config, splits, n_sweeps=3, n_steps=60, hold_steps=60)
        assert found.reliable, found.reason
        run = TrainingRun(dataclasses.replace(config, learning_rate=found.suggested), splits)
        for _ in run.epochs():
            pass
        assert (run.value("validation_accuracy") or 0.0) > 0.9
        assert [sweep.seed for sweep in found.sweeps] == [0, 1, 2]
        assert not np.array_equal(found.sweeps[0].ramp.loss, found.sweeps[1].ramp.loss)

    def test_a_data_set_is_split_as_the_config_says(self) -> None:
        """The train part of its split is what is trained on."""
        config = TrainingConfig(batch_size=16, width=8, split="last", validation_fraction=0.5)
        split = split_dataset(blobs(), split="last", validation_fraction=0.5, device="cpu")
        found = [
            learning_rate_range(config, data, device="cpu", **SHORTEST).to_json() for data in (blobs(), split)
        ]
        assert jsonable(found[0]) == jsonable(found[1])

    def test_a_model_function(self, splits: Splits) -> None:
        """Instead of the config's."""
        found = learning_rate_range(TrainingConfig(batch_size=16), splits, model=linear_model, **SHORT)
        assert found.steepest is not None

    def test_progress(self, splits: Splits) -> None:
        """Steps rise to the number that is expected, sweep by sweep, with an estimate of the time left."""
        seen: list[RangeProgress] = []
        learning_rate_range(TrainingConfig(batch_size=16, width=8), splits, **SHORT, on_progress=seen.append)
        assert [p.n_steps for p in seen] == sorted({p.n_steps for p in seen})
        assert {p.sweep for p in seen} == {1, 2}
        assert all(p.n_steps <= p.n_expected_steps and p.eta_seconds >= 0 for p in seen)
        assert seen[0].n_expected_steps > seen[0].n_steps

    def test_all_faults_of_a_call_at_once(self, splits: Splits) -> None:
        """Each a sentence with what we got."""
        with pytest.raises(ConfigurationError, match=r"low < high.*low=1 and high=0\.1") as caught:
            learning_rate_range(TrainingConfig(), splits, low=1, high=0.1, n_steps=3, n_sweeps=0)
        assert "at least 30 steps each, but got 3 and 400" in str(caught.value)
        assert "one sweep is needed, but got 0" in str(caught.value)
