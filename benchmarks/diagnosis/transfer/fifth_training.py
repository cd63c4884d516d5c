"""The loops of the fifth transfer set: as people write them, each with `tuner.watch` around it."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

import tuner
from benchmarks.diagnosis.runs import Run
from benchmarks.diagnosis.transfer.evaluating import evaluated
from benchmarks.diagnosis.transfer.fifth_data import DATA_FAULTS, arrays_of
from benchmarks.diagnosis.transfer.fifth_networks import network
from benchmarks.diagnosis.transfer.fifth_recipe import Recipe
from benchmarks.diagnosis.transfer.loop_parts import (
    by_label,
    optimizer_of,
    share_of_rate,
    tensors_of,
    watched_run,
)
from studies.records import StudyRecord

N_ACCUMULATED = 2


def train(recipe: Recipe, name: str, *, seed: int, probed: bool = True) -> Run:
    """Train ``recipe`` under `tuner.watch`, and look at the test part; sets torch's global random state."""
    started = time.perf_counter()
    tensors = tensors_of(recipe, arrays_of(recipe.task, seed=seed), DATA_FAULTS, seed=[seed, 42])
    torch.manual_seed(seed)
    return watched_run(
        TrainingLoop(recipe, tensors), recipe, name, tensors, seed=seed, probed=probed, started=started
    )


class TrainingLoop:
    """One training, ready to be run."""

    def __init__(self, recipe: Recipe, tensors: Mapping[str, Tensor]) -> None:
        self.recipe = recipe
        x, y = tensors["x_train"], tensors["y_train"]
        self.validation = tensors["x_validation"], tensors["y_validation"]
        self.model = network(recipe, x[0].shape, int(tensors["y_test"].max()) + 1)
        is_sorted = recipe.fault == "sorted"
        if is_sorted:
            order = by_label(y, recipe.strength)
            x, y = x[order], y[order]
        self.n_accumulated = N_ACCUMULATED if recipe.loop == "accumulating" else 1
        samples = TensorDataset(x, y)
        drawn = RandomSampler(samples, replacement=True) if recipe.loop == "resampled" else None
        # Whole minibatches only: batch norm refuses a single sample, and an optimizer step takes all of its parts.
        self.loader = DataLoader(
            samples,
            batch_size=recipe.batch_size // self.n_accumulated,
            shuffle=None if drawn is not None else not is_sorted,
            sampler=drawn,
            drop_last=len(x) >= recipe.batch_size,
        )
        self.optimizer = optimizer_of(recipe, self._trained())
        n_updates = len(self.loader) // self.n_accumulated
        self.scheduler = LambdaLR(self.optimizer, share_of_rate(recipe, n_updates))
        self.n_minibatches = 0

    def _trained(self) -> list[nn.Parameter] | list[dict[str, Any]]:
        """What the optimizer is given; in groups, biases and norms have no weight decay."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if self.recipe.loop != "grouped":
            return parameters
        matrices: dict[str, Any] = {"params": [each for each in parameters if each.ndim > 1]}
        vectors: dict[str, Any] = {
            "params": [each for each in parameters if each.ndim <= 1],
            "weight_decay": 0.0,
        }
        return [matrices, vectors]

    def run(self) -> tuple[StudyRecord, float]:
        """What the watch saw, and the last validation accuracy as the loop itself would report it."""
        recipe, is_train_mode = self.recipe, self.recipe.fault == "train_mode_evaluation"
        is_told = recipe.loop == "telling" or is_train_mode
        validation: Any = None if is_told else DataLoader(TensorDataset(*self.validation), batch_size=250)
        config = {"clip_norm": recipe.clip_norm} if recipe.clip_norm else None
        reported = float("nan")
        with tuner.watch(
            self.model, self.optimizer, validation=validation, config=config, quiet=True
        ) as watch:
            for _ in range(recipe.epochs):
                self.model.train()
                losses = [self._train_on(watch, inputs, targets) for inputs, targets in self.loader]
                loss, reported = evaluated(self.model, *self.validation, train_mode=is_train_mode)
                if is_told:
                    mean = sum(losses) / len(losses)
                    watch.epoch(train_loss=mean, validation_loss=loss, validation_accuracy=reported)
                else:
                    watch.epoch()
        return watch.record(), reported

    def _train_on(self, watch: Any, inputs: Tensor, targets: Tensor) -> float:
        recipe = self.recipe
        loss = cross_entropy(self.model(inputs), targets, label_smoothing=recipe.label_smoothing)
        (loss / self.n_accumulated).backward()  # type: ignore[no-untyped-call]  # torch does not type it
        watch.step(loss / self.n_accumulated, inputs, targets)
        self.n_minibatches += 1
        if self.n_minibatches % self.n_accumulated == 0:
            if recipe.clip_norm:
                nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
            self.optimizer.step()
            self.scheduler.step()
            if self._clears:
                self.optimizer.zero_grad()
        return loss.item()

    @property
    def _clears(self) -> bool:
        """With the planted fault, only every so many minibatches."""
        return self.recipe.fault != "rare_zero_grad" or self.n_minibatches % int(self.recipe.strength) == 0
