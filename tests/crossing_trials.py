"""Trials made from one reading each: what is said of them changes where the reading crosses its threshold."""

import dataclasses
import math

from studies.readings import NAN, LayerProbe
from studies.records import TrialRecord
from tests.early_cases import (
    layers,
    stuck_trial,
    with_class_accuracy,
    with_code,
    with_data,
    with_start,
    with_weight_norm,
)
from tests.made_trials import DATA, LEARNING, RISING, VALIDATION_LOSS, good_trial, trial_of


def of_probabilities(lowest: float, sum_error: float = 1e-7) -> TrialRecord:
    losses = tuple(lowest + loss - LEARNING[-1] for loss in LEARNING)
    trial = trial_of(losses, RISING, VALIDATION_LOSS, RISING)
    return with_start(trial, output_low=0.0, output_high=0.3, output_sum_error=sum_error)


def rare(ratio: float) -> TrialRecord:
    """A class ``ratio`` times rarer than the others, and answered badly."""
    train, validation = (48_000,) * 9 + (round(48_000 / ratio),), (12_000,) * 9 + (round(12_000 / ratio),)
    trial = with_data(train_class_counts=train, validation_class_counts=validation)
    return with_class_accuracy(trial, (0.97,) * 9 + (0.3,))


def worse_by(deficit: float) -> TrialRecord:
    train, validation = (48_000,) * 9 + (2_000,), (12_000,) * 9 + (500,)
    trial = with_data(train_class_counts=train, validation_class_counts=validation)
    return with_class_accuracy(trial, (0.97,) * 9 + (0.97 - deficit,))


def drifting(drift: float) -> TrialRecord:
    """Of two classes and equal splits, V is how far each split leans to its side."""
    more, less = round(50_000 * (1.0 + drift)), round(50_000 * (1.0 - drift))
    return with_data(train_class_counts=(more, less), validation_class_counts=(less, more))


def unseen(share: float) -> TrialRecord:
    n = round(100_000 * share)
    half = (100_000 - n) // 2
    return with_data(train_class_counts=(200_000, 200_000, 0), validation_class_counts=(half, half, n))


def disputed(share: float, error: float, guidance: float = NAN) -> TrialRecord:
    level = (1.0 - error,) * 10
    trial = trial_of(LEARNING, level, VALIDATION_LOSS, level)
    return with_data(trial, label_disagreement=share, neighbor_guidance=guidance)


def against_guides(if_right: float) -> TrialRecord:
    """A tenth stands against nearly all its neighbors, who would agree so well if no label were wrong."""
    level, share = (0.8,) * 10, 0.1
    trial = trial_of(LEARNING, level, VALIDATION_LOSS, level)
    return with_data(
        trial,
        label_disagreement=0.1,
        clear_disagreement=share,
        neighbor_guidance=if_right * (1.0 - share) ** 2,
    )


def mixed_up(share: float, if_right: float) -> TrialRecord:
    """The clearest neighborhoods hold ``share`` of other labels, and would agree so well without these."""
    level = (0.6,) * 10
    trial = trial_of(LEARNING, level, VALIDATION_LOSS, level)
    return with_data(trial, clear_disagreement=share, neighbor_guidance=if_right * (1.0 - share) ** 2)


def misread(errors: float) -> TrialRecord:
    """``errors`` standard errors of 90% of a thousand answers."""
    n, data = 10, dataclasses.replace(DATA, n_validation=1000)
    trial = trial_of(
        LEARNING,
        (0.9,) * n,
        VALIDATION_LOSS,
        (0.9,) * n,
        data=data,
        probe_accuracy=(0.95,) * n,
        train_mode_probe_accuracy=(0.95 - errors * math.sqrt(0.09 / 1000),) * n,
    )
    return with_code(trial, evaluation_in_train_mode_share=1.0)


def far(shift: float) -> TrialRecord:
    level = (0.9,) * 10
    return with_data(trial_of(LEARNING, level, tuple(0.8 * x for x in LEARNING), level), input_shift=shift)


def lagging(gap: float, shift: float) -> TrialRecord:
    behind = tuple(accuracy - gap for accuracy in RISING)
    return with_data(trial_of(LEARNING, RISING, VALIDATION_LOSS, behind), input_shift=shift)


def growing(factor: float) -> TrialRecord:
    stds = [factor**n for n in range(8)]
    grown = tuple(LayerProbe(name=str(n), gradient_norm=0.1, output_std=std) for n, std in enumerate(stds))
    return with_start(stuck_trial(), layers=grown)


def scaled(mean: float, std: float) -> TrialRecord:
    return with_data(stuck_trial(), input_mean=mean, input_std=std)


def frozen(ratio: float) -> TrialRecord:
    changes = {"is_trainable": (False, True, True), "spectral_ratio": (ratio, NAN, NAN)}
    return with_start(stuck_trial(), layers=layers(**changes))


def collapsing(weight_norm: float) -> TrialRecord:
    """Gradients that vanish on the way, behind weights that had a norm of 1."""
    norms = (("0", 1e-6), ("2", 1e-3), ("4", 0.1))
    trial = with_start(good_trial(layers=norms), layers=layers(weight_norm=(1.0, 1.0, 1.0)))
    return with_weight_norm(trial, weight_norm)


def inflated(highest: float, error: float) -> TrialRecord:
    """Copies that add as much at most."""
    n = len(RISING)
    trial = trial_of(
        LEARNING,
        RISING,
        VALIDATION_LOSS,
        RISING,
        copy_inflation=(highest - 1.645 * error,) * n,
        copy_inflation_error=(error,) * n,
    )
    return with_data(trial, overlap_fraction=0.3)


def never_cleared(fit: float, error: float = NAN) -> TrialRecord:
    """The loss on the training data, read in eval mode, is ``fit`` times that on validation."""
    n = len(VALIDATION_LOSS)
    probe = {
        "probe_loss": tuple(fit * loss for loss in VALIDATION_LOSS),
        "probe_accuracy": (1.0 - error,) * n,
    }
    trial = trial_of(VALIDATION_LOSS, (0.8,) * n, VALIDATION_LOSS, (1.0 - error / 0.8,) * n, **probe)
    return with_code(trial, stale_gradient_share=1.0)


def copied(share: float) -> TrialRecord:
    """A training that falls short of 0.9, in a network of which ``share`` of the first layer's units are copies."""
    trial = trial_of(LEARNING, RISING, VALIDATION_LOSS, (0.85,) * len(RISING))
    twins = layers(twin_fraction=(share, 0.0, 0.0), weight_gain=(1.4, 1.4, 1.4))
    return with_start(trial, layers=twins)
