"""Lanes of any module that torch.func can stack: one pass forward for all (vmap), and one back through autograd.

Gradients are taken outside of vmap: a lane's outputs depend on that lane's parameters only, so that one pass back from
the gradients of all outputs has each lane's own. torch's dispatcher then costs less than for ``vmap(grad(...))``.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from tuner.training.datasets.splits import Splits
from tuner.training.lanes.capture import Recorder
from tuner.training.lanes.engine import LaneStart, LaneSteps, Minibatch
from tuner.training.lanes.layers import unstack
from tuner.training.lanes.optimizers import LaneOptimizer
from tuner.training.lanes.programs import difference
from tuner.training.lanes.runs import ModuleLane, Run
from tuner.training.lanes.stacked import stacks_lanes
from tuner.training.precision import forward
from tuner.training.probes import ProbePass, probe_pass


class FunctionalEngine:
    """An `Engine` of modules of any kind, as long as vmap has a rule for each of their operators.

    Lanes whose modules differ in more than tensors and dropout do not share a pass: each run of neighboring
    lanes that are alike has its own.

    The lanes' own modules stay alive: their tensors are views into what is trained. A lane that leaves takes a copy of
    its last weights along.

    Args:
        splits: what the lanes are trained on.
        stacks: whether all lanes are updated at once, rather than in turn; None asks the device.
        recorder: records steps, for which lanes are updated at once; None issues every step anew.
    """

    def __init__(
        self, splits: Splits, *, stacks: bool | None = None, recorder: Recorder | None = None
    ) -> None:
        self._splits = splits
        self._stacks = stacks_lanes(splits.device, stacks=stacks, is_recorded=recorder is not None)
        self._recorder = recorder
        self._lanes: list[ModuleLane] = []
        self._runs: list[Run] = []

    @property
    def n_lanes(self) -> int:
        return len(self._lanes)

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self._lanes[0].optimizer.layers) if self._lanes else ()

    def add(self, starts: Sequence[LaneStart]) -> None:
        for start in starts:
            lane = ModuleLane(
                config=start.config,
                model=start.model,
                generator=start.generator,
                optimizer=LaneOptimizer(start.config, start.model),
            )
            self._lanes.append(lane)
        self._stack()

    def keep(self, positions: Sequence[int]) -> None:
        for position in set(range(self.n_lanes)) - set(positions):
            unstack(self._lanes[position].model)
        self._lanes = [self._lanes[position] for position in positions]
        self._stack()

    def step(
        self,
        parts: Sequence[Sequence[Minibatch]],
        learning_rates: Sequence[float],
        *,
        reads_norms: bool,
        is_probed: bool,
    ) -> LaneSteps:
        steps = []
        for run in self._runs:
            rates = learning_rates[run.first : run.first + len(run.lanes)]
            steps.append(run.step(parts, rates, reads_norms=reads_norms, is_probed=is_probed))
        return _joined(steps)

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        # In turn: passes over a thousand samples gain nothing from being one, and need the memory of all at once.
        # Each on a copy: a module may change its input in place.
        return torch.stack([forward(lane.model.eval(), x.clone(), lane.config) for lane in self._lanes])

    def probe_passes(self, x: Tensor) -> list[ProbePass]:
        return [probe_pass(lane.model, lane.optimizer.layers, x.clone()) for lane in self._lanes]

    def are_finite(self) -> Tensor:
        return torch.cat([run.are_finite() for run in self._runs])

    def model_state(self, position: int) -> dict[str, Tensor]:
        state = self._lanes[position].model.state_dict()
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    def load_model_state(self, position: int, state: Mapping[str, Tensor]) -> None:
        self._lanes[position].model.load_state_dict(state)

    def optimizer_state(self, position: int) -> dict[str, list[Tensor]]:
        return self._lanes[position].optimizer.state_dict()

    def load_optimizer_state(self, position: int, state: Mapping[str, Sequence[Tensor]]) -> None:
        self._lanes[position].optimizer.load_state_dict(state)

    def _stack(self) -> None:
        """Lay the tensors of neighbors that are alike side by side."""
        runs: list[list[ModuleLane]] = []
        for lane in self._lanes:
            if runs and all(difference(each.model, lane.model) is None for each in runs[-1]):
                runs[-1].append(lane)
            else:
                runs.append([lane])
        first_lanes = accumulate((len(run) for run in runs), initial=0)
        self._runs = [
            Run(first, run, self._splits, stacks=self._stacks, recorder=self._recorder)
            for first, run in zip(first_lanes, runs, strict=False)
        ]


def _joined(steps: Sequence[LaneSteps]) -> LaneSteps:
    """The readings of all runs, in the order of their lanes."""
    if len(steps) == 1:
        return steps[0]
    return LaneSteps(
        losses=torch.cat([step.losses for step in steps]),
        hits=_concatenated([step.hits for step in steps]),
        norms=_concatenated([step.norms for step in steps]),
        layer_norms=_concatenated([step.layer_norms for step in steps]),
        update_ratios=_concatenated([step.update_ratios for step in steps]),
    )


def _concatenated(readings: Sequence[Tensor | None]) -> Tensor | None:
    """Of all runs, or None: what one run reads, the others read, too."""
    read = [each for each in readings if each is not None]
    return torch.cat(read) if read else None
