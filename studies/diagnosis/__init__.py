"""Names what is wrong with a study: pure functions from records to findings."""

from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Remedy, Severity
from studies.diagnosis.missing import missing_evidence
from studies.diagnosis.order import diagnose_record

__all__ = [
    "Cause",
    "CauseName",
    "Evidence",
    "Finding",
    "Remedy",
    "Severity",
    "diagnose_record",
    "missing_evidence",
]
