"""The lists of the third transfer set: fixed before any rule was tried on it, and no rule is tuned on its outcome.

Strengths were chosen by the harm they do with seed 7, sound recipes by their test accuracy with it (rates of the
families also with 8, in part), without a look at any finding.
"""

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.diagnosis.transfer.third_recipe import Recipe
from studies.diagnosis import CauseName

INTERVALS = Recipe(task="intervals", network="perceptron", learning_rate=2e-2, depth=3, epochs=20)
MOONS = Recipe(task="moons", network="perceptron", learning_rate=1.5e-2, dropout=0.1, width=32, epochs=20)
CLUSTERS = Recipe(task="clusters", network="residual", learning_rate=6e-3, dropout=0.2, epochs=10)
SIZES = Recipe(task="sizes", network="residual", learning_rate=4e-3, dropout=0.2, epochs=12)
LSTM = Recipe(task="symbols", network="lstm", depth=1, learning_rate=2e-2, epochs=10)
DILATED = Recipe(task="symbols", network="dilated", depth=3, width=24, learning_rate=8e-3, epochs=5)
SHAPES = Recipe(task="shapes", network="grouped", depth=3, width=16, learning_rate=1e-2, epochs=10)
BAGS = Recipe(task="bags", network="pooled", learning_rate=2e-2, epochs=25)

HEALTHY: Mapping[str, Recipe] = {
    # one recipe of each family is the healthy twin of its faults
    **{each.family: each for each in (INTERVALS, MOONS, CLUSTERS, SIZES, LSTM, DILATED, SHAPES, BAGS)},
    # loops
    "intervals, perceptron, manual": replace(INTERVALS, loop="manual"),
    "intervals, perceptron, telling": replace(INTERVALS, loop="telling"),
    "moons, perceptron, per epoch": replace(MOONS, loop="per_epoch"),
    "moons, perceptron, manual": replace(MOONS, loop="manual"),
    "clusters, residual, telling": replace(CLUSTERS, loop="telling"),
    "clusters, residual, per epoch": replace(CLUSTERS, loop="per_epoch"),
    "sizes, residual, manual": replace(SIZES, loop="manual"),
    "symbols, lstm, telling": replace(LSTM, loop="telling"),
    "symbols, dilated, manual": replace(DILATED, loop="manual"),
    "shapes, grouped, per epoch": replace(SHAPES, loop="per_epoch"),
    "shapes, grouped, telling": replace(SHAPES, loop="telling"),
    "bags, pooled, manual": replace(BAGS, loop="manual"),
    # schedules
    "intervals, perceptron, linear": replace(INTERVALS, schedule="linear"),
    "moons, perceptron, constant": replace(MOONS, schedule="constant", learning_rate=8e-3),
    "moons, perceptron, warmup": replace(MOONS, warmup_fraction=0.15),
    "clusters, residual, exponential": replace(CLUSTERS, schedule="exponential", learning_rate=1e-2),
    "clusters, residual, constant": replace(CLUSTERS, schedule="constant", learning_rate=3e-3),
    "sizes, residual, linear with warmup": replace(SIZES, schedule="linear", warmup_fraction=0.1),
    "sizes, residual, exponential": replace(SIZES, schedule="exponential", learning_rate=8e-3),
    "symbols, lstm, warmup": replace(LSTM, warmup_fraction=0.1, epochs=12),
    "symbols, dilated, constant": replace(DILATED, schedule="constant", learning_rate=5e-3),
    "shapes, grouped, linear": replace(SHAPES, schedule="linear"),
    "bags, pooled, linear": replace(BAGS, schedule="linear"),
    # optimizers
    "intervals, perceptron, adam": replace(INTERVALS, optimizer="adam"),
    "moons, perceptron, adam": replace(MOONS, optimizer="adam"),
    "clusters, residual, sgd": replace(CLUSTERS, optimizer="sgd", learning_rate=0.1, weight_decay=1e-3),
    "sizes, residual, sgd": replace(SIZES, optimizer="sgd", learning_rate=0.1, weight_decay=1e-3),
    "sizes, residual, rmsprop": replace(SIZES, optimizer="rmsprop", learning_rate=3e-3, weight_decay=0.0),
    "symbols, lstm, adam": replace(LSTM, optimizer="adam"),
    "symbols, dilated, adam": replace(DILATED, optimizer="adam"),
    "shapes, grouped, sgd": replace(SHAPES, optimizer="sgd", learning_rate=0.1, weight_decay=5e-4),
    "bags, pooled, adam": replace(BAGS, optimizer="adam"),
    # batches and length
    "moons, perceptron, batch 25": replace(MOONS, batch_size=25, learning_rate=1.2e-2, epochs=18),
    "clusters, residual, batch 200": replace(CLUSTERS, batch_size=200, learning_rate=1.5e-2, epochs=15),
    "sizes, residual, batch 25": replace(SIZES, batch_size=25, learning_rate=2e-3, epochs=8),
    "sizes, residual, 25 epochs": replace(SIZES, epochs=25),
    "shapes, grouped, batch 24": replace(SHAPES, batch_size=24, learning_rate=5e-3, epochs=6),
    "symbols, dilated, 10 epochs": replace(DILATED, epochs=10),
    # regularization, widths, depths, activations
    "intervals, perceptron, relu": replace(INTERVALS, activation="relu", learning_rate=1e-2),
    "intervals, perceptron, label smoothing": replace(INTERVALS, label_smoothing=0.05),
    "moons, perceptron, no dropout": replace(MOONS, dropout=0.0),
    "clusters, residual, label smoothing": replace(CLUSTERS, label_smoothing=0.1),
    "clusters, residual, clipped": replace(CLUSTERS, clip_norm=2.0),
    "sizes, residual, three blocks": replace(SIZES, depth=3, learning_rate=3e-3),
    "symbols, lstm, clipped": replace(LSTM, clip_norm=1.0),
    "symbols, lstm, wide": replace(LSTM, width=64),
    "symbols, dilated, dropout": replace(DILATED, dropout=0.2, epochs=7),
    "shapes, grouped, relu": replace(SHAPES, activation="relu"),
    "shapes, grouped, label smoothing": replace(SHAPES, label_smoothing=0.1),
    "bags, pooled, relu": replace(BAGS, activation="relu"),
    "bags, pooled, clipped": replace(BAGS, clip_norm=2.0),
}
"""Sound trainings."""

FAULTY: Mapping[CauseName, tuple[Recipe, Recipe]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (
        replace(SIZES, optimizer="rmsprop", learning_rate=0.3, weight_decay=0.0, schedule="constant"),
        replace(LSTM, learning_rate=1.0, schedule="constant"),
    ),
    CauseName.LEARNING_RATE_TOO_LOW: (
        replace(SHAPES, learning_rate=5e-4),
        replace(CLUSTERS, learning_rate=6e-5),
    ),
    CauseName.MOMENTUM_TOO_HIGH: (
        replace(MOONS, optimizer="sgd", learning_rate=0.2, momentum=0.998, weight_decay=0.0),
        replace(SIZES, optimizer="sgd", learning_rate=0.1, momentum=0.999, weight_decay=0.0),
    ),
    CauseName.BATCH_TOO_LARGE: (
        replace(SHAPES, batch_size=600),
        replace(CLUSTERS, batch_size=2000),
    ),
    CauseName.TOO_FEW_EPOCHS: (
        replace(BAGS, epochs=4, schedule="constant", learning_rate=1e-2),
        replace(DILATED, epochs=1, schedule="constant", learning_rate=5e-3),
    ),
    CauseName.PREMATURE_DECAY: (
        replace(BAGS, schedule="constant", decay=0.5),
        replace(SHAPES, schedule="constant", decay=0.1),
    ),
    CauseName.WARMUP_TOO_LONG: (
        replace(LSTM, warmup_fraction=0.95, epochs=4),
        replace(SHAPES, warmup_fraction=0.98, epochs=3, schedule="constant"),
    ),
    CauseName.CLIPPING_TOO_TIGHT: (
        replace(SIZES, optimizer="sgd", learning_rate=0.1, weight_decay=0.0, clip_norm=0.02),
        replace(SHAPES, optimizer="sgd", learning_rate=0.1, weight_decay=0.0, clip_norm=3e-3),
    ),
    CauseName.OVERFITTING: (
        replace(CLUSTERS, n_train=400, dropout=0.0, weight_decay=0.0, epochs=40),
        replace(SHAPES, n_train=100, epochs=60, weight_decay=0.0),
    ),
    CauseName.OVER_REGULARIZED: (
        replace(MOONS, dropout=0.7),
        replace(SIZES, optimizer="sgd", learning_rate=0.1, weight_decay=0.1),
    ),
    CauseName.UNDERCAPACITY: (
        replace(BAGS, width=2, depth=1),
        replace(MOONS, width=1, depth=1, dropout=0.0),
    ),
    CauseName.LABEL_NOISE: (
        replace(CLUSTERS, fault="neighboring_labels", strength=0.3),
        replace(MOONS, fault="neighboring_labels", strength=0.4),
    ),
    CauseName.DOUBLE_SOFTMAX: (
        replace(CLUSTERS, fault="softmax", optimizer="sgd", learning_rate=0.03, weight_decay=1e-3),
        replace(SHAPES, fault="softmax", optimizer="sgd", learning_rate=0.05, weight_decay=5e-4),
    ),
    CauseName.STALE_GRADIENTS: (
        replace(SHAPES, fault="rare_zero_grad", strength=10),
        replace(CLUSTERS, fault="rare_zero_grad", strength=1e9),
    ),
    CauseName.FROZEN_LAYERS: (
        replace(BAGS, fault="frozen", strength=6),
        replace(SHAPES, fault="frozen", strength=9),
    ),
    CauseName.EVALUATION_MODE_BUG: (
        replace(CLUSTERS, dropout=0.5, fault="train_mode_evaluation"),
        replace(MOONS, dropout=0.5, fault="train_mode_evaluation"),
    ),
    CauseName.UNSHUFFLED_DATA: (
        replace(SHAPES, fault="sorted", strength=0.9),
        replace(CLUSTERS, fault="sorted", strength=1.0),
    ),
    CauseName.NON_FINITE_DATA: (
        replace(SIZES, fault="missing_values", strength=1),
        replace(LSTM, fault="missing_values", strength=30),
    ),
    CauseName.UNNORMALIZED_INPUT: (
        replace(MOONS, fault="raw_features", strength=2.5),
        replace(INTERVALS, fault="raw_features", strength=4.0),
    ),
    CauseName.BAD_INITIALIZATION: (
        replace(BAGS, fault="large_weights", strength=12.0),
        replace(INTERVALS, fault="tiny_weights", strength=0.0),
    ),
    CauseName.VANISHING_GRADIENTS: (
        replace(INTERVALS, activation="sigmoid", depth=5),
        replace(MOONS, activation="sigmoid", depth=9),
    ),
    CauseName.DYING_RELU: (
        replace(MOONS, activation="relu", fault="negative_biases", strength=3.0),
        replace(INTERVALS, activation="relu", fault="negative_biases", strength=6.0),
    ),
    CauseName.TARGET_LEAKAGE: (
        replace(CLUSTERS, fault="telling_feature", strength=0.8),
        replace(MOONS, fault="telling_feature", strength=1.0),
    ),
    CauseName.TRAIN_VALIDATION_OVERLAP: (
        replace(CLUSTERS, fault="overlapping", strength=0.5, n_train=400, epochs=40, dropout=0.0),
        replace(SIZES, fault="overlapping", strength=1.0, n_train=100, epochs=30),
    ),
    CauseName.CLASS_IMBALANCE: (
        replace(CLUSTERS, fault="imbalanced", strength=0.05),
        replace(SHAPES, fault="imbalanced", strength=0.02),
    ),
    CauseName.UNSTRATIFIED_SPLIT: (
        replace(SHAPES, fault="missing_classes", strength=1),
        replace(CLUSTERS, fault="missing_classes", strength=2),
    ),
    CauseName.AUGMENTATION_DRIFT: (
        replace(CLUSTERS, fault="dimmed", strength=0.7),
        replace(SHAPES, fault="dimmed", strength=2.0),
    ),
}
"""What is planted: mild, then strong."""
