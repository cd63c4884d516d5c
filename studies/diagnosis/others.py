"""What the other trials of a study say of one symptom of a trial: whether the best has it too, and what it costs."""

import dataclasses
import math
from functools import cached_property

from studies.diagnosis import thresholds as limits
from studies.diagnosis.showing import shown_by
from studies.diagnosis.staging import Shown
from studies.diagnosis.standing import Standing, end_of_fit, ends_alike, fits_worse, standing
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import NAN, Telemetry
from studies.records import StudyRecord, TrialRecord


class Others:
    """What other trials of a study show: looked for once, and only where it is asked for."""

    def __init__(self, record: StudyRecord) -> None:
        self._record = record
        self._without: dict[str, list[TrialRecord]] = {}

    @cached_property
    def of_best(self) -> frozenset[str]:
        """The symptoms of the best trial."""
        best = self._record.best
        return frozenset(one.symptom.name for one in shown_by(best, self._record)) if best else frozenset()

    def without(self, symptom: TrialSymptom, *, read_like: TrialRecord) -> TrialRecord | None:
        """The best complete trial that was looked at like another one, and does not show it; None where all do."""
        if symptom.name not in self._without:
            self._without[symptom.name] = [
                each for each in self._best_first if symptom.find(each, self._record) is None
            ]
        return next((each for each in self._without[symptom.name] if _is_read_like(each, read_like)), None)

    @cached_property
    def _best_first(self) -> list[TrialRecord]:
        """Complete trials that have a value and readings."""
        sign = -1.0 if self._record.is_maximized else 1.0
        known = [(sign * t.value, t.number, t) for t in self._record.complete_trials if t.value is not None]
        return [
            trial for _, _, trial in sorted(known, key=lambda one: one[:2]) if trial.telemetry is not None
        ]


def compared(one: Shown, trial: TrialRecord, record: StudyRecord, others: Others) -> Shown:
    """With what the study knows of the same symptom.

    Args:
        one: a symptom of ``trial``.
        trial: one of ``record``.
        record: the study.
        others: what is known of its trials.
    """
    shown = dataclasses.replace(one, is_shared=one.symptom.name in others.of_best)
    if not shown.is_error:
        return shown
    other = others.without(one.symptom, read_like=trial)
    return dataclasses.replace(shown, is_free=other is not None and _is_as_good(trial, other, record))


def _is_as_good(trial: TrialRecord, other: TrialRecord, record: StudyRecord) -> bool:
    """Whether two trials end alike, one of the best among them, and the first fits training samples about as well."""
    stands_well = standing(other, record) in {Standing.HEALTHY, Standing.FITS_WORSE}
    is_known = all(math.isfinite(end_of_fit(each)[0]) for each in (trial, other))
    fits = is_known and not fits_worse(trial, other, limits.ERROR_FIT_FLOORS)
    return stands_well and fits and ends_alike(trial, other, record)


def _is_read_like(other: TrialRecord, trial: TrialRecord) -> bool:
    """Whether what was read of a trial's code and of the order of its data was read of another, too."""

    def read(each: TrialRecord) -> set[str]:
        telemetry = each.telemetry or Telemetry()
        named = dataclasses.asdict(telemetry.code) if telemetry.code is not None else {}
        named["label_mixing"] = telemetry.data.label_mixing if telemetry.data is not None else NAN
        return {name for name, value in named.items() if value != "" and value == value}  # noqa: PLR0124 - not NaN

    return read(trial) <= read(other)
