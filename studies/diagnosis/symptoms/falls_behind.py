"""Falls behind: another trial of the study is known to be far better, and this one's own curves look sound."""

from collections.abc import Callable

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed
from studies.diagnosis.finding import CauseName, Evidence, Finding, Severity
from studies.diagnosis.instability import has_tiny_batch, high_momentum
from studies.diagnosis.progress import gain_of_path, low_rate_share, path_length
from studies.diagnosis.reference import has_diverged
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import few_units
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.slowness import fit_evidence
from studies.diagnosis.stages import Stage
from studies.diagnosis.standing import behind_best, best_accuracy, far_behind, is_behind
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.weighing import Suspicion, causes_of, evidence_of
from studies.records import StudyRecord, TrialRecord

NAME = "falls_behind"

Rule = Callable[[Signs], Evidence | None]
RuleBesideBest = Callable[[Signs, Signs], Evidence | None]

SMALLER_UPDATES = 2.0
"""Times smaller than the best's: by chance they differ by less (own design)."""
FEWER_DEAD = 2.0
"""Times fewer units dead in the best (own design)."""
_SAID = {
    CauseName.UNDERCAPACITY: "it has few units",
    CauseName.TOO_FEW_EPOCHS: "it has few epochs, and was still getting better",
    CauseName.BATCH_TOO_LARGE: "an epoch has few steps, and more of them promise more",
    CauseName.DYING_RELU: "many units of a layer are dead",
    CauseName.MOMENTUM_TOO_HIGH: "its momentum is high",
    CauseName.BATCH_TOO_SMALL: "its updates are those of a few samples",
    CauseName.LEARNING_RATE_TOO_LOW: "its updates are small all along",
    CauseName.WARMUP_TOO_LONG: "its learning rate was still rising for most of the training",
    CauseName.PREMATURE_DECAY: "its learning rate was gone for most of the training",
    CauseName.MISSING_WARMUP: "its first updates threw the loss up, and the fit is still poor",
}


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:
    """No epoch is near the study's best. A fault where its readings say by what, if only faintly.

    The harm is known here, so half of the fit is enough that a rule asks for which has to see the harm itself. What the
    best trial has too is not what this one is behind by. Without a cause it is the harm that an earlier anomaly did,
    and else a note: a search meets worse configs than its best.
    """
    best = study.best
    if best is None or has_diverged(trial) or not is_behind(trial, study):
        return None
    signs, short = signs_of(trial), behind_best(trial, study)
    found = _what_the_best_has_not(signs, Signs(trial=best))
    causes = causes_of(found)
    why = _SAID[causes[0].name] if causes else "its own readings do not tell why"
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=(
            f"Its best epoch has {best_accuracy(trial):.1%}, {short:.1f} noise floors behind trial {best.number}, the "
            f"study's best ({best_accuracy(best):.1%}): {why}."
        ),
        causes=causes,
        evidence=(
            _distance(short, study, signs),
            *evidence_of(found),
        ),
        remedies=remedies_for(causes, signs.situation),
        hurts_by_itself=bool(causes),
    )


def _distance(short: float, study: StudyRecord, signs: Signs) -> Evidence:
    return Evidence(
        quantity="noise_floors_behind_the_best",
        first_step=signs.rows[0].epoch,
        last_step=signs.last_epoch,
        value=short,
        threshold=far_behind(study),
        source=f"NOISE_FLOORS, and the luck of the best of {len(study.complete_trials)} (Blom 1958)",
    )


def _what_the_best_has_not(signs: Signs, best: Signs) -> tuple[Suspicion, ...]:
    """Mostly of a fit that is still worth mending: who knows the training data by heart lacks something else.

    That may be units: those who have few know it by heart in a way that carries no further.
    """
    is_poor = signs.fit_ratio > limits.BEHIND_FIT.value
    fit = (fit_evidence(signs, limits.BEHIND_FIT),) if is_poor else ()
    return tuple(
        Suspicion(name=name, confidence=confidence, evidence=(evidence, *fit))
        for name, confidence, rule in _RULES
        if (is_poor or name is CauseName.UNDERCAPACITY) and (evidence := rule(signs, best)) is not None
    )


def _unlike_best(rule: Rule) -> RuleBesideBest:
    """What a rule finds in the trial, and not in the best one."""

    def beside(signs: Signs, best: Signs) -> Evidence | None:
        evidence = rule(signs)
        return evidence if evidence is not None and rule(best) is None else None

    return beside


def _few_epochs(signs: Signs) -> Evidence | None:
    """Few epochs, the last ones of which still brought something."""
    if signs.n_epochs >= limits.FEW_EPOCHS.value or not signs.doubling_fall > limits.DOUBLING_FALL.value:
        return None
    return crossed("n_epochs", float(signs.n_epochs), limits.FEW_EPOCHS, first_step=signs.last_epoch)


def _few_steps(signs: Signs) -> Evidence | None:
    """A handful of steps an epoch, of which more promise more."""
    is_handful = signs.steps_per_epoch <= limits.HANDFUL_PER_EPOCH.value
    if not (is_handful and gain_of_path(signs) > limits.GAIN_OF_PATH.value):
        return None
    return crossed("steps_per_epoch", signs.steps_per_epoch, limits.HANDFUL_PER_EPOCH)


def _small_updates(signs: Signs, best: Signs) -> Evidence | None:
    """Small ones, or a short way that they made all together, beside updates of the best that are twice as large.

    Or a quarter of the best's, on a quarter of its way, to a poorer fit: however large they are.
    """
    if not best.update_ratio > SMALLER_UPDATES * signs.update_ratio:
        return None
    if signs.update_ratio < limits.UPDATE_RATIO_SLOW.value:
        return crossed("update_ratio", signs.update_ratio, limits.UPDATE_RATIO_SLOW)
    way, way_of_best = path_length(signs), path_length(best)
    if way < limits.SHORT_PATH.value:
        return crossed("path_length", way, limits.SHORT_PATH)
    share, of_way = signs.update_ratio / best.update_ratio, way / way_of_best
    is_quarter = max(share, of_way) < limits.QUARTER_OF_BEST.value and signs.fit_ratio > best.fit_ratio
    return crossed("update_ratio_of_best", share, limits.QUARTER_OF_BEST) if is_quarter else None


def _long_warmup(signs: Signs) -> Evidence | None:
    is_long = signs.warmup_share > limits.LONG_WARMUP.value
    return crossed("warmup_share", signs.warmup_share, limits.LONG_WARMUP) if is_long else None


def _early_decay(signs: Signs) -> Evidence | None:
    """Most steps at next to nothing of the peak rate."""
    share = low_rate_share(signs)
    is_early = share > limits.LOW_RATE_SHARE.value
    return crossed("low_rate_share", share, limits.LOW_RATE_SHARE) if is_early else None


def _dead_units(signs: Signs, best: Signs) -> Evidence | None:
    """More of a layer than of any in the best."""
    dead = signs.dead_fraction
    if not (dead > limits.STILL_DEAD.value and best.dead_fraction <= dead / FEWER_DEAD):
        return None
    return crossed("dead_fraction", dead, limits.STILL_DEAD, first_step=signs.last_epoch)


def _high_momentum(signs: Signs, best: Signs) -> Evidence | None:
    suspicion = high_momentum(signs)
    is_lower = best.situation.number("momentum") <= limits.MOMENTUM_HIGH.value
    return suspicion.evidence[0] if suspicion is not None and is_lower else None


def _tiny_batch(signs: Signs, best: Signs) -> Evidence | None:
    is_larger = best.batch_size > limits.SMALL_BATCH.value
    is_tiny = has_tiny_batch(signs) and is_larger
    return crossed("batch_size", signs.batch_size, limits.SMALL_BATCH) if is_tiny else None


def _burst(signs: Signs) -> Evidence | None:
    """A burst of the first updates that left no other trace than a fit that is still poor."""
    is_poor = signs.fit_ratio > limits.FIT_RATIO_DROPOUT.value
    if not (is_poor and signs.early_burst > limits.EARLY_BURST.value) or signs.warmup_share > 0.0:
        return None
    return crossed("early_burst", signs.early_burst, limits.EARLY_BURST)


_RULES = (
    (CauseName.UNDERCAPACITY, 0.8, _unlike_best(few_units)),
    (CauseName.WARMUP_TOO_LONG, 0.8, _unlike_best(_long_warmup)),
    (CauseName.PREMATURE_DECAY, 0.8, _unlike_best(_early_decay)),
    (CauseName.TOO_FEW_EPOCHS, 0.75, _unlike_best(_few_epochs)),
    (CauseName.BATCH_TOO_LARGE, 0.7, _unlike_best(_few_steps)),
    (CauseName.DYING_RELU, 0.7, _dead_units),
    (CauseName.MOMENTUM_TOO_HIGH, 0.65, _high_momentum),
    (CauseName.BATCH_TOO_SMALL, 0.65, _tiny_batch),
    (CauseName.LEARNING_RATE_TOO_LOW, 0.65, _small_updates),
    (CauseName.MISSING_WARMUP, 0.6, _unlike_best(_burst)),
)
SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.STUDY, shows_harm=True)
