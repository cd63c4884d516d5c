"""The products of a linear layer for all lanes, each done in the way that this machine does fastest.

Activations are [n_lanes, units, n], units x samples, and weights [n_lanes, out, in]: then every product reads and
writes memory in the order it has, and lanes that share samples ``x`` [n, in] take them in one wide product. No product
mixes lanes, so what is not finite in one stays there.
"""

import time
from collections.abc import Callable, Mapping
from typing import Literal, cast

import torch
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]
Operation = Literal[
    "shared_outputs", "shared_weight_gradients", "outputs", "weight_gradients", "input_gradients"
]

PROBE_REPEATS = 5
"""Timings of each way; the shortest counts, so that another process's work does not."""
PROBE_CALLS = 3
"""Products of one timing."""
PROBED_LANES = 2
"""So many at most are probed: it is quick, and a lane's numbers do not depend on how many others there are."""
DECISIVE_GAIN = 1.1
"""How much faster another way must be than torch's own to be taken: a tie must not change numbers from run to run."""

LARGEST_COUNTED_BYTES = 31 * 2**20
"""glibc looks only at blocks of at most 32 MiB (M_MMAP_THRESHOLD in mallopt(3))."""


def _torch_shared_outputs(weights: Tensor, x: Tensor) -> Tensor:
    return torch.mm(weights.flatten(0, 1), x.t()).view(*weights.shape[:2], len(x))


def _torch_shared_weight_gradients(d: Tensor, x: Tensor) -> Tensor:
    return torch.mm(d.flatten(0, 1), x).view(*d.shape[:2], x.shape[1])


def _torch_outputs(weights: Tensor, h: Tensor) -> Tensor:
    return torch.bmm(weights, h)


def _torch_weight_gradients(d: Tensor, h: Tensor) -> Tensor:
    return torch.bmm(d, h.transpose(1, 2))


def _torch_input_gradients(weights: Tensor, d: Tensor) -> Tensor:
    return torch.bmm(weights.transpose(1, 2), d)


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b.T`` by oneDNN, which is twice as fast as MKL where that has no kernels for the processor.

    ``a`` had better be contiguous; for ``b`` it does not matter.
    """
    return cast("Tensor", torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], ""))  # noqa: SLF001 - no public way


def _onednn_shared_outputs(weights: Tensor, x: Tensor) -> Tensor:
    return _onednn(weights.flatten(0, 1), x).view(*weights.shape[:2], len(x))


def _onednn_shared_weight_gradients(d: Tensor, x: Tensor) -> Tensor:
    return _onednn(d.flatten(0, 1), x.t()).view(*d.shape[:2], x.shape[1])


def _onednn_outputs(weights: Tensor, h: Tensor) -> Tensor:
    return torch.stack([_onednn(w, b.t()) for w, b in zip(weights, h, strict=True)])


def _onednn_weight_gradients(d: Tensor, h: Tensor) -> Tensor:
    return torch.stack([_onednn(a, b) for a, b in zip(d, h, strict=True)])


def _onednn_input_gradients(weights: Tensor, d: Tensor) -> Tensor:
    return _onednn_outputs(weights.transpose(1, 2).contiguous(), d)


WAYS: Mapping[str, Mapping[Operation, Product]] = {
    "torch": {
        "shared_outputs": _torch_shared_outputs,
        "shared_weight_gradients": _torch_shared_weight_gradients,
        "outputs": _torch_outputs,
        "weight_gradients": _torch_weight_gradients,
        "input_gradients": _torch_input_gradients,
    },
    "onednn": {
        "shared_outputs": _onednn_shared_outputs,
        "shared_weight_gradients": _onednn_shared_weight_gradients,
        "outputs": _onednn_outputs,
        "weight_gradients": _onednn_weight_gradients,
        "input_gradients": _onednn_input_gradients,
    },
}
"""By what does them; torch's own (MKL, cuBLAS) is always there."""

_fastest: dict[tuple[object, ...], str] = {}
"""What a probe found, by operation and shapes: once for the process, so that its numbers do not change."""


class Products:
    """The products of one cohort.

    Args:
        precision: ``bfloat16`` multiplies in that type and gives back the type of the factors.
        way: one of `WAYS` for everything, instead of what a probe finds.
    """

    def __init__(self, *, precision: str = "float32", way: str | None = None) -> None:
        self._is_bfloat16 = precision == "bfloat16"
        self._way = way

    def shared_outputs(self, weights: Tensor, x: Tensor) -> Tensor:
        """``weights @ x.T`` of each lane, [n_lanes, out, n], from one ``x`` [n, in]."""
        return self._product("shared_outputs", weights, x)

    def shared_weight_gradients(self, d: Tensor, x: Tensor) -> Tensor:
        """``d @ x`` of each lane, [n_lanes, out, in], from one ``x`` [n, in]."""
        return self._product("shared_weight_gradients", d, x)

    def outputs(self, weights: Tensor, h: Tensor) -> Tensor:
        """``weights @ h`` of each lane, [n_lanes, out, n], from ``h`` [n_lanes, in, n]."""
        return self._product("outputs", weights, h)

    def weight_gradients(self, d: Tensor, h: Tensor) -> Tensor:
        """``d @ h.T`` of each lane, [n_lanes, out, in]."""
        return self._product("weight_gradients", d, h)

    def input_gradients(self, weights: Tensor, d: Tensor) -> Tensor:
        """``weights.T @ d`` of each lane, [n_lanes, in, n]."""
        return self._product("input_gradients", weights, d)

    def _product(self, operation: Operation, a: Tensor, b: Tensor) -> Tensor:
        if self._is_bfloat16:
            return WAYS["torch"][operation](a.bfloat16(), b.bfloat16()).to(a.dtype)
        way = self._way or fastest_way(operation, a, b)
        return WAYS[way][operation](a, b)


def fastest_way(operation: Operation, a: Tensor, b: Tensor) -> str:
    """The one of `WAYS` that is fastest for factors like ``a`` and ``b``; some milliseconds, once for a shape."""
    if a.dtype != torch.float32 or a.device.type != "cpu":
        return "torch"
    # Tuples of sizes, as hashing a torch.Size costs more.
    key = (operation, a.shape[1], a.shape[2], b.shape[-2], b.shape[-1], torch.get_num_threads())
    if key not in _fastest:
        _fastest[key] = _probed(operation, a, b)
    return _fastest[key]


def keep_freed_memory() -> None:
    """Let this process keep what the products of a step free, for the next step.

    glibc hands freed memory back to the system beyond twice the largest block that it mapped and that was freed. The
    products of a few lanes are beyond that, and to fault their pages in again took a tenth of a step's time. Freeing
    one large block that no one wrote to raises the limit; elsewhere it does nothing.
    """
    torch.empty(LARGEST_COUNTED_BYTES, dtype=torch.uint8)


def has_onednn() -> bool:
    """Whether this build of torch has oneDNN's products; those for Macs have not."""
    is_built_in: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch does not type it
    return is_built_in and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _probed(operation: Operation, a: Tensor, b: Tensor) -> str:
    if not has_onednn():
        return "torch"
    a, b = (factor[:PROBED_LANES] if factor.ndim == 3 else factor for factor in (a, b))
    seconds = {way: _shortest(products[operation], a, b) for way, products in WAYS.items()}
    return "onednn" if seconds["onednn"] * DECISIVE_GAIN < seconds["torch"] else "torch"


def _shortest(product: Product, a: Tensor, b: Tensor) -> float:
    product(a, b)
    timings = []
    for _ in range(PROBE_REPEATS):
        started = time.perf_counter()
        for _ in range(PROBE_CALLS):
            product(a, b)
        timings.append(time.perf_counter() - started)
    return min(timings)
