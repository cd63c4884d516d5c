"""What a user's own loop brings along: losses that hold the model, frozen parts, wrapped loaders, odd optimizers."""

import copy
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, TensorDataset

from search_spaces.errors import ConfigurationError
from tests.problems import N_CLASSES, blobs
from tests.tuner.training.rate.learners import blob_batches
from tuner.training.learning_rate_range import learning_rate_range_of
from tuner.training.rate.own_loop import OwnLearner

SHORT: dict[str, Any] = {"n_sweeps": 1, "n_steps": 30, "hold_steps": 30}
CLEAR: dict[str, Any] = {"n_sweeps": 1, "n_steps": 60, "hold_steps": 30}
PENALTY = 0.1


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(12, 4, generator=generator), torch.arange(12) % 3) for _ in range(4)]


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(4, 3)


def penalized(model: nn.Module, outputs: Tensor, y: Tensor) -> Tensor:
    penalty = torch.stack([parameter.square().sum() for parameter in model.parameters()]).sum()
    return cross_entropy(outputs, y) + PENALTY * penalty


class Penalized(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        return penalized(self.model, outputs, y)


class Scaled(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(outputs * self.scale, y)


def trained_by_hand(model: nn.Module, loss: Callable[[Any, Any], Tensor], *, n_steps: int) -> list[float]:
    optimizer = torch.optim.SGD([*model.parameters(), *_own_parameters(loss)], lr=0.1)
    losses = []
    for i in range(n_steps):
        x, y = batches()[i % 4]
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(value.detach()))
    return losses


def _own_parameters(loss: object) -> list[nn.Parameter]:
    return list(loss.parameters()) if isinstance(loss, Scaled) else []


@pytest.mark.parametrize(
    "loss_of",
    [Penalized, lambda model: partial(penalized, model), lambda _model: Scaled()],
    ids=["module", "partial", "own"],
)
def test_a_loss_that_holds_what_is_trained_is_copied_with_it(
    loss_of: Callable[[nn.Module], Callable[[Any, Any], Tensor]],
) -> None:
    """Its losses are those of a loop by hand, bit for bit, and the originals keep weights and gradients."""
    model = linear()
    loss = loss_of(model)
    optimizer = torch.optim.SGD([*model.parameters(), *_own_parameters(loss)], lr=0.1)
    loss(model(batches()[0][0]), batches()[0][1]).backward()  # type: ignore[no-untyped-call]
    everything = [*model.parameters(), *_own_parameters(loss)]
    before = [(parameter.detach().clone(), parameter.grad) for parameter in everything]
    learner = OwnLearner(model, optimizer, batches(), loss)
    for parameter in everything:
        parameter.grad = None
    learner.reset(0)
    found = learner.advance([0.1] * 10)
    for parameter, (_, gradient) in zip(everything, before, strict=True):
        parameter.grad = gradient
    learning_rate_range_of(model, optimizer, batches(), loss, **SHORT)
    for parameter, (weights, gradient) in zip(everything, before, strict=True):
        assert torch.equal(parameter, weights)
        assert parameter.grad is gradient
    twin, twin_loss = copy.deepcopy((model, loss))
    assert list(found) == torch.tensor(trained_by_hand(twin, twin_loss, n_steps=10)).tolist()


@pytest.mark.parametrize("has_gradients", [True, False])
def test_a_loss_that_closes_over_the_model_is_refused(has_gradients: bool) -> None:
    """The copy is not penalized by it; the gradients are as they were, bit for bit, and the sentence has a way out."""
    model = linear()
    if has_gradients:
        penalized(model, model(batches()[0][0]), batches()[0][1]).backward()  # type: ignore[no-untyped-call]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigurationError, match=r"functools\.partial\(loss, model\).* weight_decay"):
        learning_rate_range_of(
            model, optimizer, batches(), lambda outputs, y: penalized(model, outputs, y), **SHORT
        )
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        if gradient is None:
            assert parameter.grad is None
        else:
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, gradient)


def test_an_optimizer_that_needs_a_closure_is_refused() -> None:
    """In one sentence with its name, before anything is trained."""
    model = linear()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)
    with pytest.raises(ConfigurationError, match=r"step without a closure.* but got LBFGS"):
        learning_rate_range_of(model, optimizer, batches(), cross_entropy, **SHORT)


def test_a_frozen_part_stays_frozen() -> None:
    """Batch normalization in eval mode inside a model in train mode normalizes by its running statistics."""
    x = torch.full((2, 4), 3.0) + torch.arange(2.0)[:, None]
    found = []
    for is_frozen in (True, False):
        torch.manual_seed(1)
        model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 1))
        model[0].train(not is_frozen)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        learner = OwnLearner(model, optimizer, [(x, torch.zeros(2, 1))], mse_loss)
        learner.reset(0)
        found.append(float(learner.advance([0.1])[0]))
        assert found[-1] == float(mse_loss(copy.deepcopy(model)(x), torch.zeros(2, 1)).detach())
    assert found[0] != found[1]


def test_a_model_in_eval_mode_is_trained_in_train_mode() -> None:
    """It was evaluated last; nobody trains it so."""
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 1)).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    learner = OwnLearner(model, optimizer, [(torch.ones(8, 4), torch.zeros(8, 1))], mse_loss)
    seen = set()
    for seed in range(3):
        learner.reset(seed)
        seen.add(float(learner.advance([0.1])[0]))
    assert len(seen) == 3
    assert not any(module.training for module in model.modules())


class Wrapped:
    """A user's object around a loader."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return ((x * 2, y) for x, y in self.loader)


def test_the_generator_of_a_wrapped_loader_is_given_back() -> None:
    """And its data order is the seed's: two tests see the same."""
    x, y = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(TensorDataset(x, y), batch_size=12, shuffle=True, generator=generator)
    model = linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = generator.get_state()
    first = learning_rate_range_of(model, optimizer, Wrapped(loader), cross_entropy, **SHORT)
    assert torch.equal(generator.get_state(), before)
    generator.manual_seed(6)
    again = learning_rate_range_of(model, optimizer, Wrapped(loader), cross_entropy, **SHORT)
    assert list(first.sweeps[0].ramp.loss) == list(again.sweeps[0].ramp.loss)


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
        found = learning_rate_range_of(model, optimizer, loader, nn.functional.cross_entropy, **CLEAR)
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
        learning_rate_range_of(model, optimizer, loader, nn.functional.cross_entropy, **CLEAR)
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
            learning_rate_range_of(model, optimizer, iter(blob_batches()), nn.functional.cross_entropy)

    def test_no_batches_are_refused(self, model: nn.Module) -> None:
        """Rather than waited for for ever."""
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(ConfigurationError, match="at least one minibatch"):
            learning_rate_range_of(model, optimizer, [], nn.functional.cross_entropy)

    def test_a_rate_of_zero_is_refused(self, model: nn.Module) -> None:
        """Ratios of rates need one that is not."""
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        with pytest.raises(ConfigurationError, match="above 0, but got 0"):
            learning_rate_range_of(model, optimizer, blob_batches(), nn.functional.cross_entropy)

    def test_a_model_that_cannot_be_copied_is_refused(self) -> None:
        """With torch's reason."""
        model = nn.Linear(4, 3)
        model.computed = model.weight * 2
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(
            ConfigurationError, match=r"copy\.deepcopy\(\(model, optimizer, loss\)\) must work"
        ):
            learning_rate_range_of(model, optimizer, blob_batches(), nn.functional.cross_entropy)
