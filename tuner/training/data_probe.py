"""What is read of the data once, before anything trains on it: scale, class counts, copies, leaks, labels, shift.

All but the scale and the counts is read on a sample of the data, drawn by a generator of its own: no training's random
stream moves. What is read of a `Splits` is kept with it, for all trials.
"""

import dataclasses
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studies.readings import NAN, DataProbe
from tuner.training.augmentation import augmentation
from tuner.training.config import TrainingConfig
from tuner.training.datasets.copies import are_told_apart, sample_numbers
from tuner.training.datasets.input_scaling import ChannelStatistics, InputScaling, channel_statistics
from tuner.training.datasets.moved_copies import moved_copies, moved_fraction, places_asked
from tuner.training.datasets.splits import Splits
from tuner.training.leak_harm import Copies, LeakMarks
from tuner.training.leaks import TELLING, Leak, find_leak
from tuner.training.neighborhoods import Neighborhoods, neighborhoods
from tuner.training.partial_leaks import PartialLeak, find_partial_leak

LEAK_SAMPLES = 2000
NEIGHBOR_SAMPLES = 1000
SHIFT_SAMPLES = 1000
FEWEST_SAMPLES = 256
"""Of inputs so large that the samples above would be more than `MOST_VALUES`."""
MOST_VALUES = 4_000_000
"""That are looked at together: of MNIST's images all of the samples above, of larger ones fewer."""
COPIED = 0.01
"""Of the validation samples: with fewer copies, these cannot move an accuracy by a percent."""
_SEED = 0


def probe_data(  # noqa: PLR0913 - what a data set is made up of; all but the samples by keyword
    train_x: Tensor,
    train_y: Tensor,
    validation_x: Tensor | None,
    validation_y: Tensor | None,
    *,
    n_outputs: int | None,
    kind: str,
    n_train: int | None = None,
    n_test: int = 0,
    label_mixing: float = NAN,
    finds_copies: bool = True,
) -> DataProbe:
    """The probe of samples as a network sees them, such as those that a loop was watched to train on.

    Args:
        train_x: [n, ...], augmented or not: as trained on.
        train_y: [n]: class numbers, or anything for a regression.
        validation_x: [m, ...], as evaluated; None where none is known.
        validation_y: as ``train_y``.
        n_outputs: number of classes; None is as many as the labels show.
        kind: classification or regression. Targets that are not one class number a sample count as a regression's.
        n_train: samples there are, if ``train_x`` is only some of them.
        n_test: samples of the test split.
        label_mixing: as in `DataProbe`, which only who sees the minibatches can know.
        finds_copies: whether validation samples are looked up in ``train_x``; not where that is only some of them.
    """
    statistics = channel_statistics(_with_features(train_x))
    has_classes = kind == "classification" and _are_classes(train_y)
    mean, std = overall(statistics.mean, statistics.std)
    asked = validation_x if finds_copies else None
    findings = _Findings.of(train_x, train_y if has_classes else None, asked)
    return DataProbe(
        n_train=len(train_x) if n_train is None else n_train,
        n_validation=0 if validation_x is None else len(validation_x),
        n_test=n_test,
        input_min=float(statistics.low.min()),
        input_max=float(statistics.high.max()),
        input_mean=mean,
        input_std=std,
        n_non_finite=statistics.n_non_finite + (0 if validation_x is None else _n_non_finite(validation_x)),
        train_class_counts=_class_counts(train_y, n_outputs or 0) if has_classes else (),
        validation_class_counts=_class_counts(validation_y, n_outputs or 0)
        if has_classes and validation_y is not None and _are_classes(validation_y)
        else (),
        input_shift=NAN if validation_x is None else input_shift(train_x, validation_x),
        label_mixing=label_mixing,
        **dataclasses.asdict(findings),
    )


def read_data(
    splits: Splits, scaling: InputScaling, config: TrainingConfig, *, is_complete: bool
) -> DataProbe:
    """The splits as the network sees them.

    Args:
        splits: the data.
        scaling: of the inputs.
        config: for its augmentation.
        is_complete: False leaves out what costs time: copies, leaks, labels, shift.
    """
    known: dict[Hashable, Any] = splits.known
    key = ("data", config.input_scaling, config.augmentation, is_complete)
    if key not in known:
        known[key] = _read(splits, scaling, config, is_complete=is_complete)
    probe: DataProbe = known[key]
    return probe


def _read(splits: Splits, scaling: InputScaling, config: TrainingConfig, *, is_complete: bool) -> DataProbe:
    known = splits.train_statistics
    seen = _scaled(known, scaling)
    mean, std = overall(seen.mean, seen.std)
    has_classes = splits.kind == "classification"
    probe = DataProbe(
        n_train=len(splits.train_x),
        n_validation=len(splits.validation_x),
        n_test=splits.n_test,
        input_min=float(seen.low.min()),
        input_max=float(seen.high.max()),
        input_mean=mean,
        input_std=std,
        n_non_finite=known.n_non_finite + _n_non_finite(splits.validation_x),
        train_class_counts=_class_counts(splits.train_y, splits.n_outputs) if has_classes else (),
        validation_class_counts=_class_counts(splits.validation_y, splits.n_outputs) if has_classes else (),
    )
    if not is_complete:
        return probe
    shift = _shift_of(splits, scaling, config)
    return dataclasses.replace(probe, input_shift=shift, **dataclasses.asdict(_findings_of(splits)))


@dataclass(frozen=True, kw_only=True)
class _Findings:
    """What does not depend on how inputs are scaled; the names are those of `DataProbe`."""

    overlap_fraction: float = NAN
    moved_fraction: float = NAN
    leak_accuracy: float = NAN
    n_leak_features: int = 0
    leak_share: float = NAN
    label_disagreement: float = NAN
    clear_disagreement: float = NAN
    neighbor_guidance: float = NAN

    @staticmethod
    def of(train_x: Tensor, train_y: Tensor | None, validation_x: Tensor | None) -> "_Findings":
        """``train_y`` is None for a regression."""
        leak, share, seen = Leak(), NAN, Neighborhoods()
        if train_y is not None:
            leak, share = _leak_of(*_some(LEAK_SAMPLES, train_x, train_y))
            x, y = _some(NEIGHBOR_SAMPLES, train_x, train_y)
            seen = neighborhoods(_rows(x), y)
        return _Findings(
            overlap_fraction=NAN if validation_x is None else overlap_fraction(train_x, validation_x),
            moved_fraction=NAN if validation_x is None else moved_fraction(train_x, validation_x),
            leak_accuracy=leak.accuracy,
            n_leak_features=leak.n_features,
            leak_share=share,
            **dataclasses.asdict(seen),
        )


def _leak_of(x: Tensor, y: Tensor) -> tuple[Leak, float]:
    """The leak in all samples, else that in a part of them, and which share of the samples that is."""
    rows, labels = _rows(x), y.cpu()
    leak = find_leak(rows, labels)
    part = PartialLeak() if leak.accuracy >= TELLING else find_partial_leak(rows, labels)
    if not part.share > 0.0:
        return leak, NAN
    return Leak(accuracy=part.accuracy, n_features=1, features=(part.feature,)), part.share


def leak_marks(found: DataProbe, train_x: Tensor, train_y: Tensor, validation_x: Tensor) -> LeakMarks:
    """Where validation samples leak, of a classification.

    Args:
        found: the probe of the same data; where it shows no leak, nothing is looked for.
        train_x: [n, ...]; all that is trained on: with what is missing, moved copies would be among the rest.
        train_y: class numbers, [n].
        validation_x: [m, ...].
    """
    are_copies, places = None, None
    if max(found.overlap_fraction, found.moved_fraction) > COPIED:
        are_copies = _are_equal(train_x, validation_x)
    if are_copies is not None and found.moved_fraction > COPIED:
        are_moved, places = moved_copies(train_x, validation_x), places_asked(validation_x)
        are_copies = are_copies[places.numpy()] | (False if are_moved is None else are_moved)
    return LeakMarks.of(are_copies, places, telling_features(found, train_x, train_y))


def telling_features(found: DataProbe, train_x: Tensor, train_y: Tensor) -> tuple[int, ...]:
    """Of the flattened inputs [n, ...] those that tell the class ``train_y`` [n]; none where ``found`` has no leak."""
    if not (found.leak_accuracy >= TELLING or found.leak_share > 0.0):
        return ()
    return _leak_of(*_some(LEAK_SAMPLES, train_x, train_y))[0].features


def marks_of(splits: Splits, found: DataProbe) -> LeakMarks:
    """The same of splits, kept with them."""
    known: dict[Hashable, Any] = splits.known
    if "leak marks" not in known:
        known["leak marks"] = (
            leak_marks(found, splits.train_x, splits.train_y, splits.validation_x)
            if splits.kind == "classification"
            else LeakMarks.of(None, None, ())
        )
    marks: LeakMarks = known["leak marks"]
    return marks


def _findings_of(splits: Splits) -> _Findings:
    known: dict[Hashable, Any] = splits.known
    if "data findings" not in known:
        labels = splits.train_y if splits.kind == "classification" else None
        known["data findings"] = _Findings.of(splits.train_x, labels, splits.validation_x)
    findings: _Findings = known["data findings"]
    return findings


def _shift_of(splits: Splits, scaling: InputScaling, config: TrainingConfig) -> float:
    (images,) = _some(SHIFT_SAMPLES, splits.train_x)
    augment = augmentation(config, splits.input_shape)
    if augment is not None:
        images = augment(images, torch.Generator(images.device).manual_seed(_SEED))
    (evaluated,) = _some(SHIFT_SAMPLES, splits.validation_x)
    return input_shift(scaling(images), scaling(evaluated))


def overlap_fraction(train_x: Tensor, validation_x: Tensor) -> float:
    """Share of the validation samples that are in the train split.

    NaN where samples cannot be compared, and where two may be equal by chance.
    """
    is_comparable = train_x.shape[1:] == validation_x.shape[1:] and train_x.dtype == validation_x.dtype
    if not is_comparable or not len(train_x) or not len(validation_x):
        return NAN
    share = float(_are_equal(train_x, validation_x).mean())
    return share if share == 0.0 or are_told_apart(train_x) else NAN


def _are_equal(train_x: Tensor, validation_x: Tensor) -> Copies:
    """Which validation samples are in the train split, value for value, [m]."""
    train, validation = sample_numbers(train_x, validation_x)
    return np.isin(validation, train)


def input_shift(trained_on: Tensor, evaluated: Tensor) -> float:
    """How far ``trained_on`` [n, ...] lies from ``evaluated`` [m, ...], as `DataProbe.input_shift` says.

    NaN where the inputs cannot be compared: of other shapes, fewer than two, or without any spread.
    """
    if trained_on.shape[1:] != evaluated.shape[1:] or min(len(trained_on), len(evaluated)) < 2:
        return NAN
    (trained_on,), (evaluated,) = _some(SHIFT_SAMPLES, trained_on), _some(SHIFT_SAMPLES, evaluated)
    one, other = _rows(trained_on), _rows(evaluated)
    std, spread = float(other.std()), float(one.std())
    if not std or not spread:
        return NAN
    noise = one.var(0) / len(one) + other.var(0) / len(other)
    return max(
        abs(float(one.mean() - other.mean())) / std,
        abs(math.log(spread / std)),
        feature_shift(one.mean(0) - other.mean(0), noise) / std,
    )


def feature_shift(differences: Tensor, noise: Tensor) -> float:
    """Root mean square of the ``differences`` of the features' means, without what ``noise``, their variance, adds."""
    return math.sqrt(max(float((differences.square() - noise).mean()), 0.0))


def overall(mean: Tensor, std: Tensor) -> tuple[float, float]:
    """Mean and deviation of all values, from those of channels with as many values each."""
    total = mean.mean()
    return float(total), math.sqrt(float((std.square() + (mean - total).square()).mean()))


def _scaled(known: ChannelStatistics, scaling: InputScaling) -> ChannelStatistics:
    shift, factor = scaling.shift.double().cpu().flatten(), scaling.factor.double().cpu().flatten()
    return ChannelStatistics(
        mean=(known.mean - shift) * factor,
        std=known.std * factor,
        low=(known.low - shift) * factor,
        high=(known.high - shift) * factor,
        n_non_finite=known.n_non_finite,
    )


def _some(n_most: int, *parts: Tensor) -> tuple[Tensor, ...]:
    """The same random samples of each of ``parts``, in their order; all of them where they are no more.

    Of the first one at most `MOST_VALUES` values, or `FEWEST_SAMPLES` samples.
    """
    n = len(parts[0])
    n_values = max(math.prod(parts[0].shape[1:]), 1)
    n_most = min(n_most, max(FEWEST_SAMPLES, MOST_VALUES // n_values))
    if n <= n_most:
        return parts
    places = torch.randperm(n, generator=torch.Generator().manual_seed(_SEED))[:n_most].sort().values
    return tuple(part.index_select(0, places.to(part.device)) for part in parts)


def _rows(x: Tensor) -> Tensor:
    """[n, n_features], float32 on the CPU; what is not finite is 0, so that it breaks nothing else."""
    return x.detach().reshape(len(x), -1).to("cpu", torch.float32).nan_to_num(0.0, 0.0, 0.0)


def _with_features(x: Tensor) -> Tensor:
    """[n, n_features, ...]: a sample that is one number has one feature."""
    return x.detach()[:, None] if x.ndim == 1 else x.detach()


def _are_classes(y: Tensor) -> bool:
    return y.ndim == 1 and not y.is_floating_point() and (not len(y) or int(y.min()) >= 0)


def _class_counts(y: Tensor, n_classes: int) -> tuple[int, ...]:
    return tuple(torch.bincount(y.cpu(), minlength=n_classes).tolist())


def _n_non_finite(x: Tensor) -> int:
    return x.numel() - int(x.isfinite().sum()) if x.is_floating_point() else 0
