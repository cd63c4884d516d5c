"""Continuations of anyone's training, on copies."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrizations

from search_spaces.errors import ConfigurationError
from studies.diagnosis.counterfactuals import Change
from studies.readings import Counterfactual
from tests.problems import N_CLASSES, blobs
from tuner.training.counterfactuals import of_live
from tuner.training.counterfactuals.networks import hooks_left_out

BATCH = 16


def data() -> tuple[Tensor, Tensor]:
    found = blobs(600, spread=1.5)
    return found.x_train, found.y_train


def network(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, N_CLASSES))


def trained(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, batch: int = BATCH, n_epochs: int = 3
) -> None:
    x, y = data()
    orders = torch.Generator().manual_seed(1)
    for _ in range(n_epochs):
        for samples in torch.randperm(len(x), generator=orders).split(batch):
            optimizer.zero_grad()
            cross_entropy(model(x[samples]), y[samples]).backward()
            optimizer.step()


def asked(
    model: nn.Module, optimizer: torch.optim.Optimizer, *changes: Change, batch: int = BATCH, **options: Any
) -> tuple[Counterfactual, ...]:
    return of_live(model, optimizer, *data(), cross_entropy, changes, seed=0, batch_size=batch, **options)


@pytest.mark.parametrize(
    ("levers", "dropout", "change"),
    [
        ({"lr": 0.5, "momentum": 0.9}, 0.0, Change.LOWER_RATE),
        ({"lr": 0.1, "momentum": 0.99}, 0.0, Change.LOWER_MOMENTUM),
        ({"lr": 0.05, "weight_decay": 0.3}, 0.0, Change.NO_WEIGHT_DECAY),
        ({"lr": 0.05}, 0.9, Change.NO_DROPOUT),
    ],
    ids=["rate", "momentum", "weight decay", "dropout"],
)
def test_undoing_a_fault_lowers_the_loss(levers: dict[str, float], dropout: float, change: Change) -> None:
    """As in a training of ours."""
    model = network(dropout)
    optimizer = torch.optim.SGD(model.parameters(), **levers)
    trained(model, optimizer)
    (row,) = asked(model, optimizer, change)
    assert row.loss_after < 0.8 * row.unchanged_loss_after


def test_a_larger_batch_calms_a_loop_of_single_samples() -> None:
    """At the same rate."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    trained(model, optimizer, batch=1, n_epochs=1)
    (row,) = asked(model, optimizer, Change.LARGER_BATCH, batch=1)
    assert row.loss_after < 0.8 * row.unchanged_loss_after


def test_the_users_objects_stay_as_they_are() -> None:
    """Weights, modes, gradients, optimizer state, groups and random states; and the answers repeat."""
    model = network(0.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.99, 0.999), weight_decay=0.1)
    trained(model, optimizer)
    model[2].eval()
    picture = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    state = torch.get_rng_state()
    first, second = (asked(model, optimizer, *Change) for _ in range(2))
    assert first == second
    assert {row.change for row in first} == set(Change) - {Change.PEAK_RATE, Change.NO_AUGMENTATION}
    assert torch.equal(torch.get_rng_state(), state)
    now = (model.state_dict(), optimizer.state_dict())
    assert repr(now) == repr(picture)
    assert all(
        torch.equal(p.grad, g)
        for p, g in zip(model.parameters(), gradients, strict=True)
        if p.grad is not None
    )
    assert model.training
    assert not model[2].training


def test_hooks_that_look_on_see_nothing_of_it() -> None:
    """And need not be copied, nor what they belong to."""
    model = network()
    seen: list[int] = []

    class Onlooker:
        def __init__(self) -> None:
            self.generator = (i for i in range(3))  # cannot be copied

        def look(self, *_args: object) -> None:
            seen.append(1)

    model[0].register_forward_hook(Onlooker().look)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(Onlooker().look)
    assert len(asked(model, optimizer, Change.LOWER_RATE)) == 1
    assert seen == []


def test_weight_norm_stays_part_of_the_network() -> None:
    """Both kinds: the one of hooks and the one of parametrizations."""
    with pytest.warns(FutureWarning, match="weight_norm"):
        old = nn.utils.weight_norm(nn.Linear(4, N_CLASSES))
    assert [len(hooks) for hooks in hooks_left_out(old).values()].count(1) == 1
    new = parametrizations.weight_norm(nn.Linear(4, N_CLASSES))
    for layer in (new,):
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        (row,) = asked(layer, optimizer, Change.LOWER_RATE)
        assert row.unchanged_loss_after < row.loss_before


def test_the_peak_rate_is_tried_where_the_rate_has_come_down() -> None:
    """The highest that the loop had; not known, not tried."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    assert asked(model, optimizer, Change.PEAK_RATE) == ()
    (row,) = asked(model, optimizer, Change.PEAK_RATE, peak_learning_rate=0.1)
    assert row.loss_after < row.unchanged_loss_after


def test_a_model_that_cannot_be_copied_is_refused_in_one_sentence() -> None:
    """With what must work."""
    model = network()
    model.stream = (i for i in range(3))  # type: ignore[assignment]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigurationError, match=r"copy\.deepcopy\(\(model, optimizer\)\) must work"):
        asked(model, optimizer, Change.LOWER_RATE)


def test_no_samples_or_a_loss_that_is_not_finite_have_no_answer() -> None:
    """There is nothing to go on from."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = data()
    assert of_live(model, optimizer, x[:0], y[:0], cross_entropy, [Change.LOWER_RATE], 0, batch_size=8) == ()
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    assert asked(model, optimizer, Change.LOWER_RATE) == ()
