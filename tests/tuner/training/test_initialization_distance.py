"""Whether weights are as an initialization leaves them, on layers whose history is known."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import tuner
from tuner.training.weights import MIN_WEIGHTS, initialization_distance

INITIALIZATIONS: dict[str, Callable[[Tensor], object]] = {
    "torch": lambda weight: weight,
    "glorot_uniform": nn.init.xavier_uniform_,
    "glorot_normal": nn.init.xavier_normal_,
    "he_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "he_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "he_fan_out": lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu"),
    "lecun": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="linear"),
    "transformer": lambda weight: nn.init.trunc_normal_(weight, std=0.02),
}
MODULES: dict[str, Callable[[], nn.Linear | nn.Conv2d | nn.ConvTranspose2d]] = {
    "linear": lambda: nn.Linear(120, 60),
    "convolution": lambda: nn.Conv2d(16, 32, 3),
    "transposed": lambda: nn.ConvTranspose2d(16, 32, 3),
}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_fresh_weights_are_near_the_initialization_they_have(initialization: str, module: str) -> None:
    """Within three standard errors, for all but one draw in a hundred."""
    torch.manual_seed(0)
    distances = []
    for _ in range(20):
        layer = MODULES[module]()
        INITIALIZATIONS[initialization](layer.weight)
        distances.append(initialization_distance(layer.weight))
    assert sorted(distances)[-2] < 3.0


def test_an_epoch_of_training_shows() -> None:
    """A layer that has learned a linear map is ten standard errors away, and more with every step."""
    torch.manual_seed(0)
    layer = nn.Linear(100, 50)
    x, wanted = torch.randn(512, 100), nn.Linear(100, 50)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for _ in range(80):
        optimizer.zero_grad()
        loss = (layer(x) - 3.0 * wanted(x).detach()).square().mean()
        loss.backward()
        optimizer.step()
    assert initialization_distance(layer.weight) > 10.0


def test_scale_and_shape_both_count() -> None:
    """A tenth more deviation is no draw of a known initialization, nor are heavy tails of the right deviation."""
    torch.manual_seed(0)
    layer = nn.Linear(200, 100)
    assert initialization_distance(1.1 * layer.weight) > 10.0
    tailed = torch.distributions.StudentT(5.0).sample((100, 200))
    assert initialization_distance(tailed / tailed.std() * math.sqrt(1.0 / 200.0)) > 10.0


def test_a_watched_loop_reads_it_of_layers_that_cannot_change() -> None:
    """Not required or not in the optimizer; of the others it would say nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 3))
    model[0].requires_grad_(requires_grad=False)
    optimizer = torch.optim.SGD(model[4].parameters(), lr=0.1)
    x, y = torch.randn(32, 64), torch.arange(32) % 3
    with tuner.watch(model, optimizer) as watch:
        for _ in range(2):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            watch.step(loss, x, y)
        watch.epoch()
    assert watch.telemetry.step_zero is not None
    first, second, head = (layer.initialization_distance for layer in watch.telemetry.step_zero.layers)
    assert first < 3.0
    assert second < 3.0
    assert math.isnan(head)


@pytest.mark.parametrize(
    "weight",
    [torch.zeros(MIN_WEIGHTS), torch.randn(10, 10), torch.full((100, 100), math.nan)],
    ids=["vector", "small", "broken"],
)
def test_what_cannot_be_told_has_no_distance(weight: Tensor) -> None:
    """A scale of a norm, too few weights, and weights that are not finite."""
    assert math.isnan(initialization_distance(weight))
