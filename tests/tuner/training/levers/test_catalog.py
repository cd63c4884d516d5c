"""Every lever of the catalog has a test of its effect, its row on the page, and sound configs; presets run.

So no one searches what changes nothing.
"""

from pathlib import Path
from typing import Any

import optuna
import pytest

from search_spaces.catalog import CONDITIONS, LEVERS, lever
from search_spaces.lever import Lever
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Space
from studies.records import Outcome
from tests.tuner.training.levers import (
    test_architecture,
    test_batching,
    test_optimization,
    test_regularization,
    test_scheduling,
)
from tuner.api import search
from tuner.one_training import train
from tuner.training.config import TrainingConfig

PAGE = Path(__file__).parents[4] / "docs/levers.md"
FAMILIES = (test_optimization, test_batching, test_regularization, test_scheduling, test_architecture)
EFFECTS = {
    name.removeprefix("test_"): effect.__doc__
    for family in FAMILIES
    for name, effect in vars(family).items()
    if name.startswith("test_")
}
"""Lever name -> what it does, as the test of that name shows."""


def test_every_lever_is_checked() -> None:
    """A new lever needs a test of its effect, and no such test is without its lever."""
    assert set(EFFECTS) == {known.name for known in LEVERS}


def row_of(known: Lever) -> str:
    """The lever's row in the table of its family."""
    condition = CONDITIONS.get(known.name)
    default = "-" if known.default is None else known.default
    log = " (log)" if getattr(known.distribution, "log", False) else ""
    cells = (
        f"`{known.name}`",
        known.range_text + log,
        known.anchor_text,
        default,
        condition.text if condition else "",
    )
    return f"| {' | '.join(map(str, cells))} |"


def preset_row(space: Space) -> str:
    """The row of a ready-made space."""
    n_points = space.n_grid_points()
    grid = str(n_points) if n_points < 10_000 else f"{n_points:.1e}"
    keys = ", ".join(known.key for known in space)
    return f"| `{space.name}` | {keys} | {grid} | {space.description} |"


def test_the_page_is_the_catalog() -> None:
    """docs/levers.md has each lever's row, reason, source and checked effect, each preset's row, and no others."""
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [*map(row_of, LEVERS), *map(preset_row, PRESETS.values())]
    for known in LEVERS:
        story = f"- **`{known.name}`** {known.reason}\n  *Effect:* {EFFECTS[known.name]}\n"
        assert f"{story}  *Source:* {known.source}.\n" in page, known.name


def test_every_lever_makes_sound_configs() -> None:
    """Both ends of each lever, under each value of its condition, are a config that a training takes."""
    for known in LEVERS:
        condition = CONDITIONS.get(known.name)
        parents = [{condition.key: value} for value in condition.values] if condition else [{}]
        for parent in parents:
            for point in known.grid(2):
                assert TrainingConfig(**{**parent, known.key: known.to_config(point)})  # type: ignore[arg-type]


def test_the_resolved_rate_is_recorded() -> None:
    """A searched trial, and a single one, keep the base pair in their config and what it came to beside it."""
    rule: dict[str, Any] = {"batch_lr_rule": "sqrt", "base_batch_size": 32, "learning_rate": 0.1}
    space = Space(name="batch", levers=(lever("batch_size").among((32, 512)),))
    where = {"study": "s", "storage": "sqlite:///tuner.db", "epochs": 1}
    search(space, "digits", **where, trials=2, sampler="grid", workers=1, fixed=rule)
    train({**rule, "batch_size": 128, "epochs": 1}, "digits", study="one", storage="sqlite:///tuner.db")
    storage = optuna.storages.get_storage("sqlite:///tuner.db")
    recorded = {
        trial.params.get("batch_size", 128): trial.user_attrs["resolved_learning_rate"]
        for name in ("s", "one")
        for trial in optuna.load_study(study_name=name, storage=storage).trials
    }
    assert recorded == pytest.approx({32: 0.1, 128: 0.2, 512: 0.4})


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs(name: str) -> None:
    """Two trials of one epoch on the digits end with an answer, and its grid can be counted."""
    found = search(name, "digits", study=name, storage="sqlite:///tuner.db", trials=2, epochs=1, workers=1)
    trials = found.record().trials
    assert len(trials) == 2
    assert all(trial.outcome.is_answer and trial.outcome is not Outcome.LOST for trial in trials)
    assert preset(name).n_grid_points() > 1
