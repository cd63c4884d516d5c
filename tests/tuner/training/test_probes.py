"""What is read of the untrained network, and of the trained one on the probe batch, on networks with known faults."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from studies.readings import StepZeroProbe
from tests.problems import blobs, images, line
from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.loop import TrainingRun
from tuner.training.probes import (
    probe_batch,
    read_step_zero,
    relative_difference,
    sum_error,
    watched_layers,
)


def splits_of(dataset: Dataset) -> Splits:
    return split_dataset(dataset, device="cpu")


def step_zero_of(model: nn.Module, dataset: Dataset | None = None) -> StepZeroProbe:
    splits = splits_of(dataset or blobs())
    loss = functional.mse_loss if splits.kind == "regression" else functional.cross_entropy
    x, y = probe_batch(splits)
    torch.manual_seed(0)
    return read_step_zero(model, watched_layers(model), loss, x, y, splits)


def network(*behind: nn.Module, n_outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, n_outputs), *behind)


class RestlessDropout(nn.Module):
    """Drops in eval mode, too: the classic ``functional.dropout`` without ``training=self.training``."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5)


class TestStepZero:
    def test_logits_are_told_from_probabilities(self) -> None:
        """A softmax at the end has outputs in 0..1 with sum 1; logits and log probabilities have not."""
        softmax = step_zero_of(network(nn.Softmax(1)))
        assert softmax.output_sum_error == pytest.approx(0, abs=1e-6)
        assert 0 <= softmax.output_low < softmax.output_high <= 1
        for model in (network(), network(nn.LogSoftmax(1))):
            probe = step_zero_of(model)
            assert probe.output_sum_error > 0.1
            assert probe.output_low < 0

    def test_a_regression_has_no_sum_of_probabilities(self) -> None:
        """Its outputs are values; their range is read."""
        probe = step_zero_of(nn.Sequential(nn.Linear(2, 1)), line())
        assert math.isnan(probe.output_sum_error)
        assert probe.output_low < probe.output_high

    def test_two_passes_in_eval_mode_differ_where_something_is_drawn(self) -> None:
        """0 for a sound network, dropout included; about the outputs' deviation where it drops in eval mode."""
        assert step_zero_of(network(nn.Dropout(0.5))).repeat_difference == 0
        assert step_zero_of(network(nn.BatchNorm1d(3))).repeat_difference == 0
        assert step_zero_of(network(RestlessDropout())).repeat_difference > 0.5

    def test_a_layer_that_cannot_change_is_told(self) -> None:
        """Frozen and fresh: a spectrum as of random weights; frozen and trained before: beyond it."""
        model = nn.Sequential(nn.Linear(4, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 3))
        for layer in (model[0], model[2]):
            layer.requires_grad_(False)
        with torch.no_grad():
            model[2].weight += torch.outer(torch.linspace(-0.1, 0.1, 200), torch.ones(200))
        fresh, trained, head = step_zero_of(model).layers
        assert (fresh.is_trainable, trained.is_trainable, head.is_trainable) == (False, False, True)
        assert fresh.spectral_ratio < 1.2
        assert trained.spectral_ratio > 1.5
        assert math.isnan(head.spectral_ratio)

    def test_twins_and_gains_are_read_layer_by_layer(self) -> None:
        """A layer of equal weights is all twins; the gain is that of its initialization."""
        model = network()
        nn.init.kaiming_normal_(model[0].weight, nonlinearity="relu")
        nn.init.constant_(model[2].weight, 0.1)
        hidden, head = step_zero_of(model).layers
        assert (hidden.twin_fraction, head.twin_fraction) == (0, 1)
        assert hidden.weight_gain == pytest.approx(1.41, abs=0.4)
        assert head.weight_gain == pytest.approx(0, abs=1e-6)

    def test_separate_channels_have_no_twins(self) -> None:
        """The same blur in every channel sees another input in each."""
        blur = nn.Conv2d(4, 4, 3, groups=4, padding=1)
        nn.init.constant_(blur.weight, 1.0 / 9.0)
        probe = step_zero_of(nn.Sequential(nn.Unflatten(1, (4, 1, 1)), blur, nn.Flatten(), nn.Linear(4, 3)))
        assert math.isnan(probe.layers[0].twin_fraction)

    def test_the_network_is_left_as_it_was(self) -> None:
        """Parameters, gradients and running statistics."""
        model = network(nn.BatchNorm1d(3))
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        step_zero_of(model)
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())


class TestProbeBatch:
    @pytest.mark.parametrize("keys", [{}, {"augmentation": 1.0, "dropout": 0.5, "label_smoothing": 0.2}])
    def test_it_is_evaluated_as_it_is(self, keys: dict[str, Any]) -> None:
        """Plain loss in eval mode, without augmentation, at epoch 0 and at the end of each epoch."""
        splits = splits_of(images())
        run = TrainingRun(TrainingConfig(epochs=2, batch_size=16, **keys), splits)
        x, y = probe_batch(splits)
        for row in run.epochs():
            with torch.no_grad():
                outputs = run.model.eval()(run.scaling(x))
            assert row.probe_loss == pytest.approx(float(functional.cross_entropy(outputs, y)), rel=1e-5)
            assert row.probe_accuracy == pytest.approx(float((outputs.argmax(1) == y).float().mean()))

    def test_a_regression_has_the_loss_alone(self) -> None:
        """The mean squared error; accuracy and confidence are NaN."""
        splits = splits_of(line())
        run = TrainingRun(TrainingConfig(epochs=1), splits)
        *_, row = run.epochs()
        x, y = probe_batch(splits)
        with torch.no_grad():
            expected = float(functional.mse_loss(run.model(run.scaling(x)), y))
        assert row.probe_loss == pytest.approx(expected, rel=1e-5)
        assert math.isnan(row.probe_accuracy)
        assert math.isnan(row.confidence)
        assert row.class_accuracy == ()

    def test_the_weights_norm_is_that_of_the_epochs_end(self) -> None:
        """Of each layer, without its bias."""
        run = TrainingRun(TrainingConfig(epochs=1), blobs())
        *_, row = run.epochs()
        weights = [parameter.detach() for parameter in run.model.parameters() if parameter.ndim >= 2]
        norms = [float(weight.norm()) for weight in weights]
        assert [layer.weight_norm for layer in row.layers] == pytest.approx(norms, rel=1e-6)

    def test_without_telemetry_it_is_not_read(self) -> None:
        """Validation and losses are, and they are the same."""
        rows = {}
        for telemetry in (True, False):
            rows[telemetry] = list(
                TrainingRun(TrainingConfig(epochs=2), blobs(), telemetry=telemetry).epochs()
            )
        for full, short in zip(rows[True], rows[False], strict=True):
            assert (short.validation_loss, short.train_loss) == (full.validation_loss, full.train_loss)
            assert math.isfinite(full.probe_loss)
            assert math.isnan(short.probe_loss)
            assert math.isnan(short.confidence)
            assert short.class_accuracy == ()

    def test_a_training_that_diverged_has_no_reading_of_it(self) -> None:
        """As of validation: what a broken network says is no reading."""
        run = TrainingRun(TrainingConfig(epochs=3, learning_rate=1e30), blobs())
        *_, row = run.epochs()
        assert math.isnan(row.probe_loss)
        assert math.isnan(row.validation_loss)


def test_what_decides_over_outputs_is_plain_arithmetic() -> None:
    """Sums apart from 1, and differences in deviations; outputs that never vary have none, or infinite ones."""
    assert sum_error(torch.tensor([[0.5, 0.5], [1.0, 1.0]])) == 0.5
    outputs = torch.tensor([[1.0], [3.0]])
    assert relative_difference(outputs, outputs + torch.tensor([[0.0], [0.5]])) == 0.5
    constant = torch.ones(3, 2)
    assert relative_difference(constant, constant) == 0
    assert relative_difference(constant, constant + 1) == math.inf
