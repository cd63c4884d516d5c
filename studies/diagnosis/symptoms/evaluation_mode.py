"""Evaluation mode: dropout or batch statistics are active where they should not be, or off where they should."""

import math
from dataclasses import dataclass

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import code_of, crossed, start_of
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import NAN
from studies.records import StudyRecord, TrialRecord

NAME = "evaluation_mode"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Evaluations made in train mode, trainings made in eval mode, or two evaluations that disagree.

    A note where only the evaluations are, and what they say is wrong by hardly more than its sampling error. Trainings
    in eval mode are a fault where harm shows: without dropout most networks of a good fit lose nothing.
    """
    ways = (_trained_in_eval_mode(trial), _unrepeatable(trial), _evaluated_in_train_mode(trial))
    found = [way for way in ways if way is not None]
    if not found:
        return None
    seen = max(found, key=lambda way: (way.misleads and way.hurts_by_itself, way.misleads))
    causes = (Cause(name=CauseName.EVALUATION_MODE_BUG, confidence=0.95),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING if seen.misleads else Severity.NOTE,
        sentence=seen.sentence,
        causes=causes,
        evidence=seen.evidence,
        remedies=remedies_for(causes, Situation(trial=trial)),
        hurts_by_itself=seen.hurts_by_itself,
    )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One of the ways in which a mode is wrong."""

    sentence: str
    evidence: tuple[Evidence, ...]
    misleads: bool = True
    hurts_by_itself: bool = True


def _evaluated_in_train_mode(trial: TrialRecord) -> _Seen | None:
    code = code_of(trial)
    share = code.evaluation_in_train_mode_share if code is not None else 0.0
    if not share > limits.EVALUATION_TRAIN_MODE_SHARE.value:
        return None
    said = f"{share:.0%} of the evaluations run in train mode"
    evidence = crossed("evaluation_in_train_mode_share", share, limits.EVALUATION_TRAIN_MODE_SHARE)
    signs = signs_of(trial)
    cost = _cost(signs)
    if math.isnan(cost):
        active = "dropout or batch statistics are active in them"
        return _Seen(sentence=f"{said}: {active}.", evidence=(evidence,))
    errors = abs(cost) / signs.accuracy_noise
    misleads = errors > limits.MISREAD_ERRORS.value
    measure = f"{errors:.1f} times" if misleads else f"at most {limits.MISREAD_ERRORS.value:g} times"
    return _Seen(
        sentence=(
            f"{said}: dropout is active in them, and makes the accuracy of training samples {abs(cost):.3f} "
            f"{'lower' if cost >= 0.0 else 'higher'}, {measure} the sampling error of validation."
        ),
        evidence=(
            evidence,
            crossed(
                "misreading_in_standard_errors",
                errors,
                limits.MISREAD_ERRORS,
                first_step=signs.rows[signs.n_epochs // 2].epoch,
                last_step=signs.last_epoch,
            ),
        ),
        misleads=misleads,
    )


def _cost(signs: Signs) -> float:
    """The accuracy that evaluating in train mode takes away, on samples that were read in both modes.

    Over the second half of the epochs: what it takes away of a few hundred samples differs from epoch to epoch. NaN
    where they were not read, and where nothing is known of the noise.
    """
    if not signs.rows or not math.isfinite(signs.accuracy_noise):
        return NAN
    costs = trained(signs.trial, "probe_accuracy") - trained(signs.trial, "train_mode_probe_accuracy")
    return float(costs[signs.n_epochs // 2 :].mean())


def _trained_in_eval_mode(trial: TrialRecord) -> _Seen | None:
    code = code_of(trial)
    share = code.training_in_eval_mode_share if code is not None else 0.0
    if not share > limits.TRAINING_EVAL_MODE_SHARE.value:
        return None
    return _Seen(
        sentence=f"{share:.0%} of the training passes run in eval mode: dropout and batch statistics are off in them.",
        evidence=(crossed("training_in_eval_mode_share", share, limits.TRAINING_EVAL_MODE_SHARE),),
        hurts_by_itself=False,
    )


def _unrepeatable(trial: TrialRecord) -> _Seen | None:
    """A network that answers the same inputs differently each time, although in eval mode."""
    probe = start_of(trial)
    difference = probe.repeat_difference if probe is not None else 0.0
    if not difference > limits.REPEAT_DIFFERENCE.value:
        return None
    return _Seen(
        sentence=f"Two evaluations of the same inputs differ by {difference:.2g} times the outputs' deviation.",
        evidence=(crossed("repeat_difference", difference, limits.REPEAT_DIFFERENCE, first_step=0),),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CODE)
