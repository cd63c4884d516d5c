"""Claim: leaving out blank pixels would save far less of a lane-step than of its arithmetic.

In MNIST 81% of all pixels are 0; 67 of 784 are so in every image, nearly 300 in all but one of a hundred. Three ways
through the first layer of eight lanes of 784-128, in turns: products, norm and fused SGD with momentum.

- whole: all pixels in one wide product, as lanes do it.
- split: common pixels in wide products, and of the rare ones only those that a minibatch has; the others' gradient is
  known to be 0.
- inked: only pixels that are not 0, by torch's embedding bags, lane after lane: a fifth of the arithmetic.

Each is exact. Microseconds of processor time a lane-step, the least of some rounds, in one thread:

    python benchmarks/blank_pixels.py --task mnist --batch-size 128
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
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


class Inked:
    """Only what is not 0: a sample's output is a sum of its pixels' weights, a pixel's gradient one of its samples'.

    A lane's gradient is used while it is in the cache, and no wide one is made.
    """

    def __init__(self, weights: Tensor) -> None:
        self.parts = [weights.transpose(1, 2).contiguous()]
        self._momenta = [torch.zeros_like(part) for part in self.parts]

    def step(self, x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        of_samples, of_pixels = _bags(x), _bags(x.t().contiguous())
        outputs = torch.empty_like(d)
        norms = torch.empty(len(d))
        (weights,) = self.parts
        for lane in range(len(d)):
            outputs[lane] = _sums(weights[lane], of_samples).t()
            gradient = _sums(d[lane].t().contiguous(), of_pixels)
            norms[lane] = torch.linalg.vector_norm(gradient)
            _update([weights[lane : lane + 1]], [gradient[None]], [self._momenta[0][lane : lane + 1]])
        return outputs, norms


def _bags(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the rows of ``x``: the columns that are not 0, where each row's begin among them, and what they are."""
    values = x.flatten()
    n_rows, n_columns = x.shape
    # numpy finds them three times as fast as torch.
    places = np.flatnonzero(values.numpy() != 0)
    starts = np.searchsorted(places, np.arange(0, n_rows * n_columns, n_columns))
    columns = places - places // n_columns * n_columns
    return torch.from_numpy(columns), torch.from_numpy(starts), values[torch.from_numpy(places)]


def _sums(rows: Tensor, bags: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    columns, starts, values = bags
    return torch.nn.functional.embedding_bag(columns, rows, starts, mode="sum", per_sample_weights=values)


def _wide(weights: Tensor, x: Tensor) -> Tensor:
    product = cast(
        "Tensor",
        torch.ops.mkldnn._linear_pointwise(weights.flatten(0, 1), x, None, "none", [], ""),  # noqa: SLF001 - as lanes do
    )
    return product.view(*weights.shape[:2], len(x))


def _update(parts: Sequence[Tensor], gradients: Sequence[Tensor], momenta: Sequence[Tensor]) -> None:
    for lane in range(len(parts[0])):
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
    ways = {"whole": Whole(weights), "split": Split(weights, n_common), "inked": Inked(weights)}
    for x in batches[:3]:
        whole, *others = [way.step(x, d) for way in ways.values()]
        for other in others:
            torch.testing.assert_close(other, whole, rtol=TOLERANCE, atol=TOLERANCE)
    rounds = [[microseconds(way.step, batches, d) for way in ways.values()] for _ in range(N_ROUNDS)]
    least = dict(zip(ways, map(min, zip(*rounds, strict=True)), strict=True))
    saved = {name: 1 - least[name] / least["whole"] for name in ("split", "inked")}
    result = {
        "claim": __doc__.splitlines()[0].removeprefix("Claim: "),
        "batch_size": arguments.batch_size,
        "n_pixels": len(shares),
        "n_common": n_common,
        "inked_share": float((images != 0).float().mean()),
        "microseconds": least,
        "saved": saved,
        "load": load_average(),
        **described("torch"),
    }
    for name, share in saved.items():
        print(
            f"{name} {least[name]:.0f} µs, whole {least['whole']:.0f} µs: {share:.0%} saved", file=sys.stderr
        )
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
