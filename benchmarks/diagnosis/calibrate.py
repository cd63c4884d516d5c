"""How far healthy trainings stay from the thresholds on curves: `python -m benchmarks.diagnosis.calibrate`.

Reads the stored calibration runs, never the blind ones, and writes the percentiles of each sign over the healthy runs,
with the runs they come from, to ``profile.json`` beside this file. Loads no torch.
"""

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.diagnosis.runs import Run, load_runs
from studies.diagnosis import thresholds as limits
from studies.diagnosis.signs import Signs
from studies.diagnosis.slowness import expected_gain
from studies.diagnosis.thresholds import Threshold

PROFILE = Path(__file__).with_name("profile.json")
PERCENTILES = (1, 50, 99)

SIGNS: Mapping[str, tuple[Threshold, Callable[[Signs], float]]] = {
    "early_burst": (limits.EARLY_BURST, lambda signs: signs.early_burst),
    "burst": (limits.BURST, lambda signs: signs.burst),
    "weight_growth": (limits.WEIGHT_GROWTH, lambda signs: signs.weight_growth),
    "dead_rise": (limits.DEAD_RISE, lambda signs: signs.dead_rise),
    "train_loss_rise_share": (limits.RISE_SHARE, lambda signs: signs.n_train_rises / signs.n_epochs),
    "fit_ratio": (limits.FIT_RATIO_UNFINISHED, lambda signs: signs.fit_ratio),
    "fall_over_noise": (limits.FALL_OVER_NOISE, lambda signs: signs.fall_over_noise),
    "expected_gain": (limits.EXPECTED_GAIN, expected_gain),
    "update_ratio": (limits.UPDATE_RATIO_SLOW, lambda signs: signs.update_ratio),
    "clip_fraction": (limits.CLIP_FRACTION, lambda signs: signs.clip_share),
    "warmup_share": (limits.LONG_WARMUP, lambda signs: signs.warmup_share),
    "rate_area": (limits.RATE_AREA, lambda signs: signs.rate_area),
    "decay_share": (limits.DECAY_SHARE, lambda signs: signs.decay_share),
    "train_mode_cost": (limits.TRAIN_MODE_COST, lambda signs: signs.train_mode_cost),
    "accuracy_gap": (limits.GAP, lambda signs: signs.accuracy_gap),
    "generalization_loss": (limits.CONFIDENT_RISE, lambda signs: signs.generalization_loss),
}
"""Each sign with the threshold that it is held against; most rules want several of them at once."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/diagnosis"), help="where the runs are stored"
    )
    parser.add_argument("--task", default="mnist")
    options = parser.parse_args(arguments)
    runs = list(load_runs(options.folder / options.task / "calibration"))
    profile = profile_of([run for run in runs if run.case.startswith("healthy/")], task=options.task)
    write_profile(profile, PROFILE)
    for name, row in profile["signs"].items():
        spread = "  ".join(f"{row[f'p{percentile}']:>9.3g}" for percentile in PERCENTILES)
        print(f"{name:24s} {spread}   threshold {row['threshold']:g}")
    print(f"{len(profile['runs'])} healthy runs; written to {PROFILE.name}")


def profile_of(runs: Sequence[Run], *, task: str) -> dict[str, Any]:
    """Percentiles of every sign over ``runs``, the threshold beside them, and which runs these were."""
    signs = [Signs(trial=run.record.trials[0]) for run in runs]
    rows = {}
    for name, (threshold, read) in SIGNS.items():
        values = [value for one in signs if math.isfinite(value := read(one))]
        known = np.percentile(values, PERCENTILES) if values else [math.nan] * len(PERCENTILES)
        percentiles = {f"p{p}": float(f"{v:.4g}") for p, v in zip(PERCENTILES, known, strict=True)}
        rows[name] = {**percentiles, "threshold": threshold.value, "n_runs": len(values)}
    return {"task": task, "signs": rows, "runs": sorted(f"{run.case}/{run.seed}" for run in runs)}


def write_profile(profile: Mapping[str, Any], path: Path) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(profile, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
