"""Loss spikes: the schedule lifts the rate again and again, and the loss jumps with it."""

import math

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import has_diverged, shortfall
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import RATE_JUMP, Signs, signs_of
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "loss_spikes"
WINDOW = 50
"""Optimizer steps before and after a jump of the rate that are compared (OLMo 2's spikes, own window)."""


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Jumps of the rate upwards that are followed by spikes of the step loss, late ones too.

    A note where the training ends well all the same, as warm restarts may.
    """
    signs = signs_of(trial)
    jumps = signs.rate_jumps
    if (
        not trial.telemetry
        or not trial.telemetry.steps
        or has_diverged(trial)
        or len(jumps) < limits.RATE_JUMPS.value
    ):
        return None
    spiking = [jump for jump in jumps if _spike(signs, int(jump)) > limits.JUMP_SPIKE.value]
    share = len(spiking) / len(jumps)
    if not share >= limits.JUMP_SPIKES.value:
        return None
    causes = (
        Cause(name=CauseName.SCHEDULE_SPIKES, confidence=0.85),
        Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.5),
    )
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING if _harms(signs) else Severity.NOTE,
        sentence=f"The loss jumps after {len(spiking)} of the {len(jumps)} times that the schedule lifts the rate.",
        causes=causes,
        evidence=_evidence(signs, share),
        remedies=remedies_for(causes, signs.situation),
    )


def _evidence(signs: Signs, share: float) -> tuple[Evidence, ...]:
    """``share`` of the jumps are followed by a spike; and what they did to the training."""
    jumps, first, last = signs.rate_jumps, signs.rows[0].epoch, signs.last_epoch
    rises, short = signs.n_train_rises / signs.n_epochs, shortfall(signs.trial)
    evidence = [
        crossed(
            "step_spike_share", share, limits.JUMP_SPIKES, first_step=int(jumps[0]), last_step=int(jumps[-1])
        ),
        crossed("train_loss_rise_share", rises, limits.SPIKE_RISE_SHARE, first_step=first, last_step=last),
    ]
    if math.isfinite(short):
        evidence.append(
            crossed("accuracy_shortfall_in_standard_errors", short, limits.NOISE_FLOORS, first_step=last)
        )
    return tuple(evidence)


def _harms(signs: Signs) -> bool:
    """Whether the train loss rises for whole epochs, or validation falls behind, and for good.

    A rate that ends higher than it began has no time to recover in: either is enough. One that comes back down may end
    well after any number of jumps.
    """
    short, noise = shortfall(signs.trial), limits.NOISE_FLOORS.value
    is_lifted = signs.rates[-1] > RATE_JUMP * signs.rates[: signs.rate_jumps[0]].max()
    if is_lifted and (short > noise or signs.n_train_rises >= limits.RISES.value):
        return True
    has_recovered = short <= noise
    return signs.n_train_rises / signs.n_epochs > limits.SPIKE_RISE_SHARE.value and not has_recovered


def _spike(signs: Signs, jump: int) -> float:
    """The mean step loss after a jump of the rate over that before it, both within ``WINDOW`` and the last jump."""
    losses = signs.telemetry.step_series("train_loss").astype(np.float64)
    earlier = [int(other) for other in signs.rate_jumps if other < jump]
    start = max([jump - WINDOW, *earlier, 0])
    before, after = losses[start:jump], losses[jump : jump + WINDOW]
    level = float(np.median(before[-max(3, len(before) // 2) :])) if len(before) else 0.0
    highest = float(np.max(np.convolve(after, np.ones(3) / 3.0, mode="valid"))) if len(after) >= 3 else 0.0
    return highest / level if level > 0.0 else 0.0


SYMPTOM = TrialSymptom(
    name=NAME,
    find=find,
    stage=Stage.CURVES,
    leads_to=("dead_units", "oscillation", "overfitting", "plateau", "underfitting"),
)
