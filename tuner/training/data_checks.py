"""What is wrong with the data before anything trains on it: a verdict, a sentence and numbers for each check.

A training on leaking, broken or badly scaled data still ends with a number; nothing afterwards can tell that the
number is worth nothing. All checks together read MNIST's 70,000 images in well under a second.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_spaces.errors import DataError
from studies.diagnosis import thresholds
from tuner.training.augmentation import augmentation
from tuner.training.config import TrainingConfig
from tuner.training.data_probe import feature_shift, overall
from tuner.training.datasets.copies import sample_numbers
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.input_scaling import channel_statistics, input_scaling
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.reproducibility import RandomStream

LEAK_BLOCKER = 0.05
"""Of the validation or test samples are in the train split too: from here on they decide what seems best. Own design:
tables of a few coarse columns repeat rows by nature, and one in twenty is more than the gains one tunes for."""
LEAK_WARNING = 0.001
"""Below, it moves an accuracy by less than any noise floor; own design."""
MIX_P_VALUE = 0.001
"""Of a chi-square test that two splits have one mix of classes: rarer than bad luck; own design."""
MIX_DIFFERENCE = 0.01
"""Of a class' share: large splits show differences as significant that matter to nobody; own design."""
IMBALANCE = 10.0
"""Largest class / smallest: beyond it a rare class hardly shows in the accuracy; own design."""
DRIFT_SHIFT = 0.2
"""Deviations of the inputs that augmentation may move their mean by; own design."""
DRIFT_SPREAD = 1.25
"""Factor by which it may change their deviation; own design."""
DRIFT_PIXELS = 0.35
"""Deviations of the inputs by which the pixels' means may differ, as a root mean square beyond what the finite sample
explains. Moving images about at random blurs their mean: at full strength it is 0.19 for MNIST and 0.31 for digits; a
quarter turn of MNIST is 0.43. Own design."""
DRIFT_SAMPLES = 2048
IMAGE_DIMENSIONS = 3
"""Channels, height, width."""
N_EXAMPLES = 5


class CheckVerdict(StrEnum):
    """Whether to train on it."""

    OK = "ok"
    WARNING = "warning"
    BLOCKER = "blocker"


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """One thing looked at in the data."""

    name: str
    verdict: CheckVerdict
    sentence: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The check as JSON's own types."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "numbers": dict(self.numbers),
        }


def check_data(data: Dataset | Splits, config: TrainingConfig | None = None) -> tuple[DataCheck, ...]:
    """Every check on ``data``, split and scaled as ``config`` says (the defaults', if there is none)."""
    config = config or TrainingConfig()
    splits = data if isinstance(data, Splits) else _split(data, config)
    return tuple(check(splits, config) for check in CHECKS)


def refuse_non_finite(data: Dataset, config: TrainingConfig) -> None:
    """Raise a DataError for data on which no measurement means anything."""
    found = non_finite_values(_split(data, config), config)
    if found.verdict is CheckVerdict.BLOCKER:
        raise DataError(found.sentence)


def _split(data: Dataset, config: TrainingConfig) -> Splits:
    return split_dataset(
        data,
        split=config.split,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
        device="cpu",
    )


def non_finite_values(splits: Splits, _config: TrainingConfig) -> DataCheck:
    """NaN and infinity in the inputs, or in the targets of a regression: one of them makes every loss NaN."""
    numbers = {name: _n_non_finite(x) for name, x, _ in _parts(splits)}
    if splits.kind == "regression":
        numbers |= {f"targets of {name}": _n_non_finite(y) for name, _, y in _parts(splits)}
    n = sum(numbers.values())
    where = ", ".join(f"{count:,} in {name}" for name, count in numbers.items() if count)
    return DataCheck(
        name="non_finite_values",
        verdict=CheckVerdict.BLOCKER if n else CheckVerdict.OK,
        sentence=f"The data hold values that are NaN or infinite: {where}; replace or drop them."
        if n
        else f"All inputs {'and targets ' if splits.kind == 'regression' else ''}are finite.",
        numbers=numbers,
    )


def duplicates_across_splits(splits: Splits, _config: TrainingConfig) -> DataCheck:
    """Samples of validation and test whose inputs, byte for byte, are in another split too."""
    # A data set without a test split has no sample there.
    train, validation, *others = sample_numbers(*(x for _, x, _ in _parts(splits)))
    test = others[0] if others else train[:0]
    leaks = {
        "validation_in_train": np.flatnonzero(np.isin(validation, train)).tolist(),
        "test_in_train": np.flatnonzero(np.isin(test, train)).tolist(),
        "test_in_validation": np.flatnonzero(np.isin(test, validation)).tolist(),
    }
    sizes = {
        "validation_in_train": len(validation),
        "test_in_train": len(test),
        "test_in_validation": len(test),
    }
    shares = {name: len(places) / max(sizes[name], 1) for name, places in leaks.items()}
    worst = max(shares, key=lambda name: shares[name])
    return DataCheck(
        name="duplicates_across_splits",
        verdict=_graded(shares[worst], warning=LEAK_WARNING, blocker=LEAK_BLOCKER),
        sentence=_leak_sentence(worst, len(leaks[worst]), shares[worst]),
        numbers={
            **{name: len(places) for name, places in leaks.items()},
            "largest_share": shares[worst],
            "within_train": len(train) - len(np.unique(train)),
            "examples": {name: places[:N_EXAMPLES] for name, places in leaks.items() if places},
        },
    )


def _leak_sentence(worst: str, n: int, share: float) -> str:
    if not n:
        return "No sample is in two splits."
    held_out, other = worst.split("_in_")
    advice = "; remove the copies, or split by what they have in common" if share > LEAK_WARNING else ""
    return f"{n:,} samples of {held_out} ({share:.2%}) are in {other}, too{advice}."


def stratification(splits: Splits, _config: TrainingConfig) -> DataCheck:
    """Whether validation and test have the train split's mix of classes, as far as chance lets them."""
    if splits.kind == "regression":
        return _not_for_regression("stratification")
    counts = {name: _class_counts(y, splits.n_outputs) for name, _, y in _parts(splits)}
    train = counts.pop("train")
    numbers: dict[str, Any] = {}
    faults = []
    for name, found in counts.items():
        shares, expected = found / max(found.sum(), 1), train / train.sum()
        difference, p_value = float(np.abs(shares - expected).max()), _same_mix_p_value(train, found)
        absent = np.flatnonzero((found == 0) & (train > 0)).tolist()
        numbers[name] = {"largest_difference": difference, "p_value": p_value, "absent_classes": absent}
        if absent:
            faults.append(f"{name} has no sample of class {', '.join(map(str, absent[:N_EXAMPLES]))}")
        elif p_value < MIX_P_VALUE and difference > MIX_DIFFERENCE:
            worst = int(np.abs(shares - expected).argmax())
            faults.append(
                f"class {worst} is {expected[worst]:.1%} of train and {shares[worst]:.1%} of {name} (p {p_value:.1g})"
            )
    return DataCheck(
        name="stratification",
        verdict=CheckVerdict.WARNING if faults else CheckVerdict.OK,
        sentence=f"The splits have different mixes of classes: {'; '.join(faults)}; take split=stratified or shuffle."
        if faults
        else "The splits have one mix of classes.",
        numbers=numbers,
    )


def class_balance(splits: Splits, config: TrainingConfig) -> DataCheck:
    """How much more often the most frequent class comes than the rarest."""
    if splits.kind == "regression":
        return _not_for_regression("class_balance")
    counts = _class_counts(splits.train_y, splits.n_outputs)
    ratio = float(counts.max() / counts.min()) if counts.min() else math.inf
    numbers = {
        "largest_class": int(counts.argmax()),
        "smallest_class": int(counts.argmin()),
        "ratio": ratio,
        "largest_share": float(counts.max() / counts.sum()),
    }
    is_unbalanced = ratio > IMBALANCE
    sentence = (
        f"The largest class ({numbers['largest_class']}) has {int(counts.max()):,} train samples, the smallest "
        f"({numbers['smallest_class']}) {int(counts.min()):,}"
    )
    advice = "; accuracy hides the rare ones" if is_unbalanced else ""
    if is_unbalanced and config.class_weights == "none":
        advice += ": try class_weights=balanced"
    return DataCheck(
        name="class_balance",
        verdict=CheckVerdict.WARNING if is_unbalanced else CheckVerdict.OK,
        sentence=f"{sentence}{advice}.",
        numbers=numbers,
    )


def normalization(splits: Splits, config: TrainingConfig) -> DataCheck:
    """The scale of what the network sees, after ``input_scaling``."""
    statistics = splits.train_statistics
    scaling = input_scaling(config, splits.train_x, statistics)
    shift, factor = scaling.shift.cpu().flatten().double(), scaling.factor.cpu().flatten().double()
    mean, std = overall((statistics.mean - shift) * factor, statistics.std * factor)
    ends = torch.stack([statistics.low - shift, statistics.high - shift]).mul(factor).abs()
    largest = float(ends[ends.isfinite()].max()) if ends.isfinite().any() else math.nan
    offset = abs(mean) / std if std > 0 else math.inf
    n_constant = int((statistics.std == 0).sum())
    numbers = {"mean": mean, "std": std, "largest": largest, "constant_channels": n_constant}
    too_large = math.hypot(mean, std) > thresholds.INPUT_SIZE.value
    too_far = offset > thresholds.INPUT_OFFSET.value
    reading = f"mean {mean:.3g}, deviation {std:.3g}, largest value {largest:.3g}"
    advice = "is larger than networks expect" if too_large else "lies far from 0 for its spread"
    return DataCheck(
        name="normalization",
        verdict=CheckVerdict.WARNING if too_large or too_far else CheckVerdict.OK,
        sentence=f"What the network sees {advice} ({reading}); take input_scaling=standardize."
        if too_large or too_far
        else f"What the network sees has a sound scale ({reading}).",
        numbers=numbers,
    )


def augmentation_drift(splits: Splits, config: TrainingConfig) -> DataCheck:
    """Whether augmented images still look like the data: their mean and deviation beside the originals'."""
    name = "augmentation_drift"
    if config.augmentation == 0:
        return DataCheck(name=name, verdict=CheckVerdict.OK, sentence="Nothing is augmented.")
    if len(splits.input_shape) != IMAGE_DIMENSIONS:
        return DataCheck(name=name, verdict=CheckVerdict.OK, sentence="Only images can be augmented.")
    original, augmented = _augmented_sample(splits, config)
    mean, std = _overall_of(original)
    new_mean, new_std = _overall_of(augmented)
    shift = abs(new_mean - mean) / std if std > 0 else math.inf
    spread = max(new_std / std, std / new_std) if std > 0 and new_std > 0 else math.inf
    pixels = _pixel_drift(original, augmented) / std if std > 0 else math.inf
    is_drift = shift > DRIFT_SHIFT or spread > DRIFT_SPREAD or pixels > DRIFT_PIXELS
    reading = (
        f"mean {mean:.3g} -> {new_mean:.3g}, deviation {std:.3g} -> {new_std:.3g}, pixels' means {pixels:.2g} "
        f"deviations apart"
    )
    return DataCheck(
        name=name,
        verdict=CheckVerdict.WARNING if is_drift else CheckVerdict.OK,
        sentence=f"Images augmented at {config.augmentation:g} no longer look like the data ({reading}); lower it."
        if is_drift
        else f"Images augmented at {config.augmentation:g} still look like the data ({reading}).",
        numbers={
            "mean": mean,
            "augmented_mean": new_mean,
            "std": std,
            "augmented_std": new_std,
            "pixel_drift": pixels,
        },
    )


CHECKS: tuple[Callable[[Splits, TrainingConfig], DataCheck], ...] = (
    non_finite_values,
    duplicates_across_splits,
    stratification,
    class_balance,
    normalization,
    augmentation_drift,
)


def _parts(splits: Splits) -> list[tuple[str, Tensor, Tensor]]:
    parts = [
        ("train", splits.train_x, splits.train_y),
        ("validation", splits.validation_x, splits.validation_y),
    ]
    if splits.test_x is not None and splits.test_y is not None:
        parts.append(("test", splits.test_x, splits.test_y))
    return parts


def _n_non_finite(x: Tensor) -> int:
    return int((~torch.isfinite(x)).sum()) if x.is_floating_point() else 0


def _graded(share: float, *, warning: float, blocker: float) -> CheckVerdict:
    if share >= blocker:
        return CheckVerdict.BLOCKER
    return CheckVerdict.WARNING if share > warning else CheckVerdict.OK


def _not_for_regression(name: str) -> DataCheck:
    return DataCheck(name=name, verdict=CheckVerdict.OK, sentence="A regression has no classes to look at.")


def _class_counts(y: Tensor, n_classes: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.bincount(y.cpu().numpy(), minlength=n_classes)


def _same_mix_p_value(one: "np.ndarray[Any, Any]", other: "np.ndarray[Any, Any]") -> float:
    """Pearson's chi-square test of homogeneity over the classes that either part has."""
    table = np.stack([one, other])[:, (one + other) > 0].astype(np.float64)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    statistic, freedom = float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1
    # The chi-square distribution's upper tail is the regularized upper incomplete gamma function.
    tail = torch.special.gammaincc(torch.tensor(freedom / 2).double(), torch.tensor(statistic / 2).double())
    return float(tail)


def _overall_of(x: Tensor) -> tuple[float, float]:
    statistics = channel_statistics(x)
    return overall(statistics.mean, statistics.std)


def _augmented_sample(splits: Splits, config: TrainingConfig) -> tuple[Tensor, Tensor]:
    """The first train images as the network sees them, and the same augmented; the caller's random state is kept."""
    augment = augmentation(config, splits.input_shape)
    images = splits.train_x[:DRIFT_SAMPLES]
    scaling = input_scaling(config, splits.train_x, splits.train_statistics)
    if augment is None:
        return scaling(images), scaling(images)
    with RandomStream(config.seed, splits.device).active():
        return scaling(images), scaling(augment(images))


def _pixel_drift(original: Tensor, augmented: Tensor) -> float:
    """The root mean square, over pixels, of the difference of their means, without what noise adds to its square.

    The noise is that of the mean of the paired differences: both hold the same images.
    """
    difference = (augmented - original).double()
    noise = difference.var(0) / len(difference) if len(difference) > 1 else torch.zeros(())
    return feature_shift(difference.mean(0), noise)
