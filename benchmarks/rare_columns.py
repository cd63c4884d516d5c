"""Claim: leaving out the pixels that hardly any image uses would save less of a lane-step than of its arithmetic.

In MNIST 67 of 784 pixels are never inked and nearly 300 in fewer than one image of a hundred. Exact all the same: the
common pixels go through wide products as ever, and of the rare ones only those that a minibatch has, gathered from
their own weights; what the others' gradient is, is known to be 0. The first layer of eight lanes of 784-128 takes a
step both ways, in turns: products, norm and fused SGD with momentum. Microseconds of processor time a lane-step, the
least of some rounds, in one thread:

    python benchmarks/rare_columns.py --task mnist --batch-size 128
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import cast

import torch
from machine import described, load_average
from torch import Tensor

from tuner.training.data import load_dataset
from tuner.training.datasets.splits import split_dataset
from tuner.training.lanes.products import keep_freed_memory

N_LANES, WIDTH = 8, 128
RARE = 0.01
"""Of the images: a pixel that fewer have is rare."""
MULTIPLE = 16
"""Of common pixels: what vector registers hold."""
N_BATCHES, N_ROUNDS = 60, 9
TOLERANCE = 1e-4


class Whole:
    """All pixels in one wide product."""

    def __init__(self, weights: Tensor) -> None:
        self.parts = [weights.clone()]
        self._momenta = [torch.zeros_like(weights)]

    def step(self, x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [n_lanes, width, n] and the gradient's norm [n_lanes], of ``x`` [n, in] and ``d`` as the outputs."""
        outputs = _wide(self.parts[0], x)
        gradient = _wide(d, x.t())
        _update(self.parts, [gradient], self._momenta)
        return outputs, torch.linalg.vector_norm(gradient.flatten(1), dim=1)


class Split:
    """The first ``n_common`` pixels in one wide product, the others only where a minibatch has them."""

    def __init__(self, weights: Tensor, n_common: int) -> None:
        self._n_common = n_common
        common, rare = weights[:, :, :n_common], weights[:, :, n_common:].transpose(1, 2)
        self.parts = [common.contiguous(), rare.contiguous()]
        self._momenta = [torch.zeros_like(part) for part in self.parts]

    def step(self, x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        common, rare = x[:, : self._n_common].contiguous(), x[:, self._n_common :]
        used = (rare != 0).any(0).nonzero().squeeze(1)
        seen = rare.index_select(1, used).t().expand(N_LANES, -1, -1)
        outputs = _wide(self.parts[0], common)
        outputs.baddbmm_(self.parts[1].index_select(1, used).transpose(1, 2), seen)
        of_rare = torch.zeros_like(self.parts[1])
        of_rare.index_add_(1, used, torch.bmm(seen, d.transpose(1, 2)))
        gradients = [_wide(d, common.t()), of_rare]
        _update(self.parts, gradients, self._momenta)
        norms = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
        return outputs, torch.stack(norms).square().sum(0).sqrt()


def _wide(weights: Tensor, x: Tensor) -> Tensor:
    product = cast(
        "Tensor",
        torch.ops.mkldnn._linear_pointwise(weights.flatten(0, 1), x, None, "none", [], ""),  # noqa: SLF001 - as lanes do
    )
    return product.view(*weights.shape[:2], len(x))


def _update(parts: Sequence[Tensor], gradients: Sequence[Tensor], momenta: Sequence[Tensor]) -> None:
    for lane in range(N_LANES):
        torch._fused_sgd_(
            [part[lane] for part in parts],
            [gradient[lane] for gradient in gradients],
            [momentum[lane] for momentum in momenta],
            weight_decay=1e-4,
            momentum=0.9,
            lr=1e-3,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )


def microseconds(step: Callable[[Tensor, Tensor], object], batches: Sequence[Tensor], d: Tensor) -> float:
    started = time.process_time()
    for x in batches:
        step(x, d)
    return (time.process_time() - started) / len(batches) / N_LANES * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="mnist")
    parser.add_argument("--batch-size", type=int, default=128)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    splits = split_dataset(load_dataset(arguments.task), seed=0, device="cpu")
    images = splits.train_x.flatten(1)
    shares = (images != 0).float().mean(0)
    images = images[:, shares.argsort(descending=True)]
    n_common = -(-int((shares > RARE).sum()) // MULTIPLE) * MULTIPLE
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(images), generator=generator)[: N_BATCHES * arguments.batch_size]
    batches = [images[places].float() / 255 for places in order.split(arguments.batch_size)]
    weights = torch.randn(N_LANES, WIDTH, images.shape[1], generator=generator) * 0.03
    d = torch.randn(N_LANES, WIDTH, arguments.batch_size, generator=generator) * 1e-3
    whole, split = Whole(weights), Split(weights, n_common)
    for x in batches[:3]:
        for one, other in zip(whole.step(x, d), split.step(x, d), strict=True):
            torch.testing.assert_close(one, other, rtol=TOLERANCE, atol=TOLERANCE)
    rounds = [[microseconds(way.step, batches, d) for way in (whole, split)] for _ in range(N_ROUNDS)]
    least = [min(each) for each in zip(*rounds, strict=True)]
    result = {
        "claim": __doc__.splitlines()[0].removeprefix("Claim: "),
        "batch_size": arguments.batch_size,
        "n_pixels": len(shares),
        "n_common": n_common,
        "whole": least[0],
        "split": least[1],
        "saved": 1 - least[1] / least[0],
        "load": load_average(),
        **described("torch"),
    }
    print(f"whole {least[0]:.0f} µs, split {least[1]:.0f} µs: {result['saved']:.0%} saved", file=sys.stderr)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
