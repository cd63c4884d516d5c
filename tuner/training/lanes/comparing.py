"""A few steps with copies of some lanes: does one pass for all give what each lane has alone, and is it faster?"""

import copy
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import Engine, LaneStart, Minibatch
from tuner.training.lanes.functional import FunctionalEngine
from tuner.training.lanes.one_by_one import OneByOneEngine
from tuner.training.lanes.programs import difference
from tuner.training.precision import product_precision, targets, weight_type

PROBED_SAMPLES = 512
"""Of a minibatch, at most: larger ones differ in nothing but how long they take."""
PROBED_STEPS = 3
"""Steps until numbers are compared: from the second on they depend on the first one's update."""
PROBE_RATE = 1e-3
"""Learning rate of the probe, so small that rounding does not grow."""
TOLERANCES = {"float32": 1e-3, "tf32": 1e-2, "bfloat16": 3e-2, "float64": 1e-8}
"""Relative, of losses, gradient norms and outputs, by precision: far above rounding, far below another program."""
PROBE_SECONDS = 0.1
"""Of each engine's timing, about."""
LONGEST_REASON = 160
"""Characters of a sentence that torch or a module says."""


def reason_against_stacking(starts: Sequence[LaneStart], splits: Splits) -> str | None:
    """Why the lanes cannot share a pass, in one sentence; None when the stacked ones do what each does alone.

    Weights and random streams of ``starts`` stay as they are.
    """
    kind = type(starts[0].model).__name__
    try:
        with warnings.catch_warnings():
            # An operator that vmap takes lane by lane: it is told as a warning, and nothing is gained by it.
            warnings.filterwarnings("error", message="There is a performance drop")
            stacked = _Probed.of(FunctionalEngine(splits), copies_of(starts), splits)
    except Exception as error:  # noqa: BLE001 - whatever a module raises under vmap is the answer
        said = next(iter(str(error).strip().splitlines()), "")
        return f"torch.func cannot stack {kind}: {type(error).__name__}: {said}"[:LONGEST_REASON]
    alone_starts = copies_of(starts)
    alone = _Probed.of(OneByOneEngine(splits), alone_starts, splits)
    for start, trained in zip(starts, alone_starts, strict=True):
        changed = difference(start.model, trained.model)
        if changed is not None:
            return f"a forward pass changes {changed}, which lanes cannot share"
    return alone.reason_why_not(stacked, TOLERANCES[starts[0].config.precision])


def paces_of(starts: Sequence[LaneStart], splits: Splits) -> tuple[float, float]:
    """Seconds of a step of all lanes: in one pass, and in turn. The shortest of several, which take turns."""
    stacked = _Timed.of(FunctionalEngine(splits), starts, splits)
    in_turn = _Timed.of(OneByOneEngine(splits), starts, splits)
    until = time.perf_counter() + 2 * PROBE_SECONDS
    while time.perf_counter() < until or len(in_turn.seconds) <= 1:
        stacked.step()
        in_turn.step()
    return min(stacked.seconds), min(in_turn.seconds)


def copies_of(starts: Sequence[LaneStart]) -> list[LaneStart]:
    """Lanes that begin as ``starts`` do, with modules and random streams of their own."""
    copies = []
    for start in starts:
        generator = torch.Generator(start.generator.device)
        generator.set_state(start.generator.get_state())
        copies.append(LaneStart(config=start.config, model=copy.deepcopy(start.model), generator=generator))
    return copies


def minibatches(start: LaneStart, splits: Splits, n: int) -> list[tuple[Tensor, Tensor]]:
    """``n`` minibatches of ``start`` from the beginning of the train split, of at most `PROBED_SAMPLES`."""
    n_samples = len(splits.train_x)
    wanted = n_samples if start.config.batch_size == "full" else start.config.batch_size
    size = min(wanted, n_samples, PROBED_SAMPLES)
    scaling = input_scaling(start.config, splits.train_x, splits.train_statistics)
    found = []
    for number in range(n):
        indices = torch.arange(number * size, (number + 1) * size, device=splits.device) % n_samples
        x = scaling(splits.train_x.index_select(0, indices)).to(weight_type(start.config))
        found.append((x, targets(splits.train_y.index_select(0, indices), start.config)))
    return found


@dataclass(frozen=True, kw_only=True)
class _Probed:
    """What some lanes came to in a few steps."""

    losses: list[Tensor]
    norms: list[Tensor]
    outputs: Tensor
    """In eval mode, after the last step."""
    random_states: list[Tensor]

    @classmethod
    def of(cls, engine: Engine, starts: Sequence[LaneStart], splits: Splits) -> "_Probed":
        engine.add(starts)
        batches = minibatches(starts[0], splits, PROBED_STEPS)
        step = _stepping(engine, starts, splits)
        steps = [step(*batch) for batch in batches]
        with product_precision(starts[0].config, splits.device):
            outputs = engine.outputs(batches[0][0])
        return cls(
            losses=[losses for losses, _ in steps],
            norms=[norms for _, norms in steps],
            outputs=outputs,
            random_states=[start.generator.get_state() for start in starts],
        )

    def reason_why_not(self, other: "_Probed", tolerance: float) -> str | None:
        """Where ``other`` came to something else; None where it did not."""
        if not all(map(torch.equal, self.random_states, other.random_states)):
            return "in one pass, the lanes draw other random numbers than each alone"
        for name in ("losses", "norms"):
            mine, theirs = torch.stack(getattr(self, name)), torch.stack(getattr(other, name))
            if not torch.allclose(mine, theirs, rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True):
                return f"in one pass, {name} are {_told(theirs)} where each lane alone has {_told(mine)}"
        scale = float(self.outputs.abs().nan_to_num(0, 0, 0).max())
        if not torch.allclose(
            self.outputs, other.outputs, rtol=tolerance, atol=tolerance * scale, equal_nan=True
        ):
            return "in one pass, the outputs in eval mode are others than each lane alone has"
        return None


@dataclass(kw_only=True)
class _Timed:
    """Takes one step again and again, and knows how long each took."""

    take: Callable[[], object]
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, engine: Engine, starts: Sequence[LaneStart], splits: Splits) -> "_Timed":
        copies = copies_of(starts)
        engine.add(copies)
        ((x, y),) = minibatches(starts[0], splits, 1)
        step = _stepping(engine, copies, splits)
        step(x, y)  # the first one warms up
        return cls(take=lambda: step(x, y))

    def step(self) -> None:
        started = time.perf_counter()
        self.take()
        self.seconds.append(time.perf_counter() - started)


def _stepping(
    engine: Engine, starts: Sequence[LaneStart], splits: Splits
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Takes one optimizer step on some samples: losses and gradient norms, [n_lanes] each, on the CPU."""
    rates = [PROBE_RATE] * len(starts)

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        batch = Minibatch(first_lane=0, n_lanes=len(starts), x=x, y=y)
        with product_precision(starts[0].config, splits.device):
            read = engine.step([[batch]], rates, reads_norms=True, is_probed=False)
        norms = read.norms if read.norms is not None else torch.full_like(read.losses, math.nan)
        return read.losses.cpu(), norms.cpu()  # it waits for the device

    return step


def _told(values: Tensor) -> str:
    return ", ".join(f"{value:.4g}" for value in values.flatten().tolist())
