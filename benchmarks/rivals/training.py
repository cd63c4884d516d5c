"""How an expert trains one config: tensors in memory, index batches, a fused optimizer, nothing else in the loop."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from workload import MOMENTUM, Workload

from rivals.job import Job

VALIDATION_BLOCK = 2000
"""Samples; their activations stay in the cache: 0.028 s a pass of 12,000 instead of 0.033 in one piece."""


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """Images as float32 in 0..1, [n, pixels], and labels."""

    train_x: Tensor
    train_y: Tensor
    validation_x: Tensor
    validation_y: Tensor

    @classmethod
    def of(cls, job: Job) -> "Tensors":
        return cls(
            train_x=torch.from_numpy(job.images_of("train")).float().div_(255),
            train_y=torch.from_numpy(job.labels_of("train")),
            validation_x=torch.from_numpy(job.images_of("validation")).float().div_(255),
            validation_y=torch.from_numpy(job.labels_of("validation")),
        )

    @property
    def n_outputs(self) -> int:
        return int(self.train_y.max()) + 1


def network(workload: Workload, *, n_inputs: int, n_outputs: int, dropout: float) -> nn.Sequential:
    *hidden, (n_in, n_out) = workload.layers(n_inputs=n_inputs, n_outputs=n_outputs)
    modules: list[nn.Module] = []
    for n_before, n_after in hidden:
        modules += [nn.Linear(n_before, n_after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*modules, nn.Linear(n_in, n_out))


def optimizer_of(
    workload: Workload, model: nn.Module, levers: Mapping[str, float], *, fused: bool
) -> torch.optim.Optimizer:
    rate, decay = levers["learning_rate"], levers["weight_decay"]
    if workload.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=decay, fused=fused
        )
    return torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay, fused=fused)


def accuracies(workload: Workload, levers: Mapping[str, float], tensors: Tensors) -> Iterator[float]:
    """Train, and yield the validation accuracy after each epoch."""
    x, y = tensors.train_x, tensors.train_y
    model = network(workload, n_inputs=x.shape[1], n_outputs=tensors.n_outputs, dropout=levers["dropout"])
    optimizer = optimizer_of(workload, model, levers, fused=True)
    for _ in range(workload.n_epochs):
        model.train()
        for indices in torch.randperm(len(x)).split(workload.batch_size):
            optimizer.zero_grad(set_to_none=True)
            # index_select is a tenth of an epoch faster than x[indices] here
            output = model(x.index_select(0, indices))
            nn.functional.cross_entropy(output, y.index_select(0, indices)).backward()
            optimizer.step()
        yield validation_accuracy(model, tensors)


@torch.inference_mode()
def validation_accuracy(model: nn.Module, tensors: Tensors) -> float:
    model.eval()
    x, y = tensors.validation_x, tensors.validation_y
    blocks = zip(x.split(VALIDATION_BLOCK), y.split(VALIDATION_BLOCK), strict=True)
    hits = sum(model(block).argmax(1).eq(labels).sum() for block, labels in blocks)
    return int(hits) / len(x)
