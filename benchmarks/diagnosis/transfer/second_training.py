"""The loops of the second transfer set: as people write them, each with `tuner.watch` around it."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

import tuner
from benchmarks.diagnosis.runs import Run
from benchmarks.diagnosis.transfer.evaluating import evaluated
from benchmarks.diagnosis.transfer.loop_parts import optimizer_of, share_of_rate, tensors_of, watched_run
from benchmarks.diagnosis.transfer.second_data import DATA_FAULTS, arrays_of
from benchmarks.diagnosis.transfer.second_networks import network, trained_parameters
from benchmarks.diagnosis.transfer.second_recipe import Recipe
from studies.records import StudyRecord

N_ACCUMULATED = 2


def train(recipe: Recipe, name: str, *, seed: int, probed: bool = True) -> Run:
    """Train ``recipe`` under `tuner.watch`, and look at the test part; sets torch's global random state."""
    started = time.perf_counter()
    tensors = tensors_of(recipe, arrays_of(recipe.task, seed=seed), DATA_FAULTS, seed=[seed, 12])
    torch.manual_seed(seed)
    return watched_run(
        _Loop(recipe, tensors), recipe, name, tensors, seed=seed, probed=probed, started=started
    )


class _Loop:
    def __init__(self, recipe: Recipe, tensors: Mapping[str, Tensor]) -> None:
        self.recipe = recipe
        x, y = tensors["x_train"], tensors["y_train"]
        self.validation = tensors["x_validation"], tensors["y_validation"]
        n_classes = int(tensors["y_test"].max()) + 1
        self.model = network(recipe, x[0].shape, n_classes)
        is_sorted = recipe.fault == "sorted"
        if is_sorted:
            # A share of the samples keeps its place by label, the others are spread at random.
            keys = torch.where(
                torch.rand(len(y)) < recipe.strength, y.double(), n_classes * torch.rand(len(y))
            )
            order = torch.argsort(keys, stable=True)
            x, y = x[order], y[order]
        self.n_accumulated = N_ACCUMULATED if recipe.loop == "accumulating" else 1
        batch_size = recipe.batch_size // self.n_accumulated
        self.loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=not is_sorted)
        self.optimizer = optimizer_of(recipe, list(trained_parameters(recipe, self.model)))
        self.scheduler = LambdaLR(
            self.optimizer, share_of_rate(recipe, len(self.loader) // self.n_accumulated)
        )
        self.n_minibatches = 0

    def run(self) -> tuple[StudyRecord, float]:
        """What the watch saw, and the last validation accuracy as the loop itself would report it."""
        recipe, is_train_mode = self.recipe, self.recipe.fault == "train_mode_evaluation"
        is_told = recipe.loop == "telling" or is_train_mode
        validation: Any = None
        if not is_told and recipe.loop != "train_only":
            validation = DataLoader(TensorDataset(*self.validation), batch_size=256)
        reported = float("nan")
        with tuner.watch(self.model, self.optimizer, validation=validation, quiet=True) as watch:
            self.model.train()
            for _epoch in range(recipe.epochs):
                if recipe.fault != "eval_mode_training":
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
        n_accumulated = self.n_accumulated
        is_first, is_last = (self.n_minibatches % n_accumulated == at for at in (0, n_accumulated - 1))
        if recipe.loop != "late_zero" and is_first and self._clears:
            self.optimizer.zero_grad()
        loss = cross_entropy(self.model(inputs), targets, label_smoothing=recipe.label_smoothing)
        (loss / n_accumulated).backward()  # type: ignore[no-untyped-call]  # torch does not type it
        if recipe.loop != "late_zero":
            watch.step(loss / n_accumulated, inputs, targets)
        if recipe.clip_norm and is_last:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        if is_last:
            self.optimizer.step()
        if recipe.loop == "late_zero":
            watch.step(loss, inputs, targets)
            if self._clears:
                self.optimizer.zero_grad()
        if is_last:
            self.scheduler.step()
        self.n_minibatches += 1
        return loss.item()

    @property
    def _clears(self) -> bool:
        """Where the call is in the wrong loop, every so many steps only."""
        return self.recipe.fault != "rare_zero_grad" or self.n_minibatches % int(self.recipe.strength) == 0
