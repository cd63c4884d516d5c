import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.conftest import BENCHMARKS


def test_the_search_runs_with_its_fair_rival(tmp_path: Path) -> None:
    """The whole of it on a tiny scale: ours and the expert's search, the machine's rate, the table, the figures."""
    arguments = "--task digits --trials 4 --epochs 2 --repeats 1 --batch-size 32 --width 16 --rivals expert"
    ran = subprocess.run(
        [sys.executable, str(BENCHMARKS / "search_speed.py"), *arguments.split(), "--within", "1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(BENCHMARKS.parent)},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (found,) = json.loads(ran.stdout)["results"]
    assert set(found["results"]) == {"ours", "expert"}
    assert found["results"]["ours"]["over_ours"] == 1.0
    for row in found["results"].values():
        assert row["seconds"] > 0
        assert 0.1 < row["best"] <= 1
        assert 0 < row["share_of_gemm_rate"] < 1
    assert "| expert | " in ran.stderr
    assert [*tmp_path.iterdir()] == []


def runs(**values: tuple[float, float, float]) -> dict[str, list[object]]:
    """By name seconds, best and share done of the only run."""
    from search_speed import Run

    return {
        name: [Run(seconds=seconds, wall_seconds=seconds, best=best, share=share, about={})]
        for name, (seconds, best, share) in values.items()
    }


def summed_up(**values: tuple[float, float, float]) -> dict[str, object]:
    from search_speed import summary
    from workload import Workload

    arithmetic = {"gflops_per_second": {"slow": 10.0, "fast": 20.0}, "flops_of_a_trial_epoch": 10**9}
    workload = Workload(n_trials=10, n_epochs=4)
    return summary(workload, runs(**values), arithmetic, within=0.01)


def test_ratios_are_over_ours_and_shares_of_the_higher_rate() -> None:
    """40 GFLOP in 4 s are 10 a second, half of what the faster kernel can."""
    rows = summed_up(ours=(4.0, 0.97, 1.0), expert=(8.0, 0.97, 1.0))["results"]
    assert rows["expert"]["over_ours"] == 2.0  # type: ignore[index]
    assert rows["ours"]["share_of_gemm_rate"] == pytest.approx(0.5)  # type: ignore[index]
    assert rows["ours"]["seconds_a_trial_epoch"] == pytest.approx(0.1)  # type: ignore[index]


def test_a_search_that_trains_nothing_is_told() -> None:
    """Whole ones must come as far as the best, those with fewer trials must at least have learned."""
    found = summed_up(ours=(4.0, 0.97, 1.0), expert=(8.0, 0.955, 1.0), example=(9.0, 0.92, 0.1))
    assert found["faults"] == ["expert reached only 95.50%, the best 97.00%"]
    found = summed_up(ours=(4.0, 0.97, 1.0), example=(9.0, 0.1, 0.1))
    assert found["faults"] == ["example reached only 10.00%, the best 97.00%"]


def test_a_missing_rival_is_said_and_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    """By the packages that the Python of the rivals lacks."""
    from rivals import Rival
    from search_speed import is_runnable

    here = Rival(name="here", description="", needs=("optuna",))
    gone = Rival(name="gone", description="", needs=("optuna", "no_such_tuner"))
    assert is_runnable(here, sys.executable)
    assert not is_runnable(gone, sys.executable)
    assert "gone is skipped" in (said := capsys.readouterr().err)
    assert "has no no_such_tuner" in said
