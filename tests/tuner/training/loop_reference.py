"""The training loop as one would write it on a blackboard: slow, obvious, one thing after another."""

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import Parameter, functional
from torch.optim import Optimizer

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.models import build_model
from tuner.training.reproducibility import data_order


def train_slowly(
    config: TrainingConfig, splits: Splits, optimizer_of: Callable[[Iterator[Parameter]], Optimizer]
) -> tuple[list[float], list[float], nn.Module]:
    """Losses of all steps, global gradient norms, and the trained model, without anything clever."""
    torch.manual_seed(config.seed)
    model = build_model(config, splits.input_shape, splits.n_outputs)
    optimizer = optimizer_of(model.parameters())
    losses, norms = [], []
    for epoch in range(1, config.epochs + 1):
        order = data_order(len(splits.train_x), seed=config.seed, epoch=epoch)
        for start in range(0, len(order), config.batch_size):
            chosen = order[start : start + config.batch_size]
            x = splits.train_x[chosen]
            x = x.float() / 255 if x.dtype == torch.uint8 else x
            optimizer.zero_grad()
            loss = functional.cross_entropy(
                model(x), splits.train_y[chosen], label_smoothing=config.label_smoothing
            )
            loss.backward()
            squares = sum(float(parameter.grad.double().square().sum()) for parameter in model.parameters())
            norms.append(squares**0.5)
            if config.clip_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            losses.append(loss.item())
    return losses, norms, model


def calibration_error_slowly(probabilities: list[list[float]], y: list[int], n_bins: int = 15) -> float:
    """Expected calibration error, sample by sample."""
    bins = [[] for _ in range(n_bins)]
    for row, label in zip(probabilities, y, strict=True):
        confidence = max(row)
        number = next(b for b in range(n_bins) if confidence <= (b + 1) / n_bins or b == n_bins - 1)
        bins[number].append((confidence, float(row.index(confidence) == label)))
    return sum(abs(sum(hit - confidence for confidence, hit in samples)) for samples in bins) / len(y)
