"""SGD with momentum against AdamW: as many rates for each, then their values, curves and calibration side by side."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.readings import EpochReadings
from studies.records import TrialRecord
from tuner.guide.checklist import Notes
from tuner.guide.follow_ups import admissible, search_round
from tuner.guide.rate import SHARE_OF_ROUND, distinct_rates, range_test, rounded
from tuner.guide.rounds import Candidate, Round, Tried
from tuner.guide.session import Session, label

SGD_MOMENTUM = 0.9
SGD_DECAY = 5e-4
"""L2, in place of a decay that was tuned for AdamW: He et al. 2016 use 1e-4, Krizhevsky et al. 2012 5e-4."""
ADAMW_DECAY = 0.01
"""torch's default."""
N_RATES = 2
"""Of each of the two optimizers."""
OWN_RATES = (1.0, 1 / 3, 1 / 10)
"""Of what the range test suggests for an optimizer, the most promising first; a third one stands in where the
incumbent has one of the others already."""
FALLBACK_RATES: Mapping[str, float] = {"sgd": 0.1, "adamw": 3e-3}
"""In place of a suggestion, the largest of what is tried: Goodfellow et al. 2016 and three times torch's default."""
TITLE = "SGD against AdamW"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One of the two optimizers, as changes of the incumbent that leave its rate open."""

    optimizer: str
    changes: Mapping[str, Any]
    is_incumbent: bool
    """The incumbent is one of its configs already."""


def compare_optimizers(session: Session, notes: Notes, name: str) -> None:
    """Train both on an equal budget: the incumbent counts as one of its own optimizer's rates."""
    contenders = [each for each in (_sgd(session, notes), _adamw(session, notes)) if each is not None]
    if not any(not each.is_incumbent for each in contenders):
        notes.skipped(TITLE, "The incumbent's optimizer is the only one that may be tried.")
        return
    candidates = candidates_of(session, notes, contenders)
    if not candidates:
        notes.skipped(TITLE, "One of them has no rate that may be tried: it would not be an equal budget.")
        return
    round_ = search_round(session, notes, name, candidates)
    if round_ is None:
        notes.skipped(TITLE, "The budget has no room for a rate of each.")
    else:
        note_comparison(notes, round_)


def candidates_of(session: Session, notes: Notes, contenders: Sequence[Contender]) -> list[Candidate]:
    """As many rates for each contender; a group has one of each, so that a small budget leaves none out alone."""
    found = [_at_own_rates(session, notes, each) for each in contenders]
    n_each = min(len(rates) + each.is_incumbent for rates, each in zip(found, contenders, strict=True))
    n_each = min(n_each, N_RATES)
    candidates = []
    for place in range(n_each):
        for rates, contender in zip(found, contenders, strict=True):
            number = place - contender.is_incumbent
            if number >= 0:
                candidates.append(dataclasses.replace(rates[number], group=f"rate {place + 1} of each"))
    if candidates:
        names = " and ".join(each.optimizer for each in contenders)
        counted = ", the incumbent counted" if any(each.is_incumbent for each in contenders) else ""
        notes.done("equal budget", f"{n_each} rates for {names}{counted}, on the same seeds.")
    return candidates


def _sgd(session: Session, notes: Notes) -> Contender | None:
    """SGD with Nesterov momentum, where it may have momentum."""
    current = session.current
    if current.optimizer == "sgd":
        return Contender(optimizer="sgd", changes={}, is_incumbent=True)
    wanted: dict[str, Any] = {"momentum": SGD_MOMENTUM, "nesterov": True}
    if current.weight_decay:
        wanted |= {"weight_decay": SGD_DECAY, "weight_decay_kind": "auto"}
    changes = _allowed(session, wanted)
    if not (changes.get("momentum") or current.momentum):
        changes.pop("nesterov", None)
        why = session.asked.levers.why_not("momentum") or f"the space does not hold {SGD_MOMENTUM:g}"
        notes.skipped("momentum of SGD", f"It is tried without: {why}.")
    return _contender(session, notes, "sgd", changes)


def _adamw(session: Session, notes: Notes) -> Contender | None:
    """AdamW; an Adam that decays no weights, where none may be decayed, is the same."""
    current, levers = session.current, session.asked.levers
    is_decayed = current.weight_decay > 0
    if current.optimizer == "adamw" and is_decayed:
        return Contender(optimizer="adamw", changes={}, is_incumbent=True)
    if current.optimizer == "adam" and is_decayed and current.weight_decay_kind == "decoupled":
        return Contender(optimizer="adamw", changes={}, is_incumbent=True)
    may_decay = is_decayed or levers.allows({"weight_decay": ADAMW_DECAY})
    if current.optimizer in {"adam", "adamw"} and not may_decay:
        return Contender(optimizer="adamw", changes={}, is_incumbent=True)
    changes = _allowed(session, {"weight_decay": ADAMW_DECAY, "weight_decay_kind": "auto"})
    if current.weight_decay_kind == "l2" and "weight_decay_kind" not in changes:
        notes.skipped("adamw", f"It cannot decay by L2: {levers.why_not('weight_decay_kind')}.")
        return None
    return _contender(session, notes, "adamw", changes)


def _contender(
    session: Session, notes: Notes, optimizer: str, changes: Mapping[str, Any]
) -> Contender | None:
    if not session.asked.levers.allows({"optimizer": optimizer}):
        notes.skipped(optimizer, "It is not among the optimizers that may be tried.")
        return None
    return Contender(optimizer=optimizer, changes={"optimizer": optimizer, **changes}, is_incumbent=False)


def _at_own_rates(session: Session, notes: Notes, contender: Contender) -> list[Candidate]:
    """The contender at rates from its own range test, else at usual ones; the incumbent's below the one it has."""
    optimizer, changes = contender.optimizer, contender.changes
    current = session.current
    largest = current.learning_rate if contender.is_incumbent else _largest_rate(session, notes, contender)
    wanted = session.asked.levers.values("learning_rate", rounded([largest * factor for factor in OWN_RATES]))
    if contender.is_incumbent:
        wanted = distinct_rates(wanted, current.learning_rate)
    candidates = [
        Candidate(
            label=f"{optimizer} at {label('learning_rate', rate)}", changes={**changes, "learning_rate": rate}
        )
        for rate in wanted
    ]
    return admissible(session, notes, candidates)


def _largest_rate(session: Session, notes: Notes, contender: Contender) -> float:
    optimizer = contender.optimizer
    found = range_test(
        session,
        notes,
        f"schedule.range_test_{optimizer}",
        dataclasses.replace(session.current, **contender.changes),
        of_round="schedule.optimizers",
        share=SHARE_OF_ROUND / 2,  # there may be one of each optimizer
    )
    if found["suggested"] is not None:
        return float(found["suggested"])
    largest = FALLBACK_RATES[optimizer]
    notes.warned(f"rates of {optimizer}", f"Without a suggestion they are the usual {largest:g} and below.")
    return largest


def _allowed(session: Session, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes without those of keys that must stay."""
    return {key: value for key, value in changes.items() if session.asked.levers.allows({key: value})}


def note_comparison(notes: Notes, round_: Round) -> None:
    """Values, curves and calibration of the two at their best rates: who wins by value may be the worse calibrated."""
    best = {
        family: each
        for family in ("sgd", "adamw")
        if (each := _best_of(round_, family)) is not None and each.value is not None
    }
    read = {each.label: _readings(each, round_) for each in round_.tried}
    absent = [family for family in ("sgd", "adamw") if family not in best]
    name = "compare curves and calibration"
    if absent:
        notes.skipped(name, f"There is no value of {' nor of '.join(absent)} to compare with.", **read)
        return
    one, other = best["sgd"], best["adamw"]
    said = f"{_curves_sentence(round_, one, other)}. {_calibration_sentence(read, one, other)}"
    notes.done(name, said, **read)


def _best_of(round_: Round, family: str) -> Tried | None:
    places = [place for place, each in enumerate(round_.tried) if _family(each.config) == family]
    return None if not places else round_.tried[max(places, key=lambda place: round_.scores[place])]


def _family(config: Mapping[str, Any]) -> str:
    """Adam whose decay is decoupled, or that decays nothing, is AdamW by another name."""
    if config["optimizer"] != "adam":
        return str(config["optimizer"])
    is_adamw = config["weight_decay_kind"] == "decoupled" or not config["weight_decay"]
    return "adamw" if is_adamw else "adam"


def _curves_sentence(round_: Round, one: Tried, other: Tried) -> str:
    """How soon each reaches what the worse of the two reaches at best."""
    sign = 1.0 if round_.record.is_maximized else -1.0
    curves = [[sign * value for value in _curve(each, round_)] for each in (one, other)]
    if not all(curves) or not all(math.isfinite(value) for curve in curves for value in curve):
        return f"{_said(one)}; {_said(other)}; there are no curves"
    target = min(max(curve) for curve in curves)
    epochs = [next(place for place, value in enumerate(curve, 1) if value >= target) for curve in curves]
    return (
        f"{_said(one)} and reaches {sign * target:.4g} after {epochs[0]} epochs; "
        f"{_said(other)} and reaches it after {epochs[1]}"
    )


def _calibration_sentence(read: Mapping[str, Mapping[str, Any]], one: Tried, other: Tried) -> str:
    errors = [read[each.label]["calibration_error"] for each in (one, other)]
    if any(error is None for error in errors):
        return "The task has no calibration error."
    return f"Calibration error at the best epoch: {errors[0]:.3f} against {errors[1]:.3f}."


def _said(tried: Tried) -> str:
    return (
        f"{_family(tried.config)} (learning_rate {tried.config['learning_rate']:.4g}) has {tried.value:.4g}"
    )


def _readings(tried: Tried, round_: Round) -> dict[str, Any]:
    """Means over all seeds: the validation curves, and the calibration error at each one's best epoch by the metric."""
    errors = [_calibration_error(trial, round_) for trial in tried.trials]
    known = [error for error in errors if error is not None]
    return {
        "value": tried.value,
        "n_seeds": len(tried.trials),
        "calibration_error": statistics.fmean(known) if known else None,
        "validation_loss": _mean_curve(tried, "validation_loss"),
        "validation_accuracy": _mean_curve(tried, "validation_accuracy"),
    }


def _curve(tried: Tried, round_: Round) -> list[float]:
    """The metric, epoch by epoch."""
    return _mean_curve(tried, round_.record.metric)


def _mean_curve(tried: Tried, quantity: str) -> list[float]:
    """Over the seeds, as long as the shortest."""
    curves = [[getattr(row, quantity) for row in _rows(trial)] for trial in tried.trials]
    return [statistics.fmean(values) for values in zip(*curves, strict=False)]


def _calibration_error(trial: TrialRecord, round_: Round) -> float | None:
    sign = 1.0 if round_.record.is_maximized else -1.0
    rows = [row for row in _rows(trial) if math.isfinite(getattr(row, round_.record.metric))]
    if not rows:
        return None
    best = max(rows, key=lambda row: sign * getattr(row, round_.record.metric))
    return best.calibration_error if math.isfinite(best.calibration_error) else None


def _rows(trial: TrialRecord) -> list[EpochReadings]:
    """Of the trained network: epoch 0 is the untrained one."""
    return [row for row in (() if trial.telemetry is None else trial.telemetry.epochs) if row.epoch > 0]
