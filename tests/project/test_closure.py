"""Closure: what belongs together is together. A new lever, symptom, command or module reminds you of the rest."""

import ast
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces.catalog import LEVERS
from search_spaces.presets import PRESETS
from studies.diagnosis.symptoms import SYMPTOMS
from studies.readings import EpochReadings
from tests import cases, early_cases, study_cases
from tests.studies.plans import study
from tuner.cli import app
from tuner.training.config import TrainingConfig

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGES = ("search_spaces", "studies", "tuner")


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("lever", LEVERS, ids=lambda lever: lever.name)
def test_every_lever_is_a_config_field_with_the_same_default_and_is_used(lever: object) -> None:
    """A lever that no training reads would be searched in vain."""
    from search_spaces import Lever

    assert isinstance(lever, Lever)
    fields = {field.name: field.default for field in dataclasses.fields(TrainingConfig)}
    assert lever.key in fields
    assert fields[lever.key] == lever.default
    uses = re.compile(rf"\.{lever.key}\b")
    users = [
        path.name
        for path in (ROOT / "tuner" / "training").rglob("*.py")
        if path.name != "config.py" and uses.search(path.read_text(encoding="utf-8"))
    ]
    assert users, f"no module of tuner/training reads config.{lever.key}"


def test_every_config_field_is_used() -> None:
    """A key that one may --set and that does nothing is a lie."""
    texts = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "tuner").rglob("*.py")
        if path.name != "config.py"
    )
    unused = [field.name for field in dataclasses.fields(TrainingConfig) if f".{field.name}" not in texts]
    assert unused == []


def test_every_preset_lever_is_in_the_catalog() -> None:
    """Presets narrow catalog levers; they invent none."""
    known = {lever.name for lever in LEVERS}
    assert {name for space in PRESETS.values() for name in space.names} <= known


def test_every_symptom_has_a_case_and_a_page() -> None:
    """A file in symptoms/ = an entry of the list = a case that shows it = a section of the docs."""
    files = {path.stem for path in (ROOT / "studies/diagnosis/symptoms").glob("*.py")} - {"__init__"}
    page = (ROOT / "docs/symptoms.md").read_text(encoding="utf-8")
    assert files == set(SYMPTOMS)
    assert set(re.findall(r"^### `(\w+)`", page, flags=re.MULTILINE)) == set(SYMPTOMS)
    assert {*cases.CASES, *early_cases.EARLY_CASES, *study_cases.STUDY_CASES} == set(SYMPTOMS)


def test_no_threshold_hides_another() -> None:
    """All files share one namespace, `thresholds.NAME`: of two of a name the second would silently be used for both."""
    folder = ROOT / "studies/diagnosis/thresholds"
    named = [
        name
        for path in sorted(folder.glob("*.py"))
        for name in re.findall(
            r"^([A-Z_]+) = Threshold\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    ]
    assert len(named) > 150
    assert sorted(named) == sorted(set(named))


def test_every_threshold_is_documented_with_its_value() -> None:
    """The page's numbers are the code's."""
    from studies.diagnosis import thresholds

    page = (ROOT / "docs/symptoms.md").read_text(encoding="utf-8")
    named = {
        name: value for name, value in vars(thresholds).items() if isinstance(value, thresholds.Threshold)
    }
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+?) \|", page, flags=re.MULTILINE))
    assert rows == {name: f"{threshold.value:g}" for name, threshold in named.items()}


def test_every_command_is_in_the_readme() -> None:
    """And no other."""
    commands = {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
    table = README.split("## Commands")[1].split("## Where")[0]
    assert set(re.findall(r"`tuner ([a-z-]+)", table.split("Every command")[0])) == commands


def test_the_readme_tree_is_the_files() -> None:
    """Each module stands in the tree, and nothing that does not exist."""
    block = README.split("<!-- tree:")[1].split("```")[1]
    listed, stack = set(), []
    for line in block.strip("\n").splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        stack = [*stack[:depth], name]
        if name.endswith(".py"):
            listed.add("".join(stack[:-1]) + name)
    found = {str(path.relative_to(ROOT).as_posix()) for path in modules() if path.name != "__init__.py"}
    assert listed == {path for path in found if not path.startswith("studies/diagnosis/symptoms/")}


def test_every_readings_quantity_is_stored(tmp_path: Path) -> None:
    """In a column of its own, or with those that came later; a new reading that is not stored would be lost."""
    recorded = study(f"sqlite:///{tmp_path / 'tuner.db'}")
    row = recorded.telemetry.epoch_row(1, EpochReadings(epoch=1, train_loss=1.0), None)
    stored = [*row, *json.loads(row["more"]["body"])]
    assert sorted(stored) == sorted({*stored})
    quantities = {field.name for field in dataclasses.fields(EpochReadings)}
    assert quantities == {*stored} - {"trial_id", "study_id", "steps", "more"}


def test_ci_runs_the_readmes_test_line() -> None:
    """`.ci/run` greps for it: it must be there exactly once, and the demo line too."""
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert [line.split()[-1] for line in lines] == ["demo", ".venv/bin/pytest"]
    assert lines[0].endswith(".venv/bin/tuner demo")


def test_modules_stay_readable() -> None:
    """Modules under 400 lines, functions under 60; most are far smaller."""
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 430, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                documented = ast.get_docstring(node) or ""
                signature = node.body[0].lineno - node.lineno
                assert lines - documented.count("\n") - signature <= 60, f"{path}:{node.lineno} {node.name}"


def test_every_module_says_what_it_is() -> None:
    """One sentence at its top."""
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree) or not tree.body, path


@pytest.mark.parametrize("package", ["search_spaces", "studies", "tuner"])
def test_importing_a_package_is_cheap(package: str) -> None:
    """`import tuner` loads nothing heavy; studies and search_spaces never load torch, whatever is used of them."""
    code = (
        f"import sys, {package}; print(sorted(set(sys.modules) & {{'torch', 'optuna', 'pandas', 'plotly'}}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_studies_never_load_torch() -> None:
    """With everything that they export in use."""
    code = (
        "import sys, pkgutil, importlib, studies, search_spaces\n"
        "for package in (studies, search_spaces):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    """Exactly as it is printed there."""
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks[0].strip().splitlines()) <= 15
    code = "\n".join(blocks)
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "report: runs/readme/report.html" in ran.stdout.replace("\\", "/")
    assert (tmp_path / "runs/readme/report.html").exists()
