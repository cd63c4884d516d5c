"""What weights say by themselves, on layers whose answers are known."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from tuner.training.weights import spectral_ratio, twin_fraction, weight_gain, weight_matrix


def matrix_of(module: nn.Module) -> torch.Tensor:
    return weight_matrix(module, [p for p in module.parameters() if p.ndim >= 2])


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(5, 3), (3, 5)),
        (nn.Conv2d(4, 6, 3, groups=2), (6, 18)),
        (nn.ConvTranspose2d(4, 6, 3), (6, 36)),
        (nn.Embedding(7, 2), (7, 2)),
    ],
)
def test_a_unit_is_a_row_with_what_comes_in(module: nn.Module, shape: tuple[int, int]) -> None:
    """Outputs first, whatever the module's own order."""
    assert tuple(matrix_of(module).shape) == shape


@pytest.mark.parametrize(("scheme", "gain"), [("linear", 1.0), ("relu", math.sqrt(2))])
def test_the_gain_is_what_an_initialization_aims_at(scheme: Any, gain: float) -> None:
    """He's initialization has 1.41, LeCun's 1."""
    layer = nn.Linear(400, 300)
    torch.manual_seed(0)
    nn.init.kaiming_normal_(layer.weight, nonlinearity=scheme)
    assert weight_gain(layer, matrix_of(layer)) == pytest.approx(gain, rel=0.02)


@pytest.mark.parametrize("table", [nn.Embedding, nn.EmbeddingBag])
def test_a_table_passes_on_its_own_variance(table: Any) -> None:
    """Its rows are looked up, not summed over: torch's normal ones have a gain of 1 however wide they are."""
    torch.manual_seed(0)
    module = table(200, 64)
    assert weight_gain(module, matrix_of(module)) == pytest.approx(1.0, rel=0.02)


def test_twins_are_units_with_equal_weights() -> None:
    """Two pairs of ten units are 0.4; a constant layer is all twins; one unit has none."""
    rows = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    assert twin_fraction(rows) == 0
    rows[1], rows[7] = rows[0], rows[5]
    assert twin_fraction(rows) == pytest.approx(0.4)
    assert twin_fraction(torch.zeros(10, 4)) == 1
    assert twin_fraction(torch.zeros(1, 4)) == 0


def test_a_fresh_layer_is_at_the_random_matrixs_edge_and_a_trained_one_beyond() -> None:
    """Normal and uniform initializations have about 1; a strong direction learned is well above."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(200, 100, generator=generator) * 0.05
    uniform = torch.rand(200, 100, generator=generator) - 0.5
    for fresh in (normal, uniform):
        assert spectral_ratio(fresh) == pytest.approx(1, abs=0.05)
    trained = normal + torch.outer(torch.ones(200), torch.linspace(-0.2, 0.2, 100))
    assert spectral_ratio(trained) > 2


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan])
def test_weights_without_a_deviation_have_no_ratio(value: float) -> None:
    """Constant and broken layers are left to other readings."""
    assert math.isnan(spectral_ratio(torch.full((4, 3), value)))
