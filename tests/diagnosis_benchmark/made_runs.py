"""Stored runs made by hand."""

from benchmarks.diagnosis.runs import Run
from studies.records import Outcome, StudyRecord, TrialRecord


def made_run(
    test: float = 0.9,
    *,
    case: str = "label_noise/mlp/mild",
    seed: int = 0,
    validation: float = 0.9,
    reported: float | None = None,
    loss: float = 0.3,
) -> Run:
    """A run without telemetry."""
    trial = TrialRecord(number=0, state="complete", outcome=Outcome.COMPLETED, value=validation)
    return Run(
        case=case,
        seed=seed,
        record=StudyRecord(name="one training", direction="maximize", trials=(trial,)),
        validation_accuracy=validation,
        reported_accuracy=validation if reported is None else reported,
        n_validation=1000,
        test_accuracy=test,
        test_loss=loss,
        balanced_accuracy=test,
        seconds=1.0,
    )
