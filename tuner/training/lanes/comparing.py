"""A few steps with copies of some lanes: does another way of taking them give the same numbers, and is it faster?"""

import copy
import dataclasses
import math
import textwrap
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.capture import WARM_UP_STEPS
from tuner.training.lanes.engine import Engine, LaneStart, Minibatch
from tuner.training.lanes.functional import FunctionalEngine
from tuner.training.lanes.one_by_one import OneByOneEngine
from tuner.training.lanes.programs import difference
from tuner.training.precision import product_precision, targets, weight_type

PROBED_SAMPLES = 512
"""Of a minibatch, at most: larger ones differ in nothing but how long they take."""
PROBED_STEPS = 3
"""Of each form, on samples that all lanes share and on samples of each lane's own: from the second step on, numbers
depend on the first one's update."""
PROBE_RATE = 1e-2
"""Learning rate of the probe, so small that rounding does not grow."""
TOLERANCES = {"float32": 1e-3, "tf32": 1e-2, "bfloat16": 3e-2, "float64": 1e-8}
"""Relative, of losses, gradient norms and outputs, by precision: far above rounding, far below another program."""
PROBE_SECONDS = 0.1
"""Of each engine's timing, about."""
TIMED_STEPS = 2
"""At least, however slow they are."""
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
            stacked = _Probed.of(FunctionalEngine(splits), _under_sgd(copies_of(starts)), splits)
    except Exception as error:  # noqa: BLE001 - whatever a module raises under vmap is the answer
        said = next(iter(str(error).strip().splitlines()), "")
        return _shortened(f"torch.func cannot stack {kind}: {type(error).__name__}: {said}")
    alone_starts = _under_sgd(copies_of(starts))
    alone = _Probed.of(OneByOneEngine(splits), alone_starts, splits)
    for start, trained in zip(starts, alone_starts, strict=True):
        changed = difference(start.model, trained.model)
        if changed is not None:
            return f"a forward pass changes {changed}, which lanes cannot share"
    tolerance = TOLERANCES[starts[0].config.precision]
    return alone.reason_why_not(stacked, tolerance, way="in one pass", other_way="each alone")


def reason_against_replaying(
    replaying: Engine, issuing: Engine, starts: Sequence[LaneStart], splits: Splits
) -> str | None:
    """Why the steps of an empty engine that replays them are not those of one that issues them; None when they are."""
    n_steps = WARM_UP_STEPS + PROBED_STEPS
    replayed, issued = (
        _Probed.of(engine, copies_of(starts), splits, n_steps) for engine in (replaying, issuing)
    )
    tolerance = TOLERANCES[starts[0].config.precision]
    return issued.reason_why_not(replayed, tolerance, way="replayed", other_way="issued by Python")


def paces_of(starts: Sequence[LaneStart], splits: Splits) -> tuple[float, float]:
    """Seconds of a step of all lanes: in one pass, and in turn."""
    return paces(FunctionalEngine(splits), OneByOneEngine(splits), starts, splits, n_least=TIMED_STEPS)


def paces(
    engine: Engine, other: Engine, starts: Sequence[LaneStart], splits: Splits, *, n_least: int
) -> tuple[float, float]:
    """Seconds of a step of all lanes in two engines, both empty.

    The shortest of ``n_least`` or more each, which take turns.
    """
    mine, theirs = (_Timed.of(each, starts, splits) for each in (engine, other))
    until = time.perf_counter() + 2 * PROBE_SECONDS
    while time.perf_counter() < until or len(theirs.seconds) < n_least:
        mine.step()
        theirs.step()
    return min(mine.seconds), min(theirs.seconds)


def _shortened(reason: str) -> str:
    """``reason`` in `LONGEST_REASON` characters: to the end of a sentence, or of a word where that keeps far more."""
    if len(reason) <= LONGEST_REASON:
        return reason.removesuffix(".")
    words = textwrap.shorten(reason, LONGEST_REASON, placeholder=" …", break_on_hyphens=False)
    sentences, end, _ = words.rpartition(". ")
    return f"{sentences}. …" if end and len(sentences) > LONGEST_REASON // 2 else words


def copies_of(starts: Sequence[LaneStart]) -> list[LaneStart]:
    """Lanes that begin as ``starts`` do, with modules and random streams of their own."""
    copies = []
    for start in starts:
        generator = torch.Generator(start.generator.device)
        generator.set_state(start.generator.get_state())
        copies.append(LaneStart(config=start.config, model=copy.deepcopy(start.model), generator=generator))
    return copies


def _under_sgd(starts: Sequence[LaneStart]) -> list[LaneStart]:
    """The same lanes with plain SGD: what is compared are passes, and both engines share their optimizers.

    Adam and rmsprop make whole steps of gradients that are nothing but rounding, such as that of a bias in front of a
    batch normalization: two right passes would then differ.
    """
    return [
        dataclasses.replace(
            start, config=dataclasses.replace(start.config, optimizer="sgd", weight_decay_kind="auto")
        )
        for start in starts
    ]


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
    def of(
        cls, engine: Engine, starts: Sequence[LaneStart], splits: Splits, n_steps: int = PROBED_STEPS
    ) -> "_Probed":
        engine.add(starts)
        batches = minibatches(starts[0], splits, n_steps * (1 + len(starts)))
        shared, own = batches[:n_steps], batches[n_steps:]
        step = _stepping(engine, starts, splits)
        # Under vmap, samples that all lanes share are plain tensors, and a lane's own are not: a module that looks at
        # the values of its inputs works with the former only.
        steps = [step([batch]) for batch in shared]
        steps += [step(own[first::n_steps]) for first in range(n_steps)]
        with product_precision(starts[0].config, splits.device):
            outputs = engine.outputs(shared[0][0])
        return cls(
            losses=[losses for losses, _ in steps],
            norms=[norms for _, norms in steps],
            outputs=outputs,
            random_states=[start.generator.get_state() for start in starts],
        )

    def reason_why_not(self, other: "_Probed", tolerance: float, *, way: str, other_way: str) -> str | None:
        """Where ``other``, which went that ``way``, came to something else; None where it did not."""
        if not all(map(torch.equal, self.random_states, other.random_states)):
            return f"{way}, the lanes draw other random numbers than {other_way}"
        for name in ("losses", "norms"):
            mine, theirs = torch.stack(getattr(self, name)), torch.stack(getattr(other, name))
            if not torch.allclose(mine, theirs, rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True):
                return f"{way}, {name} are {_told(theirs)}, and {other_way} {_told(mine)}"
        scale = float(self.outputs.abs().nan_to_num(0, 0, 0).max())
        if not torch.allclose(
            self.outputs, other.outputs, rtol=tolerance, atol=tolerance * scale, equal_nan=True
        ):
            return f"{way}, the outputs in eval mode are others than {other_way}"
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
        shared = minibatches(starts[0], splits, 1)
        step = _stepping(engine, copies, splits)
        step(shared)  # the first one warms up
        return cls(take=lambda: step(shared))

    def step(self) -> None:
        started = time.perf_counter()
        self.take()
        self.seconds.append(time.perf_counter() - started)


def _stepping(
    engine: Engine, starts: Sequence[LaneStart], splits: Splits
) -> Callable[[Sequence[tuple[Tensor, Tensor]]], tuple[Tensor, Tensor]]:
    """Takes one optimizer step on the samples of all lanes, or on those of each: losses and gradient norms.

    Both are [n_lanes], on the CPU.
    """
    rates = [PROBE_RATE] * len(starts)

    def step(samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        n_lanes = len(starts) // len(samples)
        part = [
            Minibatch(first_lane=position * n_lanes, n_lanes=n_lanes, x=x, y=y)
            for position, (x, y) in enumerate(samples)
        ]
        with product_precision(starts[0].config, splits.device):
            read = engine.step([part], rates, reads_norms=True, is_probed=False)
        norms = read.norms if read.norms is not None else torch.full_like(read.losses, math.nan)
        return read.losses.cpu(), norms.cpu()  # it waits for the device

    return step


def _told(values: Tensor) -> str:
    return ", ".join(f"{value:.4g}" for value in values.flatten().tolist())
