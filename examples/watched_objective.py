"""An Optuna objective of one's own: a DataLoader, a Sequential, a loop. Three added lines say why trials fail.

python examples/watched_objective.py            # digits, which need no download
python examples/watched_objective.py mnist      # where TUNER_DATA has it
tuner diagnose watched --storage sqlite:///watched.db
"""

import sys

import optuna
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import studies
import tuner
from tuner.training.data import load_dataset

EPOCHS = 5
BATCH = 32
TRAIN_BATCHES = 30
VALIDATION_BATCHES = 10


def loaders(name: str) -> tuple[DataLoader, DataLoader]:
    data = load_dataset(name)
    x, y = data.x_train.float() / data.x_train.max(), data.y_train
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    n_validation = VALIDATION_BATCHES * BATCH
    validation = TensorDataset(x[order[:n_validation]], y[order[:n_validation]])
    train = TensorDataset(x[order[n_validation:]], y[order[n_validation:]])
    return DataLoader(train, batch_size=BATCH, shuffle=True), DataLoader(validation, batch_size=BATCH)


def build_model(trial: optuna.Trial, n_inputs: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for number in range(trial.suggest_int("n_layers", 1, 3)):
        n_units = trial.suggest_int(f"n_units_{number}", 16, 128, log=True)
        layers += [nn.Linear(n_inputs, n_units), nn.ReLU(), nn.Dropout(0.2)]
        n_inputs = n_units
    return nn.Sequential(*layers, nn.Linear(n_inputs, 10), nn.LogSoftmax(dim=1))


def objective(trial: optuna.Trial) -> float:
    torch.manual_seed(trial.number)
    train, validation = loaders(sys.argv[1] if len(sys.argv) > 1 else "digits")
    model = build_model(trial, train.dataset[0][0].numel())
    name = trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"])
    rate = trial.suggest_float("lr", 1e-5, 10.0, log=True)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=rate)
    accuracy = 0.0
    with tuner.watch(model, optimizer, trial=trial) as watch:  # added: 1
        for epoch in range(EPOCHS):
            model.train()
            for number, (x, y) in enumerate(train):
                if number >= TRAIN_BATCHES:
                    break
                optimizer.zero_grad()
                loss = functional.nll_loss(model(x), y)
                loss.backward()
                optimizer.step()
                watch.step(loss, x, y)  # added: 2
            model.eval()
            with torch.no_grad():
                hits = [model(x).argmax(dim=1).eq(y).float().mean() for x, y in validation]
            accuracy = float(torch.stack(hits).mean())
            watch.epoch(validation_accuracy=accuracy)  # added: 3
            trial.report(accuracy, epoch)
    return accuracy


if __name__ == "__main__":
    storage = "sqlite:///watched.db"
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(
        study_name="watched", storage=storage, direction="maximize", sampler=sampler, load_if_exists=True
    )
    study.optimize(objective, n_trials=8)
    print(f"Best: {study.best_value:.3f} with {study.best_params}")
    for trial in study.trials:
        for finding in studies.diagnose("watched", storage, trial=trial.number):
            print(f"Trial {trial.number} ({trial.value:.3f}): {finding.severity}: {finding.sentence}")
