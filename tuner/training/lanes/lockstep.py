"""One pass of all lanes over the training data, step by step together.

No wait for the device within a step: what is read of a step stays a tensor until the pass ends, or until the loop looks
whether it should go on. A lane whose loss is no longer finite leaves then, and the others never notice.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from studies.readings import FloatArray
from studies.records import Outcome
from tuner.training.lanes.engine import LaneSteps
from tuner.training.lanes.lane import Lane, Seating
from tuner.training.lanes.minibatches import MinibatchSource, SampleOrder
from tuner.training.one_epoch import POLL_STEPS, clip_norm
from tuner.training.probes import probed_steps
from tuner.training.readings import TrainedSteps
from tuner.training.stopwatch import Stopwatch


@dataclass(kw_only=True)
class LanePass:
    """What one pass reads of one lane."""

    lane: Lane
    order: SampleOrder
    learning_rates: Sequence[float]
    reads_norms: bool
    """Whether its gradient norms are asked for; those of its neighbors may be all the same."""
    losses: list[FloatArray] = field(default_factory=list)
    norms: list[FloatArray] = field(default_factory=list)
    n_hits: int | None = None
    layers: list[list[list[float]]] = field(default_factory=list)
    """Of each probed step: the layers' gradient norms, and their update ratios."""
    is_lost: bool = False
    """It left before the end of the pass, because it diverged."""

    @property
    def n_steps(self) -> int:
        return sum(map(len, self.losses))

    def trained(self, step_sizes: Sequence[int]) -> TrainedSteps:
        return TrainedSteps(
            sizes=step_sizes[: self.n_steps],
            losses=np.concatenate(self.losses),
            norms=np.concatenate(self.norms),
            n_hits=self.n_hits,
            learning_rates=self.learning_rates,
        )


@dataclass(kw_only=True)
class _Unread:
    """Readings of the steps since the lanes were last the same, on the device."""

    losses: list[Tensor] = field(default_factory=list)
    """Each [n_steps of a block, n_lanes]."""
    norms: list[Tensor] = field(default_factory=list)
    hits: list[Tensor] = field(default_factory=list)
    """Each [n_lanes]."""
    layers: list[Tensor] = field(default_factory=list)
    """Each [2, n_lanes, n_layers]."""

    def take(self, steps: Sequence[LaneSteps]) -> None:
        """The steps of one block."""
        self.losses.append(torch.stack([step.losses for step in steps]))
        norms = [step.norms for step in steps if step.norms is not None]
        if norms:
            self.norms.append(torch.stack(norms))
        hits = [step.hits for step in steps if step.hits is not None]
        if hits:
            self.hits.append(torch.stack(hits).sum(0))
        self.layers.extend(
            torch.stack([step.layer_norms, step.update_ratios])
            for step in steps
            if step.layer_norms is not None and step.update_ratios is not None
        )

    def hand_out(self, passes: Sequence[LanePass]) -> None:
        """Give each lane, in the order of the columns, what was read of it."""
        if not self.losses:
            return
        losses = torch.cat(self.losses).float().cpu().numpy()
        unread = np.full_like(losses, np.nan)
        norms = torch.cat(self.norms).float().cpu().numpy() if self.norms else unread
        hits = torch.stack(self.hits).sum(0).tolist() if self.hits else None
        layers = torch.stack(self.layers).permute(2, 0, 1, 3).tolist() if self.layers else None
        for position, done in enumerate(passes):
            done.losses.append(np.ascontiguousarray(losses[:, position]))
            done.norms.append(np.ascontiguousarray((norms if done.reads_norms else unread)[:, position]))
            if hits is not None:
                done.n_hits = (done.n_hits or 0) + hits[position]
            if layers is not None:
                done.layers.extend(layers[position])


@dataclass(kw_only=True)
class LockstepPass:
    """Trains all lanes that have a seat for one epoch, each its own.

    Args:
        seating: the lanes; those that diverge, and stop on it, leave it on the way.
        source: of the samples.
        should_stop: asked about every 20 steps; an outcome ends the pass.
        reads_gradients: whether gradients are read that no lane clips.
        stopwatch: what counts the seconds, as data and training.
    """

    seating: Seating
    source: MinibatchSource
    should_stop: Callable[[], Outcome | None]
    reads_gradients: bool
    stopwatch: Stopwatch
    seconds: float = 0.0
    passes: list[LanePass] = field(init=False)
    """Of all lanes that began, in the order of their seats then."""

    def __post_init__(self) -> None:
        n_steps = len(self.source.plan.step_sizes)
        orders: dict[object, SampleOrder] = {}
        self.passes = []
        for lane in self.seating.lanes:
            if lane.order_key not in orders:
                orders[lane.order_key] = lane.next_order()
            self.passes.append(
                LanePass(
                    lane=lane,
                    order=orders[lane.order_key],
                    learning_rates=lane.learning_rates_of_next_epoch(n_steps),
                    reads_norms=self.reads_gradients or clip_norm(lane.config) > 0,
                )
            )
        self._seated = list(self.passes)
        self._unread = _Unread()

    def run(self) -> Outcome | None:
        """Why it ended before the data did; None when it did not."""
        started = time.perf_counter()
        outcome = None
        n_steps, n_gathered = len(self.source.plan.step_sizes), self.source.plan.n_gathered
        n_polled = 0
        polled_blocks = 0
        for first in range(0, n_steps, n_gathered):
            self._train_block(first)
            n_done = min(first + n_gathered, n_steps)
            if n_done - n_polled >= POLL_STEPS:
                with self.stopwatch.on("training"):  # it waits for the device
                    self._let_diverged_leave(self._unread.losses[polled_blocks:])
                n_polled, polled_blocks = n_done, len(self._unread.losses)
                outcome = self.should_stop()
                if outcome is not None or not self._seated:
                    break
        with self.stopwatch.on("training"):
            self._unread.hand_out(self._seated)
        self.seconds = time.perf_counter() - started
        return outcome

    def _train_block(self, first: int) -> None:
        engine = self.seating.engine
        reads_norms = any(done.reads_norms for done in self._seated)
        probed = self._probed
        with self.stopwatch.on("data"):
            block = self.source.steps([done.order for done in self._seated], first)
        with self.stopwatch.on("training"):
            rates = zip(
                *(done.learning_rates[first : first + len(block)] for done in self._seated), strict=True
            )
            steps = [
                engine.step(parts, step_rates, reads_norms=reads_norms, is_probed=first + number in probed)
                for number, (parts, step_rates) in enumerate(zip(block, rates, strict=True))
            ]
            self._unread.take(steps)

    @property
    def _probed(self) -> frozenset[int]:
        """The steps at which gradients and updates are read layer by layer."""
        if not self.reads_gradients or not self.seating.engine.layer_names:
            return frozenset()
        return probed_steps(len(self.source.plan.step_sizes))

    def _let_diverged_leave(self, losses: list[Tensor]) -> None:
        is_finite = torch.cat(losses).isfinite().all(0).tolist()
        for done, is_fine in zip(self._seated, is_finite, strict=True):
            done.is_lost = not is_fine and done.lane.config.stop_on_divergence
        if not any(done.is_lost for done in self._seated):
            return
        self._unread.hand_out(self._seated)
        self._unread = _Unread()
        self._seated = [done for done in self._seated if not done.is_lost]
        self.seating.keep([done.lane for done in self._seated])
