"""Counterfactual probes: which short continuations would tell the causes of a finding apart, and what they say.

Readings alone cannot split some causes: a rate that is too high and a batch that is too small draw the same curve. A
training that goes on from its last state for some 200 steps, once as it was and once with one change, can. This module
decides what to ask and weighs the answers; `tuner.training.counterfactuals` gets them.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import NAN, indifferent_loss, trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.readings import Counterfactual, Telemetry
from studies.records import TrialRecord

LOWER_RATE_FACTOR = 0.1
HIGHER_RATE_FACTOR = 3.0
LARGER_BATCH_FACTOR = 4
LOWER_MOMENTUM = 0.9


class Change(StrEnum):
    """What a continuation does otherwise. The names are kept with a trial."""

    LOWER_RATE = "lower_rate"
    HIGHER_RATE = "higher_rate"
    PEAK_RATE = "peak_rate"
    LARGER_BATCH = "larger_batch"
    LOWER_MOMENTUM = "lower_momentum"
    NO_WEIGHT_DECAY = "no_weight_decay"
    NO_DROPOUT = "no_dropout"
    NO_AUGMENTATION = "no_augmentation"


CHANGES: Mapping[Change, str] = {
    Change.LOWER_RATE: f"{LOWER_RATE_FACTOR:g} times the last learning rate",
    Change.HIGHER_RATE: f"{HIGHER_RATE_FACTOR:g} times the last learning rate",
    Change.PEAK_RATE: "the highest learning rate that the training had",
    Change.LARGER_BATCH: f"{LARGER_BATCH_FACTOR} times the batch",
    Change.LOWER_MOMENTUM: f"momentum (or beta1) {LOWER_MOMENTUM:g}",
    Change.NO_WEIGHT_DECAY: "no weight decay",
    Change.NO_DROPOUT: "no dropout",
    Change.NO_AUGMENTATION: "no augmentation",
}
"""All changes, for a person, in the order in which they are tried."""

_ASKED_ABOUT: Mapping[CauseName, tuple[Change, ...]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (Change.LOWER_RATE, Change.LARGER_BATCH, Change.LOWER_MOMENTUM),
    CauseName.BATCH_TOO_SMALL: (Change.LOWER_RATE, Change.LARGER_BATCH),
    CauseName.MOMENTUM_TOO_HIGH: (Change.LOWER_RATE, Change.LOWER_MOMENTUM),
    CauseName.LEARNING_RATE_TOO_LOW: (Change.LOWER_RATE, Change.HIGHER_RATE, Change.PEAK_RATE),
    CauseName.TOO_FEW_EPOCHS: (Change.LOWER_RATE, Change.HIGHER_RATE),
    CauseName.PREMATURE_DECAY: (Change.HIGHER_RATE, Change.PEAK_RATE),
    CauseName.OVER_REGULARIZED: (Change.NO_WEIGHT_DECAY, Change.NO_DROPOUT),
    CauseName.UNDERCAPACITY: (
        Change.LOWER_RATE,
        Change.HIGHER_RATE,
        Change.NO_WEIGHT_DECAY,
        Change.NO_DROPOUT,
    ),
    CauseName.LABEL_NOISE: (Change.LOWER_RATE, Change.NO_WEIGHT_DECAY, Change.NO_DROPOUT),
    CauseName.AUGMENTATION_DRIFT: (Change.NO_AUGMENTATION,),
}
"""The changes whose effect speaks for or against each cause; of other causes they say nothing."""

_SUGGESTED_BY_AN_ANSWER = frozenset(_ASKED_ABOUT) - {
    CauseName.TOO_FEW_EPOCHS,
    CauseName.UNDERCAPACITY,
    CauseName.LABEL_NOISE,
}
"""Causes that a change names by helping; the others are what is left when none does, so readings must name them."""


def changes_for(causes: Sequence[Cause]) -> tuple[Change, ...]:
    """The changes that would tell ``causes`` (the most likely first) apart; ``()`` where nothing is to be told.

    That is so where a continuation says nothing of the likeliest cause, and where no rival comes near it.
    """
    if not causes or causes[0].name not in _ASKED_ABOUT:
        return ()
    margin = causes[0].confidence - limits.AMBIGUOUS_MARGIN.value
    rivals = [cause for cause in causes if cause.confidence >= margin]
    if len(rivals) == 1 and causes[0].confidence >= limits.SURE_ENOUGH.value:
        return ()
    wanted = {change for rival in rivals for change in _ASKED_ABOUT.get(rival.name, ())}
    return tuple(change for change in CHANGES if change in wanted)


def changes_for_findings(findings: Iterable[Finding]) -> tuple[Change, ...]:
    """The changes that would tell the causes of any of ``findings`` apart; notes are not worth the time."""
    faults = [finding for finding in findings if finding.severity is not Severity.NOTE]
    wanted = {change for finding in faults for change in changes_for(finding.causes)}
    return tuple(change for change in CHANGES if change in wanted)


def probed(finding: Finding, trial: TrialRecord) -> Finding:
    """``finding`` in the light of the trial's counterfactual probes: causes, evidence and remedies; else as it is."""
    causes = weighed(finding.causes, trial)
    if causes == finding.causes:
        return finding
    remedies = finding.remedies
    if causes[0].name is not finding.causes[0].name:
        remedies = remedies_for(causes, Situation(trial=trial))
    return dataclasses.replace(
        finding,
        causes=causes,
        remedies=remedies,
        evidence=(*finding.evidence, *evidence_of(trial, changes_for(finding.causes))),
    )


def weighed(causes: Sequence[Cause], trial: TrialRecord) -> tuple[Cause, ...]:
    """``causes`` ranked again by what the trial's counterfactual probes say, the most likely first.

    Each answer multiplies the odds of a cause by ``COUNTERFACTUAL_ODDS`` or divides them by it, so confidences stay
    within 0..1 and keep their order where the answers are the same. A change that helps also brings in its cause
    where the readings had not suggested it. Only the answers to `changes_for` count, whatever else was tried: where
    nothing was in doubt, the causes stay as they are.
    """
    answers = Answers.of(trial, changes_for(causes))
    if answers is None:
        return tuple(causes)
    speaks_for: dict[CauseName, bool] = {}
    for rule in _RULES:
        for name, is_for in rule(answers).items():
            speaks_for.setdefault(name, is_for)
    listed = {cause.name for cause in causes}
    suggested = [
        Cause(name=name, confidence=limits.UNLISTED_CONFIDENCE.value)
        for name, is_for in speaks_for.items()
        if is_for and name not in listed and name in _SUGGESTED_BY_AN_ANSWER
    ]
    again = [_weighed(cause, speaks_for.get(cause.name)) for cause in (*causes, *suggested)]
    return tuple(sorted(again, key=lambda cause: -cause.confidence))


def _weighed(cause: Cause, is_for: bool | None) -> Cause:
    if is_for is None:
        return cause
    factor = limits.COUNTERFACTUAL_ODDS.value ** (1 if is_for else -1)
    weight = cause.confidence * factor
    return dataclasses.replace(cause, confidence=weight / (weight + 1.0 - cause.confidence))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers:
    """What the continuations of one trial came to."""

    by_change: Mapping[str, Counterfactual]
    batch_size: float
    """NaN where it is not known."""
    knows_something: bool
    """Whether the network had learned before: a dead one answers no change, and that says nothing."""

    @classmethod
    def of(cls, trial: TrialRecord, changes: Sequence[Change]) -> "Answers | None":
        """Those to ``changes``; None where the trial has none."""
        telemetry = trial.telemetry or Telemetry()
        answers = [answer for answer in telemetry.counterfactuals if answer.change in changes]
        if not answers:
            return None
        indifferent = indifferent_loss(telemetry)
        return cls(
            by_change={answer.change: answer for answer in answers},
            batch_size=Situation(trial=trial).number("batch_size"),
            knows_something=not answers[0].loss_before >= limits.LOST_LEARNING.value * indifferent,
        )

    def was_asked(self, *changes: Change) -> bool:
        """Whether one of ``changes`` was tried."""
        return any(change in self.by_change for change in changes)

    def relative_loss(self, change: Change) -> float:
        """The loss after ``change`` over that without it; infinite where it diverged, NaN where it was not tried."""
        answer = self.by_change.get(change)
        if answer is None:
            return NAN
        if not math.isfinite(answer.loss_after):
            return math.inf
        if not math.isfinite(answer.unchanged_loss_after):
            return 0.0
        return answer.loss_after / max(answer.unchanged_loss_after, _TINY_LOSS)

    def helps(self, change: Change) -> bool:
        return self.relative_loss(change) < limits.COUNTERFACTUAL_HELPS.value

    def is_idle(self, change: Change) -> bool:
        """Whether ``change`` was tried on a network that had learned something, and did nothing or harm."""
        return self.knows_something and self.relative_loss(change) > limits.COUNTERFACTUAL_NO_HELP.value

    def does_as_well(self, change: Change) -> bool:
        """Whether ``change`` helps about as much as the lower rate, or more."""
        lower = self.relative_loss(Change.LOWER_RATE)
        if not self.helps(change):
            return False
        return math.isnan(lower) or self.relative_loss(change) <= limits.COUNTERFACTUAL_TIE.value * lower

    @property
    def unchanged_fall(self) -> float:
        """How far the loss fell in the continuation without a change, relative; minus infinity where it diverged."""
        (answer, *_others) = self.by_change.values()
        return _fall(answer.loss_before, answer.unchanged_loss_after)

    def speed_up(self, change: Change) -> float:
        """The fall of the loss with ``change`` over that without it; 0 where it rose, NaN where it was not tried."""
        answer = self.by_change.get(change)
        if answer is None:
            return NAN
        fall = _fall(answer.loss_before, answer.loss_after)
        return max(fall, 0.0) / max(self.unchanged_fall, limits.COUNTERFACTUAL_LEAST_FALL.value)

    def is_too_slow(self, change: Change) -> bool:
        """Whether the loss falls in step with the learning rate: faster with ``change``, slower with the lower rate.

        The second half keeps the noise of a level loss from passing for a fall. A rate that has decayed to nothing
        leaves the loss exactly where it was.
        """
        slowed = self.speed_up(Change.LOWER_RATE)
        return (
            self.unchanged_fall > -limits.COUNTERFACTUAL_LEAST_FALL.value
            and self.speed_up(change) > limits.COUNTERFACTUAL_SPEED_UP.value
            and not slowed * limits.COUNTERFACTUAL_SPEED_UP.value > 1.0
        )


_TINY_LOSS = 1e-12
"""Keeps a loss of 0 from dividing by zero."""


def _fall(before: float, after: float) -> float:
    return (before - after) / max(before, _TINY_LOSS) if math.isfinite(after) else -math.inf


Verdicts = dict[CauseName, bool]
"""For each cause that an answer is about: whether it speaks for the cause, or against it."""


def _updates_too_noisy(answers: Answers) -> Verdicts:
    """What a lower rate mends. Larger batches and less momentum mend only what is theirs, so they are asked first."""
    small_batch = not answers.batch_size > limits.SMALL_BATCH_AT_MOST.value
    if small_batch and answers.does_as_well(Change.LARGER_BATCH):
        return {CauseName.BATCH_TOO_SMALL: True, CauseName.LEARNING_RATE_TOO_HIGH: False}
    if answers.does_as_well(Change.LOWER_MOMENTUM):
        return {CauseName.MOMENTUM_TOO_HIGH: True, CauseName.LEARNING_RATE_TOO_HIGH: False}
    verdicts: Verdicts = {}
    if answers.helps(Change.LOWER_RATE):
        verdicts[CauseName.LEARNING_RATE_TOO_HIGH] = True
        verdicts[CauseName.LEARNING_RATE_TOO_LOW] = False
        verdicts[CauseName.TOO_FEW_EPOCHS] = False
    elif answers.is_idle(Change.LOWER_RATE):
        verdicts[CauseName.LEARNING_RATE_TOO_HIGH] = False
    if not (answers.knows_something or answers.helps(Change.LOWER_RATE)):
        return verdicts  # a wrecked network that nothing helps says nothing of what wrecked it
    if answers.was_asked(Change.LARGER_BATCH) and not answers.helps(Change.LARGER_BATCH):
        verdicts[CauseName.BATCH_TOO_SMALL] = False
    if answers.was_asked(Change.LOWER_MOMENTUM) and not answers.helps(Change.LOWER_MOMENTUM):
        verdicts[CauseName.MOMENTUM_TOO_HIGH] = False
    return verdicts


def _too_little_done(answers: Answers) -> Verdicts:
    """What more steps, or larger ones, mend."""
    if answers.helps(Change.LOWER_RATE) or not answers.was_asked(Change.HIGHER_RATE, Change.PEAK_RATE):
        return {}
    if answers.is_too_slow(Change.PEAK_RATE):
        return {
            CauseName.PREMATURE_DECAY: True,
            CauseName.LEARNING_RATE_TOO_LOW: False,
            CauseName.TOO_FEW_EPOCHS: False,
        }
    if answers.is_too_slow(Change.HIGHER_RATE):
        return {CauseName.LEARNING_RATE_TOO_LOW: True, CauseName.TOO_FEW_EPOCHS: False}
    falls_on = answers.unchanged_fall >= limits.COUNTERFACTUAL_FALL.value
    verdicts = {CauseName.TOO_FEW_EPOCHS: falls_on}
    if answers.knows_something:
        verdicts |= {CauseName.LEARNING_RATE_TOO_LOW: False, CauseName.PREMATURE_DECAY: False}
    return verdicts


def _held_back(answers: Answers) -> Verdicts:
    """What less regularization mends."""
    tried = [c for c in (Change.NO_WEIGHT_DECAY, Change.NO_DROPOUT) if answers.was_asked(c)]
    if any(answers.helps(change) for change in tried):
        return {
            CauseName.OVER_REGULARIZED: True,
            CauseName.UNDERCAPACITY: False,
            CauseName.LABEL_NOISE: False,
        }
    if tried and all(answers.is_idle(change) for change in tried):
        return {CauseName.OVER_REGULARIZED: False}
    return {}


def _other_inputs(answers: Answers) -> Verdicts:
    """What training on the inputs as they are mends."""
    if answers.helps(Change.NO_AUGMENTATION):
        return {CauseName.AUGMENTATION_DRIFT: True}
    if answers.is_idle(Change.NO_AUGMENTATION):
        return {CauseName.AUGMENTATION_DRIFT: False}
    return {}


def _nothing_helps(answers: Answers) -> Verdicts:
    """What is left when the loss stays where it is, whatever is changed: the network, or the labels."""
    is_level = answers.knows_something and answers.unchanged_fall < limits.COUNTERFACTUAL_FALL.value
    if not is_level or any(answers.helps(change) for change in CHANGES):
        return {}
    return {CauseName.UNDERCAPACITY: True, CauseName.LABEL_NOISE: True}


_RULES: tuple[Callable[[Answers], Verdicts], ...] = (
    _updates_too_noisy,
    _too_little_done,
    _held_back,
    _other_inputs,
    _nothing_helps,
)
"""An earlier rule's verdict on a cause stands."""


def evidence_of(trial: TrialRecord, changes: Sequence[Change]) -> tuple[Evidence, ...]:
    """The answers to ``changes`` beside their thresholds, as read after the trial's last epoch.

    ``counterfactual_<change>`` is the loss after the change over that without it; for a higher rate the speed-up of
    the loss's fall; ``counterfactual_unchanged`` is the relative fall of the loss without a change.
    """
    answers = Answers.of(trial, changes)
    if answers is None:
        return ()
    rows = trained_rows(trial)
    epoch = rows[-1].epoch if rows else None

    def reading(name: str, value: float, limit: limits.Threshold) -> Evidence:
        return Evidence(
            quantity=f"counterfactual_{name}",
            first_step=epoch,
            last_step=epoch,
            value=value,
            threshold=limit.value,
            source=limit.source,
        )

    shown = [reading("unchanged", answers.unchanged_fall, limits.COUNTERFACTUAL_FALL)]
    for change in CHANGES:
        if change in {Change.HIGHER_RATE, Change.PEAK_RATE} and answers.was_asked(change):
            shown.append(reading(change, answers.speed_up(change), limits.COUNTERFACTUAL_SPEED_UP))
        elif answers.was_asked(change):
            shown.append(reading(change, answers.relative_loss(change), limits.COUNTERFACTUAL_HELPS))
    return tuple(shown)
