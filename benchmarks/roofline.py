"""What a lane's step must at least compute and move, and how long that takes here: the limit of a search.

Arithmetic: the products of a step at the rate of gemm_rate.py. Memory: what the weights' products leave for the rest -
the gradient read for its norm; weights, gradient and momentum read by the update, weights and momentum written - at the
rate of torch's fused update, once for weights that stay in the cache and once for those of many lanes in turn. Nothing
else is counted: no activations, no loss, no dropout, no gathering, no Python. Float32, two processes of one thread:

    python benchmarks/roofline.py --batch-size 32 128 512
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from gemm_rate import N_PROCESSES, gemm_rates
from machine import described, load_average
from torch import Tensor
from workload import Workload

BYTES = 4
N_LANES_OUT_OF_CACHE = 256
"""Their 100,000 weights each, with gradient and momentum, are 300 MB: more than any cache here."""
N_REPEATS = 20
N_NORM_PASSES = 1
N_UPDATE_PASSES = {"sgd": 5, "adam": 7}
"""Over the weights: read weight, gradient and each state, write weight and each state."""
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def cache_sizes() -> dict[str, str]:
    """Of the first core, as Linux tells them; empty elsewhere."""
    return {
        f"L{_read(cache / 'level')} {_read(cache / 'type').lower()}": _read(cache / "size")
        for cache in sorted(_CACHES.glob("index*"))
    }


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def update_rate(n_weights: int, n_lanes: int) -> float:
    """Bytes a second that one process moves in torch's fused SGD with momentum, over the lanes' weights in turn."""
    lanes = [[torch.rand(n_weights) for _ in range(3)] for _ in range(n_lanes)]
    _update(lanes)
    started = time.perf_counter()
    for _ in range(N_REPEATS):
        _update(lanes)
    seconds = time.perf_counter() - started
    return N_REPEATS * n_lanes * N_UPDATE_PASSES["sgd"] * n_weights * BYTES / seconds


def _update(lanes: Sequence[Sequence[Tensor]]) -> None:
    for weight, gradient, momentum in lanes:
        torch._fused_sgd_(  # what torch.optim.SGD(fused=True) calls
            [weight],
            [gradient],
            [momentum],
            weight_decay=0.0,
            momentum=0.9,
            lr=1e-6,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )


def limits(workload: Workload, shapes: dict[str, int], memory: dict[str, float]) -> dict[str, Any]:
    """Of one lane's step and of a trial-epoch, with all processes at work."""
    layers = workload.layers(n_inputs=shapes["n_inputs"], n_outputs=shapes["n_outputs"])
    n_weights = sum(n_in * n_out for n_in, n_out in layers)
    n_train = shapes["n_train"]
    n_steps = -(-n_train // workload.batch_size)
    step_flops = workload.epoch_flops(**shapes | {"n_validation": 0}) / n_train * workload.batch_size
    step_bytes = (N_NORM_PASSES + N_UPDATE_PASSES[workload.optimizer]) * n_weights * BYTES
    rates = gemm_rates(workload, n_inputs=shapes["n_inputs"], n_outputs=shapes["n_outputs"])
    rate = max(rates.values()) * 1e9
    arithmetic = workload.epoch_flops(**shapes) / rate
    moving = {
        place: n_steps * step_bytes / (N_PROCESSES * bytes_a_second)
        for place, bytes_a_second in memory.items()
    }
    return {
        "workload": workload.name,
        "step_megaflops": step_flops / 1e6,
        "step_megabytes": step_bytes / 1e6,
        "flops_a_byte": step_flops / step_bytes,
        "gemm_gflops_per_second": rates,
        "arithmetic_seconds_a_trial_epoch": arithmetic,
        "moving_seconds_a_trial_epoch": moving,
        "highest_share_of_gemm_rate": {
            place: arithmetic / (arithmetic + seconds) for place, seconds in moving.items()
        },
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For a person, in Markdown."""
    lines = [
        "| | MFLOP a step | MB a step | arithmetic | + update, in cache | + update, from memory | highest share |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        arithmetic, moving = row["arithmetic_seconds_a_trial_epoch"], row["moving_seconds_a_trial_epoch"]
        share = row["highest_share_of_gemm_rate"]
        lines.append(
            f"| {row['workload']} | {row['step_megaflops']:.1f} | {row['step_megabytes']:.1f} | {arithmetic:.3f} s | "
            f"{arithmetic + moving['cache']:.3f} s | {arithmetic + moving['memory']:.3f} s | "
            f"{share['memory']:.0%} to {share['cache']:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--optimizer", choices=[*N_UPDATE_PASSES], default="sgd")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = load_average()
    mnist = {"n_inputs": 784, "n_outputs": 10, "n_train": 48_000, "n_validation": 12_000}
    memory = {
        "cache": update_rate(mnist["n_inputs"] * 128, 1),
        "memory": update_rate(mnist["n_inputs"] * 128, N_LANES_OUT_OF_CACHE),
    }
    rows = [
        limits(
            Workload(
                batch_size=batch_size,
                depth=arguments.depth,
                width=arguments.width,
                optimizer=arguments.optimizer,
            ),
            mnist,
            memory,
        )
        for batch_size in arguments.batch_size
    ]
    print(table(rows), file=sys.stderr)
    about = {"claim": __doc__.splitlines()[0], "caches": cache_sizes(), "load_average": load}
    gigabytes = {place: rate / 1e9 for place, rate in memory.items()}
    found = {**about, "update_gigabytes_per_second": gigabytes, "results": rows, **described("torch")}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
