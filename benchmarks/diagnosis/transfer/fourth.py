"""The lists of the fourth transfer set: fixed before any rule was tried on it, and no rule is tuned on its outcome.

Strengths were chosen by the harm they do with seed 7, sound recipes in part by their test accuracy with it, without a
look at any finding.
"""

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.diagnosis.transfer.fourth_recipe import Recipe
from studies.diagnosis import CauseName

SWEEPS = Recipe(task="sweeps", network="strided", depth=3, width=16, learning_rate=1.2e-2)
GRATINGS = Recipe(task="gratings", network="separable", width=12, learning_rate=1.5e-2, epochs=8)
TOPICS = Recipe(task="topics", network="embedding", learning_rate=1.5e-2, epochs=10, dropout=0.3)
GATES = Recipe(task="gates", network="gated", learning_rate=2e-2, epochs=15)
SHELLS = Recipe(task="shells", network="normalized", activation="tanh", learning_rate=1.2e-2, epochs=25)
RELATIONS = Recipe(task="relations", network="paired", learning_rate=7e-3)
WALKS = Recipe(task="walks", network="recurrent", depth=1, learning_rate=4e-2, epochs=15)
TRANSFORMER = Recipe(
    task="remainders",
    network="transformer",
    depth=1,
    learning_rate=1e-2,
    epochs=20,
    warmup_fraction=0.1,
    dropout=0.1,
)
DENSE = Recipe(task="remainders", network="dense", learning_rate=1e-2, epochs=15, dropout=0.2)

HEALTHY: Mapping[str, Recipe] = {
    # one recipe of each family is the healthy twin of its faults
    **{
        each.family: each
        for each in (SWEEPS, GRATINGS, TOPICS, GATES, SHELLS, RELATIONS, WALKS, TRANSFORMER, DENSE)
    },
    # loops
    "sweeps, strided, by steps": replace(SWEEPS, loop="by_steps"),
    "sweeps, strided, telling": replace(SWEEPS, loop="telling"),
    "gratings, separable, accumulating": replace(GRATINGS, loop="accumulating"),
    "topics, embedding, telling": replace(TOPICS, loop="telling"),
    "topics, embedding, by steps": replace(TOPICS, loop="by_steps"),
    "gates, gated, accumulating": replace(GATES, loop="accumulating"),
    "gates, gated, by steps": replace(GATES, loop="by_steps"),
    "shells, normalized, telling": replace(SHELLS, loop="telling"),
    "shells, normalized, accumulating": replace(SHELLS, loop="accumulating"),
    "relations, paired, accumulating": replace(RELATIONS, loop="accumulating"),
    "relations, paired, telling": replace(RELATIONS, loop="telling"),
    "walks, recurrent, by steps": replace(WALKS, loop="by_steps"),
    "remainders, dense, telling": replace(DENSE, loop="telling"),
    # schedules
    "sweeps, strided, one cycle": replace(SWEEPS, schedule="one_cycle"),
    "sweeps, strided, constant": replace(SWEEPS, schedule="constant", learning_rate=4e-3),
    "gratings, separable, linear": replace(GRATINGS, schedule="linear"),
    "topics, embedding, constant": replace(TOPICS, schedule="constant", learning_rate=1e-2),
    "gates, gated, one cycle": replace(GATES, schedule="one_cycle"),
    "gates, gated, drops": replace(GATES, schedule="drops"),
    "shells, normalized, linear": replace(SHELLS, schedule="linear"),
    "relations, paired, one cycle": replace(RELATIONS, schedule="one_cycle", learning_rate=1e-2),
    "relations, paired, a little decay": replace(RELATIONS, schedule="constant", decay=0.85),
    "walks, recurrent, one cycle": replace(WALKS, schedule="one_cycle"),
    "remainders, transformer, linear": replace(TRANSFORMER, schedule="linear"),
    "remainders, dense, drops": replace(DENSE, schedule="drops"),
    # optimizers
    "sweeps, strided, nadam": replace(SWEEPS, optimizer="nadam", learning_rate=6e-3, weight_decay=0.0),
    "gratings, separable, nesterov": replace(
        GRATINGS, optimizer="nesterov", learning_rate=0.1, weight_decay=5e-4
    ),
    "topics, embedding, adam": replace(TOPICS, optimizer="adam"),
    "gates, gated, nadam": replace(GATES, optimizer="nadam", weight_decay=0.0),
    "shells, normalized, nesterov": replace(
        SHELLS, optimizer="nesterov", learning_rate=0.15, weight_decay=1e-4
    ),
    "shells, normalized, adam": replace(SHELLS, optimizer="adam"),
    "relations, paired, rmsprop": replace(
        RELATIONS, optimizer="rmsprop", learning_rate=4e-3, weight_decay=0.0
    ),
    "walks, recurrent, adam": replace(WALKS, optimizer="adam"),
    "remainders, dense, sgd": replace(DENSE, optimizer="sgd", learning_rate=0.1, weight_decay=1e-3),
    # batches and length; small batches are noisy, and short ones rise for an epoch now and then
    "sweeps, strided, batch 20": replace(SWEEPS, batch_size=20, learning_rate=5e-3, epochs=8),
    "gratings, separable, batch 20": replace(GRATINGS, batch_size=20, learning_rate=8e-3, epochs=5),
    "topics, embedding, batch 16": replace(TOPICS, batch_size=16, learning_rate=5e-3, epochs=8),
    "gates, gated, batch 160": replace(GATES, batch_size=160, learning_rate=3e-2, epochs=20),
    "relations, paired, batch 20": replace(RELATIONS, batch_size=20, learning_rate=4e-3, epochs=8),
    "remainders, dense, batch 16": replace(DENSE, batch_size=16, learning_rate=5e-3, epochs=10),
    "shells, normalized, 40 epochs": replace(SHELLS, epochs=40),
    # regularization, widths, depths, activations
    "sweeps, strided, relu": replace(SWEEPS, activation="relu", learning_rate=6e-3),
    "sweeps, strided, clipped": replace(SWEEPS, clip_norm=1.0),
    "gratings, separable, label smoothing": replace(GRATINGS, label_smoothing=0.1),
    "gratings, separable, relu": replace(GRATINGS, activation="relu"),
    "topics, embedding, much dropout": replace(TOPICS, dropout=0.5, epochs=12),
    "topics, embedding, relu": replace(TOPICS, activation="relu"),
    "gates, gated, label smoothing": replace(GATES, label_smoothing=0.05),
    "gates, gated, one block": replace(GATES, depth=1),
    "shells, normalized, wide": replace(SHELLS, width=64, learning_rate=8e-3),
    "relations, paired, relu": replace(RELATIONS, activation="relu"),
    "relations, paired, clipped": replace(RELATIONS, clip_norm=2.0),
    "walks, recurrent, clipped": replace(WALKS, clip_norm=1.0),
    "remainders, dense, three layers": replace(DENSE, depth=3),
    "remainders, dense, label smoothing": replace(DENSE, label_smoothing=0.1),
}
"""Sound trainings."""

FAULTY: Mapping[CauseName, tuple[Recipe, Recipe]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (
        replace(GATES, learning_rate=0.3, schedule="constant"),
        replace(WALKS, learning_rate=1.5, schedule="constant"),
    ),
    CauseName.LEARNING_RATE_TOO_LOW: (
        replace(TOPICS, learning_rate=4e-4),
        replace(SWEEPS, learning_rate=5e-4),
    ),
    CauseName.MOMENTUM_TOO_HIGH: (
        replace(RELATIONS, optimizer="sgd", learning_rate=0.02, momentum=0.998, weight_decay=0.0),
        replace(SHELLS, optimizer="sgd", learning_rate=0.1, momentum=0.999, weight_decay=0.0),
    ),
    CauseName.BATCH_TOO_LARGE: (
        replace(TOPICS, batch_size=1000),
        replace(SHELLS, batch_size=2000),
    ),
    CauseName.TOO_FEW_EPOCHS: (
        replace(SHELLS, epochs=4, schedule="constant", learning_rate=6e-3),
        replace(SWEEPS, epochs=3, schedule="constant", learning_rate=4e-3),
    ),
    CauseName.PREMATURE_DECAY: (
        replace(SHELLS, schedule="constant", decay=0.4),
        replace(SWEEPS, schedule="constant", decay=0.3),
    ),
    CauseName.WARMUP_TOO_LONG: (
        replace(GATES, warmup_fraction=0.95, epochs=3),
        replace(TOPICS, warmup_fraction=0.98, epochs=2, schedule="constant"),
    ),
    CauseName.CLIPPING_TOO_TIGHT: (
        replace(SHELLS, optimizer="sgd", learning_rate=0.1, weight_decay=0.0, clip_norm=0.03),
        replace(DENSE, optimizer="sgd", learning_rate=0.1, weight_decay=0.0, clip_norm=2e-3),
    ),
    CauseName.OVERFITTING: (
        replace(GATES, n_train=400, epochs=60, weight_decay=0.0),
        replace(TOPICS, n_train=200, epochs=60, dropout=0.0, weight_decay=0.0),
    ),
    CauseName.OVER_REGULARIZED: (
        replace(SHELLS, optimizer="nesterov", learning_rate=0.15, weight_decay=0.03),
        replace(GRATINGS, optimizer="sgd", learning_rate=0.1, weight_decay=0.15),
    ),
    CauseName.UNDERCAPACITY: (
        replace(SHELLS, width=4, depth=1),
        replace(TOPICS, width=1, dropout=0.0),
    ),
    CauseName.LABEL_NOISE: (
        replace(RELATIONS, fault="shuffled_labels", strength=0.35),
        replace(DENSE, fault="shuffled_labels", strength=0.6),
    ),
    CauseName.DOUBLE_SOFTMAX: (
        replace(SHELLS, fault="softmax", optimizer="sgd", learning_rate=0.05, weight_decay=1e-4),
        replace(GATES, fault="softmax", optimizer="sgd", learning_rate=0.02, weight_decay=1e-4),
    ),
    CauseName.STALE_GRADIENTS: (
        replace(GATES, fault="rare_zero_grad", strength=15),
        replace(RELATIONS, fault="rare_zero_grad", strength=1e9),
    ),
    CauseName.FROZEN_LAYERS: (
        replace(SHELLS, fault="frozen", strength=6),
        replace(GRATINGS, fault="frozen", strength=11),
    ),
    CauseName.EVALUATION_MODE_BUG: (
        replace(DENSE, dropout=0.7, fault="train_mode_evaluation"),
        replace(RELATIONS, dropout=0.6, fault="train_mode_evaluation"),
    ),
    CauseName.UNSHUFFLED_DATA: (
        replace(RELATIONS, fault="sorted", strength=0.9),
        replace(SWEEPS, fault="sorted", strength=1.0),
    ),
    CauseName.NON_FINITE_DATA: (
        replace(GATES, fault="log_of_zero", strength=1),
        replace(GRATINGS, fault="log_of_zero", strength=40),
    ),
    CauseName.UNNORMALIZED_INPUT: (
        replace(SHELLS, fault="raw_units", strength=100.0),
        replace(WALKS, fault="raw_units", strength=1000.0),
    ),
    CauseName.BAD_INITIALIZATION: (
        replace(SHELLS, fault="scaled_weights", strength=15.0),
        replace(RELATIONS, fault="positive_weights", strength=1.0),
    ),
    CauseName.VANISHING_GRADIENTS: (
        replace(SWEEPS, activation="sigmoid", depth=4),
        replace(SWEEPS, activation="sigmoid", depth=5),
    ),
    CauseName.DYING_RELU: (
        replace(RELATIONS, activation="relu", fault="negative_biases", strength=4.0),
        replace(TOPICS, activation="relu", fault="negative_biases", strength=4.0),
    ),
    CauseName.TARGET_LEAKAGE: (
        replace(GATES, fault="told", strength=0.8),
        replace(SHELLS, fault="told", strength=1.0),
    ),
    CauseName.TRAIN_VALIDATION_OVERLAP: (
        replace(TOPICS, fault="overlapping", strength=0.6, n_train=400, epochs=40, dropout=0.0),
        replace(RELATIONS, fault="overlapping", strength=1.0, n_train=300, epochs=50),
    ),
    CauseName.CLASS_IMBALANCE: (
        replace(SHELLS, fault="imbalanced", strength=0.04),
        replace(TOPICS, fault="imbalanced", strength=0.02),
    ),
    CauseName.UNSTRATIFIED_SPLIT: (
        replace(GRATINGS, fault="missing_classes", strength=1),
        replace(WALKS, fault="missing_classes", strength=2),
    ),
    CauseName.AUGMENTATION_DRIFT: (
        replace(GATES, fault="wiped", strength=0.5),
        replace(SWEEPS, fault="wiped", strength=0.8),
    ),
}
"""What is planted: mild, then strong."""
