"""What loops of several transfer sets share: optimizers, schedules, data in a wrong order, and the end."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.diagnosis.runs import Run
from benchmarks.diagnosis.transfer.evaluating import finished_run, probed_record
from studies.records import StudyRecord

ONE_CYCLE_WARMUP = 0.3


class Plan(Protocol):
    """What the recipes of these sets have in common."""

    @property
    def optimizer(self) -> str: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def schedule(self) -> str: ...
    @property
    def warmup_fraction(self) -> float: ...
    @property
    def decay(self) -> float: ...
    @property
    def clip_norm(self) -> float: ...
    @property
    def n_train(self) -> int | None: ...
    @property
    def fault(self) -> str: ...
    @property
    def strength(self) -> float: ...


class Loop(Protocol):
    """A training loop under `tuner.watch`."""

    @property
    def model(self) -> nn.Module: ...
    @property
    def optimizer(self) -> torch.optim.Optimizer: ...
    def run(self) -> tuple[StudyRecord, float]:
        """What the watch saw, and the last validation accuracy as the loop itself would report it."""
        ...


Arrays = Mapping[str, np.ndarray[Any, Any]]


def tensors_of(
    plan: Plan,
    arrays: Arrays,
    faults: Mapping[str, Callable[[Arrays, float, np.random.Generator], Arrays]],
    *,
    seed: Sequence[int],
) -> dict[str, Tensor]:
    """The data of a training: as many samples as it has, and with the fault of the data that was planted in it.

    Args:
        arrays: x_train, y_train and so on.
        faults: of the data, by name.
        seed: of the fault.
    """
    if plan.n_train is not None:
        arrays = {**arrays, **{name: arrays[name][: plan.n_train] for name in ("x_train", "y_train")}}
    if plan.fault in faults:
        arrays = faults[plan.fault](arrays, plan.strength, np.random.default_rng(seed))
    return {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}


def watched_run(
    loop: Loop,
    plan: Plan,
    name: str,
    tensors: Mapping[str, Tensor],
    *,
    seed: int,
    probed: bool,
    started: float,
) -> Run:
    """Run ``loop``, ask the probes that it calls for if ``probed``, and look at the test part.

    Args:
        tensors: x_train, y_train and so on, as the loop has them.
        started: by `time.perf_counter`.
    """
    record, reported = loop.run()
    if probed:
        record = probed_record(
            record,
            loop.model,
            loop.optimizer,
            (tensors["x_train"], tensors["y_train"]),
            seed=seed,
            batch_size=plan.batch_size,
            clip_norm=plan.clip_norm,
        )
    return finished_run(name, seed, record, loop.model, tensors, reported=reported, started=started)


def optimizer_of(plan: Plan, parameters: list[nn.Parameter] | list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Of parameters, or of groups of them as torch takes those.

    Adam has no weight decay here; the momentum is that of sgd and nesterov alone.
    """
    rate, decay = plan.learning_rate, plan.weight_decay
    match plan.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, lr=rate)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        case "nadam":
            return torch.optim.NAdam(parameters, lr=rate, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, lr=rate, weight_decay=decay)
    is_nesterov = plan.optimizer == "nesterov"
    return torch.optim.SGD(
        parameters, lr=rate, momentum=plan.momentum, weight_decay=decay, nesterov=is_nesterov
    )


def share_of_rate(plan: Plan, n_updates: int) -> Callable[[int], float]:
    """Of the peak rate, by the number of calls so far; ``n_updates`` of them are an epoch."""
    n_calls = plan.epochs * n_updates
    warmup = ONE_CYCLE_WARMUP if plan.schedule == "one_cycle" else plan.warmup_fraction

    def share(call: int) -> float:
        done = call / n_calls
        if done < warmup:
            return (call + 1) / (warmup * n_calls + 1)
        left = (1 - done) / (1 - warmup)
        shape = {
            "constant": 1.0,
            "cosine": 0.5 - 0.5 * math.cos(math.pi * left),
            "one_cycle": 0.5 - 0.5 * math.cos(math.pi * left),
            "linear": max(left, 0.0),
            "drops": 1.0 if done < 0.6 else 0.1 if done < 0.85 else 0.01,
            "exponential": 0.01 ** (1 - left),
        }[plan.schedule]
        return shape * float(plan.decay ** (call // n_updates))

    return share


def by_label(labels: Tensor, share: float) -> Tensor:
    """An order in which a share of the samples is sorted by label, and the others are spread at random."""
    n_classes = int(labels.max()) + 1
    spread = n_classes * torch.rand(len(labels))
    keys = torch.where(torch.rand(len(labels)) < share, labels.float(), spread)
    return torch.argsort(keys, stable=True)
