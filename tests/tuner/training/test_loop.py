"""What a training computes: against its obvious twin, from data order, schedule and seeds, for every kind of task."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim

from search_spaces.errors import ConfigurationError
from studies.records import Outcome
from tests.problems import N_CLASSES, blobs, images, line, linear_model, no_model
from tests.tuner.training.finished_runs import finished, losses_of
from tests.tuner.training.loop_reference import calibration_error_slowly, train_slowly
from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import split_dataset
from tuner.training.evaluation import evaluate
from tuner.training.loop import TrainingRun
from tuner.training.one_epoch import minibatch_sizes
from tuner.training.reproducibility import data_order


class TestAgainstTheReference:
    @pytest.mark.parametrize(
        ("keys", "optimizer_of"),
        [
            ({}, lambda p: optim.SGD(p, lr=0.1)),
            (
                {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
                lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            ),
            (
                {"optimizer": "adam", "learning_rate": 0.01, "beta1": 0.8},
                lambda p: optim.Adam(p, lr=0.01, betas=(0.8, 0.999)),
            ),
            (
                {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
                lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
            ),
            (
                {"optimizer": "rmsprop", "learning_rate": 0.001, "alpha": 0.9, "epsilon": 1e-6},
                lambda p: optim.RMSprop(p, lr=0.001, alpha=0.9, eps=1e-6),
            ),
            ({"clip_norm": 1.0}, lambda p: optim.SGD(p, lr=0.1)),
            ({"label_smoothing": 0.1}, lambda p: optim.SGD(p, lr=0.1)),
        ],
        ids=["sgd", "nesterov", "adam", "adamw", "rmsprop", "clipped", "smoothed"],
    )
    @pytest.mark.parametrize("make_data", [blobs, images])
    def test_every_step_is_the_blackboards(
        self,
        keys: dict[str, Any],
        optimizer_of: Callable[..., optim.Optimizer],
        make_data: Callable[[], Dataset],
    ) -> None:
        """Losses and gradient norms of every step are those of a plain loop, for each optimizer."""
        config = TrainingConfig(epochs=3, batch_size=7, width=16, **keys)
        splits = split_dataset(make_data())
        run = finished(config, splits)
        losses, norms, model = train_slowly(config, splits, optimizer_of)
        np.testing.assert_allclose(losses_of(run), losses, rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(run.telemetry().step_series("gradient_norm"), norms, rtol=1e-4, atol=1e-6)
        for mine, theirs in zip(run.model.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)

    def test_calibration_error_is_the_one_counted_by_hand(self) -> None:
        """ECE over 15 bins equals the count sample by sample, and accuracy and loss are what torch says."""
        data = blobs(spread=1.5)
        model = linear_model(None, (4,), N_CLASSES)
        result = evaluate(model, nn.Identity(), data.x_train, data.y_train, kind="classification")
        logits = model(data.x_train).detach()
        probabilities = logits.double().softmax(1).tolist()
        expected = calibration_error_slowly(probabilities, data.y_train.tolist())
        assert result.calibration_error == pytest.approx(expected, abs=1e-6)
        assert result.loss == pytest.approx(float(nn.functional.cross_entropy(logits, data.y_train)))
        assert result.accuracy == pytest.approx(float((logits.argmax(1) == data.y_train).float().mean()))

    def test_a_prediction_that_is_not_finite_is_wrong(self) -> None:
        """NaN logits count as no hit, although their argmax is class 0."""
        model = linear_model(None, (4,), N_CLASSES)
        nn.init.constant_(model[1].weight, torch.nan)
        result = evaluate(
            model, nn.Identity(), torch.zeros(5, 4), torch.zeros(5).long(), kind="classification"
        )
        assert result.accuracy == 0
        assert math.isnan(result.loss)


class TestDataOrder:
    def test_it_depends_on_seed_and_epoch_only(self) -> None:
        """The same seed and epoch give the same permutation; another of either gives another."""
        orders = [data_order(50, seed=seed, epoch=epoch) for seed, epoch in ((1, 1), (1, 1), (1, 2), (2, 1))]
        assert torch.equal(orders[0], orders[1])
        assert len({tuple(order.tolist()) for order in orders}) == 3
        assert all(sorted(order.tolist()) == list(range(50)) for order in orders)

    def test_order_seed_frees_the_order_from_the_weights(self) -> None:
        """Two seeds with one order_seed start from other weights, and see the data in one order."""
        seen = {}

        def recording(config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
            model = linear_model(config, input_shape, n_outputs)
            inputs = seen.setdefault(config.seed, [])
            model.register_forward_pre_hook(
                lambda module, args: inputs.append(args[0].clone()) if module.training else None
            )
            return model

        splits = split_dataset(blobs())
        for seed in (1, 2):
            finished(TrainingConfig(epochs=1, seed=seed, order_seed=5), splits, model=recording)
        assert all(torch.equal(a, b) for a, b in zip(seen[1], seen[2], strict=True))

    @pytest.mark.parametrize(
        ("n", "size", "sizes"),
        [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (9, 4, [4, 5]), (1, 4, [1]), (3, 1, [1, 1, 1]), (2, 1, [1, 1])],
    )
    def test_minibatches_take_every_sample(self, n: int, size: int, sizes: list[int]) -> None:
        """The last minibatch is smaller; a single left-over sample joins the one before."""
        assert minibatch_sizes(n, size) == sizes

    def test_accumulated_minibatches_equal_a_big_one(self) -> None:
        """Four minibatches of 10 in one step train as one of 40, uneven rest included."""
        big = finished(TrainingConfig(epochs=3, batch_size=40), blobs())
        small = finished(TrainingConfig(epochs=3, batch_size=10, accumulation_steps=4), blobs())
        np.testing.assert_allclose(losses_of(small), losses_of(big), rtol=1e-4, atol=1e-6)
        assert len(small.last_steps) == 3

    def test_full_batch_is_one_step_an_epoch(self) -> None:
        """batch_size=full takes all training samples at once."""
        run = finished(TrainingConfig(epochs=2, batch_size="full"), blobs())
        assert len(run.last_steps) == 1


class TestSchedules:
    @pytest.mark.parametrize(
        "schedule",
        ["step", "multistep", "exponential", "cosine", "one_cycle", "linear", "restarts", "plateau"],
    )
    def test_a_pruned_training_follows_the_whole_ones_curve(self, schedule: str) -> None:
        """Lengths are of the planned training: ended after 2 of 6 epochs, it had the rates of the whole one."""
        config = TrainingConfig(
            epochs=6, batch_size=16, schedule=schedule, warmup_fraction=0.1, plateau_patience=0
        )
        whole = finished(config, blobs())
        pruned = TrainingRun(config, blobs())
        for row in pruned.epochs():
            if row.epoch == 2:
                pruned.stop(Outcome.PRUNED)
        rates = pruned.telemetry().step_series("learning_rate")
        assert len(rates) == 12
        np.testing.assert_array_equal(rates, whole.telemetry().step_series("learning_rate")[:12])


class TestReproducibility:
    def test_same_config_same_numbers(self) -> None:
        """Two runs of one config agree to the bit, dropout and all; another seed does not."""
        config = TrainingConfig(epochs=2, batch_size=16, dropout=0.5)
        first, second = finished(config, blobs()), finished(config, blobs())
        other = finished(dataclasses.replace(config, seed=1), blobs())
        np.testing.assert_array_equal(losses_of(first), losses_of(second))
        assert not np.array_equal(losses_of(first), losses_of(other))

    def test_the_callers_random_state_is_untouched(self) -> None:
        """The caller's generator is where it was after each epoch, and drawing from it disturbs nothing."""
        config = TrainingConfig(epochs=3, batch_size=16, dropout=0.5)
        undisturbed = losses_of(finished(config, blobs()))
        torch.manual_seed(123)
        before = torch.get_rng_state()
        run = TrainingRun(config, blobs())
        assert torch.equal(torch.get_rng_state(), before)
        for _ in run.epochs():
            assert torch.equal(torch.get_rng_state(), before)
            torch.rand(3)
            before = torch.get_rng_state()
        np.testing.assert_array_equal(losses_of(run), undisturbed)


class TestTasks:
    def test_a_regression_reaches_its_line(self) -> None:
        """A linear model finds y = 2 x0 - x1; what needs classes is NaN, and the loss decides."""
        run = finished(
            TrainingConfig(epochs=60, batch_size=8, learning_rate=0.05), line(), model=linear_model
        )
        last = run.telemetry().epochs[-1]
        assert last.validation_loss < 1e-4
        assert math.isnan(last.train_accuracy)
        assert math.isnan(last.calibration_error)
        assert run.metric == "validation_loss"
        assert math.isnan(run.step_zero.expected_loss)
        assert run.data_probe.train_class_counts == ()
        weight = run.model[1].weight.detach().flatten().tolist()
        assert weight == pytest.approx([2, -1], abs=0.02)

    def test_a_regression_has_no_accuracy(self) -> None:
        """Asking for accuracy on a regression is an error that says what to take."""
        with pytest.raises(ConfigurationError, match="needs classes, but line is a regression"):
            TrainingRun(TrainingConfig(), line(), metric="validation_accuracy")

    def test_own_models_come_by_name_or_as_they_are(self) -> None:
        """module:function and the function itself train alike."""
        by_name = finished(TrainingConfig(epochs=1, model="tests.problems:linear_model"), blobs())
        direct = finished(TrainingConfig(epochs=1), blobs(), model=linear_model)
        np.testing.assert_array_equal(losses_of(by_name), losses_of(direct))

    def test_a_model_that_does_not_fit_is_refused(self) -> None:
        """No module, no parameters, or another shape of output: one sentence each."""
        with pytest.raises(ConfigurationError, match=r"returns a torch\.nn\.Module"):
            TrainingRun(TrainingConfig(model="tests.problems:no_model"), blobs())
        assert no_model(None, (), 0) == "linear"
        with pytest.raises(ConfigurationError, match="needs parameters to train"):
            TrainingRun(TrainingConfig(), blobs(), model=lambda *_: nn.Flatten())
        with pytest.raises(ConfigurationError, match=r"shape \[2, 3\], but it returned \[2, 7\]"):
            TrainingRun(TrainingConfig(), blobs(), model=lambda *_: nn.Linear(4, 7))

    def test_lazy_modules_get_their_shapes(self) -> None:
        """A LazyLinear is shaped before the optimizer asks for its parameters."""
        run = finished(
            TrainingConfig(epochs=3, batch_size=8), blobs(), model=lambda *_: nn.LazyLinear(N_CLASSES)
        )
        assert run.value("validation_accuracy") == 1

    def test_batch_normalization_survives_a_single_left_over(self) -> None:
        """97 samples in minibatches of 8 leave one over, on which batch normalization cannot train."""
        config = TrainingConfig(epochs=1, batch_size=8, normalization="batch", validation_fraction=0.2)
        run = finished(config, blobs(121))
        assert len(run.splits.train_x) == 97
        assert run.outcome is Outcome.COMPLETED

    def test_evaluate_knows_the_parts_there_are(self) -> None:
        """The test part is evaluated where there is one, and refused where there is none."""
        run = finished(TrainingConfig(epochs=5, batch_size=16), blobs(n_test=9))
        assert run.evaluate("test").accuracy == 1
        with pytest.raises(
            ConfigurationError, match="split must be one of train, validation, but got 'test'"
        ):
            TrainingRun(TrainingConfig(), blobs()).evaluate("test")
