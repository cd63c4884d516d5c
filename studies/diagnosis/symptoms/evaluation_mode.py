"""Evaluation mode: dropout or batch statistics are active where they should not be, or off where they should."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import code_of, crossed, start_of
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "evaluation_mode"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Evaluations made in train mode, trainings made in eval mode, or two evaluations that disagree."""
    seen = _evaluated_in_train_mode(trial) or _trained_in_eval_mode(trial) or _unrepeatable(trial)
    if seen is None:
        return None
    sentence, evidence = seen
    causes = (Cause(name=CauseName.EVALUATION_MODE_BUG, confidence=0.95),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=sentence,
        causes=causes,
        evidence=(evidence,),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


def _evaluated_in_train_mode(trial: TrialRecord) -> tuple[str, Evidence] | None:
    code = code_of(trial)
    share = code.evaluation_in_train_mode_share if code is not None else 0.0
    if not share > limits.EVALUATION_TRAIN_MODE_SHARE.value:
        return None
    return (
        f"{share:.0%} of the evaluations run in train mode: dropout or batch statistics are active in them.",
        crossed("evaluation_in_train_mode_share", share, limits.EVALUATION_TRAIN_MODE_SHARE),
    )


def _trained_in_eval_mode(trial: TrialRecord) -> tuple[str, Evidence] | None:
    code = code_of(trial)
    share = code.training_in_eval_mode_share if code is not None else 0.0
    if not share > limits.TRAINING_EVAL_MODE_SHARE.value:
        return None
    return (
        f"{share:.0%} of the training passes run in eval mode: dropout and batch statistics are off in them.",
        crossed("training_in_eval_mode_share", share, limits.TRAINING_EVAL_MODE_SHARE),
    )


def _unrepeatable(trial: TrialRecord) -> tuple[str, Evidence] | None:
    """A network that answers the same inputs differently each time, although in eval mode."""
    probe = start_of(trial)
    difference = probe.repeat_difference if probe is not None else 0.0
    if not difference > limits.REPEAT_DIFFERENCE.value:
        return None
    return (
        f"Two evaluations of the same inputs differ by {difference:.2g} times the outputs' deviation.",
        crossed("repeat_difference", difference, limits.REPEAT_DIFFERENCE, first_step=0),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CODE)
