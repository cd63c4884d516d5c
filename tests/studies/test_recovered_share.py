"""What a remedy recovers of the gap is kept with the proof and told with its bounds."""

import dataclasses
from typing import Any

from studies.dashboard import note_of
from studies.diagnosis import Finding, Remedy, Severity
from studies.diagnosis.benchmarked import Benchmarked
from studies.importance import importances_of
from studies.proofs import ProofRecord, TriedRecord
from studies.reports import wording
from studies.reports.report import render
from tests import cases

ROW: dict[str, Any] = {
    "label": "learning_rate=0.3", "sentence": "Lower it.", "verdict": "proven", "why": "It gains 0.8.",
    "values": [0.9, 0.92, 0.91], "gain": 0.8, "low": 0.7, "high": 0.9,
}  # fmt: skip


def _tried(**more: float | None) -> TriedRecord:
    proof = {
        "trial": 3, "finding": {"symptom": "dead_units"}, "replicates": "s-fix-3", "metric": "validation_accuracy",
        "direction": "maximize", "confidence": 0.975, "sentence": "Proven.", "baseline": [None, 0.1, 0.12],
        "reference": [0.9, 0.91, 0.92], "remedies": [{**ROW, **more}],
    }  # fmt: skip
    return ProofRecord.from_json(proof).remedies[0]


def test_a_proof_keeps_the_share_with_its_bounds() -> None:
    """One that was kept before there were bounds, or any share, still opens."""
    tried = _tried(recovered=0.98, recovered_low=0.9, recovered_high=1.06)
    assert (tried.recovered, tried.recovered_low, tried.recovered_high) == (0.98, 0.9, 1.06)
    assert wording.recovered(tried) == "98% (90% to 106%)"
    assert wording.recovered(_tried(recovered=0.98, recovered_low=None, recovered_high=None)) == "98%"
    assert _tried().recovered is None
    assert wording.recovered(_tried()) == wording.ABSENT


def test_the_report_and_the_note_tell_what_the_benchmark_says() -> None:
    """Beside the remedy that was trained there, and beside no other."""
    record = cases.CASES["dead_units"]()
    known = Remedy(sentence="Lower it.", action="Lower.", benchmarked=Benchmarked(n_repaired=3, n_tried=4))
    finding = Finding(
        trial=0, symptom="dead_units", severity=Severity.WARNING, sentence="Dead.",
        remedies=(known, Remedy(sentence="Hope.", action="Hope.")),
    )  # fmt: skip
    importances = importances_of(record)
    page = render(record, [finding], importances)
    assert page.count("<small>repaired 3 of 4 cases in the benchmark</small>") == 1
    assert "- Lower it. It repaired 3 of 4 cases in the benchmark.\n- Hope." in note_of(
        record, [finding], importances
    )


def test_the_report_has_a_column_for_the_share() -> None:
    """Beside the gain."""
    record = cases.CASES["dead_units"]()
    proof = ProofRecord(
        trial=3, symptom="dead_units", study="s-fix-3", metric="validation_accuracy", direction="maximize",
        confidence=0.975, sentence="Proven.", baseline=(0.1, 0.1, 0.12), reference=(0.9, 0.91, 0.92),
        remedies=(_tried(recovered=0.98, recovered_low=0.9, recovered_high=1.06),),
    )  # fmt: skip
    page = render(dataclasses.replace(record, proofs=(proof,)), [], importances_of(record))
    assert '<th class="n">of the gap</th>' in page
    assert '<td class="n">98% (90% to 106%)</td>' in page
