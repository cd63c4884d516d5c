"""Falls behind: another trial of the study is known to be far better, and this one's own curves look sound."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed
from studies.diagnosis.finding import CauseName, Evidence, Finding, Severity
from studies.diagnosis.progress import gain_of_path, low_rate_share
from studies.diagnosis.reference import has_diverged
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import few_units
from studies.diagnosis.signs import Signs
from studies.diagnosis.slowness import fit_evidence
from studies.diagnosis.stages import Stage
from studies.diagnosis.standing import behind_best, best_accuracy, is_behind, last_accuracy
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.weighing import Suspicion, causes_of, evidence_of
from studies.records import StudyRecord, TrialRecord

NAME = "falls_behind"

_SAID = {
    CauseName.UNDERCAPACITY: "it has few units",
    CauseName.TOO_FEW_EPOCHS: "it has few epochs, and was still getting better",
    CauseName.BATCH_TOO_LARGE: "an epoch has few steps, and more of them promise more",
    CauseName.LEARNING_RATE_TOO_LOW: "its updates are small all along",
    CauseName.WARMUP_TOO_LONG: "its learning rate was still rising for most of the training",
    CauseName.PREMATURE_DECAY: "its learning rate was gone for most of the training",
    CauseName.MISSING_WARMUP: "its first updates threw the loss up, and the fit is still poor",
}


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:
    """It ends far behind the study's best. A fault where its readings say by what, if only faintly.

    The harm is known here, so half of the fit is enough that a rule asks for which has to see the harm itself. Without
    a cause it is the harm that an earlier anomaly did, and else a note: a search meets worse configs than its best.
    """
    best = study.best
    if best is None or has_diverged(trial) or not is_behind(trial, study):
        return None
    signs, short = Signs(trial=trial), behind_best(trial, study)
    found = tuple(suspicion for rule in _RULES if (suspicion := rule(signs)) is not None)
    causes = causes_of(found)
    why = _SAID[causes[0].name] if causes else "its own readings do not tell why"
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=(
            f"It ends at {last_accuracy(trial):.1%}, {short:.1f} noise floors behind trial {best.number}, the study's "
            f"best ({best_accuracy(best):.1%}): {why}."
        ),
        causes=causes,
        evidence=(_at_end("behind_best_in_noise_floors", short, signs), *evidence_of(found)),
        remedies=remedies_for(causes, signs.situation),
        hurts_by_itself=bool(causes),
    )


def _at_end(quantity: str, value: float, signs: Signs) -> Evidence:
    return crossed(quantity, value, limits.BEHIND_BEST, first_step=signs.last_epoch)


def _few_units(signs: Signs) -> Suspicion | None:
    evidence = few_units(signs)
    return _suspicion(CauseName.UNDERCAPACITY, 0.8, evidence, signs) if evidence is not None else None


def _few_epochs(signs: Signs) -> Suspicion | None:
    """Few epochs, the last ones of which still brought something."""
    if signs.n_epochs >= limits.FEW_EPOCHS.value or not signs.doubling_fall > limits.DOUBLING_FALL.value:
        return None
    evidence = crossed("n_epochs", float(signs.n_epochs), limits.FEW_EPOCHS, first_step=signs.last_epoch)
    return _suspicion(CauseName.TOO_FEW_EPOCHS, 0.75, evidence, signs)


def _few_steps(signs: Signs) -> Suspicion | None:
    if signs.steps_per_epoch > limits.HANDFUL_PER_EPOCH.value:
        return None
    if not gain_of_path(signs) > limits.GAIN_OF_PATH.value:
        return None
    evidence = crossed("steps_per_epoch", signs.steps_per_epoch, limits.HANDFUL_PER_EPOCH)
    return _suspicion(CauseName.BATCH_TOO_LARGE, 0.7, evidence, signs)


def _small_updates(signs: Signs) -> Suspicion | None:
    if not signs.update_ratio < limits.UPDATE_RATIO_SLOW.value:
        return None
    evidence = crossed("update_ratio", signs.update_ratio, limits.UPDATE_RATIO_SLOW)
    return _suspicion(CauseName.LEARNING_RATE_TOO_LOW, 0.65, evidence, signs)


def _suspicion(name: CauseName, confidence: float, evidence: Evidence, signs: Signs) -> Suspicion | None:
    """Only of a fit that is still worth mending: who knows the training data by heart lacks something else."""
    if not signs.fit_ratio > limits.BEHIND_FIT.value:
        return None
    return Suspicion(
        name=name, confidence=confidence, evidence=(evidence, fit_evidence(signs, limits.BEHIND_FIT))
    )


def _long_warmup(signs: Signs) -> Suspicion | None:
    if not signs.warmup_share > limits.LONG_WARMUP.value:
        return None
    evidence = crossed("warmup_share", signs.warmup_share, limits.LONG_WARMUP)
    return _suspicion(CauseName.WARMUP_TOO_LONG, 0.8, evidence, signs)


def _early_decay(signs: Signs) -> Suspicion | None:
    """Most steps at next to nothing of the peak rate."""
    share = low_rate_share(signs)
    if not share > limits.LOW_RATE_SHARE.value:
        return None
    evidence = crossed("low_rate_share", share, limits.LOW_RATE_SHARE)
    return _suspicion(CauseName.PREMATURE_DECAY, 0.8, evidence, signs)


def _burst(signs: Signs) -> Suspicion | None:
    """A burst of the first updates that left no other trace than a fit that is still poor."""
    is_poor = signs.fit_ratio > limits.FIT_RATIO_DROPOUT.value
    if not (is_poor and signs.early_burst > limits.EARLY_BURST.value) or signs.warmup_share > 0.0:
        return None
    evidence = crossed("early_burst", signs.early_burst, limits.EARLY_BURST)
    return _suspicion(CauseName.MISSING_WARMUP, 0.6, evidence, signs)


_RULES = (_few_units, _few_epochs, _few_steps, _small_updates, _long_warmup, _early_decay, _burst)
SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.STUDY, shows_harm=True)
