"""How fast this machine multiplies matrices of the workload's shapes: two single-thread processes at once, float32.

That is the roof of a search in two processes. The products of an optimizer step: each layer's output, its weights'
gradient and, from the second layer on, its input's gradient. The output layer is left out: a hundredth of the
arithmetic, mostly the costs of the call. Of several lanes that share the minibatch the first layer is one wide product.
Two kernels: torch.mm (and bmm), and oneDNN's linear, where this build of torch has it:

    python benchmarks/gemm_rate.py --batch-size 128
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from machine import described, load_average
from torch import Tensor
from workload import Workload

N_PROCESSES = 2
N_LANES = (1, 8)
N_REPEATS = 7
BLOCK_SECONDS = 0.02
"""Of one repeat: long against the clock and the processes' being out of step."""

Product = tuple[int, Callable[[], Tensor]]
"""Its floating-point operations, and a call that does it."""


def mm_products(workload: Workload, n_inputs: int, n_outputs: int, n_lanes: int) -> Iterator[Product]:
    """Samples x units, as nn.Linear has it; deeper layers of several lanes by one bmm."""
    batch = workload.batch_size
    for place, (n_in, n_out) in enumerate(_hidden(workload, n_inputs, n_outputs)):
        flops = 2 * n_lanes * batch * n_in * n_out
        if place == 0:
            x, weight, delta = (
                torch.randn(batch, n_in),
                torch.randn(n_lanes * n_out, n_in),
                torch.randn(batch, n_lanes * n_out),
            )
            yield flops, partial(torch.mm, x, weight.t())
            yield flops, partial(torch.mm, delta.t(), x)
        else:
            x, weight, delta = (
                torch.randn(n_lanes, batch, n_in),
                torch.randn(n_lanes, n_out, n_in),
                torch.randn(n_lanes, batch, n_out),
            )
            yield flops, partial(torch.bmm, x, weight.mT)
            yield flops, partial(torch.bmm, delta.mT, x)
            yield flops, partial(torch.bmm, delta, weight)


def onednn_products(workload: Workload, n_inputs: int, n_outputs: int, n_lanes: int) -> Iterator[Product]:
    """Units x samples, transposed beforehand; the operator takes one product at a time, a @ b.T."""
    linear, batch = torch.ops.mkldnn._linear_pointwise, workload.batch_size  # noqa: SLF001 - torch has no public name for it

    def product(n_rows: int, n_columns: int, n_summed: int) -> Product:
        a, b = torch.randn(n_rows, n_summed), torch.randn(n_columns, n_summed)
        return 2 * n_rows * n_columns * n_summed, partial(linear, a, b, None, "none", [], "")

    for place, (n_in, n_out) in enumerate(_hidden(workload, n_inputs, n_outputs)):
        if place == 0:
            yield product(n_lanes * n_out, batch, n_in)
            yield product(n_lanes * n_out, n_in, batch)
        else:
            for _ in range(n_lanes):
                yield product(n_out, batch, n_in)
                yield product(n_out, n_in, batch)
                yield product(n_in, batch, n_out)


def _hidden(workload: Workload, n_inputs: int, n_outputs: int) -> list[tuple[int, int]]:
    return workload.layers(n_inputs=n_inputs, n_outputs=n_outputs)[:-1]


def kernels() -> dict[str, Callable[[Workload, int, int, int], Iterator[Product]]]:
    """Those of this build of torch."""
    has_onednn = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return {"torch.mm": mm_products, **({"oneDNN": onednn_products} if has_onednn else {})}


def seconds_of(call: Callable[[], Tensor], barrier: Any) -> float:
    """Median over repeats; the processes begin each repeat together."""
    started = time.perf_counter()
    call()
    call()
    n_calls = max(1, int(BLOCK_SECONDS / max((time.perf_counter() - started) / 2, 1e-7)))
    repeats = []
    for _ in range(N_REPEATS):
        barrier.wait()
        started = time.perf_counter()
        for _ in range(n_calls):
            call()
        repeats.append((time.perf_counter() - started) / n_calls)
    return statistics.median(repeats)


def measure(workload: Workload, shapes: tuple[int, int], barrier: Any, rates: Any) -> None:
    """One process: put the rate of each kernel and number of lanes, in GFLOP/s, into the queue."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = {}
    with torch.inference_mode():
        for name, products in kernels().items():
            for n_lanes in N_LANES:
                timed = [
                    (flops, seconds_of(call, barrier)) for flops, call in products(workload, *shapes, n_lanes)
                ]
                total = sum(flops for flops, _ in timed) / sum(seconds for _, seconds in timed)
                found[f"{name}, {n_lanes} lane{'s' * (n_lanes > 1)}"] = total / 1e9
    rates.put(found)


def gemm_rates(workload: Workload, *, n_inputs: int, n_outputs: int) -> dict[str, float]:
    """GFLOP/s of both processes together, by kernel and number of lanes."""
    spawning = multiprocessing.get_context("spawn")
    barrier, queue = spawning.Barrier(N_PROCESSES), spawning.Queue()
    arguments = (workload, (n_inputs, n_outputs), barrier, queue)
    processes = [spawning.Process(target=measure, args=arguments) for _ in range(N_PROCESSES)]
    for process in processes:
        process.start()
    measured = [queue.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return {name: sum(rates[name] for rates in measured) for name in measured[0]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, nargs="*", default=[32, 128, 512])
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--inputs", type=int, default=784)
    parser.add_argument("--outputs", type=int, default=10)
    arguments = parser.parse_args()
    rows = []
    load = load_average()
    for batch_size in arguments.batch_size:
        workload = Workload(batch_size=batch_size, depth=arguments.depth, width=arguments.width)
        rates = gemm_rates(workload, n_inputs=arguments.inputs, n_outputs=arguments.outputs)
        rows.append({"batch_size": batch_size, "gflops_per_second": rates})
        for name, rate in rates.items():
            print(f"batch {batch_size:4}  {name:20} {rate:6.0f} GFLOP/s", file=sys.stderr)
    about = {"claim": __doc__.splitlines()[0], "n_processes": N_PROCESSES, "load_average": load}
    print(json.dumps({**about, "results": rows, **described("torch")}, indent=2))


if __name__ == "__main__":
    main()
