"""Lanes of a user's modules in an engine, and each module alone: what differs between the two."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tuner.training.config import TrainingConfig
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import LaneStart, LaneSteps, Minibatch
from tuner.training.lanes.functional import FunctionalEngine
from tuner.training.losses import training_loss
from tuner.training.models import ModelBuilder, untrained_model
from tuner.training.one_epoch import CLIP_EPSILON
from tuner.training.optimizers import build_optimizer
from tuner.training.precision import forward, targets, weight_type
from tuner.training.probes import UpdateProbe, watched_layers
from tuner.training.reproducibility import RandomStream

TIGHT = 1e-9
"""Relative difference of float64 after some 50 steps."""


class Alone:
    """One lane by itself: its module through autograd, its draws from torch's global generator."""

    def __init__(self, config: TrainingConfig, builder: ModelBuilder, splits: Splits) -> None:
        self.config = config
        self.scaling = input_scaling(config, splits.train_x, splits.train_statistics)
        self.random = RandomStream(config.seed, splits.device)
        self.model = untrained_model(config, splits, self.scaling, self.random, builder=builder)
        self.loss = training_loss(config, splits)
        self.optimizer = build_optimizer(config, self.model.parameters())

    def start(self) -> LaneStart:
        """What a lane begins with that is to do the same."""
        return LaneStart(
            config=self.config, model=copy.deepcopy(self.model), generator=self.random.generator()
        )

    def step(self, parts: Sequence[tuple[Tensor, Tensor]], rate: float) -> tuple[float, float, UpdateProbe]:
        self.model.train()
        n, total = sum(len(y) for _, y in parts), 0.0
        with self.random.active():
            for x, y in parts:
                loss = self.loss(forward(self.model, x, self.config), y) * (len(y) / n)
                loss.backward()
                total += float(loss.detach())
        probe = UpdateProbe(layers=watched_layers(self.model))
        probe.before()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        if self.config.clip_norm:
            for gradient in gradients:
                gradient.mul_((self.config.clip_norm / (norm + CLIP_EPSILON)).clamp(max=1.0))
        self.optimizer.step(rate)
        probe.after()
        for parameter in self.model.parameters():
            parameter.grad = None
        return total, float(norm), probe


class Together:
    """The same lanes in an engine, and alone; every step is compared."""

    def __init__(self, alone: Sequence[Alone], splits: Splits, *, stacks: bool | None = None) -> None:
        self.alone = list(alone)
        self.splits = splits
        self.engine = FunctionalEngine(splits, stacks=stacks)
        self.engine.add([lane.start() for lane in alone])
        self.n_steps = 0

    def samples(self, shift: int = 0, n: int | None = None) -> tuple[Tensor, Tensor]:
        config = self.alone[0].config
        indices = (torch.arange(n or config.batch_size) * 7 + 31 * self.n_steps + shift) % len(
            self.splits.train_x
        )
        x = self.alone[0].scaling(self.splits.train_x[indices]).to(weight_type(config))
        return x, targets(self.splits.train_y[indices], config)

    def steps(
        self, n: int, *, has_own_samples: bool = False, n_parts: int = 1, tolerance: float = TIGHT
    ) -> dict[str, float]:
        """Takes them on both sides; by how much which reading was apart, if by more than the tolerance."""
        apart: dict[str, float] = {}
        for _ in range(n):
            self.n_steps += 1
            of_lanes, parts = self._minibatches(n_parts, has_own_samples=has_own_samples)
            rates = [lane.config.learning_rate for lane in self.alone]
            steps = self.engine.step(parts, rates, reads_norms=True, is_probed=True)
            for k, lane in enumerate(self.alone):
                readings = lane.step([part[k] for part in of_lanes], rates[k])
                distances = _distances(steps, k, *readings)
                apart |= {
                    f"{name} of lane {k} at step {self.n_steps}": distance
                    for name, distance in distances.items()
                    if distance > tolerance
                }
        return apart

    def _minibatches(
        self, n_parts: int, *, has_own_samples: bool
    ) -> tuple[list[list[tuple[Tensor, Tensor]]], list[list[Minibatch]]]:
        """The parts of one step: the samples of each lane, and the same as minibatches of the engine."""
        n_lanes = len(self.alone)
        sizes = [16 - 3 * part for part in range(n_parts)]
        if has_own_samples:
            of_lanes = [[self.samples(shift=101 * k, n=size) for k in range(n_lanes)] for size in sizes]
            return of_lanes, [
                [Minibatch(first_lane=k, n_lanes=1, x=x, y=y) for k, (x, y) in enumerate(part)]
                for part in of_lanes
            ]
        of_lanes = [[self.samples(n=size)] * n_lanes for size in sizes]
        return of_lanes, [
            [Minibatch(first_lane=0, n_lanes=n_lanes, x=part[0][0], y=part[0][1])] for part in of_lanes
        ]

    def states_apart(self, tolerance: float = TIGHT) -> dict[str, float]:
        """By how much which weight, buffer, optimizer state or random stream is apart, if by more than that."""
        apart: dict[str, float] = {}
        for k, lane in enumerate(self.alone):
            mine = self.engine._lanes[k].generator.get_state()
            apart[f"random stream of lane {k}"] = (
                0.0 if torch.equal(mine, lane.random.generator().get_state()) else math.inf
            )
            weights = lane.model.state_dict()
            for name, tensor in self.engine.model_state(k).items():
                apart[f"{name} of lane {k}"] = _distance(tensor, weights[name])
            for name, column in self.engine.optimizer_state(k).items():
                for n, (tensor, expected) in enumerate(
                    zip(column, lane.optimizer.state_dict()[name], strict=True)
                ):
                    apart[f"{name} {n} of lane {k}"] = _distance(tensor, expected)
        return {name: distance for name, distance in apart.items() if distance > tolerance}


def _distance(mine: Tensor, theirs: Tensor) -> float:
    """Of the two numbers farthest apart, as a share of 1 + their size; infinite where one is NaN."""
    ours, other = (tensor.detach().double() for tensor in (mine, theirs))
    assert ours.shape == other.shape
    share = (ours - other).abs() / (1 + other.abs())
    return float(share.nan_to_num(nan=math.inf).max()) if share.numel() else 0.0


def _share(mine: float, theirs: float) -> float:
    """How far the two are apart as a share of the second; infinite where one is NaN."""
    share = abs(mine - theirs) / abs(theirs)
    return math.inf if math.isnan(share) else share


def _distances(steps: LaneSteps, k: int, loss: float, norm: float, probe: UpdateProbe) -> dict[str, float]:
    """Between a lane's readings of a step and those of the module alone."""
    assert steps.norms is not None
    assert steps.layer_norms is not None
    assert steps.update_ratios is not None
    layer_norms, ratios = probe._norms[-1]
    return {
        "loss": _share(float(steps.losses[k]), loss),
        "gradient norm": _share(float(steps.norms[k]), norm),
        "layer norms": _distance(steps.layer_norms[k], layer_norms),
        "update ratios": _distance(steps.update_ratios[k], ratios),
    }
