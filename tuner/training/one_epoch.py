"""One pass over the training data: the inner loop, as fast as eager torch allows.

No DataLoader: minibatches are gathered from one tensor a few at a time. No wait for the device within a step:
what is read of a step stays a tensor until the epoch ends, or until the loop looks whether it should go on.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from studies.records import Outcome
from tuner.training.augmentation import augmentation
from tuner.training.config import TrainingConfig
from tuner.training.datasets.input_scaling import InputScaling
from tuner.training.datasets.splits import Splits
from tuner.training.losses import Loss
from tuner.training.optimizers import Optimizer
from tuner.training.precision import forward, targets, weight_type
from tuner.training.probes import UpdateProbe, probed_steps

GATHERED_SAMPLES = 512
"""Samples gathered and scaled at once: fewer calls than minibatches, and still in the processor's cache."""
GATHERED_STEPS = 32
"""Optimizer steps gathered for at once, at most: between them no one looks whether to go on."""
POLL_STEPS = 20
"""Optimizer steps between two looks at whether to go on; each look waits for the device."""
CLIP_EPSILON = 1e-6
"""Keeps a zero gradient from dividing by zero (as torch's clip_grad_norm_)."""


def minibatch_sizes(n_samples: int, size: int) -> list[int]:
    """The sizes of consecutive minibatches; the last may be smaller.

    A last minibatch of one sample joins the one before: batch normalization cannot train on a single sample.
    """
    n_whole, rest = divmod(n_samples, size)
    sizes = [size] * n_whole + ([rest] if rest else [])
    if rest == 1 and n_whole:
        sizes[-2:] = [size + 1]
    return sizes


def clip_norm(config: TrainingConfig) -> float:
    """Largest global norm of a gradient; 0 is off."""
    return config.clip_norm if config.clipping else 0.0


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """How the samples of an epoch are cut: into optimizer steps, these into minibatches, and steps into blocks."""

    batch_size: int
    """Samples of a minibatch; the last of a step may be smaller."""
    step_sizes: tuple[int, ...]
    """Samples of each optimizer step."""

    @classmethod
    def of(cls, config: TrainingConfig, n_samples: int) -> "EpochPlan":
        size = n_samples if config.batch_size == "full" else min(config.batch_size, n_samples)
        step_sizes = minibatch_sizes(n_samples, size * config.accumulation_steps)
        return cls(batch_size=size, step_sizes=tuple(step_sizes))

    @property
    def n_gathered(self) -> int:
        """Optimizer steps whose samples are gathered at once."""
        return min(max(GATHERED_SAMPLES // self.step_sizes[0], 1), GATHERED_STEPS)


@dataclass(kw_only=True)
class EpochPass:
    """What one pass read. ``sizes`` has an entry an optimizer step; lists of tensors have one a gathered block.

    A tensor for each step would be thousands of objects a pass, which Python's garbage collector walks again and again.
    """

    sizes: list[int] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    """Each [n_steps of the block]."""
    norms: list[Tensor] = field(default_factory=list)
    """Each [n_steps of the block]: the global norm of the gradient before clipping. Empty when it is not read."""
    hits: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0
    outcome: Outcome | None = None
    """Why it ended before the data did."""

    @property
    def n_samples(self) -> int:
        return sum(self.sizes)

    def gradient_norms(self) -> Tensor:
        """The global norm of each optimizer step, float32 [n_steps] on the CPU; NaN when none was read."""
        if not self.norms:
            return torch.full((len(self.sizes),), torch.nan)
        return torch.cat(self.norms).float().cpu()


@dataclass(kw_only=True)
class EpochTrainer:
    """Trains a model for one epoch at a time."""

    config: TrainingConfig
    splits: Splits
    model: nn.Module
    optimizer: Optimizer
    loss: Loss
    scaling: InputScaling
    should_stop: Callable[[], Outcome | None]
    reads_gradients: bool

    def __post_init__(self) -> None:
        plan = EpochPlan.of(self.config, len(self.splits.train_x))
        self._batch_size = plan.batch_size
        self.step_sizes = list(plan.step_sizes)
        """Samples of each optimizer step of an epoch."""
        self._n_gathered = plan.n_gathered
        self._clip_norm = clip_norm(self.config)
        self._augmentation = augmentation(self.config, self.splits.input_shape)
        self._parameters = self.optimizer.parameters
        self._no_norm = torch.zeros((), device=self.splits.device, dtype=weight_type(self.config))
        self._reads_hits = self.splits.kind == "classification"

    def run(self, order: Tensor, learning_rates: Sequence[float], probe: UpdateProbe | None) -> EpochPass:
        """Train on the samples in ``order`` (int64, on the device), one learning rate an optimizer step.

        Fewer rates than the epoch has steps train on its first steps only.
        """
        step_sizes = self.step_sizes[: len(learning_rates)]
        self.model.train()
        started = time.perf_counter()
        done = EpochPass()
        probed = probed_steps(len(step_sizes)) if probe is not None else frozenset()
        n_gathered = self._n_gathered
        n_polled = n_blocks_polled = 0
        for first in range(0, len(step_sizes), n_gathered):
            sizes = step_sizes[first : first + n_gathered]
            block = order[done.n_samples : done.n_samples + sum(sizes)]
            rates = learning_rates[first : first + n_gathered]
            self._train_block(block, sizes, rates, {step - first for step in probed}, probe, done)
            if len(done.sizes) - n_polled >= POLL_STEPS:
                done.outcome = self._poll(done.losses[n_blocks_polled:])
                n_polled, n_blocks_polled = len(done.sizes), len(done.losses)
                if done.outcome is not None:
                    break
        done.seconds = time.perf_counter() - started
        return done

    def _train_block(
        self,
        block: Tensor,
        sizes: list[int],
        learning_rates: Sequence[float],
        probed: set[int],
        probe: UpdateProbe | None,
        done: EpochPass,
    ) -> None:
        """Gather and scale the samples of a few optimizer steps, and take the steps."""
        raw = self.splits.train_x.index_select(0, block)
        all_x = self.scaling(raw if self._augmentation is None else self._augmentation(raw))
        all_y = targets(self.splits.train_y.index_select(0, block), self.config)
        outputs: list[Tensor] = []
        losses: list[Tensor] = []
        norms: list[Tensor] = []
        for step, (x, y) in enumerate(
            zip(all_x.split_with_sizes(sizes), all_y.split_with_sizes(sizes), strict=True)
        ):
            losses.append(self._backward(x, y, outputs))
            active_probe = probe if step in probed else None
            self._update(learning_rates[step], active_probe, norms)
        done.sizes.extend(sizes)
        done.losses.append(torch.stack(losses))
        if norms:
            done.norms.append(torch.stack(norms).view(len(sizes), -1).square().sum(1).sqrt())
        if self._reads_hits:
            done.hits.append(torch.cat(outputs).argmax(1).eq(all_y).sum())

    def _backward(self, x: Tensor, y: Tensor, outputs: list[Tensor]) -> Tensor:
        """Gradients of the mean loss over the samples of one optimizer step; its value."""
        if self.config.accumulation_steps == 1:
            output = forward(self.model, x, self.config)
            loss = self.loss(output, y)
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            outputs.append(output.detach())
            return loss.detach()
        sizes = minibatch_sizes(len(x), self._batch_size)
        total = torch.zeros_like(self._no_norm)
        for part_x, part_y in zip(x.split_with_sizes(sizes), y.split_with_sizes(sizes), strict=True):
            output = forward(self.model, part_x, self.config)
            loss = self.loss(output, part_y) * (len(part_x) / len(x))
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            outputs.append(output.detach())
            total += loss.detach()
        return total

    def _update(self, learning_rate: float, probe: UpdateProbe | None, all_norms: list[Tensor]) -> None:
        """One optimizer step from the gradients that are there, which are then gone.

        Their norms, one a parameter, are added to ``all_norms``.
        """
        if probe is not None:
            probe.before()
        if self.reads_gradients or self._clip_norm:
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            norms = list(torch._foreach_norm(gradients))  # noqa: SLF001 - get_total_norm costs twice as much
            norms.extend([self._no_norm] * (len(self._parameters) - len(norms)))
            all_norms.extend(norms)
            if self._clip_norm:
                norm = torch.linalg.vector_norm(torch.stack(norms))
                factor = (self._clip_norm / (norm + CLIP_EPSILON)).clamp(max=1.0)
                torch._foreach_mul_(gradients, factor)
        self.optimizer.step(learning_rate)
        if probe is not None:
            probe.after()
        for parameter in self._parameters:
            parameter.grad = None

    def _poll(self, losses: list[Tensor]) -> Outcome | None:
        if self.config.stop_on_divergence and not bool(torch.cat(losses).isfinite().all()):
            return Outcome.DIVERGED
        return self.should_stop()
