import dataclasses
import math

import numpy as np
import pytest

from studies.diagnosis.finding import CauseName
from studies.diagnosis.instability import instability
from studies.diagnosis.signs import Signs
from studies.diagnosis.situation import Situation
from studies.readings import Telemetry
from studies.records import TrialRecord
from tests.made_trials import good_trial, trial_of, with_steps

QUARTERS = (1.6, 1.4, 1.2, 1.0, 0.8, 0.6, 0.5, 0.3)


def stepped(rates: list[float], losses: list[float] | None = None, n_epochs: int = 1) -> Signs:
    return Signs(trial=with_steps(good_trial(), losses or [1.0] * len(rates), rates, n_epochs=n_epochs))


def test_a_trial_without_readings_has_no_signs() -> None:
    """Every sign is NaN (or none at all) where nothing was read, and no rule can fire on it."""
    signs = Signs(trial=TrialRecord(number=0, state="complete", outcome=None, value=0.5))
    numbers = [
        signs.fit_ratio,
        signs.accuracy_gap,
        signs.train_mode_cost,
        signs.train_mode_loss,
        signs.explained,
        signs.late_fall,
        signs.doubling_fall,
        signs.fall_over_noise,
        signs.generalization_loss,
        signs.overconfidence,
        signs.update_ratio,
        signs.decay_share,
        signs.clip_share,
        signs.weight_growth,
        signs.dead_rise,
        signs.rate_area,
        signs.warmup_share,
        signs.n_steps,
        signs.early_burst,
        signs.burst,
    ]
    assert all(math.isnan(number) for number in numbers)
    assert (signs.n_train_rises, len(signs.rate_jumps)) == (0, 0)


def test_the_fit_ratio_takes_the_lower_of_train_and_probe() -> None:
    """The last quarter counts; dropout raises the running loss, which says nothing without the probe's."""
    noisy = trial_of(QUARTERS, None, (1.0,) * 8, probe_loss=(0.2,) * 8, config={"dropout": 0.5})
    assert Signs(trial=noisy).fit_ratio == pytest.approx(0.2)
    assert Signs(trial=trial_of(QUARTERS, None, (1.0,) * 8)).fit_ratio == pytest.approx(0.4)
    assert math.isnan(Signs(trial=trial_of(QUARTERS, None, (1.0,) * 8, config={"dropout": 0.5})).fit_ratio)


def test_falls_are_relative_to_what_was_there() -> None:
    """The last quarter against the one before; the end against the middle of the epochs."""
    signs = Signs(trial=trial_of((1.0,) * 8, None, QUARTERS))
    assert signs.late_fall == pytest.approx(1.0 - 0.4 / 0.7)
    assert signs.doubling_fall == pytest.approx(1.0 - 0.3 / 1.0)
    assert signs.generalization_loss == 0.0


def test_a_first_epoch_is_halved_by_the_untrained_loss() -> None:
    """After one epoch the middle lies between the untrained loss, ln(10), and the first reading."""
    signs = Signs(trial=trial_of((0.5,), None, (0.4,)))
    assert signs.doubling_fall == pytest.approx(1.0 - 0.4 / ((math.log(10.0) + 0.4) / 2.0))


def test_rises_and_generalization_loss_are_counted_from_the_curves() -> None:
    """Three percent is a rise; the least of the late losses over the steady best is what is lost for good."""
    rising = trial_of((1.0, 0.5, 0.52, 0.51, 0.6, 0.4), None, (1.0, 0.5, 0.6, 0.7, 0.8, 0.75))
    signs = Signs(trial=rising)
    assert signs.n_train_rises == 2
    assert signs.generalization_loss == pytest.approx(0.25)


def test_the_decay_share_is_rate_times_decay_over_the_update() -> None:
    """Rate 0.1, momentum 0.9, decay 0.001 and updates of 0.004: a quarter of what moves the weights."""
    trial = good_trial(config={"weight_decay": 1e-3, "momentum": 0.9})
    assert Signs(trial=trial).decay_share == pytest.approx(0.1 * 10.0 * 1e-3 / 4e-3)


def test_the_course_of_the_rate_is_read_from_the_steps() -> None:
    """A warmup rises for its share; a cosine has half the area; a restart is a jump, a warmup is none."""
    warmup = stepped([*np.linspace(0.01, 0.1, 40), *[0.1] * 60])
    assert warmup.warmup_share == pytest.approx(39 / 99)
    assert len(warmup.rate_jumps) == 0
    cosine = [0.05 * (1.0 + math.cos(math.pi * step / 1000)) for step in range(1000)]
    assert stepped(cosine).rate_area == pytest.approx(0.5, abs=1e-3)
    restarts = stepped([*np.linspace(0.1, 0.01, 10)] * 3)
    assert restarts.rate_jumps.tolist() == [10, 20]


def test_bursts_are_means_of_many_samples() -> None:
    """With a batch of 128 each step counts; with single samples only the mean of 64 of them does."""
    losses = [2.0] * 640
    losses[300] = 23.3
    assert stepped([0.1] * 640, losses).burst == pytest.approx(10.0)
    single = Signs(trial=with_steps(good_trial(config={"batch_size": 1}), losses, [0.1] * 640))
    assert single.burst == pytest.approx((63 * 2.0 + 23.3) / 64 / 2.33)
    assert stepped([0.1] * 640, losses).early_burst == pytest.approx(2.0 / 2.33)


def test_weights_are_measured_against_the_untrained_ones() -> None:
    """Without a probe of them, against the first epoch; unread norms give no sign."""
    trial = good_trial()
    assert trial.telemetry is not None
    assert math.isnan(Signs(trial=trial).weight_growth)
    norms = np.linspace(2.0, 6.0, 10)
    rows = tuple(
        dataclasses.replace(
            row,
            layers=tuple(dataclasses.replace(layer, weight_norm=float(norm)) for layer in row.layers),
        )
        for row, norm in zip(trial.telemetry.epochs[1:], norms, strict=True)
    )
    grown = dataclasses.replace(trial, telemetry=Telemetry(epochs=rows))
    assert Signs(trial=grown).weight_growth == pytest.approx(3.0)


def test_the_rate_that_was_used_is_not_the_one_that_was_asked_for() -> None:
    """batch_lr_rule carries the config's rate to the batch: what was read is what counts."""
    trial = good_trial()
    asked = dataclasses.replace(trial, config={**trial.config, "learning_rate": 0.025, "momentum": 0.5})
    assert Situation(trial=asked).effective_rate == pytest.approx(0.2)
    assert Situation(trial=asked).learning_rate == 0.025


def test_the_batch_is_known_from_the_config_or_from_the_steps() -> None:
    """Accumulated, full, or else the training samples over the steps of an epoch."""
    assert Signs(trial=good_trial(config={"batch_size": 32, "accumulation_steps": 4})).batch_size == 128
    assert Signs(trial=good_trial(config={"batch_size": "full"})).batch_size == 48_000
    unknown = dataclasses.replace(good_trial(), config={})
    assert Signs(trial=with_steps(unknown, [1.0] * 480, [0.1] * 480)).batch_size == 100


def test_losses_near_the_end_of_float32_are_read_without_overflow() -> None:
    """A loss of 1e30 is finite, its square is not in float32: a warning in someone's terminal."""
    losses = [1.0, 1e30, 2.0, 1e30] * 5
    assert stepped([0.1] * 20, losses).n_clear_rises == 0


@pytest.mark.parametrize(
    ("late", "first"), [(20.0, CauseName.LEARNING_RATE_TOO_HIGH), (0.8, CauseName.MISSING_WARMUP)]
)
def test_a_burst_that_never_comes_back_is_the_rates(late: float, first: CauseName) -> None:
    """A warmup spares the burst of a training that recovers; one that ends above its start needs another rate."""
    losses = [2.3, 40.0, 60.0, 50.0] + [late] * 36
    trial = with_steps(trial_of((late,) * 4, config={"depth": 6}), losses, [0.1] * 40, n_epochs=4)
    (named, *_others) = sorted(instability(Signs(trial=trial)), key=lambda each: -each.confidence)
    assert named.name is first
