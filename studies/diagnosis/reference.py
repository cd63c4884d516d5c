"""What a trial is measured against: chance, the noise floor, and the study's best at the same epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.curves import Curve, slope_t
from studies.readings import EpochReadings, Telemetry
from studies.records import Outcome, StudyRecord, TrialRecord

NAN = float("nan")


def trained(trial: TrialRecord, quantity: str) -> Curve:
    """The epoch readings of ``quantity`` from epoch 1 on, shape [n_epochs]; empty without telemetry."""
    rows = trained_rows(trial)
    return np.array([getattr(row, quantity) for row in rows], dtype=np.float64)


def trained_rows(trial: TrialRecord) -> tuple[EpochReadings, ...]:
    """The rows of epoch 1 and later."""
    return tuple(row for row in (trial.telemetry or Telemetry()).epochs if row.epoch > 0)


def untrained_loss(telemetry: Telemetry) -> float:
    """The untrained network's loss: epoch 0, else the step-0 probe, else ln(classes); NaN without any."""
    readings = [row.train_loss for row in telemetry.epochs if row.epoch == 0]
    if telemetry.step_zero is not None:
        readings += [telemetry.step_zero.expected_loss, telemetry.step_zero.train_loss]
    return next((reading for reading in readings if math.isfinite(reading)), NAN)


def indifferent_loss(telemetry: Telemetry) -> float:
    """What a network pays that knows nothing: ln(classes), else the untrained network's loss."""
    probe = telemetry.step_zero
    if probe is not None and math.isfinite(probe.expected_loss):
        return probe.expected_loss
    return untrained_loss(telemetry)


def chance_accuracy(telemetry: Telemetry) -> float:
    """The accuracy of always answering the most frequent class; 0 where the classes are not recorded."""
    data = telemetry.data
    if data is None or not sum(data.validation_class_counts):
        return 0.0
    return max(data.validation_class_counts) / sum(data.validation_class_counts)


def validation_error(telemetry: Telemetry, accuracy: float) -> float:
    """SE_val: the standard error of a validation accuracy, sqrt(a(1-a)/n).

    The noise floor between replicates is seldom known; this is its smallest possible value. One answer's
    worth is the least: at an accuracy of 1 the formula says 0.
    """
    return standard_error(accuracy, n_validation(telemetry))


def n_validation(telemetry: Telemetry) -> float:
    """Validation samples; so many as are assumed where nobody counted them."""
    size = telemetry.data.n_validation if telemetry.data is not None else 0
    return float(size or limits.ASSUMED_VALIDATION_SIZE.value)


def standard_error(accuracy: float, n: float) -> float:
    """Of an accuracy of ``n`` samples: sqrt(a(1-a)/n), and one answer's worth at least."""
    return max(math.sqrt(max(accuracy * (1.0 - accuracy), 0.0) / n), 1.0 / n)


def shortfall(trial: TrialRecord) -> float:
    """What the last validation accuracy lacks of the training's own best, in standard errors of the best.

    NaN where there are no accuracies: then nobody knows whether the end is as good as the training ever was.
    """
    accuracies = trained(trial, "validation_accuracy")
    if trial.telemetry is None or not len(accuracies) or not np.all(np.isfinite(accuracies)):
        return NAN
    best = float(accuracies.max())
    return (best - float(accuracies[-1])) / validation_error(trial.telemetry, best)


def has_diverged(trial: TrialRecord) -> bool:
    """Whether a loss or a parameter became infinite or NaN, stopped for it or not."""
    return trial.outcome is Outcome.DIVERGED or any(has_bad_loss(row) for row in trained_rows(trial))


def has_bad_loss(row: EpochReadings) -> bool:
    """Whether the epoch's train loss was read and is not finite.

    A loop that tells no losses leaves NaN too, but then no learning rate of a step either.
    """
    was_read = not math.isnan(row.train_loss) or math.isfinite(row.learning_rate)
    return was_read and not math.isfinite(row.train_loss)


def still_falls(trial: TrialRecord) -> bool:
    """Whether the train loss has a clear downward slope over the second half of the training."""
    losses = trained(trial, "train_loss")
    losses = losses[np.isfinite(losses)]
    return slope_t(losses[-max(3, len(losses) // 2) :]) < limits.STILL_FALLING_T.value


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How much a trial has learned by an epoch: 0 is nothing, 1 is everything."""

    value: float
    quantity: str
    noise: float


def fit_by(
    trial: TrialRecord, epoch: int | None = None, *, splits: tuple[str, ...] = ("train", "validation")
) -> Fit | None:
    """The best of ``splits`` up to ``epoch``: an accuracy, or the share of the initial loss that is gone.

    Both splits by default, because dropout and augmentation make the train side look worse than it is: who
    fits either has the capacity. None where neither accuracies nor an initial loss is recorded.
    """
    telemetry = trial.telemetry
    rows = [row for row in trained_rows(trial) if epoch is None or row.epoch <= epoch]
    if telemetry is None or not rows:
        return None
    accuracies = _finite(rows, [f"{split}_accuracy" for split in splits])
    if accuracies:
        best = max(accuracies)
        return Fit(value=best, quantity="accuracy", noise=validation_error(telemetry, best))
    losses = _finite(rows, [f"{split}_loss" for split in splits])
    initial = untrained_loss(telemetry)
    if not losses or not initial > 0.0:
        return None
    return Fit(value=1.0 - min(losses) / initial, quantity="explained_loss", noise=0.0)


def _finite(rows: Sequence[EpochReadings], quantities: Sequence[str]) -> list[float]:
    readings = [float(getattr(row, quantity)) for row in rows for quantity in quantities]
    return [reading for reading in readings if math.isfinite(reading)]


def chance_limit(telemetry: Telemetry) -> float:
    """The accuracy up to which nobody can tell a network from guessing; NaN where the classes are unknown."""
    chance = chance_accuracy(telemetry)
    if not chance > 0.0:
        return NAN
    return chance + limits.CHANCE_ERRORS.value * validation_error(telemetry, chance)


def ends_at_chance(trial: TrialRecord) -> bool:
    """Whether the last epoch's validation accuracy (else the train accuracy) is one of guessing."""
    rows = trained_rows(trial)
    if trial.telemetry is None or not rows:
        return False
    last = _finite(rows[-1:], ["validation_accuracy", "train_accuracy"])
    return bool(last) and last[0] <= chance_limit(trial.telemetry)


def learned_nothing(trial: TrialRecord) -> bool:
    """Whether no epoch has an accuracy above chance on either split, nor a loss below that of guessing.

    Both, because a most frequent class or label smoothing hides learning in one of them. True from epoch 1
    on for a training that was allowed to end; one cut short gets ``PERSISTENCE`` epochs to show something. Never of a
    handful of optimizer steps, of which nobody expects anything.
    """
    fit, losses = fit_by(trial), trained(trial, "train_loss")
    ended = trial.state == "complete" or len(losses) >= limits.PERSISTENCE.value
    if trial.telemetry is None or fit is None or fit.quantity != "accuracy" or not ended:
        return False
    if trial.telemetry.steps and sum(map(len, trial.telemetry.steps)) < limits.FEW_STEPS.value:
        return False
    guessing = limits.LOST_LEARNING.value * indifferent_loss(trial.telemetry)
    return fit.value <= chance_limit(trial.telemetry) and bool(np.min(losses) >= guessing)


@dataclass(frozen=True, kw_only=True)
class PoorFit:
    """A trial that fits neither split as well as is known to be possible."""

    quantity: str
    value: float
    threshold: float
    source: str
    n_epochs: int
    is_certain: bool
    """Whether a better training of the study was seen, or nothing was learned: else the data may allow no more."""


def poor_fit(trial: TrialRecord, study: StudyRecord) -> PoorFit | None:
    """Whether the trial fits far worse than the study's best trial did by the same epoch.

    The same epoch, so that a pruned trial is judged by what it saw. Without such a peer an absolute threshold
    decides. None below ``PERSISTENCE`` trained epochs, unless nothing at all was learned.
    """
    rows = trained_rows(trial)
    own = fit_by(trial)
    if own is None or trial.telemetry is None:
        return None
    if len(rows) < limits.PERSISTENCE.value:
        if not learned_nothing(trial):
            return None
        return PoorFit(
            quantity=own.quantity,
            value=own.value,
            threshold=chance_limit(trial.telemetry),
            source=limits.CHANCE_ERRORS.source,
            n_epochs=len(rows),
            is_certain=True,
        )
    reference = _reference_fit(trial, study, rows[-1].epoch)
    if reference is not None and reference.quantity == own.quantity:
        rule = limits.POOR_FIT_ERROR_RATIO
        margin = max(limits.POOR_FIT_MARGIN.value, limits.POOR_FIT_NOISE_FLOORS.value * reference.noise)
        threshold = min(1.0 - rule.value * (1.0 - reference.value), reference.value - margin)
    else:
        reference = None
        rule = limits.POOR_FIT_ACCURACY if own.quantity == "accuracy" else limits.POOR_FIT_EXPLAINED
        threshold = rule.value
    if own.value >= threshold:
        return None
    return PoorFit(
        quantity=own.quantity,
        value=own.value,
        threshold=threshold,
        source=rule.source,
        n_epochs=len(rows),
        is_certain=reference is not None or learned_nothing(trial),
    )


def _reference_fit(trial: TrialRecord, study: StudyRecord, epoch: int) -> Fit | None:
    """What the study's best trial reached on validation by ``epoch``; None if it has hardly learned."""
    peer = peer_of(trial, study)
    in_the_end = fit_by(peer, splits=("validation",)) if peer is not None else None
    if peer is None or peer.telemetry is None or in_the_end is None:
        return None
    chance = chance_accuracy(peer.telemetry) if in_the_end.quantity == "accuracy" else 0.0
    return fit_by(peer, epoch, splits=("validation",)) if has_learned(in_the_end.value, chance) else None


def has_learned(fit: float, chance: float) -> bool:
    """Whether a fit is at least half of the way from chance to perfect."""
    return fit - chance >= limits.GATE_PROGRESS.value * (1.0 - chance)


def peer_of(trial: TrialRecord, study: StudyRecord) -> TrialRecord | None:
    """The study's best complete trial, when it is another one and has telemetry."""
    best = study.best
    return best if best is not None and best.number != trial.number and trained_rows(best) else None
