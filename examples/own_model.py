"""Train a model of one's own on data of one's own, save it, load it, predict.

A search takes both the same way: tuner.search("quick", two_moons, model=residual_network, workers=1).
"""

import tempfile

import torch
from torch import nn

import tuner


def two_moons(n: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """A task: (x, y), two half circles that reach into each other."""
    angle = torch.linspace(0, torch.pi, n // 2)
    upper = torch.stack([angle.cos(), angle.sin()], dim=1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], dim=1)
    noise = 0.1 * torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    return torch.cat([upper, lower]) + noise, torch.arange(n) // (n // 2)


class Residual(nn.Module):
    def __init__(self, n_inputs: int, width: int, depth: int, n_outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_inputs, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for layer in self.inner:
            x = x + torch.relu(layer(x))
        return self.last(x)


def residual_network(config: tuner.TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """A model: takes the config, the shape of one input and the number of outputs."""
    return Residual(input_shape[0], config.width, config.depth, n_outputs)


if __name__ == "__main__":
    config = {"epochs": 20, "batch_size": 32, "width": 32, "depth": 2}
    with tempfile.TemporaryDirectory() as folder:
        training = tuner.train(config, two_moons, model=residual_network, save=folder)
        print(f"{training.outcome.sentence} Best validation accuracy: {training.value:.3f}")

        _, model = tuner.load_trained(folder, model=residual_network)
        points = torch.tensor([[0.0, 1.0], [1.0, -0.5]])
        print("Classes of", points.tolist(), "are", model(points).argmax(1).tolist())
