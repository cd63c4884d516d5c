"""The lists of the fifth transfer set: fixed before any rule was tried on it, and no rule is tuned on its outcome.

Each sound recipe was trained with seed 7 and compared with its family's, and strengths were chosen by the harm that
they do with it (in part also with 8), in both by test accuracy alone, without a look at any finding.
"""

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.diagnosis.transfer.fifth_recipe import Recipe
from studies.diagnosis import CauseName

PATIENTS = Recipe(task="patients", network="dropout", learning_rate=1e-2, dropout=0.1)
RECORDS = Recipe(task="records", network="highway", learning_rate=1e-2, dropout=0.3, batch_size=80, epochs=10)
GRAPHS = Recipe(task="graphs", network="messages", learning_rate=2e-2, epochs=10)
PULSES = Recipe(task="pulses", network="residual", width=12, learning_rate=1e-2, epochs=8)
MAPS = Recipe(task="maps", network="layered", width=12, depth=3, learning_rate=2e-2, epochs=15)
STRINGS = Recipe(task="strings", network="lstm", depth=1, width=24, learning_rate=4e-2, epochs=6)
SURVEYS = Recipe(task="surveys", network="wide_and_deep", learning_rate=1e-2, dropout=0.1)
FORMS = Recipe(
    task="forms",
    network="vision",
    depth=1,
    learning_rate=5e-3,
    epochs=20,
    dropout=0.1,
    warmup_fraction=0.1,
)
PARCELS = Recipe(task="parcels", network="attentive", learning_rate=1e-2)
SPECTRA = Recipe(task="spectra", network="dropout", learning_rate=3e-3, dropout=0.2, epochs=10)

HEALTHY: Mapping[str, Recipe] = {
    # one recipe of each family is the healthy twin of its faults
    **{
        each.family: each
        for each in (PATIENTS, RECORDS, GRAPHS, PULSES, MAPS, STRINGS, SURVEYS, FORMS, PARCELS, SPECTRA)
    },
    # loops, each with another small difference: else some would be the same training again
    "patients, dropout, resampled": replace(PATIENTS, loop="resampled"),
    "patients, dropout, telling": replace(PATIENTS, loop="telling", width=48),
    "records, highway, grouped": replace(RECORDS, loop="grouped", activation="silu"),
    "records, highway, accumulating": replace(RECORDS, loop="accumulating", epochs=12),
    "graphs, messages, telling": replace(GRAPHS, loop="telling", width=24),
    "pulses, residual, grouped": replace(PULSES, loop="grouped", width=16),
    "maps, layered, resampled": replace(MAPS, loop="resampled"),
    "strings, lstm, accumulating": replace(STRINGS, loop="accumulating", width=32),
    "strings, lstm, telling": replace(STRINGS, loop="telling", epochs=7),
    "surveys, wide and deep, grouped": replace(SURVEYS, loop="grouped", width=24),
    "surveys, wide and deep, resampled": replace(SURVEYS, loop="resampled"),
    "parcels, attentive, accumulating": replace(PARCELS, loop="accumulating", batch_size=60),
    "parcels, attentive, telling": replace(PARCELS, loop="telling", width=48),
    "spectra, dropout, grouped": replace(SPECTRA, loop="grouped", depth=3),
    # schedules
    "patients, dropout, constant": replace(PATIENTS, schedule="constant", learning_rate=4e-3),
    "records, highway, linear": replace(RECORDS, schedule="linear"),
    "graphs, messages, one cycle": replace(GRAPHS, schedule="one_cycle"),
    "pulses, residual, one cycle": replace(PULSES, schedule="one_cycle"),
    "maps, layered, linear": replace(MAPS, schedule="linear"),
    "strings, lstm, drops": replace(STRINGS, schedule="drops"),
    "surveys, wide and deep, exponential": replace(SURVEYS, schedule="exponential", learning_rate=1.5e-2),
    "parcels, attentive, constant": replace(PARCELS, schedule="constant", learning_rate=5e-3),
    "spectra, dropout, drops": replace(SPECTRA, schedule="drops"),
    "spectra, dropout, a little decay": replace(SPECTRA, schedule="constant", decay=0.8),
    # optimizers
    "patients, dropout, nesterov": replace(
        PATIENTS, optimizer="nesterov", learning_rate=0.1, weight_decay=1e-4
    ),
    "records, highway, adam": replace(RECORDS, optimizer="adam", width=40),
    "graphs, messages, nadam": replace(GRAPHS, optimizer="nadam", weight_decay=0.0),
    "pulses, residual, sgd": replace(PULSES, optimizer="sgd", learning_rate=0.1, weight_decay=5e-4),
    "maps, layered, adam": replace(MAPS, optimizer="adam", width=16),
    "strings, lstm, rmsprop": replace(STRINGS, optimizer="rmsprop", learning_rate=1e-2, weight_decay=0.0),
    "surveys, wide and deep, sgd": replace(SURVEYS, optimizer="sgd", learning_rate=0.1, weight_decay=1e-4),
    "parcels, attentive, nadam": replace(PARCELS, optimizer="nadam", weight_decay=0.0),
    "spectra, dropout, nesterov": replace(
        SPECTRA, optimizer="nesterov", learning_rate=0.05, weight_decay=1e-3
    ),
    # batches and length; small batches are noisy, and short ones rise for an epoch now and then
    "patients, dropout, batch 16": replace(PATIENTS, batch_size=16, learning_rate=4e-3, epochs=6),
    "records, highway, batch 20": replace(RECORDS, batch_size=20, learning_rate=4e-3, epochs=5),
    "graphs, messages, batch 120": replace(GRAPHS, batch_size=120, epochs=15),
    "pulses, residual, batch 20": replace(PULSES, batch_size=20, learning_rate=5e-3, epochs=5),
    "surveys, wide and deep, batch 160": replace(SURVEYS, batch_size=160, learning_rate=1.5e-2, epochs=15),
    "parcels, attentive, batch 20": replace(PARCELS, batch_size=20, learning_rate=5e-3, epochs=8),
    "spectra, dropout, batch 16": replace(SPECTRA, batch_size=16, learning_rate=1.5e-3, epochs=6),
    # regularization, widths, depths, activations
    "patients, dropout, relu": replace(PATIENTS, activation="relu"),
    "patients, dropout, much": replace(PATIENTS, dropout=0.3, width=64),
    "records, highway, label smoothing": replace(RECORDS, label_smoothing=0.1),
    "records, highway, three deep": replace(RECORDS, depth=3),
    "pulses, residual, relu": replace(PULSES, activation="relu"),
    "maps, layered, relu": replace(MAPS, activation="relu"),
    "maps, layered, label smoothing": replace(MAPS, label_smoothing=0.05),
    "strings, lstm, clipped": replace(STRINGS, clip_norm=1.0, epochs=8),
    "surveys, wide and deep, tanh": replace(SURVEYS, activation="tanh"),
    "surveys, wide and deep, clipped": replace(SURVEYS, clip_norm=1.0),
    "forms, vision, clipped": replace(FORMS, clip_norm=1.0, width=48),
    "parcels, attentive, relu": replace(PARCELS, activation="relu"),
    "spectra, dropout, silu": replace(SPECTRA, activation="silu"),
    "spectra, dropout, much": replace(SPECTRA, dropout=0.4, width=64),
}
"""Sound trainings."""

FAULTY: Mapping[CauseName, tuple[Recipe, Recipe]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (
        replace(PARCELS, learning_rate=0.2, schedule="constant"),
        replace(SURVEYS, learning_rate=0.5, schedule="constant"),
    ),
    CauseName.LEARNING_RATE_TOO_LOW: (
        replace(PULSES, learning_rate=2e-4),
        replace(SPECTRA, learning_rate=1e-4),
    ),
    CauseName.MOMENTUM_TOO_HIGH: (
        replace(PATIENTS, optimizer="sgd", learning_rate=0.05, momentum=0.998, weight_decay=0.0),
        replace(PULSES, optimizer="sgd", learning_rate=0.05, momentum=0.999, weight_decay=0.0),
    ),
    CauseName.BATCH_TOO_LARGE: (
        replace(PARCELS, batch_size=1500),
        replace(STRINGS, batch_size=1080),
    ),
    CauseName.TOO_FEW_EPOCHS: (
        replace(PARCELS, epochs=1, schedule="constant", learning_rate=3e-3),
        replace(STRINGS, epochs=1, schedule="constant", learning_rate=8e-3),
    ),
    CauseName.PREMATURE_DECAY: (
        replace(STRINGS, schedule="constant", decay=0.3, learning_rate=1e-2),
        replace(PULSES, schedule="constant", decay=0.1, learning_rate=3e-3),
    ),
    CauseName.WARMUP_TOO_LONG: (
        replace(PARCELS, warmup_fraction=0.95, epochs=2),
        replace(STRINGS, warmup_fraction=0.98, epochs=1, schedule="constant"),
    ),
    CauseName.CLIPPING_TOO_TIGHT: (
        replace(PARCELS, optimizer="sgd", learning_rate=0.1, weight_decay=0.0, clip_norm=0.03),
        replace(SPECTRA, optimizer="sgd", learning_rate=0.1, weight_decay=0.0, clip_norm=2e-3),
    ),
    CauseName.OVERFITTING: (
        replace(RECORDS, n_train=500, epochs=60, weight_decay=0.0, dropout=0.0),
        replace(SURVEYS, n_train=300, epochs=80, weight_decay=0.0, dropout=0.0),
    ),
    CauseName.OVER_REGULARIZED: (
        replace(PULSES, optimizer="sgd", learning_rate=0.1, weight_decay=0.1),
        replace(SURVEYS, optimizer="sgd", learning_rate=0.1, weight_decay=0.1),
    ),
    CauseName.UNDERCAPACITY: (
        replace(PARCELS, width=3),
        replace(SPECTRA, width=2, depth=1, dropout=0.0),
    ),
    CauseName.LABEL_NOISE: (
        replace(SPECTRA, fault="guessed_labels", strength=0.35),
        replace(STRINGS, fault="guessed_labels", strength=0.6),
    ),
    CauseName.DOUBLE_SOFTMAX: (
        replace(PARCELS, fault="softmax", optimizer="sgd", learning_rate=0.05, weight_decay=1e-4),
        replace(SPECTRA, fault="softmax", optimizer="sgd", learning_rate=5e-3, weight_decay=1e-4),
    ),
    CauseName.STALE_GRADIENTS: (
        replace(PARCELS, fault="rare_zero_grad", strength=20),
        replace(RECORDS, fault="rare_zero_grad", strength=1e9),
    ),
    CauseName.FROZEN_LAYERS: (
        replace(MAPS, fault="frozen", strength=6),
        replace(PULSES, fault="frozen", strength=3),
    ),
    CauseName.EVALUATION_MODE_BUG: (
        replace(SPECTRA, dropout=0.6, fault="train_mode_evaluation"),
        replace(RECORDS, dropout=0.7, fault="train_mode_evaluation"),
    ),
    CauseName.UNSHUFFLED_DATA: (
        replace(PATIENTS, fault="sorted", strength=0.95),
        replace(STRINGS, fault="sorted", strength=1.0),
    ),
    CauseName.NON_FINITE_DATA: (
        replace(SURVEYS, fault="division_by_zero", strength=1),
        replace(MAPS, fault="division_by_zero", strength=50),
    ),
    CauseName.UNNORMALIZED_INPUT: (
        replace(SURVEYS, fault="counted_units", strength=300.0),
        replace(STRINGS, fault="counted_units", strength=1000.0),
    ),
    CauseName.BAD_INITIALIZATION: (
        replace(SPECTRA, fault="wide_weights", strength=3.0),
        replace(PARCELS, fault="equal_weights", strength=0.05),
    ),
    CauseName.VANISHING_GRADIENTS: (
        replace(SPECTRA, activation="sigmoid", depth=6, dropout=0.0),
        replace(SURVEYS, activation="sigmoid", depth=8, dropout=0.0),
    ),
    CauseName.DYING_RELU: (
        replace(SPECTRA, activation="relu", fault="negative_biases", strength=4.0),
        replace(PARCELS, activation="relu", fault="negative_biases", strength=4.0),
    ),
    CauseName.TARGET_LEAKAGE: (
        replace(SURVEYS, fault="numbered", strength=0.8),
        replace(PATIENTS, fault="numbered", strength=1.0),
    ),
    CauseName.TRAIN_VALIDATION_OVERLAP: (
        replace(RECORDS, fault="overlapping", strength=0.6, n_train=500, epochs=40, dropout=0.0),
        replace(SURVEYS, fault="overlapping", strength=1.0, n_train=300, epochs=60, dropout=0.0),
    ),
    CauseName.CLASS_IMBALANCE: (
        replace(STRINGS, fault="imbalanced", strength=0.12),
        replace(SPECTRA, fault="imbalanced", strength=0.015),
    ),
    CauseName.UNSTRATIFIED_SPLIT: (
        replace(FORMS, fault="missing_classes", strength=1),
        replace(PULSES, fault="missing_classes", strength=2),
    ),
    CauseName.AUGMENTATION_DRIFT: (
        replace(SPECTRA, fault="pasted_over", strength=0.4),
        replace(PULSES, fault="pasted_over", strength=0.5),
    ),
}
"""What is planted: mild, then strong."""
