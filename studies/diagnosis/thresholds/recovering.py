"""The numbers by which a good fit excuses steps that look too large, or noisy, and a poor one does not."""

from studies.diagnosis.thresholds.threshold import Threshold

_SEEN = "all sets of benchmarks/diagnosis with eleven drawn parts"

FIT_RATIO_TINY_BATCH = Threshold(
    value=0.42,
    unit="train loss or error / that of validation, with swollen weights and updates of a few samples",
    source=f"{_SEEN}: 0.35 at most where they cost nothing, 0.49 and more where they did",
)
FIT_RATIO_AFTER_BURST = Threshold(
    value=0.45,
    unit="train loss or error / that of validation, after a burst, where most of the untrained loss is left",
    source=f"{_SEEN}: 0.38 at most but for one run where it cost nothing, 0.5 and more where it did",
)
FIT_RATIO_NOISY = Threshold(
    value=0.6,
    unit="train loss or error / that of validation, after updates of a few samples",
    source="benchmarks/diagnosis, all sets with seventeen drawn parts: 0.55 at most where as many errors are left and "
    "they cost nothing",
)
TINY_BATCH_ERROR = Threshold(
    value=0.12,
    unit="late validation error, after updates of a few samples that fit the training data poorly",
    source="benchmarks/diagnosis, all sets with seventeen drawn parts: 0.114 at most with such a fit where they cost "
    "nothing, 0.13 and mostly 0.15 and more where they did",
)
