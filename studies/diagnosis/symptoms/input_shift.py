"""Input shift: what the network is trained on does not look like what it is validated on."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, data_of, first_gap
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "input_shift"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Inputs shifted by a third of a deviation; a fault where validation lags from the first epoch on.

    A gap that opens with time is overfitting. Without one, a strong augmentation may be meant so: a fault only
    if the fit suffers.
    """
    data = data_of(trial)
    if data is None or not data.input_shift > limits.INPUT_SHIFT.value:
        return None
    gap = first_gap(trial)
    lags = gap is not None and gap.value > limits.SHIFT_GAP.value
    shift = crossed("input_shift", data.input_shift, limits.INPUT_SHIFT)
    causes = (Cause(name=CauseName.AUGMENTATION_DRIFT, confidence=0.9 if lags else 0.6),)
    said = f"The inputs trained on lie {data.input_shift:.2g} deviations from the validation inputs"
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"{said}, and validation lags by {gap.value:.0%} from the first epoch on."
        if gap is not None and lags
        else f"{said}.",
        causes=causes,
        evidence=(shift, gap) if gap is not None and lags else (shift,),
        remedies=remedies_for(causes, Situation(trial=trial)),
        hurts_by_itself=lags,
    )


SYMPTOM = TrialSymptom(
    name=NAME,
    find=find,
    stage=Stage.DATA,
    leads_to=("slow_training", "plateau", "underfitting", "overfitting", "oscillation"),
)
