"""The lists of the second transfer set: fixed before any rule was tried on it, and no rule is tuned on its outcome.

Strengths were chosen by the harm they do, with seeds 7 and 8 and without a look at any finding.
"""

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.diagnosis.transfer.second_recipe import Recipe
from studies.diagnosis import CauseName

GRU = Recipe(task="waves", network="gru", width=32, learning_rate=1e-2, epochs=12)
CONVOLUTION = Recipe(task="waves", network="convolution", width=24, learning_rate=4e-3, epochs=6)
BOARD = Recipe(task="board", network="normalized", depth=3, learning_rate=6e-3, epochs=15)
WORDS = Recipe(
    task="words", network="perceptron", activation="relu", learning_rate=4e-3, dropout=0.3, epochs=8
)
RANGES = Recipe(task="ranges", network="normalized", learning_rate=5e-3, epochs=15)
PLAIN = Recipe(task="ranges", network="perceptron", activation="silu", learning_rate=8e-3, epochs=15)
ATTENTION = Recipe(task="digits", network="attention", width=32, learning_rate=4e-3, epochs=15, dropout=0.1)
MIXER = Recipe(task="digits", network="mixer", width=32, learning_rate=4e-3, epochs=15, dropout=0.1)

HEALTHY: Mapping[str, Recipe] = {
    # one recipe of each family is the healthy twin of its faults
    "waves, gru": GRU,
    "waves, convolution": CONVOLUTION,
    "board, normalized": BOARD,
    "words, perceptron": WORDS,
    "ranges, normalized": RANGES,
    "ranges, perceptron": PLAIN,
    "digits, attention": ATTENTION,
    "digits, mixer": MIXER,
    # loops
    "waves, gru, late zero_grad": replace(GRU, loop="late_zero"),
    "waves, convolution, accumulating": replace(CONVOLUTION, loop="accumulating"),
    "waves, convolution, train data alone": replace(CONVOLUTION, loop="train_only"),
    "board, accumulating": replace(BOARD, loop="accumulating"),
    "board, telling": replace(BOARD, loop="telling"),
    "words, late zero_grad": replace(WORDS, loop="late_zero"),
    "words, train data alone": replace(WORDS, loop="train_only"),
    "words, telling": replace(WORDS, loop="telling"),
    "ranges, accumulating": replace(RANGES, loop="accumulating"),
    "ranges, train data alone": replace(RANGES, loop="train_only"),
    "digits, attention, telling": replace(ATTENTION, loop="telling"),
    "digits, mixer, accumulating": replace(MIXER, loop="accumulating", learning_rate=5e-3),
    # schedules
    "waves, gru, one cycle": replace(GRU, schedule="one_cycle", learning_rate=1.5e-2),
    "waves, gru, warmup": replace(GRU, warmup_fraction=0.1),
    "waves, convolution, constant": replace(CONVOLUTION, schedule="constant", learning_rate=2e-3),
    "waves, convolution, drops": replace(CONVOLUTION, schedule="drops"),
    "board, one cycle": replace(BOARD, schedule="one_cycle", learning_rate=1e-2),
    "board, constant": replace(BOARD, schedule="constant", learning_rate=2e-3, epochs=20),
    "board, linear": replace(BOARD, schedule="linear"),
    "words, constant": replace(WORDS, schedule="constant", learning_rate=2e-3),
    "words, one cycle": replace(WORDS, schedule="one_cycle", learning_rate=5e-3),
    "ranges, drops": replace(RANGES, schedule="drops"),
    "ranges, linear with warmup": replace(RANGES, schedule="linear", warmup_fraction=0.1),
    "ranges, a little decay": replace(RANGES, schedule="constant", decay=0.85),
    "digits, attention, one cycle": replace(ATTENTION, schedule="one_cycle", learning_rate=6e-3),
    "digits, mixer, linear": replace(MIXER, schedule="linear"),
    # optimizers
    "waves, gru, rmsprop": replace(GRU, optimizer="rmsprop", learning_rate=6e-3, weight_decay=0.0),
    "waves, convolution, sgd": replace(CONVOLUTION, optimizer="sgd", learning_rate=0.1, weight_decay=5e-4),
    "waves, convolution, adam": replace(CONVOLUTION, optimizer="adam"),
    "board, nesterov": replace(BOARD, optimizer="nesterov", learning_rate=0.1, weight_decay=1e-4, epochs=20),
    "board, adam": replace(BOARD, optimizer="adam"),
    "words, sgd": replace(WORDS, optimizer="sgd", learning_rate=0.05, weight_decay=1e-3, epochs=8),
    "ranges, nesterov": replace(
        RANGES, optimizer="nesterov", learning_rate=0.05, weight_decay=1e-4, epochs=20
    ),
    "ranges, perceptron, rmsprop": replace(PLAIN, optimizer="rmsprop", learning_rate=4e-3, weight_decay=0.0),
    "digits, attention, adam": replace(ATTENTION, optimizer="adam"),
    "digits, mixer, sgd": replace(MIXER, optimizer="sgd", learning_rate=0.1, weight_decay=5e-4),
    # batches and length
    "waves, gru, batch 32": replace(GRU, batch_size=32, learning_rate=5e-3),
    "waves, convolution, batch 16": replace(CONVOLUTION, batch_size=16, learning_rate=2e-3),
    "board, batch 16": replace(BOARD, batch_size=16, learning_rate=2e-3),
    "board, batch 256": replace(BOARD, batch_size=256, learning_rate=1e-2, epochs=30),
    "board, 40 epochs": replace(BOARD, epochs=40),
    "words, batch 16": replace(WORDS, batch_size=16, learning_rate=2e-3),
    "words, batch 256": replace(WORDS, batch_size=256, learning_rate=8e-3, epochs=10),
    "ranges, batch 200": replace(RANGES, batch_size=200, learning_rate=8e-3, epochs=25),
    "digits, attention, batch 16": replace(ATTENTION, batch_size=16, learning_rate=2e-3),
    # regularization, widths, depths, activations
    "waves, gru, clipped": replace(GRU, clip_norm=1.0),
    "waves, gru, label smoothing": replace(GRU, label_smoothing=0.1),
    "waves, convolution, dropout": replace(CONVOLUTION, dropout=0.3, epochs=8),
    "waves, convolution, deeper": replace(CONVOLUTION, depth=4, learning_rate=3e-3),
    "board, tanh": replace(BOARD, activation="tanh"),
    "board, relu, one layer more": replace(BOARD, activation="relu", depth=4),
    "words, label smoothing": replace(WORDS, label_smoothing=0.1),
    "words, narrow": replace(WORDS, width=24, dropout=0.1),
    "ranges, dropout": replace(RANGES, dropout=0.1, epochs=20),
    "ranges, perceptron, relu": replace(PLAIN, activation="relu"),
    "ranges, perceptron, tanh": replace(PLAIN, activation="tanh", learning_rate=1e-2),
    "digits, attention, label smoothing": replace(ATTENTION, label_smoothing=0.1),
    "digits, attention, clipped": replace(ATTENTION, clip_norm=2.0),
    "digits, mixer, wide": replace(MIXER, width=64, learning_rate=2e-3),
}
"""Sound trainings."""

FAULTY: Mapping[CauseName, tuple[Recipe, Recipe]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (
        replace(MIXER, learning_rate=0.08, schedule="constant"),
        replace(CONVOLUTION, optimizer="sgd", learning_rate=4.0, weight_decay=0.0, schedule="constant"),
    ),
    CauseName.LEARNING_RATE_TOO_LOW: (
        replace(BOARD, learning_rate=1e-4),
        replace(GRU, learning_rate=1e-4, schedule="constant"),
    ),
    CauseName.MOMENTUM_TOO_HIGH: (
        replace(
            RANGES, optimizer="sgd", learning_rate=0.05, momentum=0.998, weight_decay=0.0, schedule="constant"
        ),
        replace(
            MIXER, optimizer="sgd", learning_rate=0.1, momentum=0.998, weight_decay=0.0, schedule="constant"
        ),
    ),
    CauseName.BATCH_TOO_LARGE: (
        replace(BOARD, batch_size=2400),
        replace(RANGES, batch_size=2400),
    ),
    CauseName.TOO_FEW_EPOCHS: (
        replace(BOARD, epochs=2, schedule="constant", learning_rate=2e-3),
        replace(GRU, epochs=2, schedule="constant", learning_rate=3e-3),
    ),
    CauseName.PREMATURE_DECAY: (
        replace(BOARD, schedule="constant", decay=0.1, learning_rate=1e-3),
        replace(GRU, schedule="constant", decay=0.1),
    ),
    CauseName.WARMUP_TOO_LONG: (
        replace(BOARD, warmup_fraction=0.95, epochs=3),
        replace(GRU, warmup_fraction=0.98, schedule="constant", epochs=4),
    ),
    CauseName.CLIPPING_TOO_TIGHT: (
        replace(PLAIN, optimizer="sgd", learning_rate=0.05, weight_decay=0.0, clip_norm=0.03),
        replace(CONVOLUTION, optimizer="sgd", learning_rate=0.05, weight_decay=0.0, clip_norm=1e-3),
    ),
    CauseName.OVERFITTING: (
        replace(WORDS, n_train=300, epochs=60, dropout=0.0, weight_decay=0.0),
        replace(RANGES, n_train=150, epochs=100, weight_decay=0.0, width=128),
    ),
    CauseName.OVER_REGULARIZED: (
        replace(RANGES, dropout=0.7),
        replace(CONVOLUTION, optimizer="sgd", learning_rate=0.1, weight_decay=0.2),
    ),
    CauseName.UNDERCAPACITY: (
        replace(BOARD, width=4, depth=1, epochs=40),
        replace(WORDS, width=1, dropout=0.0, epochs=20),
    ),
    CauseName.LABEL_NOISE: (
        replace(WORDS, fault="noisy_labels", strength=0.3),
        replace(RANGES, fault="noisy_labels", strength=0.4),
    ),
    CauseName.DOUBLE_SOFTMAX: (
        replace(GRU, fault="softmax", learning_rate=3e-3),
        replace(MIXER, fault="softmax", optimizer="sgd", learning_rate=0.05, weight_decay=5e-4),
    ),
    CauseName.STALE_GRADIENTS: (
        replace(PLAIN, fault="rare_zero_grad", strength=20),
        replace(ATTENTION, fault="rare_zero_grad", strength=1e9),
    ),
    CauseName.FROZEN_LAYERS: (
        replace(BOARD, fault="forgotten_layers", strength=4),
        replace(MIXER, fault="forgotten_layers", strength=1),
    ),
    CauseName.EVALUATION_MODE_BUG: (
        replace(WORDS, dropout=0.6, fault="train_mode_evaluation"),
        replace(RANGES, dropout=0.5, fault="train_mode_evaluation"),
    ),
    CauseName.UNSHUFFLED_DATA: (
        replace(BOARD, fault="sorted", strength=0.8),
        replace(MIXER, fault="sorted", strength=1.0),
    ),
    CauseName.NON_FINITE_DATA: (
        replace(CONVOLUTION, fault="non_finite", strength=1),
        replace(WORDS, fault="non_finite", strength=20),
    ),
    CauseName.UNNORMALIZED_INPUT: (
        replace(BOARD, fault="unscaled", strength=100.0),
        replace(GRU, fault="unscaled", strength=1000.0),
    ),
    CauseName.BAD_INITIALIZATION: (
        replace(PLAIN, fault="large_weights", strength=1.5),
        replace(BOARD, fault="equal_weights", strength=0.1),
    ),
    CauseName.VANISHING_GRADIENTS: (
        replace(PLAIN, activation="sigmoid", depth=5),
        replace(PLAIN, activation="sigmoid", depth=9),
    ),
    CauseName.DYING_RELU: (
        replace(PLAIN, activation="relu", fault="negative_biases", strength=2.0),
        replace(WORDS, fault="negative_biases", strength=6.0),
    ),
    CauseName.TARGET_LEAKAGE: (
        replace(RANGES, fault="leaking", strength=0.7),
        replace(MIXER, fault="leaking", strength=1.0),
    ),
    CauseName.TRAIN_VALIDATION_OVERLAP: (
        replace(WORDS, fault="overlapping", strength=0.5, n_train=500, epochs=30, dropout=0.0),
        replace(RANGES, fault="overlapping", strength=1.0, n_train=300, epochs=60),
    ),
    CauseName.CLASS_IMBALANCE: (
        replace(RANGES, fault="imbalanced", strength=0.03),
        replace(WORDS, fault="imbalanced", strength=0.01),
    ),
    CauseName.UNSTRATIFIED_SPLIT: (
        replace(GRU, fault="missing_classes", strength=1),
        replace(MIXER, fault="missing_classes", strength=3),
    ),
    CauseName.AUGMENTATION_DRIFT: (
        replace(RANGES, fault="drifted", strength=1.0),
        replace(ATTENTION, fault="drifted", strength=3.0),
    ),
}
"""What is planted: mild, then strong."""
