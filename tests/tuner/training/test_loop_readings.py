"""What is read of a training, by whom, and how it ends."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim

from studies.records import Outcome
from tests.problems import N_CLASSES, blobs, images
from tests.tuner.training.finished_runs import finished, losses_of
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.loop import TrainingRun
from tuner.training.losses import training_loss
from tuner.training.one_epoch import GATHERED_STEPS, POLL_STEPS
from tuner.training.probes import (
    UpdateProbe,
    probe_batch,
    probe_pass,
    probed_steps,
    watched_layers,
)


class TestReadings:
    def test_epoch_0_pays_what_indifference_pays(self) -> None:
        """The untrained network's loss is near ln 3, epoch 0 comes first, and it has no step readings."""
        run = TrainingRun(TrainingConfig(epochs=1, initialization="default"), images())
        first = next(run.epochs())
        assert first.epoch == 0
        assert first.train_loss == pytest.approx(math.log(N_CLASSES), abs=0.15)
        assert math.isnan(first.learning_rate)
        assert run.last_steps is None
        assert run.step_zero.expected_loss == pytest.approx(math.log(N_CLASSES))

    def test_an_epoch_row_sums_up_its_steps(self) -> None:
        """The epoch's loss is the mean over samples of the step losses, the norm the mean over steps."""
        run = finished(TrainingConfig(epochs=2, batch_size=40), blobs())
        row, steps = run.telemetry().epochs[2], run.last_steps
        assert len(steps) == 3
        assert row.train_loss == pytest.approx(np.average(steps.train_loss, weights=[40, 40, 16]), rel=1e-6)
        assert row.gradient_norm == pytest.approx(steps.gradient_norm.mean(), rel=1e-6)
        assert row.learning_rate == pytest.approx(0.1)
        assert math.isnan(row.clip_fraction)
        assert row.seconds > 0
        assert row.samples_per_second > 0

    def test_clip_fraction_counts_the_clipped_steps(self) -> None:
        """With a norm nothing reaches, nothing is clipped; with one everything exceeds, all is."""
        none, all_ = (
            finished(TrainingConfig(epochs=1, batch_size=8, clip_norm=norm), blobs()) for norm in (1e6, 1e-6)
        )
        assert none.telemetry().epochs[1].clip_fraction == 0
        assert all_.telemetry().epochs[1].clip_fraction == 1
        assert all_.last_steps.clipped.all()

    def test_label_smoothing_is_of_the_training_loss_only(self) -> None:
        """A perfect network's smoothed training loss stays high while its validation loss goes to 0."""
        run = finished(TrainingConfig(epochs=30, batch_size=16, label_smoothing=0.3), blobs())
        last = run.telemetry().epochs[-1]
        assert last.train_loss > 0.5
        assert last.validation_loss < last.train_loss / 2

    def test_balanced_weights_lift_the_rare_class(self) -> None:
        """With nine of ten samples in class 0, the first step weighs class 1 nine times as much."""
        y = (np.arange(100) % 10 == 0).astype(np.int64)
        data = dataclasses.replace(blobs(100), y_train=torch.from_numpy(y), n_outputs=2)
        loss = training_loss(TrainingConfig(class_weights="balanced"), split_dataset(data))
        logits = torch.zeros(1, 2)
        common, rare = (float(loss(logits, torch.tensor([label]))) for label in (0, 1))
        assert rare / common == pytest.approx(9)
        assert float(loss(torch.zeros(10, 2), torch.from_numpy(y[:10]))) == pytest.approx(math.log(2))

    def test_telemetry_changes_no_training(self) -> None:
        """With and without telemetry the losses are the same to the bit, dropout included."""
        config = TrainingConfig(epochs=2, batch_size=16, dropout=0.5, width=8)
        with_, without = finished(config, blobs()), finished(config, blobs(), telemetry=False)
        np.testing.assert_array_equal(losses_of(with_), losses_of(without))
        assert np.isnan(without.last_steps.gradient_norm).all()
        assert without.telemetry().epochs[1].layers == ()
        assert with_.telemetry().epochs[1].layers != ()

    def test_data_probe_describes_what_the_network_sees(self) -> None:
        """Counts per part and class, and the scaled inputs' statistics, are numpy's."""
        run = TrainingRun(TrainingConfig(epochs=0), images())
        next(run.epochs())
        probe, seen = run.data_probe, run.splits.train_x.double() / 255
        assert (probe.n_train, probe.n_validation, probe.n_test) == (48, 12, 0)
        assert probe.train_class_counts == (16, 16, 16)
        assert probe.input_mean == pytest.approx(float(seen.mean()), rel=1e-6)
        assert probe.input_std == pytest.approx(float(seen.std(correction=0)), rel=1e-6)
        assert (probe.input_min, probe.input_max) == (0, pytest.approx(1))
        assert probe.n_non_finite == 0


class TestEndings:
    def test_a_training_that_runs_through_is_completed(self) -> None:
        """All epochs trained, every sample right, and the outcome is only known at the end."""
        run = TrainingRun(TrainingConfig(epochs=5, batch_size=16), blobs())
        with pytest.raises(RuntimeError, match="has not ended"):
            _ = run.outcome
        rows = list(run.epochs())
        assert [row.epoch for row in rows] == [0, 1, 2, 3, 4, 5]
        assert run.outcome is Outcome.COMPLETED
        assert run.value("validation_accuracy") == 1.0

    def test_divergence_keeps_the_telemetry(self) -> None:
        """A diverged training ends in its epoch, with all that was read; its best epoch is an earlier one."""
        config = TrainingConfig(
            epochs=5, batch_size=16, learning_rate=0.1, schedule="multistep", milestones=(2,), step_gamma=1e30
        )
        run = finished(config, blobs())
        rows = run.telemetry().epochs
        assert run.outcome is Outcome.DIVERGED
        assert [row.epoch for row in rows] == [0, 1, 2, 3]
        assert not math.isfinite(rows[-1].train_loss)
        assert math.isnan(rows[-1].validation_loss)
        assert run.best_epoch in {1, 2}
        assert run.value("validation_accuracy") == rows[run.best_epoch].validation_accuracy
        assert run.latest("validation_accuracy") is None

    def test_divergence_within_an_epoch_ends_it_there(self) -> None:
        """A long epoch is not trained to its end once the loss is no longer finite."""
        config = TrainingConfig(epochs=1, batch_size=1, learning_rate=1e30)
        run = finished(config, blobs(600))
        assert run.outcome is Outcome.DIVERGED
        assert run.value("validation_accuracy") is None
        assert POLL_STEPS <= len(run.last_steps) <= GATHERED_STEPS

    def test_stop_on_divergence_false_trains_on(self) -> None:
        """All epochs are trained, and the outcome still says what happened."""
        config = TrainingConfig(epochs=3, batch_size=16, learning_rate=1e30, stop_on_divergence=False)
        run = finished(config, blobs())
        assert len(run.telemetry().epochs) == 4
        assert run.outcome is Outcome.DIVERGED

    def test_early_stopping_restores_the_best_weights(self) -> None:
        """It stops after `patience` epochs without a better value, and the model is the best epoch's."""
        config = TrainingConfig(epochs=50, batch_size=16, patience=3, learning_rate=0.5)
        run = finished(config, blobs())
        assert run.outcome is Outcome.STOPPED_EARLY
        assert len(run.telemetry().epochs) - 1 == run.best_epoch + 3
        best = run.telemetry().epochs[run.best_epoch]
        assert run.evaluate("validation").loss == pytest.approx(best.validation_loss, rel=1e-6)

    def test_the_consumer_may_prune(self) -> None:
        """stop() between two epochs ends the training before the next."""
        run = TrainingRun(TrainingConfig(epochs=9), blobs())
        seen = []
        for row in run.epochs():
            seen.append(row.epoch)
            if row.epoch == 2:
                run.stop(Outcome.PRUNED)
        assert seen == [0, 1, 2]
        assert run.outcome is Outcome.PRUNED

    def test_should_stop_is_heard_within_an_epoch(self) -> None:
        """A signal ends the training in mid-epoch; that epoch is not read, and no state pretends it was."""
        asked = []

        def should_stop() -> Outcome | None:
            asked.append(None)
            return Outcome.INTERRUPTED if len(asked) == 3 else None

        run = TrainingRun(TrainingConfig(epochs=9, batch_size=1), blobs(2000), should_stop=should_stop)
        assert [row.epoch for row in run.epochs()] == [0]
        assert run.outcome is Outcome.INTERRUPTED
        with pytest.raises(RuntimeError, match="within an epoch"):
            run.state_dict()

    def test_should_stop_is_heard_between_epochs(self) -> None:
        """A time limit that has passed ends the training before its next epoch."""
        run = finished(TrainingConfig(epochs=9), blobs(), should_stop=lambda: Outcome.OUT_OF_TIME)
        assert len(run.telemetry().epochs) == 1
        assert run.outcome is Outcome.OUT_OF_TIME

    def test_value_goes_by_the_chosen_metric(self) -> None:
        """The best epoch is that of the metric; seconds are those of the whole training."""
        run = finished(TrainingConfig(epochs=4, batch_size=16), blobs(), metric="train_loss")
        rows = run.telemetry().epochs
        assert run.best_epoch == 4
        assert run.value("train_loss") == min(row.train_loss for row in rows[1:])
        assert run.value("seconds") == pytest.approx(sum(row.seconds for row in rows))
        worst = finished(TrainingConfig(epochs=4), blobs(), metric="train_loss", direction="maximize")
        assert worst.best_epoch == 1


class TestProbes:
    def test_dead_units_are_those_that_never_fire(self) -> None:
        """A layer with 3 of 4 units biased far down has a dead fraction of 0.75."""
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        with torch.no_grad():
            model[0].bias.copy_(torch.tensor([-1e6, -1e6, -1e6, 1e6]))
        activities = probe_pass(model, watched_layers(model), torch.randn(64, 4)).activities
        assert activities["0"].dead_fraction == 0.75
        assert math.isnan(activities["2"].dead_fraction)
        assert math.isnan(activities["0"].saturated_fraction)

    @pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh])
    def test_saturated_units_are_those_at_a_bound(self, activation: Any) -> None:
        """Units driven to a bound on nearly all samples are saturated, those in the middle are not."""
        model = nn.Sequential(nn.Linear(4, 2), activation())
        with torch.no_grad():
            model[0].weight.mul_(0.01)
            model[0].bias.copy_(torch.tensor([50.0, 0.0]))
        activities = probe_pass(model, watched_layers(model), torch.randn(64, 4)).activities
        assert activities["0"].saturated_fraction == 0.5
        assert math.isnan(activities["0"].dead_fraction)

    def test_channels_are_the_units_of_a_convolution(self) -> None:
        """A convolution's unit is a channel: dead only where it is dead at every place."""
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
        with torch.no_grad():
            model[1].bias.copy_(torch.tensor([-1e6, 0.0]))
        activities = probe_pass(model, watched_layers(model), torch.randn(8, 1, 6, 6)).activities
        assert activities["0"].dead_fraction == 0.5

    @pytest.mark.parametrize("activation", ["leaky_relu", "gelu", "elu", "selu"])
    def test_activations_that_always_pass_something_are_never_dead(self, activation: Any) -> None:
        """leaky_relu, gelu, elu and selu have no dead fraction."""
        run = finished(TrainingConfig(epochs=1, activation=activation, width=8), blobs())
        assert math.isnan(run.telemetry().epochs[1].dead_fraction)

    def test_hooks_are_gone_after_the_pass(self) -> None:
        """Nothing of the probes stays on the model."""
        run = finished(TrainingConfig(epochs=1), blobs())
        assert not any(module._forward_hooks for module in run.model.modules())

    def test_update_ratio_is_how_far_a_step_moves(self) -> None:
        """For plain SGD it is lr * ||g|| / ||w||, and a frozen layer's readings are 0."""
        model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Linear(5, 3, bias=False))
        model[0].weight.requires_grad_(False)
        optimizer = optim.SGD([model[1].weight], lr=0.01)
        probe = UpdateProbe(layers=watched_layers(model))
        model(torch.randn(8, 4)).square().mean().backward()
        gradient, weight = model[1].weight.grad.norm().item(), model[1].weight.detach().norm().item()
        probe.before()
        optimizer.step()
        probe.after()
        frozen, trained = probe.readings({})
        assert trained.update_ratio == pytest.approx(0.01 * gradient / weight, rel=1e-4)
        assert trained.gradient_norm == pytest.approx(gradient, rel=1e-5)
        assert (frozen.gradient_norm, frozen.update_ratio) == (0, 0)

    def test_the_step_zero_probe_leaves_the_model_as_it_was(self) -> None:
        """Weights, running statistics and gradients are those of a model that was never probed."""
        config = TrainingConfig(epochs=0, normalization="batch", dropout=0.5)
        run = TrainingRun(config, blobs())
        before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
        next(run.epochs())
        assert all(torch.equal(before[name], tensor) for name, tensor in run.model.state_dict().items())
        assert all(parameter.grad is None for parameter in run.model.parameters())
        assert [layer.name for layer in run.step_zero.layers] == ["hidden1", "output"]
        assert run.step_zero.gradient_norm > 0

    def test_the_probe_batch_represents_sorted_data(self) -> None:
        """Evenly spaced samples of sorted data have all classes."""
        splits = split_dataset(blobs(3000), split="last")
        order = splits.train_y.argsort(stable=True)
        ordered = dataclasses.replace(splits, train_y=splits.train_y[order], train_x=splits.train_x[order])
        x, y = probe_batch(ordered)
        assert len(x) == 512
        assert torch.bincount(y).min() > 150

    @pytest.mark.parametrize(
        ("n_steps", "steps"), [(1, {0}), (2, {0, 1}), (3, {0, 1, 2}), (600, {100, 300, 500})]
    )
    def test_probed_steps_are_spread(self, n_steps: int, steps: set[int]) -> None:
        """Three steps in the middles of the thirds; fewer where an epoch has fewer."""
        assert probed_steps(n_steps) == steps
