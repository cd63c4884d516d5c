"""The lists of the first transfer set: looked at when rules were mended, after its first score."""

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.diagnosis.transfer.first_recipe import Recipe
from studies.diagnosis import CauseName

DIGITS = Recipe(task="digits", optimizer="sgd", learning_rate=0.05, weight_decay=5e-4, epochs=12)
TABLE = Recipe(task="table", learning_rate=6e-3, width=32, dropout=0.1)
SPIRALS = Recipe(task="spirals", learning_rate=3e-3)

HEALTHY: Mapping[str, Recipe] = {
    "digits": DIGITS,
    "digits, adamw": replace(DIGITS, optimizer="adamw", learning_rate=2e-3),
    "digits, constant rate": replace(DIGITS, schedule="constant", learning_rate=0.02),
    "digits, one cycle": replace(DIGITS, schedule="one_cycle", learning_rate=0.1),
    "digits, batch 16": replace(DIGITS, batch_size=16, learning_rate=0.02),
    "digits, batch 256": replace(DIGITS, batch_size=256, learning_rate=0.1, epochs=20),
    "digits, dropout": replace(DIGITS, dropout=0.3, epochs=16),
    "digits, label smoothing": replace(DIGITS, label_smoothing=0.1),
    "digits, narrow": replace(DIGITS, width=32),
    "digits, 30 epochs": replace(DIGITS, epochs=30),
    "digits, 5 epochs": replace(DIGITS, epochs=5),
    "digits, clipped": replace(DIGITS, clip_norm=5.0),
    "table": TABLE,
    "table, constant rate": replace(TABLE, schedule="constant", learning_rate=3e-3),
    "table, one cycle": replace(TABLE, schedule="one_cycle", learning_rate=1e-2),
    "table, sgd": replace(TABLE, optimizer="sgd", learning_rate=0.1, weight_decay=5e-4),
    "table, batch 16": replace(TABLE, batch_size=16, learning_rate=3e-3),
    "table, dropout": replace(TABLE, dropout=0.2),
    "table, label smoothing": replace(TABLE, label_smoothing=0.05),
    "table, one block": replace(TABLE, n_blocks=1),
    "spirals": SPIRALS,
    "spirals, constant rate": replace(SPIRALS, schedule="constant", learning_rate=1e-3),
    "spirals, sgd": replace(SPIRALS, optimizer="sgd", learning_rate=0.05, weight_decay=1e-4),
    "spirals, one cycle": replace(SPIRALS, schedule="one_cycle", learning_rate=5e-3),
    "spirals, three blocks": replace(SPIRALS, n_blocks=3),
    "spirals, batch 128": replace(SPIRALS, batch_size=128),
}
"""Sound trainings."""

FAULTY: Mapping[CauseName, tuple[Recipe, ...]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (
        replace(DIGITS, learning_rate=3.0, schedule="constant"),
        replace(TABLE, learning_rate=0.3, schedule="constant"),
    ),
    CauseName.LEARNING_RATE_TOO_LOW: (
        replace(DIGITS, learning_rate=1e-4),
        replace(TABLE, learning_rate=1e-5),
    ),
    CauseName.BATCH_TOO_SMALL: (
        replace(TABLE, optimizer="sgd", learning_rate=0.05, batch_size=1, epochs=8, schedule="constant"),
    ),
    CauseName.TOO_FEW_EPOCHS: (
        replace(SPIRALS, epochs=2, schedule="constant"),
        replace(TABLE, epochs=2, schedule="constant"),
    ),
    CauseName.MOMENTUM_TOO_HIGH: (
        replace(DIGITS, momentum=0.998, schedule="constant"),
        replace(SPIRALS, optimizer="sgd", learning_rate=0.05, momentum=0.998, schedule="constant"),
    ),
    CauseName.OVERFITTING: (
        replace(TABLE, n_train=120, epochs=80, width=128, dropout=0.0, weight_decay=0.0),
    ),
    CauseName.OVER_REGULARIZED: (
        replace(DIGITS, weight_decay=0.3),
        replace(TABLE, dropout=0.97),
    ),
    CauseName.UNDERCAPACITY: (
        replace(SPIRALS, width=2, n_blocks=1),
        replace(DIGITS, width=4),
    ),
    CauseName.LABEL_NOISE: (
        replace(DIGITS, fault="noisy_labels"),
        replace(TABLE, fault="noisy_labels"),
    ),
    CauseName.PREMATURE_DECAY: (
        replace(TABLE, schedule="tenth_every_epoch"),
        replace(SPIRALS, schedule="tenth_every_epoch"),
    ),
    CauseName.CLIPPING_TOO_TIGHT: (replace(DIGITS, clip_norm=1e-3),),
    CauseName.DOUBLE_SOFTMAX: (
        replace(DIGITS, fault="softmax"),
        replace(SPIRALS, fault="softmax"),
    ),
    CauseName.STALE_GRADIENTS: (
        replace(DIGITS, fault="no_zero_grad"),
        replace(TABLE, fault="no_zero_grad"),
    ),
    CauseName.FROZEN_LAYERS: (
        replace(DIGITS, fault="frozen"),
        replace(SPIRALS, fault="frozen"),
    ),
    CauseName.EVALUATION_MODE_BUG: (replace(TABLE, dropout=0.6, fault="train_mode_evaluation"),),
    CauseName.UNSHUFFLED_DATA: (
        replace(DIGITS, fault="sorted"),
        replace(TABLE, fault="sorted"),
    ),
    CauseName.NON_FINITE_DATA: (
        replace(DIGITS, fault="non_finite"),
        replace(TABLE, fault="non_finite"),
    ),
    CauseName.UNNORMALIZED_INPUT: (
        replace(SPIRALS, fault="unscaled"),
        replace(TABLE, fault="unscaled"),
    ),
    CauseName.BAD_INITIALIZATION: (
        replace(TABLE, fault="large_weights"),
        replace(SPIRALS, fault="equal_weights"),
    ),
    CauseName.TARGET_LEAKAGE: (replace(DIGITS, fault="leaking"),),
    CauseName.TRAIN_VALIDATION_OVERLAP: (replace(TABLE, fault="overlapping", n_train=300),),
    CauseName.CLASS_IMBALANCE: (
        replace(DIGITS, fault="imbalanced"),
        replace(TABLE, fault="imbalanced"),
    ),
    CauseName.UNSTRATIFIED_SPLIT: (replace(DIGITS, fault="missing_classes"),),
    CauseName.AUGMENTATION_DRIFT: (replace(DIGITS, fault="inverted"),),
}
"""What is planted."""
