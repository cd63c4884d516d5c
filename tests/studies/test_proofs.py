"""What `tuner fix` found is kept with the study, and told by the report and the dashboard's note."""

import dataclasses

import numpy as np
import optuna
import pytest

from studies.dashboard import note_of
from studies.importance import importances_of
from studies.proofs import ProofRecord, TriedRecord, proofs_in, request_of, save_proof, save_request
from studies.reports.proof_figures import contested, draw_contested
from studies.reports.report import render
from tests import cases

JSON = {
    "trial": 3,
    "finding": {"symptom": "dead_units"},
    "replicates": "s-fix-3",
    "metric": "validation_accuracy",
    "direction": "maximize",
    "confidence": 0.975,
    "sentence": "Proven against dead_units: learning_rate=0.3.",
    "baseline": [None, 0.1, 0.12],
    "reference": [0.9, 0.91, 0.92],
    "remedies": [
        {
            "label": "learning_rate=0.3", "sentence": "Lower it.", "verdict": "proven", "why": "It gains 0.8.",
            "values": [0.9, 0.92, 0.91], "gain": 0.8, "low": 0.7, "high": 0.9, "more": "additions are fine",
        },
        {
            "label": "dropout=0.5", "sentence": "Drop <more>.", "verdict": "made_worse", "why": "It makes it worse.",
            "values": [None, None, None], "gain": None, "low": None, "high": None,
        },
    ],
}  # fmt: skip
PROOF = ProofRecord.from_json(JSON)


def test_a_proof_comes_back_as_it_was_kept() -> None:
    """The last one of each trial, by trial; requests are no proofs."""
    study = optuna.create_study()
    save_request(study, "s-fix-3", "digest")
    save_proof(study, 12, {**JSON, "trial": 12})
    save_proof(study, 3, {**JSON, "sentence": "Before."})
    save_proof(study, 3, JSON)
    assert proofs_in(study.user_attrs) == (PROOF, dataclasses.replace(PROOF, trial=12))
    assert request_of(study, "s-fix-3") == "digest"
    assert request_of(study, "other") is None
    assert PROOF.remedies[0] == TriedRecord(
        label="learning_rate=0.3", sentence="Lower it.", verdict="proven", why="It gains 0.8.",
        values=(0.9, 0.92, 0.91), gain=0.8, low=0.7, high=0.9,
    )  # fmt: skip


def test_the_figure_shows_every_replicate_that_has_a_value() -> None:
    """The faulty config first, the reference last; who diverged is said beside the label."""
    data = contested(PROOF)
    assert list(data.levels["label"]) == ["as it is", "learning_rate=0.3", "dropout=0.5", "healthy reference"]
    assert list(data.levels["n_diverged"]) == [1, 0, 3, 0]
    assert data.levels["mean"].iloc[1] == pytest.approx(np.mean([0.9, 0.92, 0.91]))
    assert data.levels["low"].iloc[1] < data.levels["mean"].iloc[1] < data.levels["high"].iloc[1]
    assert len(data.points) == 2 + 3 + 3
    axis = draw_contested(data).layout.yaxis
    assert axis.categoryarray[-1] == "as it is<br>(1 diverged)"
    assert axis.categoryarray[1] == "dropout=0.5<br>(3 diverged)"


def test_report_and_note_tell_the_verdicts() -> None:
    """And a study without proofs has no such section."""
    record = cases.CASES["dead_units"]()
    importances = importances_of(record)
    assert "Remedies" not in render(record, [], importances).split("</style>")[1].split("plotly")[0]
    proven = dataclasses.replace(record, proofs=(PROOF,))
    page = render(proven, [], importances)
    assert "<h2>Remedies that were tried</h2>" in page
    assert "Dead units in trial 3" in page
    assert "made worse" in page
    note = note_of(proven, [], importances)
    assert "### Remedies tried against dead units in trial 3" in note
    assert "- **proven**: Lower it. It gains 0.8." in note
    assert "Drop \\<more\\>." in note
    assert "### Remedies tried" not in note_of(record, [], importances)
