"""The loops of the third transfer set: as people write them, each with `tuner.watch` around it."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

import tuner
from benchmarks.diagnosis.runs import Run
from benchmarks.diagnosis.transfer.evaluating import evaluated
from benchmarks.diagnosis.transfer.loop_parts import (
    by_label,
    optimizer_of,
    share_of_rate,
    tensors_of,
    watched_run,
)
from benchmarks.diagnosis.transfer.third_data import DATA_FAULTS, arrays_of
from benchmarks.diagnosis.transfer.third_networks import network
from benchmarks.diagnosis.transfer.third_recipe import Recipe
from studies.records import StudyRecord


def train(recipe: Recipe, name: str, *, seed: int, probed: bool = True) -> Run:
    """Train ``recipe`` under `tuner.watch`, and look at the test part; sets torch's global random state."""
    started = time.perf_counter()
    tensors = tensors_of(recipe, arrays_of(recipe.task, seed=seed), DATA_FAULTS, seed=[seed, 22])
    torch.manual_seed(seed)
    return watched_run(
        _Loop(recipe, tensors), recipe, name, tensors, seed=seed, probed=probed, started=started
    )


class _Loop:
    def __init__(self, recipe: Recipe, tensors: Mapping[str, Tensor]) -> None:
        self.recipe = recipe
        self.train = tensors["x_train"], tensors["y_train"]
        self.validation = tensors["x_validation"], tensors["y_validation"]
        self.model = network(recipe, self.train[0][0].shape, int(tensors["y_test"].max()) + 1)
        self.is_sorted = recipe.fault == "sorted"
        if self.is_sorted:
            order = by_label(self.train[1], recipe.strength)
            self.train = self.train[0][order], self.train[1][order]
        self.loader = DataLoader(
            TensorDataset(*self.train),
            batch_size=recipe.batch_size,
            shuffle=not self.is_sorted,
            drop_last=len(self.train[0]) % recipe.batch_size == 1,  # batch norm refuses a single sample
        )
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = optimizer_of(recipe, trained)
        n_updates = 1 if recipe.loop == "per_epoch" else len(self.loader)
        self.scheduler = LambdaLR(self.optimizer, share_of_rate(recipe, n_updates))
        self.n_steps = 0

    def run(self) -> tuple[StudyRecord, float]:
        """What the watch saw, and the last validation accuracy as the loop itself would report it."""
        recipe, is_train_mode = self.recipe, self.recipe.fault == "train_mode_evaluation"
        is_told = recipe.loop == "telling" or is_train_mode
        reported = float("nan")
        with tuner.watch(
            self.model,
            self.optimizer,
            validation=None if is_told else self.validation,
            config={"clip_norm": recipe.clip_norm} if recipe.clip_norm else None,
            quiet=True,
        ) as watch:
            for _epoch in range(recipe.epochs):
                self.model.train()
                losses = [self._train_on(watch, inputs, targets) for inputs, targets in self._minibatches()]
                if recipe.loop == "per_epoch":
                    self.scheduler.step()
                loss, reported = evaluated(self.model, *self.validation, train_mode=is_train_mode)
                if is_told:
                    mean = sum(losses) / len(losses)
                    watch.epoch(train_loss=mean, validation_loss=loss, validation_accuracy=reported)
                else:
                    watch.epoch()
        return watch.record(), reported

    def _minibatches(self) -> Iterable[Any]:
        """Of the loader, or cut by hand."""
        if self.recipe.loop != "manual" or self.is_sorted:
            return self.loader
        x, y = self.train
        parts = torch.randperm(len(x)).split(self.recipe.batch_size)
        return ((x[rows], y[rows]) for rows in parts)

    def _train_on(self, watch: Any, inputs: Tensor, targets: Tensor) -> float:
        recipe = self.recipe
        if recipe.fault != "rare_zero_grad" or self.n_steps % int(recipe.strength) == 0:
            self.optimizer.zero_grad()
        loss = cross_entropy(self.model(inputs), targets, label_smoothing=recipe.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        watch.step(loss, inputs, targets)
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        self.optimizer.step()
        if recipe.loop != "per_epoch":
            self.scheduler.step()
        self.n_steps += 1
        return loss.item()
