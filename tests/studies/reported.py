"""Studies to report on, and the page of a report."""

import dataclasses
import re
from pathlib import Path

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from studies.diagnosis import diagnose_record
from studies.importance import importances_of
from studies.readings import NAN
from studies.records import Outcome, StudyRecord, TrialRecord
from studies.reports import write_report
from tests import made_trials

NO_IMPORTANCES = importances_of(made_trials.study_of())


def mixed_study() -> StudyRecord:
    """Two complete trials, one pruned, one diverged, one failed, one lost, one that waits."""
    return made_trials.study_of(
        made_trials.good_trial(0),
        dataclasses.replace(made_trials.good_trial(1), value=0.99),
        made_trials.trial_of(
            (2.0, 1.9), (0.2, 0.3), (2.0, 1.9), (0.2, 0.3), number=2, outcome=Outcome.PRUNED
        ),
        made_trials.trial_of((0.9, NAN), number=3, outcome=Outcome.DIVERGED),
        made_trials.failed_trial(4),
        TrialRecord(number=5, state="fail", outcome=Outcome.LOST, value=None),
        TrialRecord(number=6, state="waiting", outcome=None, value=None),
    )


def searched_study() -> StudyRecord:
    """Twenty complete trials over levers of all kinds, one of which has a single choice."""
    distributions = {
        "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
        "dropout": FloatDistribution(0.0, 0.5),
        "depth": IntDistribution(1, 3),
        "activation": CategoricalDistribution(["relu", "tanh", "gelu"]),
        "only": CategoricalDistribution(["one"]),
    }
    rng = np.random.default_rng(0)
    trials = []
    for n in range(20):
        params = {
            "learning_rate": float(10.0 ** rng.uniform(-4, 0)),
            "dropout": float(rng.uniform(0, 0.5)),
            "depth": int(rng.integers(1, 4)),
            "activation": str(rng.choice(["relu", "tanh", "gelu"])),
            "only": "one",
        }
        trial = made_trials.good_trial(n, config=params)
        trials.append(
            dataclasses.replace(trial, params=params, distributions=distributions, value=0.9 + n / 1000)
        )
    return made_trials.study_of(*trials)


def page_of(record: StudyRecord, tmp_path: Path, **kwargs: list[str]) -> str:
    """The report without plotly's own source."""
    path = write_report(
        record,
        diagnose_record(record),
        importances_of(record, n_bootstrap=20),
        tmp_path / "report.html",
        **kwargs,
    )
    text = path.read_text(encoding="utf-8")
    return re.sub(r"<script>/\*\*.*?</script>", "<script></script>", text, count=1, flags=re.DOTALL)
