"""Slowness by the way that the weights went, and by what the rates that a schedule took away would have brought."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from studies.diagnosis import CauseName, Finding, Severity, diagnose_record, thresholds
from studies.diagnosis.progress import (
    N_DOUBLINGS,
    fall_by_rates,
    gain_of,
    gain_of_path,
    low_rate_share,
    path_length,
    share_of_error,
    stopped_short,
)
from studies.diagnosis.signs import Signs
from studies.diagnosis.slowness import expected_gain
from studies.diagnosis.thresholds import Threshold
from studies.readings import NAN
from studies.records import Outcome, TrialRecord
from tests.early_cases import with_code
from tests.made_trials import DATA, LN10, study_of, trial_of, with_steps

FLATTENING = (1.0, 0.7, 0.55, 0.48, 0.45, 0.435, 0.43, 0.428)
"""A loss that a cosine to zero brings to rest: its end falls no more, whatever is left."""


def short(
    *,
    fit: float = 0.8,
    accuracy: float = 0.86,
    update_ratio: float = 2e-3,
    rates: Sequence[float] | None = None,
    losses: Sequence[float] = FLATTENING,
    n_validation: int = 1000,
    n_steps: int = 20,
) -> TrialRecord:
    """Epochs of ``n_steps`` steps each, whose rates fall to nothing."""
    n = len(losses)
    level = (accuracy,) * n
    data = dataclasses.replace(DATA, n_train=n_steps * 128, n_validation=n_validation)
    train = tuple(fit * loss for loss in losses)
    trial = trial_of(train, level, losses, level, update_ratio=update_ratio, data=data)
    per_epoch = rates if rates is not None else np.linspace(0.1, 0.01, n)
    return with_steps(
        trial, np.repeat(train, n_steps).tolist(), np.repeat(per_epoch, n_steps).tolist(), n_epochs=n
    )


@pytest.mark.parametrize("reading", [path_length, fall_by_rates])
def test_a_reading_that_is_kept_is_that_of_its_own_signs(reading: Callable[[Signs], float]) -> None:
    """Kept once with the signs of a trial, and the same as when it is worked out anew."""
    trials = [short(update_ratio=2e-3), short(update_ratio=3e-3, losses=[*FLATTENING[:-1], 0.3])]
    signs = [Signs(trial=trial) for trial in trials]
    anew = inspect.unwrap(reading)
    for _ in range(2):
        assert [reading(each) for each in signs] == [anew(Signs(trial=trial)) for trial in trials]
    assert reading(signs[0]) != reading(signs[1])


def fault(trial: TrialRecord) -> Finding | None:
    found = [each for each in diagnose_record(study_of(trial), 0) if each.severity is not Severity.NOTE]
    return found[0] if found else None


def named(trial: TrialRecord) -> list[CauseName]:
    finding = fault(trial)
    return [cause.name for cause in finding.causes] if finding else []


# --- what is read


def test_a_path_is_the_sum_of_the_updates_over_all_steps() -> None:
    """Eight epochs of 20 steps at 0.002 are 0.32 norms of the weights."""
    assert path_length(Signs(trial=short())) == pytest.approx(0.32)


def test_an_epoch_that_was_not_read_counts_as_its_neighbor() -> None:
    """A watched loop does not see the first update."""
    trial = short()
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(
            row, layers=tuple(dataclasses.replace(layer, update_ratio=NAN) for layer in row.layers)
        )
        if row.epoch == 1
        else row
        for row in trial.telemetry.epochs
    )
    blind = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    assert path_length(Signs(trial=blind)) == pytest.approx(0.32)
    assert math.isnan(path_length(Signs(trial=trial_of(()))))


def test_the_fall_is_seen_over_the_sum_of_the_rates() -> None:
    """Half of it is past after the third of four epochs, if the first two had a quarter of the last one's rate."""
    losses = (2.0, 1.6, 1.0, 0.5)
    trial = short(losses=losses, rates=(0.02, 0.02, 0.04, 0.08))
    assert fall_by_rates(Signs(trial=trial)) == pytest.approx(0.5, rel=1e-4)


def test_within_the_first_epoch_the_logarithm_falls_evenly() -> None:
    """A single epoch is seen from the untrained loss on."""
    trial = short(losses=(0.5,), rates=(0.1,))
    assert fall_by_rates(Signs(trial=trial)) == pytest.approx(1.0 - math.sqrt(0.5 / LN10), rel=1e-3)


def test_a_promise_is_the_last_doubling_again_and_again() -> None:
    """Four times the rates are two more doublings; more than four doublings are never promised."""
    signs = Signs(trial=short())
    left = 1.0 - fall_by_rates(signs)
    assert share_of_error(signs, 4.0) == pytest.approx(1.0 - left**2)
    assert share_of_error(signs, 1e9) == pytest.approx(1.0 - left**N_DOUBLINGS)
    assert gain_of(signs, 4.0) == pytest.approx(0.14 * (1.0 - left**2) / signs.accuracy_noise)
    assert math.isnan(share_of_error(signs, 0.5))
    assert math.isnan(share_of_error(signs, NAN))


# --- what is said of it


def test_a_short_way_is_a_fault_although_the_schedule_has_flattened_the_loss() -> None:
    """The rules on the curve's end are silent, and the rate is named before the epochs."""
    trial = short()
    assert expected_gain(Signs(trial=trial)) < thresholds.EXPECTED_GAIN.value
    finding = fault(trial)
    assert finding is not None
    assert finding.symptom == "slow_training"
    assert named(trial)[:2] == [CauseName.LEARNING_RATE_TOO_LOW, CauseName.TOO_FEW_EPOCHS]
    quantities = {each.quantity: each for each in finding.evidence}
    assert quantities["path_length"].value < quantities["path_length"].threshold


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param({"update_ratio": 1.5e-2}, id="as far as usual"),
        pytest.param({"fit": 0.3}, id="fits its training data"),
        pytest.param({"accuracy": 0.96}, id="good enough"),
        pytest.param({"n_validation": 60}, id="a gain within the noise"),
        pytest.param({"losses": (0.45, 0.432, 0.431, 0.43, 0.43, 0.43, 0.43, 0.43)}, id="at its end"),
    ],
)
def test_what_is_done_is_not_slow(sound: dict[str, float]) -> None:
    """Each of the conditions alone keeps the rule silent."""
    assert stopped_short(Signs(trial=short()))
    assert not stopped_short(Signs(trial=short(**sound)))  # type: ignore[arg-type]
    assert fault(short(**sound)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fit", "limit"),
    [(0.4, thresholds.GAIN_CLEAR), (0.6, thresholds.GAIN_OF_PATH), (0.8, thresholds.GAIN_LEFT)],
)
def test_the_gain_decides_at_its_threshold(fit: float, limit: Threshold) -> None:
    """More validation samples make the same promise clearer; the poorer the fit, the less need be promised."""
    losses = (1.0, 0.8, 0.62, 0.5, 0.42, 0.35, 0.3, 0.27)  # falls enough to promise most of the error
    signs = {n: Signs(trial=short(fit=fit, losses=losses, n_validation=n)) for n in range(60, 2000, 20)}
    said = {n: stopped_short(each) for n, each in signs.items()}
    assert said == {n: gain_of_path(each) > limit.value for n, each in signs.items()}
    assert set(said.values()) == {True, False}


def test_a_rate_that_was_gone_is_named_although_the_loss_still_falls() -> None:
    """Three quarters of the steps at a twentieth of the peak: what the peak would have brought is lost."""
    losses = (1.0, 0.6, 0.57, 0.54, 0.52, 0.50, 0.48, 0.46)
    rates = (0.1, 0.1, *(0.005,) * 6)
    trial = short(losses=losses, rates=rates)
    assert low_rate_share(Signs(trial=trial)) == pytest.approx(0.75)
    assert named(trial)[0] is CauseName.PREMATURE_DECAY
    late = short(losses=losses, rates=(*(0.1,) * 6, 0.005, 0.005))
    assert CauseName.PREMATURE_DECAY not in named(late)


def test_few_steps_an_epoch_of_usual_size_are_a_large_batch() -> None:
    """Updates that lack more in size than in number are the rate's first."""
    usual, timid = (named(short(update_ratio=ratio, n_steps=6)) for ratio in (5e-3, 5e-4))
    assert usual[0] is CauseName.BATCH_TOO_LARGE
    assert timid[:2] == [CauseName.LEARNING_RATE_TOO_LOW, CauseName.BATCH_TOO_LARGE]


@pytest.mark.parametrize(("optimizer", "is_said"), [("sgd", True), ("adam", False), ("rmsprop", False)])
def test_clipping_slows_no_optimizer_that_scales_by_the_gradient(optimizer: str, is_said: bool) -> None:
    """Adam's steps are as large for clipped gradients as for whole ones."""
    trial = short()
    assert trial.telemetry is not None
    rows = tuple(dataclasses.replace(row, clip_fraction=1.0) for row in trial.telemetry.epochs)
    clipped = dataclasses.replace(
        trial,
        config={**trial.config, "optimizer": optimizer, "clip_norm": 0.01},
        telemetry=dataclasses.replace(trial.telemetry, epochs=rows),
    )
    assert (named(clipped)[0] is CauseName.CLIPPING_TOO_TIGHT) is is_said


@pytest.mark.parametrize(("n_epochs", "is_said"), [(2, True), (3, True), (6, False)])
def test_a_handful_of_steps_that_taught_nothing_are_too_few(n_epochs: int, is_said: bool) -> None:
    """Nothing more can be said of 40 to 60 steps; six epochs that taught nothing have another fault."""
    flat = (LN10 * 0.99,) * n_epochs
    trial = short(losses=flat, fit=1.0, accuracy=0.3, rates=(0.1,) * n_epochs, update_ratio=1e-2)
    assert (named(trial)[:1] == [CauseName.TOO_FEW_EPOCHS]) is is_said


@pytest.mark.parametrize(("n_high", "is_found"), [(2, True), (60, False)])
def test_a_brief_burst_explains_no_late_fall(n_high: int, is_found: bool) -> None:
    """The loss was back below its start after the first steps, so what it still falls at the end is no recovery."""
    n_steps = 160
    losses = np.concatenate([[2.3], np.full(n_high, 4.6), np.linspace(2.0, 0.5, n_steps - n_high - 1)])
    rates = np.repeat(np.linspace(0.1, 0.01, 8), 20)
    burst = with_steps(short(), losses.tolist(), rates.tolist(), n_epochs=8)
    found = {finding.symptom for finding in diagnose_record(study_of(burst))}
    assert ("slow_training" in found) is is_found


@pytest.mark.parametrize(
    ("n_steps", "n_validation", "is_said"), [(3, 6000, True), (3, 60, False), (20, 6000, False)], ids=str
)
def test_no_fit_excuses_a_handful_of_steps_that_promise_much(
    n_steps: int, n_validation: int, is_said: bool
) -> None:
    """The training data is fitted well, and validation falls on: three steps an epoch led nowhere near the end."""
    losses = (1.6, 1.2, 0.95, 0.75, 0.6, 0.5, 0.42, 0.36)
    trial = short(fit=0.3, losses=losses, accuracy=0.94, n_steps=n_steps, n_validation=n_validation)
    assert (named(trial)[:1] == [CauseName.BATCH_TOO_LARGE]) is is_said


def pruned(trial: TrialRecord) -> TrialRecord:
    return dataclasses.replace(trial, state="pruned", outcome=Outcome.PRUNED)


def test_that_a_pruned_training_ends_short_is_the_pruners_doing() -> None:
    """Where more epochs would mend it: the same curves of one that was let to its end are a fault."""
    cut = short(losses=(1.6, 1.2, 0.9), rates=(0.1,) * 3, update_ratio=1e-2)
    assert named(cut)[0] is CauseName.TOO_FEW_EPOCHS
    (finding,) = diagnose_record(study_of(pruned(cut)), 0)
    assert (finding.symptom, finding.severity) == ("slow_training", Severity.NOTE)
    assert finding.sentence.startswith("The training was pruned short of what it could be")


def test_few_steps_an_epoch_of_a_pruned_training_are_no_fault_by_themselves() -> None:
    """More epochs have more steps: the search's best may have as few an epoch, and reach its end."""
    cut = short(update_ratio=5e-3, n_steps=6)
    assert named(cut)[0] is CauseName.BATCH_TOO_LARGE
    (finding,) = diagnose_record(study_of(pruned(cut)), 0)
    assert finding.causes[0].name is CauseName.BATCH_TOO_LARGE
    assert finding.severity is Severity.NOTE


def test_a_pruned_training_shows_the_harm_of_an_earlier_error() -> None:
    """A bug that makes trainings slow is what gets them pruned."""
    cut = short(losses=(1.6, 1.2, 0.9), rates=(0.1,) * 3, update_ratio=1e-2)
    first = fault(with_code(pruned(cut), stale_gradient_share=0.6))
    assert first is not None
    assert first.symptom == "stale_gradients"
