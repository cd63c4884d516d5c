"""Claim: reading the global gradient norm costs about 5% of a step at batch 32, whichever way it is read.

A bare training step of 784-128-10 on random data, with the norm read by nothing, by `torch._foreach_norm` (as
`TrainingRun` does), by dot products, of the largest weight alone, and by `_foreach_norm` after the update. Microseconds
a step, and of the reading itself:

    python benchmarks/gradient_norm.py --batch-size 32
"""

import argparse
import json
import sys
import time

import torch
from machine import described
from torch import Tensor, nn

N_STEPS, N_BATCHES = 3000, 100
WAYS = ("off", "foreach", "dot", "largest weight", "foreach after the update")


def read(way: str, gradients: list[Tensor]) -> list[Tensor]:
    if way == "dot":
        return [torch.dot(g.view(-1), g.view(-1)) for g in gradients]
    if way == "largest weight":
        return [torch.linalg.vector_norm(gradients[0])]
    return list(torch._foreach_norm(gradients))  # noqa: SLF001 - what is measured


def microseconds(way: str, batch_size: int) -> tuple[float, float]:
    """Of a step, and of the reading in it."""
    x, y = torch.rand(N_BATCHES, batch_size, 784), torch.randint(10, (N_BATCHES, batch_size))
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    parameters = list(model.parameters())
    reading = 0.0
    started = time.perf_counter()
    for step in range(N_STEPS):
        nn.functional.cross_entropy(model(x[step % N_BATCHES]), y[step % N_BATCHES]).backward()
        gradients = [parameter.grad for parameter in parameters]
        for is_after in (False, True):
            if is_after:
                torch._foreach_add_(parameters_data(parameters), gradients, alpha=-0.01)
            if way != "off" and is_after == way.endswith("after the update"):
                begun = time.perf_counter()
                read(way, gradients)
                reading += time.perf_counter() - begun
        for parameter in parameters:
            parameter.grad = None
    return (time.perf_counter() - started) / N_STEPS * 1e6, reading / N_STEPS * 1e6


def parameters_data(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.detach() for parameter in parameters]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=32)
    batch_size = parser.parse_args().batch_size
    torch.set_num_threads(1)
    rows = []
    for way in WAYS:
        step, reading = microseconds(way, batch_size)
        rows.append({"way": way, "step": round(step, 1), "reading": round(reading, 1)})
        print(f"{way:26} {step:6.1f} µs a step, {reading:5.1f} µs of it reading", file=sys.stderr)
    result = {"claim": __doc__.splitlines()[0], "batch_size": batch_size, "results": rows}
    print(json.dumps(result | described("torch"), indent=2))


if __name__ == "__main__":
    main()
