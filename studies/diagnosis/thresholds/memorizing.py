"""The numbers that decide over what a network knows by heart: validation that falls behind, answers too confident."""

from studies.diagnosis.thresholds.curves import SET
from studies.diagnosis.thresholds.threshold import OWN, Threshold

BY_HEART = "set in the widest gap of all sets of benchmarks/diagnosis: a sound training"
GAP = Threshold(
    value=0.125,
    unit="train - validation accuracy",
    source="benchmarks/diagnosis, all sets: sound trainings that know more than FEW_SAMPLES a class by heart 0.112 at "
    "most (0.28 on a table of noise); harmful ones all had few",
)
FEW_SAMPLES = Threshold(
    value=75,
    unit="training samples a class",
    source="benchmarks/diagnosis, all sets: overfitted trainings with a smaller gap than GAP 60 at most, "
    "sound ones with such a gap 112 and more",
)
GAP_FEW_SAMPLES = Threshold(
    value=0.075,
    unit="train - validation accuracy, of FEW_SAMPLES that are known by heart",
    source=f"{OWN}: overfitted trainings of so few 0.081 and more, sound ones of so few are not known by heart",
)
ERRORS_GONE = Threshold(
    value=0.01,
    unit="train error / validation error",
    source="benchmarks/diagnosis, all sets, at a gap of GAP_UNLEARNED: overfitted 0.004 at most, harmless 0.015",
)
GAP_ERRORS = Threshold(value=2, unit="standard errors of the validation accuracy", source=SET)
GAP_UNLEARNED = Threshold(
    value=0.15,
    unit="train - validation accuracy, of training data that is not known by heart yet",
    source=f"{OWN}: half as much again as GAP, where a fit that is not done may still be what validation lacks",
)
MEMORIZED_GAP = Threshold(
    value=0.03,
    unit="train loss / validation loss",
    source="benchmarks/diagnosis, all sets: overfitted trainings 0.022 at most, those that do no harm 0.036 and more",
)
GENERALIZATION_LOSS = Threshold(
    value=0.15,
    unit="relative rise of the validation loss over its minimum",
    source="Prechelt 1998: GL; 5 % is noise here",
)
CONFIDENT_NOTED = Threshold(
    value=0.07,
    unit="relative rise of the validation loss over its minimum",
    source="Prechelt 1998: GL > 5 % (own number)",
)
CONFIDENT_RISE = Threshold(
    value=0.18,
    unit="relative rise of the validation loss over its minimum",
    source=f"{BY_HEART} rises by 0.13 at most, overconfident ones by 0.24 and more",
)
OVERCONFIDENT = Threshold(
    value=3, unit="standard errors of accuracy, confidence above it", source=f"{OWN}, after Guo et al. 2017"
)
OVERCONFIDENT_BY_HEART = Threshold(
    value=2,
    unit="standard errors of accuracy, confidence above it, of a network that knows its training data by heart",
    source=f"{OWN}: the loss that rose tells the rest; a few hundred validation samples show no more",
)
SETTLED = Threshold(
    value=0.1,
    unit="train loss or error / that of validation",
    source=f"{OWN}: who fits so well has settled, whatever became of the weights",
)
MEMORIZED = Threshold(value=0.03, unit="train loss / validation loss", source=SET)
KNOWN_BY_HEART = Threshold(
    value=0.0045,
    unit="train loss / validation loss",
    source=f"{BY_HEART} 0.006 and more where the loss rises by 0.18, overconfident ones have 0.003 at most",
)
KNOWN_FOR_LONG = Threshold(
    value=0.0008,
    unit="train loss / validation loss, where the rate has decayed or the confidence was not read",
    source=f"{BY_HEART} 0.0017 and more where the loss rises by 0.18, overconfident ones of which no confidence is "
    "read 0.0003 at most",
)
"""A schedule that ends stops the confidence from growing: what it leaves is the price of the last percents."""
RATE_KEPT = Threshold(
    value=0.1,
    unit="rate at the end / peak rate",
    source=f"{OWN}: every overconfident training of the benchmark keeps all of it, cosine and linear end at 0.01",
)
LONG_SINCE_BEST = Threshold(
    value=22,
    unit="epochs after that of the lowest validation loss",
    source="benchmarks/diagnosis, all sets with seventeen drawn parts: sound ones whose loss rises by 0.18 went on for "
    "20 at most, two of three overconfident ones for longer",
)
KNOWN_SINCE_BEST = Threshold(
    value=0.08,
    unit="train loss / validation loss, so long after the lowest validation loss",
    source=f"{OWN}: the rise tells the rest; overconfident ones have 0.0003 to 0.076",
)
