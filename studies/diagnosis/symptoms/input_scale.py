"""Input scale: inputs far larger, smaller or farther off 0 than networks are initialized for."""

import math

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, data_of, falls_short
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import signs_of
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import DataProbe
from studies.records import StudyRecord, TrialRecord

NAME = "input_scale"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """A root mean square far from 1, or a mean of several deviations; a fault only where harm shows.

    Normalizing layers and adaptive optimizers train well on such inputs. The harm is a symptom, or a training that
    neither answers well nor has learned its training data.
    """
    data = data_of(trial)
    evidence = _evidence(data) if data is not None else None
    if data is None or evidence is None:
        return None
    causes = (Cause(name=CauseName.UNNORMALIZED_INPUT, confidence=0.85),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=(
            f"The inputs have mean {data.input_mean:.3g} and deviation {data.input_std:.3g} "
            f"({data.input_min:.3g} to {data.input_max:.3g}) where about 0 and 1 are due."
        ),
        causes=causes,
        evidence=(evidence,),
        remedies=remedies_for(causes, Situation(trial=trial)),
        hurts_by_itself=_is_harm(trial, data),
    )


def _is_harm(trial: TrialRecord, data: DataProbe) -> bool:
    """A poor fit without any other symptom; where the validation inputs are of another kind, that may be the reason."""
    is_poor = falls_short(trial) and signs_of(trial).fit_ratio > limits.SETTLED.value
    return is_poor and not data.input_shift > limits.INPUT_SHIFT.value


def _evidence(data: DataProbe) -> Evidence | None:
    size = math.hypot(data.input_mean, data.input_std)
    if size > limits.INPUT_SIZE.value:
        return crossed("input_root_mean_square", size, limits.INPUT_SIZE)
    if 0.0 < size < limits.INPUT_SMALLNESS.value:
        return crossed("input_root_mean_square", size, limits.INPUT_SMALLNESS)
    if data.input_std > 0.0 and abs(data.input_mean) / data.input_std > limits.INPUT_OFFSET.value:
        return crossed("input_offset", abs(data.input_mean) / data.input_std, limits.INPUT_OFFSET)
    return None


SYMPTOM = TrialSymptom(
    name=NAME,
    find=find,
    stage=Stage.DATA,
    leads_to=(
        "abnormal_start",
        "vanishing_gradients",
        "divergence",
        "early_instability",
        "clipped_updates",
        "dead_units",
        "slow_training",
        "plateau",
        "oscillation",
        "underfitting",
    ),
)
