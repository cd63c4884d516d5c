"""Skewed classes: some classes are too rare to be learned, or the splits hold them in different shares."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, data_of
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.thresholds import Threshold
from studies.readings import DataProbe
from studies.records import StudyRecord, TrialRecord

NAME = "skewed_classes"

Counts = npt.NDArray[np.float64]


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Splits whose classes differ beyond chance, or classes so rare that they are answered much worse.

    An imbalance that is seen to do no harm is a note. One whose harm could not be read is a fault where it is strong
    and leaves a class a handful of samples. Regressions have no classes.
    """
    data = data_of(trial)
    if data is None or not sum(data.train_class_counts):
        return None
    return _split_drift(trial, data) or _imbalance(trial, data)


def _split_drift(trial: TrialRecord, data: DataProbe) -> Finding | None:
    train, validation = data.train_class_counts, data.validation_class_counts
    if len(train) != len(validation) or not sum(validation):
        return None
    unseen = sum(v for t, v in zip(train, validation, strict=True) if t == 0) / sum(validation)
    p_value, drift = class_drift(train, validation)
    drifts = p_value < limits.SPLIT_P_VALUE.value and drift > limits.SPLIT_DRIFT.value
    if not drifts and not unseen > limits.UNSEEN_SHARE.value:
        return None
    evidence: list[Evidence] = []
    if unseen > limits.UNSEEN_SHARE.value:
        evidence.append(crossed("unseen_class_share", unseen, limits.UNSEEN_SHARE))
    if drifts:
        evidence.append(crossed("class_drift", drift, limits.SPLIT_DRIFT))
        evidence.append(crossed("class_drift_p_value", p_value, limits.SPLIT_P_VALUE))
    said = "The train and validation splits hold the classes in different shares"
    return _found(
        trial,
        _causes_of_drift(np.array(train, dtype=np.float64), np.array(validation, dtype=np.float64)),
        f"{said}: {unseen:.0%} of the validation samples are of classes that train lacks."
        if unseen > limits.UNSEEN_SHARE.value
        else f"{said} (Cramer's V {drift:.2f}).",
        evidence,
    )


def _causes_of_drift(train: Counts, validation: Counts) -> tuple[Cause, ...]:
    """Classes that are rare wherever they are may be missing in a part by chance: then it is they that are too rare."""
    both = train + validation
    unseen = (train == 0.0) & (validation > 0.0)
    if np.any(unseen) and np.all(both[unseen] * limits.IMBALANCE_RATIO.value < both.max()):
        return (
            Cause(name=CauseName.CLASS_IMBALANCE, confidence=0.7),
            Cause(name=CauseName.UNSTRATIFIED_SPLIT, confidence=0.6),
        )
    return (Cause(name=CauseName.UNSTRATIFIED_SPLIT, confidence=0.9),)


def class_drift(train: Sequence[int], validation: Sequence[int]) -> tuple[float, float]:
    """The p-value of a chi-square test of two rows of counts, and Cramer's V; (1, 0) where there is one class."""
    table: Counts = np.array([train, validation], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0.0]
    n_classes, total = table.shape[1], table.sum()
    if n_classes < 2 or np.any(table.sum(axis=1) == 0.0):
        return 1.0, 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    chi_square = float(((table - expected) ** 2 / expected).sum())
    from scipy.special import chdtrc  # late: it costs every process 50 ms

    # Of two rows, V is the root of chi-square over the total.
    return float(chdtrc(n_classes - 1, chi_square)), math.sqrt(chi_square / total)


def _imbalance(trial: TrialRecord, data: DataProbe) -> Finding | None:
    counts: Counts = np.array(data.train_class_counts, dtype=np.float64)
    # A class that nobody has is none.
    counts = np.where(counts + np.array(_padded(data)) > 0.0, counts, np.nan)
    fewest, most = float(np.nanmin(counts)), float(np.nanmax(counts))
    if not most > limits.IMBALANCE_RATIO.value * fewest:
        return None
    rare = counts * limits.IMBALANCE_RATIO.value < most
    ratio = most / fewest if fewest else math.inf
    skew = crossed("class_count_ratio", ratio, limits.IMBALANCE_RATIO)
    n_rare = int(rare.sum())
    classes = "1 class is" if n_rare == 1 else f"{n_rare} classes are"
    sentence = f"{classes} more than {limits.IMBALANCE_RATIO.value:g} times rarer than the most frequent one"
    limit = limits.RARE_CLASS_P_VALUE_STRONG if _is_strong(ratio, fewest) else limits.RARE_CLASS_P_VALUE
    harm = _harm(trial, data, rare, limit)
    if harm is None:
        return _unread_imbalance(trial, sentence, ratio, fewest)
    evidence, severity = harm
    said = f", and answered worse by {evidence[0].value:.0%}" if severity is not Severity.NOTE else ""
    causes = (Cause(name=CauseName.CLASS_IMBALANCE, confidence=0.85),)
    return _found(trial, causes, f"{sentence}{said}.", [skew, *evidence], severity=severity)


def _unread_imbalance(trial: TrialRecord, sentence: str, ratio: float, fewest: float) -> Finding:
    """Judged by the data alone: a class of a few samples beside ten times as many is hardly ever learned as well."""
    causes = (Cause(name=CauseName.CLASS_IMBALANCE, confidence=0.7),)
    if not _is_strong(ratio, fewest):
        skew = crossed("class_count_ratio", ratio, limits.IMBALANCE_RATIO)
        return _found(trial, causes, f"{sentence}.", [skew], severity=Severity.NOTE)
    evidence = [
        crossed("class_count_ratio", ratio, limits.IMBALANCE_UNREAD),
        crossed("rarest_class_count", fewest, limits.RARE_CLASS_SAMPLES),
    ]
    said = f"the rarest has {fewest:g} to train on; the answers read cannot tell how well it is learned"
    return _found(trial, causes, f"{sentence}, and {said}.", evidence)


def _is_strong(ratio: float, fewest: float) -> bool:
    return ratio > limits.IMBALANCE_UNREAD.value and fewest < limits.RARE_CLASS_SAMPLES.value


def _padded(data: DataProbe) -> Sequence[int]:
    """The validation split's counts, or zeros where they are not of the train split's classes."""
    known, n_classes = data.validation_class_counts, len(data.train_class_counts)
    return known if len(known) == n_classes else (0,) * n_classes


def _harm(
    trial: TrialRecord, data: DataProbe, rare: npt.NDArray[np.bool_], limit: Threshold
) -> tuple[list[Evidence], Severity] | None:
    """How much worse the rare classes are answered than the others in the last epoch, and whether that counts.

    A few validation samples can tell: were the rare classes as easy, so many wrong answers would be chance, below
    ``limit``. None where no answers could: there are none, or even the others' are so poor that nothing but wrong ones
    would be chance.
    """
    rows = [row for row in trained_rows(trial) if len(row.class_accuracy) == len(rare)]
    n: Counts = np.array(_padded(data), dtype=np.float64)
    if not rows or not n[rare].sum() or not n[~rare].sum():
        return None
    accuracy: Counts = np.array(rows[-1].class_accuracy, dtype=np.float64)
    seen = np.isfinite(accuracy) & (n > 0.0)
    parts = [_pooled(accuracy[of & seen], n[of & seen]) for of in (rare, ~rare)]
    (low, n_low), (high, n_high) = parts
    deficit, as_easy = high - low, (high * n_high + 1.0) / (n_high + 2.0)
    if not _chance_of(0.0, n_low, of=as_easy) < limits.RARE_CLASS_P_VALUE.value:
        return None
    evidence = crossed("rare_class_deficit", deficit, limits.RARE_CLASS_DEFICIT, first_step=rows[-1].epoch)
    is_far = deficit > limits.RARE_CLASS_DEFICIT.value
    chance = _chance_of(low * n_low, n_low, of=as_easy) if is_far else 1.0
    if not chance < limit.value:
        return [evidence], Severity.NOTE
    p_value = crossed("rare_class_p_value", chance, limit, first_step=rows[-1].epoch)
    return [evidence, p_value], Severity.WARNING


def _chance_of(n_right: float, n: float, *, of: float) -> float:
    """The chance of no more than ``n_right`` right answers among ``n`` where ``of`` of them are right on average."""
    from scipy.special import bdtr  # late: it costs every process 50 ms

    return float(bdtr(round(n_right), round(n), of))


def _pooled(accuracy: Counts, n: Counts) -> tuple[float, float]:
    total = float(n.sum())
    return (float(accuracy @ n) / total if total else math.nan), total


def _found(
    trial: TrialRecord,
    causes: tuple[Cause, ...],
    sentence: str,
    evidence: list[Evidence],
    *,
    severity: Severity = Severity.WARNING,
) -> Finding:
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=severity,
        sentence=sentence,
        causes=causes,
        evidence=tuple(evidence),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.DATA)
