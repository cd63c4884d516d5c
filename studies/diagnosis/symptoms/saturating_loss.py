"""Saturating loss: a cross-entropy of probabilities in place of logits cannot fall below a floor."""

import math

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import code_of, crossed, start_of
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained, trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import StepZeroProbe
from studies.records import StudyRecord, TrialRecord

NAME = "saturating_loss"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """The loop was seen to take the cross-entropy of probabilities, or outputs and losses can only be that.

    Outputs in 0..1 that add up to 1 before any update, and losses that never leave the band of one nat that
    such a loss is confined to: a right loss of probabilities (the logarithm first) falls below it.
    """
    probe = start_of(trial)
    if probe is None:
        return None
    floor = lowest_of_probabilities(probe.expected_loss)
    evidence: tuple[Evidence, ...]
    code = code_of(trial)
    if code is not None and code.loss_of_probabilities:
        evidence = (_sum_error(probe),)
    elif _may_be_cross_entropy(trial) and _are_probabilities(probe) and _stays_above(trial, floor):
        evidence = (_sum_error(probe), _floor_kept(trial, floor))
    else:
        return None
    causes = (Cause(name=CauseName.DOUBLE_SOFTMAX, confidence=0.95),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=(
            "The loss is the cross-entropy of outputs that are probabilities already: "
            f"it cannot fall below {floor:.4g}, and its gradients are small."
        ),
        causes=causes,
        evidence=evidence,
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


def lowest_of_probabilities(expected_loss: float) -> float:
    """The cross-entropy of a sure and right answer whose probabilities pass through softmax once more.

    -ln(e / (e + classes - 1)): 1.4612 for ten classes. ``expected_loss`` is ln(classes).
    """
    return math.log(math.e + math.exp(expected_loss) - 1.0) - 1.0


def _may_be_cross_entropy(trial: TrialRecord) -> bool:
    """The toolkit's own loop knows no other loss for classes; of another's loop it must have been seen."""
    code = code_of(trial)
    return code is None or code.loss_kind == "cross_entropy"


def _are_probabilities(probe: StepZeroProbe) -> bool:
    return (
        probe.output_low >= 0.0
        and probe.output_high <= 1.0
        and probe.output_sum_error < limits.PROBABILITY_SUM_ERROR.value
    )


def _stays_above(trial: TrialRecord, floor: float) -> bool:
    losses = trained(trial, "train_loss")
    return bool(len(losses)) and bool(np.all(losses >= floor - limits.LOSS_FLOOR_MARGIN.value))


def _sum_error(probe: StepZeroProbe) -> Evidence:
    return crossed("output_sum_error", probe.output_sum_error, limits.PROBABILITY_SUM_ERROR, first_step=0)


def _floor_kept(trial: TrialRecord, floor: float) -> Evidence:
    rows = trained_rows(trial)
    return Evidence(
        quantity="train_loss",
        first_step=rows[0].epoch,
        last_step=rows[-1].epoch,
        value=min(row.train_loss for row in rows),
        threshold=floor,
        source="the least that the cross-entropy of probabilities can be: -ln(e / (e + classes - 1))",
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CODE)
