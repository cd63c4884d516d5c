"""Optuna as popular examples have it: dataset, ToTensor and DataLoader in the objective, one trial at a time."""

import optuna
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from rivals.job import Answer, Job
from rivals.study import open_study, suggested
from rivals.training import network, optimizer_of

SANE = {"learning_rate": 0.05, "weight_decay": 1e-5, "dropout": 0.2}
"""Tried first, so that a run of few trials, too, shows that it learns. For SGD; Adam's is a hundredth of it."""


def loader_of(job: Job, *, train: bool) -> DataLoader[tuple[torch.Tensor, int]]:
    """The job's images lie where torchvision looks for MNIST; its test part is our validation part."""
    images = MNIST(str(job.images), train=train, transform=ToTensor())
    return DataLoader(images, batch_size=job.workload.batch_size, shuffle=train)


def accuracy_of(model: nn.Module, loader: DataLoader[tuple[torch.Tensor, int]]) -> float:
    model.eval()
    n_hits, n_samples = 0, 0
    with torch.no_grad():
        for x, y in loader:
            n_hits += int(model(x.flatten(1)).argmax(1).eq(y).sum())
            n_samples += len(y)
    return n_hits / n_samples


def train(trial: optuna.Trial, job: Job) -> float:
    levers = suggested(trial, job.workload)
    train_loader, validation_loader = loader_of(job, train=True), loader_of(job, train=False)
    labels = job.labels_of("train")
    n_inputs = int(train_loader.dataset[0][0].numel())
    model = network(
        job.workload, n_inputs=n_inputs, n_outputs=int(labels.max()) + 1, dropout=levers["dropout"]
    )
    optimizer = optimizer_of(job.workload, model, levers, fused=False)
    best = 0.0
    for epoch in range(1, job.workload.n_epochs + 1):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x.flatten(1)), y).backward()
            optimizer.step()
        accuracy = accuracy_of(model, validation_loader)
        best = max(best, accuracy)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return best


def main() -> None:
    job, answer = Job.from_arguments(), Answer()
    torch.manual_seed(job.seed)
    study = open_study(job, seed=job.seed)
    slower = 1.0 if job.workload.optimizer == "sgd" else 0.01
    study.enqueue_trial(SANE | {"learning_rate": slower * SANE["learning_rate"]})
    with answer.searching():
        study.optimize(lambda trial: train(trial, job), n_trials=job.workload.n_trials, n_jobs=1)
    answer.best, answer.n_trials = study.best_value, len(study.trials)
    answer.print()


if __name__ == "__main__":
    main()
