import pytest
import torch
from torch import Tensor

from tuner.training.lanes import products
from tuner.training.lanes.products import WAYS, Operation, Products, fastest_way, has_onednn

K, OUT, IN, N = 3, 6, 5, 7
FORMULAS: dict[Operation, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "shared_outputs": ("koi,ni->kon", (K, OUT, IN), (N, IN)),
    "shared_weight_gradients": ("kon,ni->koi", (K, OUT, N), (N, IN)),
    "outputs": ("koi,kin->kon", (K, OUT, IN), (K, IN, N)),
    "weight_gradients": ("kon,kin->koi", (K, OUT, N), (K, IN, N)),
    "input_gradients": ("koi,kon->kin", (K, OUT, IN), (K, OUT, N)),
}
NEEDS_ONEDNN = pytest.mark.skipif(not has_onednn(), reason="this build of torch has no oneDNN")
OF_EACH_WAY = pytest.mark.parametrize("way", ["torch", pytest.param("onednn", marks=NEEDS_ONEDNN)])
OF_EACH_OPERATION = pytest.mark.parametrize("operation", FORMULAS)


@pytest.fixture(autouse=True)
def _nothing_is_probed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_fastest", {})


def factors(operation: Operation, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    _, left, right = FORMULAS[operation]
    return tuple(torch.randn(shape, generator=generator, dtype=dtype) for shape in (left, right))


def product(operation: Operation, of: Products, dtype: torch.dtype = torch.float32) -> Tensor:
    return getattr(of, operation)(*factors(operation, dtype))


@OF_EACH_OPERATION
@OF_EACH_WAY
def test_every_way_gives_the_products_of_the_formula(way: str, operation: Operation) -> None:
    """Each way of doing each product agrees with einsum."""
    expected = torch.einsum(FORMULAS[operation][0], *factors(operation))
    torch.testing.assert_close(product(operation, Products(way=way)), expected)


@OF_EACH_OPERATION
def test_double_precision_is_kept(operation: Operation) -> None:
    """float64 factors make float64 products, to the last digits."""
    expected = torch.einsum(FORMULAS[operation][0], *factors(operation, torch.float64))
    torch.testing.assert_close(
        product(operation, Products(), torch.float64), expected, rtol=1e-14, atol=1e-14
    )


@OF_EACH_OPERATION
def test_bfloat16_shortens_the_factors_only(operation: Operation) -> None:
    """bfloat16 products come back in the type of the factors, right to the 8 bits that bfloat16 has."""
    expected = torch.einsum(FORMULAS[operation][0], *factors(operation))
    got = product(operation, Products(precision="bfloat16"))
    assert got.dtype == torch.float32
    assert not torch.equal(got, expected)
    torch.testing.assert_close(got, expected, rtol=0.02, atol=0.05)


@OF_EACH_OPERATION
@OF_EACH_WAY
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_lane_that_is_not_finite_changes_no_other(way: str, operation: Operation, bad: float) -> None:
    """Whatever is in a lane's factor, the others' products are the same to the bit."""
    left, right = factors(operation)
    ways = WAYS[way][operation]
    before = ways(left, right)
    left[1] = bad
    after = ways(left, right)
    assert not after[1].isfinite().all()
    assert torch.equal(after[[0, 2]], before[[0, 2]])


@NEEDS_ONEDNN
def test_the_way_of_a_shape_is_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shape is probed when it is first met, and the faster way is kept; the number of lanes does not matter."""
    seconds = iter([2.0, 1.0])
    monkeypatch.setattr(products, "_shortest", lambda *_: next(seconds))
    left, right = factors("outputs")
    assert fastest_way("outputs", left, right) == "onednn"
    assert fastest_way("outputs", left[:1], right[:1]) == "onednn"


@NEEDS_ONEDNN
def test_a_tie_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gain of some percent is noise, and noise must not change numbers from run to run."""
    seconds = iter([1.05, 1.0])
    monkeypatch.setattr(products, "_shortest", lambda *_: next(seconds))
    assert fastest_way("outputs", *factors("outputs")) == "torch"


def test_without_onednn_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build without oneDNN, as on Macs, takes torch's own products."""
    monkeypatch.setattr(products, "has_onednn", lambda: False)
    assert fastest_way("outputs", *factors("outputs")) == "torch"
