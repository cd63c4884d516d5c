"""Inconsistent labels: what samples are labeled cannot be told from what they are."""

import math

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import best_reading, crossed, crossed_late, data_of
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import ends_at_chance
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import NAN, DataProbe, EpochReadings
from studies.records import StudyRecord, TrialRecord

NAME = "inconsistent_labels"
LEAST_CLASSES = 3
"""With two, the doubt between them is all that a weak signal leaves, and looks the same."""


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Samples stand against their neighbors, or a network that learned the task doubts all samples alike."""
    found = _against_neighbors(trial) or _against_clear_ones(trial) or _doubted_alike(signs_of(trial))
    if found is None:
        return None
    sentence, evidence = found
    causes = (Cause(name=CauseName.LABEL_NOISE, confidence=0.85),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=sentence,
        causes=causes,
        evidence=evidence,
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


def _against_neighbors(trial: TrialRecord) -> tuple[str, tuple[Evidence, ...]] | None:
    """More samples than a twentieth contradicted by their neighbors, and errors to match on validation.

    Somewhat fewer where validation is poor: among very many wrong labels few neighborhoods are clear. Hard data
    has mixed neighborhoods, not clear ones with single dissenters; and where the network answers better than so
    many wrong labels allow, its inputs tell more than neighborhoods do. No neighborhood counts against classes whose
    samples are hardly among their own, nor where neighbors would differ though all labels were right: there what looks
    alike need not be alike.
    """
    data = data_of(trial)
    if data is None:
        return None
    share, error = data.label_disagreement, 1.0 - best_reading(trial, "validation_accuracy")
    is_noisy = error >= limits.NOISY_ERROR.value
    rule = limits.LABEL_DISAGREEMENT_NOISY if is_noisy else limits.LABEL_DISAGREEMENT
    if not share > rule.value or error < limits.DISAGREEMENT_ERRORS.value * share:
        return None
    if (
        data.neighbor_guidance < limits.NEIGHBOR_GUIDANCE.value
        or _if_right(data) < limits.CLEAR_GUIDANCE.value
    ):
        return None
    evidence = [crossed("label_disagreement", share, rule)]
    if math.isfinite(error):
        evidence.append(
            crossed("validation_error_per_disagreement", error / share, limits.DISAGREEMENT_ERRORS)
        )
    said = f"{share:.1%} of the sampled training data is labeled otherwise than nearly all its neighbors."
    return said, tuple(evidence)


def _against_clear_ones(trial: TrialRecord) -> tuple[str, tuple[Evidence, ...]] | None:
    """Even the clearest neighborhoods hold many samples of other labels; wrong ones explain why they are no clearer.

    Hard data has mixed neighborhoods and pure ones. Wrong labels spare none: where one in three is that of the next
    class no neighborhood is pure, and few are so clear that a sample in them stands alone; what is left of their
    agreement is what good neighborhoods keep.
    """
    data = data_of(trial)
    if data is None:
        return None
    share, guidance = data.clear_disagreement, data.neighbor_guidance
    error = 1.0 - best_reading(trial, "validation_accuracy")
    is_guide = guidance > limits.NEIGHBOR_GUIDANCE.value and _if_right(data) > limits.CLEAR_GUIDANCE.value
    is_seen = is_guide and share > limits.CLEAR_DISAGREEMENT.value
    if not is_seen or error < limits.DISAGREEMENT_ERRORS.value * share:
        return None
    said = f"Even where neighborhoods are clearest {share:.0%} of the samples are labeled otherwise than most others."
    return said, (
        crossed("clear_disagreement", share, limits.CLEAR_DISAGREEMENT),
        crossed("neighbor_guidance_if_right", _if_right(data), limits.CLEAR_GUIDANCE),
    )


def _if_right(data: DataProbe) -> float:
    """How well neighbors would agree if none were labeled wrongly: two agree only where both labels are right."""
    return (
        data.neighbor_guidance / (1.0 - data.clear_disagreement) ** 2
        if data.clear_disagreement < 1.0
        else NAN
    )


def _doubted_alike(signs: Signs) -> tuple[str, tuple[Evidence, ...]] | None:
    """Errors surprise as much as so many can, while the network goes on learning training labels in vain.

    Needs no neighborhoods, which say nothing where inputs have many features without meaning. Errors on hard samples
    surprise little, because the network doubts these and is sure of others; wrong labels are anywhere, and any. What
    is learned late without use for validation are the labels themselves, one by one; who has them all by heart, or
    is less sure than it could be (smoothed labels, much noise), is not judged by its doubts, nor who errs so seldom
    that there cannot be many wrong labels, nor who is asked about inputs of another kind than those trained on. Errors
    that surprise beyond what so many can are those of a network that is sure of them, and not in doubt.
    """
    best, data = _best_row(signs), data_of(signs.trial)
    if best is None or ends_at_chance(signs.trial):
        return None
    if data is not None and data.input_shift > limits.INPUT_SHIFT.value:
        return None
    ratio, overconfidence = surprise(signs), best.confidence - best.validation_accuracy
    learns_in_vain = (
        signs.late_train_fall > limits.DECAYED_FALL.value and signs.late_fall < limits.DECAYED_FALL.value
    )
    is_underway = limits.SETTLED.value < signs.loss_ratio < limits.LEARNED_BY_ROTE.value
    is_sure = overconfidence > -limits.UNDERCONFIDENT.value
    errs = 1.0 - best.validation_accuracy > limits.DOUBTED_ERROR.value
    is_doubt = limits.SURPRISE.value < ratio < limits.SURPRISE_OF_DOUBT.value
    if not (is_doubt and errs and learns_in_vain and is_underway and is_sure):
        return None
    evidence = (
        crossed("error_surprise", ratio, limits.SURPRISE, first_step=best.epoch),
        crossed_late("loss_ratio", signs.loss_ratio, limits.LEARNED_BY_ROTE, signs),
    )
    said = f"Validation errors surprise {ratio:.0%} as much as so many can: all samples are doubted alike"
    return f"{said}, and what is still learned of the training labels is of no use for others.", evidence


def surprise(signs: Signs) -> float:
    """The least validation loss over the most that is possible at its epoch's error, where confidence is deserved.

    That is Fano's bound on the entropy of the class, h(e) + e ln(k - 1), for an error e and k classes: reached if
    every sample has the same chance e of being another class, any of them alike. NaN below three classes and where
    no errors were read.
    """
    data, best = data_of(signs.trial), _best_row(signs)
    n_classes = sum(count > 0 for count in data.validation_class_counts) if data is not None else 0
    if n_classes < LEAST_CLASSES or best is None:
        return NAN
    error = 1.0 - best.validation_accuracy
    if not 0.0 < error < 1.0:
        return NAN
    entropy = -error * math.log(error) - (1.0 - error) * math.log(1.0 - error)
    return best.validation_loss / (entropy + error * math.log(n_classes - 1))


def _best_row(signs: Signs) -> EpochReadings | None:
    """Of the least validation loss: later ones are lost to overconfidence."""
    rows = (row for row in signs.rows if math.isfinite(row.validation_loss))
    return min(rows, key=lambda row: row.validation_loss, default=None)


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.DATA)
