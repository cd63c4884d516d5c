"""A training loop of one's own, watched: nothing but the lines with `watch` is new, and nothing is stored."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import tuner

if __name__ == "__main__":
    torch.manual_seed(0)
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16).float(), torch.tensor(digits.target)
    train_x, train_y, validation = x[:1400], y[:1400], (x[1400:], y[1400:])

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), nn.Softmax(dim=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loss_function = nn.CrossEntropyLoss()

    with tuner.watch(model, optimizer, validation=validation) as watch:
        for _ in range(6):
            for batch in torch.randperm(len(train_x)).split(64):
                optimizer.zero_grad()
                loss = loss_function(model(train_x[batch]), train_y[batch])
                loss.backward()
                optimizer.step()
                watch.step(loss, train_x[batch], train_y[batch])
            watch.epoch()

    print(watch.telemetry.frame()[["epoch", "train_loss", "validation_loss", "validation_accuracy"]])
    for finding in watch.findings():
        print(f"{finding.severity}: {finding.sentence}")
        for cause, remedy in zip(finding.causes[:1], finding.remedies[:1], strict=False):
            print(f"  cause: {cause.name}; {remedy.sentence}")
