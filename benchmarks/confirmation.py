"""Claim: equal configs have no winner in 93% of studies, and a lead of two noise floors is found at 8 seeds in 88%.

Simulated studies, each confirmed by `studies.comparison.confirm`: how often it names a winner among equal configs, and
how often the right one when one config leads by two standard deviations between replicates. With 95% Wilson bounds,
and beside it what the plain paired t test against each other config would name. Then the cases that tempt a method to
err: two tied leaders above quieter configs, one noisy and one quiet leader, tied leaders that move against each other,
an unrelated runner-up. Last, how often intervals of one config's replicates hold the true mean.

    python benchmarks/confirmation.py --studies 1000
"""

import argparse
import json
import math
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from machine import described

from studies.comparison import Verdict, compare, confirm, interval

Values = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator], Values]

NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Values]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy-tailed (t of 3)": lambda rng, shape: rng.standard_t(3, shape) / math.sqrt(3),
    "skewed (exponential)": lambda rng, shape: 1.0 - rng.exponential(size=shape),
}
"""All of standard deviation 1."""
FAR_BELOW = 50.0


def equal(noise: str, *, n_configs: int, n_seeds: int, correlation: float = 0.0, lead: float = 0.0) -> Draw:
    """Replicates, shape [n_configs, n_seeds], of configs of which only the first may be better."""

    def draw(rng: np.random.Generator) -> Values:
        own, shared = NOISES[noise](rng, (n_configs, n_seeds)), NOISES[noise](rng, (1, n_seeds))
        values = math.sqrt(1.0 - correlation) * own + math.sqrt(correlation) * shared
        values[0] += lead
        return values

    return draw


def two_noisy_leaders(rng: np.random.Generator) -> Values:
    values = rng.standard_normal((5, 8))
    values[2:] = values[2:] / 3.0 - FAR_BELOW
    return values


def noisy_and_quiet_leader(rng: np.random.Generator) -> Values:
    values = rng.standard_normal((5, 8))
    values[1:] /= 3.0
    values[2:] -= FAR_BELOW
    return values


def opposed_leaders(correlation: float) -> Draw:
    """Two tied configs with a correlation of their own, above an unrelated third."""

    def draw(rng: np.random.Generator) -> Values:
        values = rng.standard_normal((3, 8))
        values[1] = correlation * values[0] + math.sqrt(1.0 - correlation**2) * values[1]
        values[2] -= FAR_BELOW
        return values

    return draw


def unrelated_runner_up(*, n_configs: int, correlation: float) -> Draw:
    """Two tied configs, one of which moves with the block far below."""

    def draw(rng: np.random.Generator) -> Values:
        values = equal("normal", n_configs=n_configs, n_seeds=8, correlation=correlation)(rng)
        values[1] = rng.standard_normal(8)
        values[2:] -= FAR_BELOW
        return values

    return draw


def named_by_paired_t(values: Values) -> int | None:
    """The config with the best mean, if the plain paired t test tells it from each other one."""
    leader = int(values.mean(axis=1).argmax())
    others = [row for place, row in enumerate(values) if place != leader]
    is_told = all(compare(values[leader], row).verdict is Verdict.BETTER for row in others)
    return leader if is_told else None


def named(values: Values) -> int | None:
    winner = confirm({str(place): row.tolist() for place, row in enumerate(values)}).winner
    return None if winner is None else int(winner)


def rates(draw: Draw, *, n_studies: int, wanted: int | None = None) -> dict[str, object]:
    """Of studies in which the ``wanted`` config is named, or any where None is wanted."""
    rng = np.random.default_rng(0)
    ours, plain = 0, 0
    for _ in range(n_studies):
        values = draw(rng)
        for_ours, for_plain = named(values), named_by_paired_t(values)
        ours += for_ours is not None if wanted is None else for_ours == wanted
        plain += for_plain is not None if wanted is None else for_plain == wanted
    return {"named": share(ours, n_studies), "named by paired t": share(plain, n_studies)}


def coverage(noise: str, method: str, *, n_seeds: int, n_studies: int) -> list[float]:
    """Of intervals that hold the true mean, which is 0. The percentile bootstrap is here to be compared with."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(n_studies):
        values = NOISES[noise](rng, (n_seeds,))
        if method == "percentile":
            means = values[rng.integers(0, n_seeds, (2000, n_seeds))].mean(axis=1)
            low, high = np.quantile(means, [0.025, 0.975])
        else:
            found = interval(values.tolist(), method=method)
            low, high = found.low, found.high
        held += low <= 0.0 <= high
    return share(held, n_studies)


def share(n: int, of: int) -> list[float]:
    """A share and its 95% Wilson bounds."""
    z, p = 1.96, n / of
    center, spread = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return [
        round(value / (1 + z * z / of), 4)
        for value in (p * (1 + z * z / of), center - spread, center + spread)
    ]


def simulated(n_studies: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []

    def add(case: str, draw: Draw, wanted: int | None = None) -> None:
        rows.append({"case": case} | rates(draw, n_studies=n_studies, wanted=wanted))
        print(rows[-1], file=sys.stderr)

    for noise in NOISES:
        for n_seeds, correlation in ((8, 0.0), (8, 0.8), (20, 0.0)):
            for n_configs in (2, 3, 5, 10):
                draw = equal(noise, n_configs=n_configs, n_seeds=n_seeds, correlation=correlation)
                add(f"equal, {noise}, {n_configs} configs, {n_seeds} seeds, correlation {correlation}", draw)
    for noise in NOISES:
        for n_configs in (2, 3, 4, 5, 10):
            draw = equal(noise, n_configs=n_configs, n_seeds=8, lead=2.0)
            add(f"lead of 2, {noise}, {n_configs} configs, 8 seeds, correlation 0.0", draw, 0)
    for correlation in (0.3, 0.8):
        draw = equal("normal", n_configs=5, n_seeds=8, lead=2.0, correlation=correlation)
        add(f"lead of 2, normal, 5 configs, 8 seeds, correlation {correlation}", draw, 0)
    add("two noisy leaders tied, three quiet configs far below", two_noisy_leaders)
    add("a noisy and a quiet leader tied, three quiet configs far below", noisy_and_quiet_leader)
    for correlation in (0.5, 0.0, -0.3, -0.5, -0.8):
        add(f"two leaders tied, correlation {correlation}, a third far below", opposed_leaders(correlation))
    for n_configs, correlation in ((5, 0.8), (11, 0.99)):
        draw = unrelated_runner_up(n_configs=n_configs, correlation=correlation)
        add(
            f"two leaders tied, one moving with the {n_configs - 2} far below, correlation {correlation}",
            draw,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    n_studies = parser.parse_args().studies
    coverages = [
        {"noise": noise, "method": method, "n_seeds": n_seeds}
        | {"held": coverage(noise, method, n_seeds=n_seeds, n_studies=n_studies)}
        for noise in NOISES
        for n_seeds in (8, 20)
        for method in ("t", "bca", "percentile")
    ]
    result = {
        "claim": __doc__.splitlines()[0],
        "n_studies": n_studies,
        "results": simulated(n_studies),
        "coverage of 95% intervals": coverages,
    }
    print(json.dumps(result | described("numpy", "scipy"), indent=2))


if __name__ == "__main__":
    main()
