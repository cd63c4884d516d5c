"""Each fault is planted in sound data and must be named; sound data must pass."""

import dataclasses
import time

import numpy as np
import pytest
import torch

from search_spaces.errors import DataError
from tests.problems import blobs, images, line
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.data_checks import (
    CHECKS,
    LEAK_BLOCKER,
    CheckVerdict,
    DataCheck,
    check_data,
    duplicates_across_splits,
    refuse_non_finite,
)
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import Splits, split_dataset


def splits_of(dataset: Dataset) -> Splits:
    return split_dataset(dataset, device="cpu")


def found(name: str, data: Dataset | Splits, config: TrainingConfig | None = None) -> DataCheck:
    return next(check for check in check_data(data, config) if check.name == name)


@pytest.mark.parametrize(
    "dataset", [blobs(n_test=30), images(), line()], ids=["rows", "images", "regression"]
)
def test_sound_data_passes_every_check(dataset: Dataset) -> None:
    """Nothing is wrong, and each check says so in one sentence."""
    checks = check_data(dataset)
    assert [check.name for check in checks] == [check.__name__ for check in CHECKS]
    assert {check.verdict for check in checks} == {CheckVerdict.OK}
    assert all(check.sentence.endswith(".") for check in checks)


def test_one_non_finite_value_is_a_blocker() -> None:
    """A single NaN in validation makes its loss NaN."""
    splits = splits_of(blobs())
    splits.validation_x[3, 1] = torch.nan
    check = found("non_finite_values", splits)
    assert check.verdict is CheckVerdict.BLOCKER
    assert check.numbers == {"train": 0, "validation": 1}
    assert "1 in validation" in check.sentence


def test_a_target_that_is_no_number_is_a_blocker_too() -> None:
    """A regression's loss is NaN from the first epoch on; classes are whole numbers and cannot be."""
    splits = splits_of(line())
    splits.train_y[2] = torch.inf
    check = found("non_finite_values", splits)
    assert check.verdict is CheckVerdict.BLOCKER
    assert check.numbers["targets of train"] == 1
    assert "1 in targets of train" in check.sentence


def leaking(share: float) -> Splits:
    """The blobs, with this share of validation copied from train."""
    splits = splits_of(blobs(2000))
    n = round(share * len(splits.validation_x))
    splits.validation_x[:n] = splits.train_x[:n]
    return splits


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0.0, CheckVerdict.OK), (0.01, CheckVerdict.WARNING), (LEAK_BLOCKER, CheckVerdict.BLOCKER)],
)
def test_copies_of_train_samples_in_validation_are_counted_and_graded(
    share: float, verdict: CheckVerdict
) -> None:
    """From one in twenty on, they decide what seems best."""
    check = duplicates_across_splits(leaking(share), TrainingConfig())
    assert check.verdict is verdict
    assert check.numbers["validation_in_train"] == round(share * 400)
    assert check.numbers["largest_share"] == pytest.approx(share)


def test_duplicates_are_found_as_comparing_every_pair_finds_them() -> None:
    """Hashing bytes finds what the slow comparison of all pairs finds, within a split as well."""
    random = np.random.default_rng(0)
    splits = splits_of(images(120))
    pool = torch.from_numpy(random.integers(0, 2, (40, 1, 8, 8), dtype=np.uint8))
    parts = {
        "train_x": pool[random.integers(0, 30, 90)],
        "validation_x": pool[random.integers(10, 40, 25)],
        "test_x": pool[random.integers(20, 40, 20)],
    }
    splits = dataclasses.replace(splits, **parts, test_y=torch.zeros(20, dtype=torch.int64))  # type: ignore[arg-type]

    def pairs(one: str, other: str) -> int:
        equal = (parts[one].flatten(1)[:, None] == parts[other].flatten(1)[None]).all(2)
        return int(equal.any(1).sum())

    numbers = duplicates_across_splits(splits, TrainingConfig()).numbers
    assert numbers["validation_in_train"] == pairs("validation_x", "train_x") > 0
    assert numbers["test_in_train"] == pairs("test_x", "train_x") > 0
    assert numbers["test_in_validation"] == pairs("test_x", "validation_x") > 0
    assert numbers["within_train"] == 90 - len(torch.unique(parts["train_x"], dim=0))
    assert len(numbers["examples"]["validation_in_train"]) == 5


def test_a_class_that_validation_lacks_is_named() -> None:
    """Data sorted by class and split from its end shows validation one class only."""
    dataset = blobs(300)
    order = torch.argsort(dataset.y_train, stable=True)
    ordered = dataclasses.replace(dataset, x_train=dataset.x_train[order], y_train=dataset.y_train[order])
    check = found("stratification", ordered, TrainingConfig(split="last"))
    assert check.verdict is CheckVerdict.WARNING
    assert "validation has no sample of class 0, 1" in check.sentence
    assert check.numbers["validation"]["absent_classes"] == [0, 1]


def test_a_test_split_with_another_mix_of_classes_is_named() -> None:
    """Half of one class in test, a third in train, on a thousand samples: no chance."""
    dataset = blobs(1200, n_test=900)
    assert dataset.y_test is not None
    assert found("stratification", dataset).verdict is CheckVerdict.OK
    shifted = torch.where(torch.arange(900) < 300, torch.zeros(900, dtype=torch.int64), dataset.y_test)
    check = found("stratification", dataclasses.replace(dataset, y_test=shifted))
    assert check.verdict is CheckVerdict.WARNING
    assert "class 0 is 33.3% of train and 55.6% of test" in check.sentence


def test_random_draws_from_one_mix_are_hardly_ever_called_different() -> None:
    """The p value of the class mix is uniform where there is no difference: 1 in 20 lies under 0.05."""
    from tuner.training.data_checks import _same_mix_p_value

    random = np.random.default_rng(0)
    draws = [random.multinomial(size, [0.2] * 5, size=4000) for size in (3000, 700)]
    p_values = np.array([_same_mix_p_value(one, other) for one, other in zip(*draws, strict=True)])
    assert abs((p_values < 0.05).mean() - 0.05) < 0.01
    assert abs((p_values < 0.5).mean() - 0.5) < 0.03


def test_a_rare_class_is_named_with_what_helps() -> None:
    """30 to 1 hides the rare class in the accuracy; with balanced weights the advice is gone."""
    dataset = blobs(900)
    y = torch.where(
        (dataset.y_train == 2) & (torch.arange(900) > 30), torch.zeros(900).long(), dataset.y_train
    )
    rare = dataclasses.replace(dataset, y_train=y)
    check = found("class_balance", rare)
    assert check.verdict is CheckVerdict.WARNING
    assert check.numbers["smallest_class"] == 2
    assert "class_weights=balanced" in check.sentence
    assert (
        "class_weights" not in found("class_balance", rare, TrainingConfig(class_weights="balanced")).sentence
    )


@pytest.mark.parametrize(("scale", "shift"), [(100.0, 0.0), (1.0, 8.0)], ids=["too large", "far from 0"])
def test_inputs_of_an_unsound_scale_are_named_until_they_are_standardized(scale: float, shift: float) -> None:
    """What counts is what the network sees, not what the file holds."""
    dataset = blobs()
    odd = dataclasses.replace(dataset, x_train=dataset.x_train * scale + shift)
    assert found("normalization", odd).verdict is CheckVerdict.WARNING
    assert found("normalization", odd, TrainingConfig(input_scaling="standardize")).verdict is CheckVerdict.OK


@pytest.mark.parametrize("scaling", ["unit", "standardize", "none"])
def test_the_scale_is_that_of_the_scaled_inputs(scaling: str) -> None:
    """The statistics are carried through the scaling instead of being taken again: both agree."""
    from tuner.training.datasets.input_scaling import input_scaling

    splits = splits_of(images(90))
    config = TrainingConfig(input_scaling=scaling)  # type: ignore[arg-type]
    seen = input_scaling(config, splits.train_x, splits.train_statistics)(splits.train_x)
    numbers = found("normalization", splits, config).numbers
    assert numbers["mean"] == pytest.approx(float(seen.mean()), abs=1e-5)
    assert numbers["std"] == pytest.approx(float(seen.std(correction=0)), rel=1e-4)
    assert numbers["largest"] == pytest.approx(float(seen.abs().max()), rel=1e-5)


def test_augmentation_drift_is_named_where_its_background_is_not_the_images() -> None:
    """What comes in from outside is 0: on white paper that is ink."""
    dataset = load_dataset("digits")
    strong = TrainingConfig(augmentation=1.0)
    assert found("augmentation_drift", dataset, strong).verdict is CheckVerdict.OK
    inverted = dataclasses.replace(dataset, x_train=dataset.x_train.max() - dataset.x_train // 4)
    check = found("augmentation_drift", inverted, strong)
    assert check.verdict is CheckVerdict.WARNING
    assert "lower it" in check.sentence


def test_augmentation_that_moves_every_image_alike_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turned by a quarter, the images' mean and deviation stay what they were; the pixels' means do not."""
    dataset = load_dataset("digits")
    monkeypatch.setattr(
        "tuner.training.data_checks.augmentation", lambda *_args: lambda x: x.float().rot90(1, (-2, -1))
    )
    check = found("augmentation_drift", dataset, TrainingConfig(augmentation=0.1))
    assert check.verdict is CheckVerdict.WARNING
    assert check.numbers["mean"] == pytest.approx(check.numbers["augmented_mean"], abs=1e-6)
    assert check.numbers["std"] == pytest.approx(check.numbers["augmented_std"], rel=1e-4)


def test_noise_alone_is_no_drift_of_the_pixels() -> None:
    """A few images under strong noise without a bias: what is left of the difference is far below the bound."""
    from tuner.training.data_checks import _pixel_drift

    original = torch.zeros(50, 1, 20, 20)
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    assert float((original + noise).mean(0).square().mean().sqrt()) > 0.12
    assert _pixel_drift(original, original + noise) < 0.05
    assert _pixel_drift(original, original + noise + 0.5) == pytest.approx(0.5, abs=0.02)


def test_the_checks_leave_the_callers_random_state_alone() -> None:
    """Augmenting draws random numbers, but not the caller's."""
    before = torch.get_rng_state()
    check_data(images(), TrainingConfig(augmentation=0.5))
    assert torch.equal(before, torch.get_rng_state())


def test_70_000_images_are_checked_in_seconds() -> None:
    """Nothing loops over pairs: as many images as MNIST has, on a machine that may be busy."""
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.integers(0, 255, (70_000, 1, 28, 28), dtype=np.uint8))
    y = torch.from_numpy(np.arange(70_000) % 10)
    dataset = Dataset(
        name="noise",
        x_train=x[:60_000],
        y_train=y[:60_000],
        x_test=x[60_000:],
        y_test=y[60_000:],
        n_outputs=10,
        kind="classification",
    )
    splits = splits_of(dataset)
    started = time.process_time()
    assert {check.verdict for check in check_data(splits)} == {CheckVerdict.OK}
    assert time.process_time() - started < 5


def test_data_that_are_not_finite_are_refused_before_anything_is_measured() -> None:
    """A range test on NaN would blame the learning rate."""
    sound = blobs()
    refuse_non_finite(sound, TrainingConfig())
    x = sound.x_train.clone()
    x[3, 0] = torch.nan
    with pytest.raises(DataError, match="NaN or infinite: 1 in"):
        refuse_non_finite(dataclasses.replace(sound, x_train=x), TrainingConfig())
