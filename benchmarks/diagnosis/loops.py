"""A plain PyTorch loop as a person writes it, sound or with a fault in it, under `tuner.watch`."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.diagnosis.case import Case, Loop
from benchmarks.diagnosis.networks import builder
from benchmarks.diagnosis.scoring import asked
from studies.records import StudyRecord
from tuner.training.architectures.dropout import Dropout
from tuner.training.config import TrainingConfig
from tuner.training.counterfactuals import of_live
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits
from tuner.training.models import build_model
from tuner.training.schedules import learning_rate_factor, peak_learning_rate

SPIKE_STEPS = 20
PRETRAINING_EPOCHS = 4
DIMMED = 0.15
MAGNIFIED = 8.0
"""Factors of the training images' brightness: scaled by another number than those for validation."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What came of a watched training."""

    record: StudyRecord
    model: nn.Module
    scaling: nn.Module
    reported: float
    """The last validation accuracy that the loop itself computed."""


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Everything scaled once, as a person would have it."""

    train_x: Tensor
    train_y: Tensor
    validation_x: Tensor
    validation_y: Tensor


def train_watched(case: Case, splits: Splits, config: TrainingConfig, *, probes: bool) -> Watched:
    """Train ``case`` in its loop; torch's global random state is set by the config's seed."""
    loop = case.setup.loop
    if loop is None:
        raise TypeError(f"A case needs a loop of its own to be watched in, but {case.name!r} has none.")
    torch.manual_seed(config.seed)
    scaling = input_scaling(config, splits.train_x, splits.train_statistics)
    data = _scaled(splits, scaling, loop)
    model = _network(case, config, splits)
    if loop.is_pretrained:
        _pretrain(model, config, data)
    model = _with_faults(model, loop)
    optimizer = _optimizer(model, config, loop)
    record, reported = _watch(model, optimizer, config, loop, data)
    if probes:
        record = _probed(record, model, optimizer, config, data)
    return Watched(record=record, model=model, scaling=scaling, reported=reported)


def _probed(
    record: StudyRecord,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    data: _Data,
) -> StudyRecord:
    """With what the counterfactual changes would do that its findings ask for."""
    trial, changes = record.trials[0], asked(record)
    if trial.telemetry is None or not changes:
        return record
    counterfactuals = of_live(
        model,
        optimizer,
        data.train_x,
        data.train_y,
        functional.cross_entropy,
        list(changes),
        config.seed,
        batch_size=config.batch_size if isinstance(config.batch_size, int) else len(data.train_y),
        peak_learning_rate=config.learning_rate,
        clip_norm=config.clip_norm,
    )
    telemetry = dataclasses.replace(trial.telemetry, counterfactuals=counterfactuals)
    return dataclasses.replace(record, trials=(dataclasses.replace(trial, telemetry=telemetry),))


def _watch(
    model: nn.Module, optimizer: torch.optim.Optimizer, config: TrainingConfig, loop: Loop, data: _Data
) -> tuple[StudyRecord, float]:
    import tuner

    validation = None if loop.gives_numbers else (data.validation_x, data.validation_y)
    reported = float("nan")
    steps = itertools.count()
    rates = _learning_rates(config, loop, len(data.train_y))
    with tuner.watch(model, optimizer, study=None, validation=validation, quiet=True) as watch:
        for epoch in range(1, config.epochs + 1):
            if not (loop.stays_in_eval_mode and epoch > 1):
                model.train()
            for inputs, targets in _minibatches(data, config, loop):
                number = next(steps)
                for group in optimizer.param_groups:
                    group["lr"] = rates[number // loop.accumulates]
                _step(number, model, optimizer, inputs, targets, watch, config, loop)
            loss, reported = _validated(model, data, loop)
            if loop.gives_numbers:
                watch.epoch(validation_loss=loss, validation_accuracy=reported)
            else:
                watch.epoch()
    return watch.record(), reported


def _learning_rates(config: TrainingConfig, loop: Loop, n_train: int) -> list[float]:
    """Of every optimizer step, by the toolkit's own schedules."""
    size = n_train if config.batch_size == "full" else config.batch_size
    n_an_epoch = math.ceil(math.ceil(n_train / size) / loop.accumulates)
    n_steps = config.epochs * n_an_epoch
    peak = peak_learning_rate(config, n_train)
    rates = [peak * learning_rate_factor(step, n_steps, config) for step in range(n_steps)]
    for step in range(n_an_epoch, min(n_an_epoch + SPIKE_STEPS, n_steps)):
        rates[step] *= loop.spike
    return rates


def _step(
    number: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    targets: Tensor,
    watch: Any,
    config: TrainingConfig,
    loop: Loop,
) -> None:
    """One minibatch, forward and backward, and an optimizer step where one is due."""
    if loop.zeroes_every and number % (loop.zeroes_every * loop.accumulates) == 0:
        optimizer.zero_grad()
    loss = functional.cross_entropy(model(inputs), targets, label_smoothing=config.label_smoothing)
    (loss / loop.accumulates).backward()  # type: ignore[no-untyped-call]  # torch does not type it
    watch.step(loss, inputs, targets)
    if config.clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    if (number + 1) % loop.accumulates == 0:
        optimizer.step()


def _minibatches(data: _Data, config: TrainingConfig, loop: Loop) -> Iterator[tuple[Tensor, Tensor]]:
    order = _order(data.train_y, loop.shuffled)
    size = len(order) if config.batch_size == "full" else config.batch_size
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        yield data.train_x[chosen], data.train_y[chosen]


def _order(labels: Tensor, shuffled: float) -> Tensor:
    """Sorted by label, but for a random share of the places, whose samples are exchanged with one another."""
    if shuffled >= 1:
        return torch.randperm(len(labels))
    order = torch.argsort(labels, stable=True)
    places = torch.randperm(len(labels))[: round(shuffled * len(labels))]
    order[places] = order[places][torch.randperm(len(places))]
    return order


@torch.no_grad()
def _validated(model: nn.Module, data: _Data, loop: Loop) -> tuple[float, float]:
    model.train(loop.evaluates_in_train_mode)
    outputs = torch.cat([model(part) for part in torch.split(data.validation_x, 256)])
    loss = functional.cross_entropy(outputs, data.validation_y)
    accuracy = (outputs.argmax(1) == data.validation_y).double().mean()
    return float(loss), float(accuracy)


# -- what is there before the first step --


def _scaled(splits: Splits, scaling: nn.Module, loop: Loop) -> _Data:
    return _Data(
        train_x=_transformed(scaling(splits.train_x), loop),
        train_y=splits.train_y,
        validation_x=scaling(splits.validation_x),
        validation_y=splits.validation_y,
    )


def _transformed(x: Tensor, loop: Loop) -> Tensor:
    return _TRANSFORMS[loop.transform](x) if loop.transform else x


_TRANSFORMS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "inverted": lambda x: 1 - x,
    "turned": lambda x: x.flip(2, 3),
    "rolled": lambda x: x.roll(x.shape[2] // 5, dims=2),
    "mirrored": lambda x: x.flip(3),
    "dimmed": lambda x: x * DIMMED,
    "magnified": lambda x: x * MAGNIFIED,
}


def _network(case: Case, config: TrainingConfig, splits: Splits) -> nn.Module:
    model = build_model(config, splits.input_shape, splits.n_outputs, builder=builder(case.setup.network))
    for name, module in list(model.named_children()):
        if isinstance(module, Dropout):  # the toolkit's own: a person has torch's
            setattr(model, name, nn.Dropout(module.p))
    return model


def _pretrain(model: nn.Module, config: TrainingConfig, data: _Data) -> None:
    """On images turned by 90 degrees: another task whose features are of use."""
    turned = _Data(
        train_x=data.train_x.transpose(2, 3),
        train_y=data.train_y,
        validation_x=data.validation_x,
        validation_y=data.validation_y,
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _epoch in range(PRETRAINING_EPOCHS):
        for inputs, targets in _minibatches(turned, config, Loop()):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            optimizer.step()
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    head.reset_parameters()


class _Detached(nn.Module):
    """The first modules of a network, whose gradient goes no further back."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(x).detach())
        return outputs


def _with_faults(model: nn.Module, loop: Loop) -> nn.Module:
    if loop.n_frozen and loop.frozen_by == "requires_grad":
        for layer in _first_layers(model, loop.n_frozen):
            layer.requires_grad_(requires_grad=False)
    if loop.n_frozen and loop.frozen_by == "detach":
        model = _detached(model, loop.n_frozen)
    return nn.Sequential(model, nn.Softmax(dim=1)) if loop.has_softmax else model


def _first_layers(model: nn.Module, n: int) -> list[nn.Linear | nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)][:n]


def _detached(model: nn.Module, n: int) -> nn.Module:
    children = list(model.children())
    layers = _first_layers(model, n)
    end = max(place for place, child in enumerate(children) if child in layers) + 1
    return _Detached(nn.Sequential(*children[:end]), nn.Sequential(*children[end:]))


_OPTIMIZERS: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}


def _optimizer(model: nn.Module, config: TrainingConfig, loop: Loop) -> torch.optim.Optimizer:
    left_out = _first_layers(model, loop.n_frozen) if loop.frozen_by == "optimizer" else []
    left = {id(parameter) for layer in left_out for parameter in layer.parameters()}
    parameters = [parameter for parameter in model.parameters() if id(parameter) not in left]
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.nesterov,
        )
    made: torch.optim.Optimizer = _OPTIMIZERS[config.optimizer](
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    return made
