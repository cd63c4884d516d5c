"""Input shift: what the network is trained on does not look like what it is validated on."""

import math

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, data_of, falls_short, first_gap
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import signs_of
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.symptoms.skewed_classes import class_drift
from studies.readings import DataProbe
from studies.records import StudyRecord, TrialRecord

NAME = "input_shift"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Inputs shifted by a fifth of a deviation, with a validation that lags from the first epoch on.

    A gap that opens with time is overfitting. Without one, a shift by a third of a deviation may be a strong
    augmentation that is meant so: a fault only if the fit suffers, or if it is so far that no augmentation means it and
    the accuracy falls short. Validation inputs that nobody saw, or whose classes nobody knows while the training data
    lacks some, are judged by the lag alone.
    """
    data, lag = data_of(trial), _lag(trial)
    if data is None:
        return None
    if not data.validation_class_counts and (math.isnan(data.input_shift) or _n_absent_classes(data)):
        return _unseen(trial, data)
    rule = limits.INPUT_SHIFT if lag is None or _has_other_classes(data) else limits.INPUT_SHIFT_LAGGING
    if not data.input_shift > rule.value:
        return None
    said = f"The inputs trained on lie {data.input_shift:.2g} deviations from the validation inputs"
    shift = crossed("input_shift", data.input_shift, rule)
    is_far = data.input_shift > limits.INPUT_SHIFT_FAR.value and falls_short(trial)
    causes = (Cause(name=CauseName.AUGMENTATION_DRIFT, confidence=0.6 if lag is None else 0.9),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"{said}." if lag is None else f"{said}, and validation {lag[0]} from the first epoch on.",
        causes=causes,
        evidence=(shift,) if lag is None else (shift, lag[1]),
        remedies=remedies_for(causes, Situation(trial=trial)),
        hurts_by_itself=lag is not None or is_far,
    )


def _unseen(trial: TrialRecord, data: DataProbe) -> Finding | None:
    """A validation that lags in each of the first epochs, of which the loop gave nothing but the numbers.

    The running accuracy of a first epoch is one of samples never seen before: what is known by heart cannot raise it.
    The training data must be ahead in eval mode too, or batch statistics may be what validation suffers from. Whose
    training data lacks classes that the network has outputs for need not look for another reason.
    """
    n_absent = _n_absent_classes(data)
    gap, probe_gap = first_gap(trial), _first_probe_gap(trial)
    if gap is None or probe_gap is None or not min(gap.value, probe_gap.value) > limits.SHIFT_GAP.value:
        return _without_classes(trial, n_absent) if n_absent else None
    drift, split = CauseName.AUGMENTATION_DRIFT, CauseName.UNSTRATIFIED_SPLIT
    first, second = (split, drift) if n_absent else (drift, split)
    causes = (Cause(name=first, confidence=0.7), Cause(name=second, confidence=0.4))
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=(
            f"Validation lags by {gap.value:.0%} from the first epoch on, before anything can be known by heart: "
            + (
                f"{_classes(n_absent)} missing in the training data."
                if n_absent
                else "its samples are of another kind than those trained on."
            )
        ),
        causes=causes,
        evidence=(gap, probe_gap),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


def _without_classes(trial: TrialRecord, n_absent: int) -> Finding | None:
    """A gap that opens later, in one who learns slowly: what is missing in the training data opens it."""
    signs = signs_of(trial)
    if not signs.accuracy_gap > limits.GAP_UNLEARNED.value:
        return None
    causes = (
        Cause(name=CauseName.UNSTRATIFIED_SPLIT, confidence=0.7),
        Cause(name=CauseName.OVERFITTING, confidence=0.4),
    )
    span = {"first_step": signs.late_epoch, "last_step": signs.last_epoch}
    lag = f"Validation lags by {signs.accuracy_gap:.0%} in the end"
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"{lag}: {_classes(n_absent)} missing in the training data.",
        causes=causes,
        evidence=(crossed("accuracy_gap", signs.accuracy_gap, limits.GAP_UNLEARNED, **span),),
        remedies=remedies_for(causes, signs.situation),
    )


def _classes(n: int) -> str:
    return "1 class is" if n == 1 else f"{n} classes are"


def _n_absent_classes(data: DataProbe) -> int:
    """Classes without any training sample where the others have so many that this is no chance.

    None where most are absent: then the network has outputs for more classes than the data.
    """
    present = [count for count in data.train_class_counts if count > 0]
    n_absent = len(data.train_class_counts) - len(present)
    return n_absent if n_absent < len(present) and min(present) > limits.RARE_CLASS_SAMPLES.value else 0


def _first_probe_gap(trial: TrialRecord) -> Evidence | None:
    """The least gap between the accuracy of training samples in eval mode and validation's, in the first epochs.

    None where it was not read, and of fewer epochs than persistence takes.
    """
    rows = trained_rows(trial)[: int(limits.PERSISTENCE.value)]
    gaps = [row.probe_accuracy - row.validation_accuracy for row in rows]
    if len(gaps) < limits.PERSISTENCE.value or not all(map(math.isfinite, gaps)):
        return None
    return crossed(
        "probe_accuracy_gap",
        min(gaps),
        limits.SHIFT_GAP,
        first_step=rows[0].epoch,
        last_step=rows[-1].epoch,
    )


def _has_other_classes(data: DataProbe) -> bool:
    """Whether the splits hold the classes in so different shares that their inputs must differ, too."""
    train, validation = data.train_class_counts, data.validation_class_counts
    return len(train) == len(validation) and class_drift(train, validation)[1] > limits.SPLIT_DRIFT.value


def _lag(trial: TrialRecord) -> tuple[str, Evidence] | None:
    """How validation lags in all of the first epochs: by its accuracy, or by its loss, which dropout hides less.

    What is augmented is harder to train on than to validate on; only inputs of another kind are the other way round.
    """
    gap, ratio = first_gap(trial), _first_loss_ratio(trial)
    if gap is not None and gap.value > limits.SHIFT_GAP.value:
        return f"lags by {gap.value:.0%}", gap
    if ratio is not None and ratio.value > limits.SHIFT_LOSS_RATIO.value:
        return f"costs {ratio.value:.2g} times the train loss", ratio
    return None


def _first_loss_ratio(trial: TrialRecord) -> Evidence | None:
    """The least ratio of validation to train loss in the first epochs; None where it was not read."""
    rows = trained_rows(trial)[: int(limits.PERSISTENCE.value)]
    ratios = [row.validation_loss / row.train_loss if row.train_loss > 0.0 else math.nan for row in rows]
    if not ratios or not all(map(math.isfinite, ratios)):
        return None
    return crossed(
        "validation_loss_over_train",
        min(ratios),
        limits.SHIFT_LOSS_RATIO,
        first_step=rows[0].epoch,
        last_step=rows[-1].epoch,
    )


SYMPTOM = TrialSymptom(
    name=NAME,
    find=find,
    stage=Stage.DATA,
    leads_to=("slow_training", "plateau", "underfitting", "overfitting", "oscillation"),
)
