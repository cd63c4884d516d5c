from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.diagnosis import command
from benchmarks.diagnosis.command import is_done
from benchmarks.diagnosis.runs import store
from studies.diagnosis.counterfactuals import Change
from tests.diagnosis_benchmark.made_runs import made_run


def test_a_run_is_done_when_it_has_what_its_diagnosis_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only ambiguous ones are trained anew for the column with probes."""
    path = tmp_path / "a.pickle.gz"
    assert not is_done(path, probes=False)
    store(made_run(), path)
    assert is_done(path, probes=True)
    monkeypatch.setattr(command, "asked", lambda _record: (Change.LOWER_RATE,))
    assert is_done(path, probes=False)
    assert not is_done(path, probes=True)
    store(replace(made_run(), asked=("lower_rate", "no_dropout")), path)
    assert is_done(path, probes=True)
