"""The command line: what it prints where, its exit codes, and that a mistake is one sentence and writes nothing."""

import re
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml

from studies.recorded import open_study
from tests.tuner.cli.conftest import SEARCH, Run
from tuner.cli import app


def test_search_prints_the_answer_on_stdout_and_progress_on_stderr(run: Run) -> None:
    """A line a trial where stderr is no terminal; the best, the counts and the next commands as the answer."""
    ran = run(*SEARCH, "--trials", "3")
    assert ran.code == 0
    assert "3 complete" in ran.out
    assert "tuner report s" in ran.out
    assert "learning_rate=" in ran.out
    assert "[3/3] trial 2" in ran.err
    assert "1 worker x " in ran.out.split("Time")[1]
    assert "trial 2" not in ran.out.split("Next")[1]


def test_search_json_is_as_the_design_says(run: Run) -> None:
    """Nothing but JSON on stdout, with exactly these keys."""
    found = run(*SEARCH, "--trials", "2", "--json", "--quiet")
    assert found.err == ""
    assert set(found.json) == {"study", "storage", "n_trials", "best", "seconds", "overhead", "spread"}
    assert set(found.json["spread"]) == {"workers", "lanes"}
    assert sum(found.json["overhead"]["shares"].values()) == pytest.approx(1.0)
    assert found.json["n_trials"] == {"complete": 2, "pruned": 0, "diverged": 0, "failed": 0, "lost": 0}
    assert set(found.json["best"]) == {"number", "value", "config"}
    assert found.json["best"]["config"]["width"] == 8


def test_resume_goes_on_and_the_same_command_again_does_nothing(searched: Run) -> None:
    """The total is the study's."""
    counts = searched("resume", "s", "--trials", "6", "--workers", "1", "--json").json["n_trials"]
    assert counts["complete"] + counts["pruned"] == 6
    assert searched("worker", "s", "--quiet").out == ""
    assert searched("worker", "s", "--json", "--quiet").json["n_trials"] == counts
    assert len(open_study("s").study.trials) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "--task", "mnits"), "Did you mean 'mnist'"),
        (("search", "--sampler", "tpes"), "Did you mean 'tpe'"),
        (("search", "--space", "no-such"), "no-such"),
        (("search", "--set", "learning_rte=1"), "Did you mean 'learning_rate'"),
        (("search", "--set", "learning_rate"), "--set must be KEY=VALUE, but got 'learning_rate'"),
        (("search", "--set", "width=1", "--set", "width=2"), "may name a key once"),
        (("search", "--model", "cnn", "--set", "model=mlp"), "must agree"),
        (("search", "--trials", "0"), "trials must be at least 1, but got 0"),
        (
            ("search", "--timeout", "-1", "--task", "digits"),
            "timeout must be more than 0 seconds, but got -1",
        ),
        (("search", "--enqueue", "missing.yaml"), "missing.yaml could not be read"),
        (("search", "--storage", "runs/x.db", "--task", "digits"), "must be a database URL"),
        (("resume", "nothing"), "run `tuner search` first"),
        (("diagnose", "nothing"), "run `tuner search` first"),
        (("report", "nothing"), "run `tuner search` first"),
        (("list",), "run `tuner search` first"),
        (("train", "--set", "depth=x", "--set", "dropout=2"), "dropout"),
        (("train", "--config", "missing.yaml"), "missing.yaml"),
        (("export", "nothing"), "run `tuner search` first"),
        (("levers", "learning_rat"), "Did you mean 'learning_rate'"),
    ],
)
def test_a_mistake_is_one_sentence_exits_with_2_and_writes_nothing(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """Nothing on stdout, no traceback, no file."""
    ran = run(*arguments)
    assert ran.code == 2, ran
    assert ran.err.removeprefix("Loading torch and the data …\n").startswith("error: ")
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    assert not (tmp_path / "runs").exists()


def test_data_that_cannot_be_used_exits_with_5(run: Run) -> None:
    """It is the data's fault, and scripts can tell."""
    ran = run("search", "--task", "npz:missing.npz")
    assert ran.code == 5
    assert ran.err.removeprefix("Loading torch and the data …\n").startswith("error: ")
    assert "missing.npz" in ran.err


def test_an_exception_that_keeps_coming_exits_with_1(run: Run) -> None:
    """The message names the exception and where it came from; the traceback is in the log file."""
    model = "tests.tuner.user_code:always_raises"
    ran = run(
        "search", "--task", "digits", "--model", model, "--workers", "1", "--trials", "9", "--log-file", "log"
    )
    assert ran.code == 1
    assert "ended early: ValueError at user_code.py" in ran.err
    assert "this model cannot be built" in ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in Path("log").read_text()


def test_no_completed_trial_exits_with_3(run: Run) -> None:
    """All diverged is an answer, but not a best config."""
    model = "tests.tuner.user_code:explosive_model"
    ran = run(*SEARCH, "--model", model, "--set", "batch_size=32", "--trials", "2", "--epochs", "5")
    assert ran.code == 3
    assert "2 diverged" in ran.out
    assert "no trial completed" in ran.out


def test_a_dry_run_says_what_would_be_done(run: Run, tmp_path: Path) -> None:
    """And does nothing, but finds the same mistakes."""
    ran = run(*SEARCH, "--dry-run")
    assert ran.code == 0
    assert "50 trials x 2 epochs" in ran.out
    assert run(*SEARCH, "--dry-run", "--sampler", "x").code == 2
    assert run(*SEARCH, "--dry-run", "--json").json["plan"]["epochs"] == 2
    assert not (tmp_path / "runs").exists()


def test_enqueue_reads_a_config_file(run: Run) -> None:
    """My present config is trial 0; a value outside the range is refused with the range."""
    Path("mine.yaml").write_text("learning_rate: 0.05\nmomentum: 0.9\nweight_decay: 1e-4\ndropout: 0.1\n")
    assert run(*SEARCH, "--trials", "2", "--enqueue", "mine.yaml", "--json").code == 0
    assert open_study("s").record().trials[0].searched["momentum"] == 0.9
    Path("bad.yaml").write_text("learning_rate: 50\n")
    ran = run(*SEARCH, "--study", "t", "--enqueue", "bad.yaml")
    assert ran.code == 2
    assert "learning_rate" in ran.err
    Path("list.yaml").write_text("- 1\n")
    assert "must hold `key: value` lines" in run(*SEARCH, "--enqueue", "list.yaml").err


def test_train_json_is_as_the_design_says(run: Run) -> None:
    """Epoch 0 first; NaN is null; every config key is there."""
    ran = run("train", "--task", "digits", "--epochs", "2", "--json", "--quiet", "--set", "width=8")
    assert ran.code == 0
    assert set(ran.json) == {"outcome", "value", "config", "telemetry", "findings"}
    assert [row["epoch"] for row in ran.json["telemetry"]] == [0, 1, 2]
    assert ran.json["telemetry"][0]["gradient_norm"] is None or ran.json["telemetry"][0]["gradient_norm"] > 0
    assert ran.json["config"]["width"] == 8


def test_a_diverged_training_is_an_answer(run: Run) -> None:
    """Exit code 0, value null, and a finding that says what to change."""
    model = "tests.tuner.user_code:explosive_model"
    ran = run("train", "--task", "digits", "--model", model, "--set", "batch_size=16", "--json", "--quiet")
    assert ran.code == 0
    assert ran.json["outcome"] == "diverged"
    assert ran.json["value"] is None
    assert [finding["symptom"] for finding in ran.json["findings"]] == ["divergence"]


def test_train_saves_what_can_be_loaded_and_trained_again(run: Run) -> None:
    """config.yaml goes back into --config."""
    first = run("train", "--task", "digits", "--epochs", "1", "--save", "mine", "--json", "--quiet").json
    again = run("train", "--task", "digits", "--config", "mine/config.yaml", "--json", "--quiet").json
    assert again["value"] == first["value"]
    assert yaml.safe_load(Path("mine/config.yaml").read_text())["epochs"] == 1


def test_export_writes_the_best_trial(searched: Run) -> None:
    """The search kept its weights; another trial of the number that is not there is refused."""
    ran = searched("export", "s", "--best")
    assert ran.code == 0
    assert Path("runs/s/best/weights.pt").exists()
    assert "as recorded: " in ran.out
    found = searched("export", "s", "-o", "mine", "--json").json
    assert [Path(found[key]) for key in ("config", "weights")] == [
        Path("mine/config.yaml"),
        Path("mine/weights.pt"),
    ]
    assert found["value"] == found["recorded_value"]
    assert found["was_trained_again"] is False
    assert searched("export", "s", "--trial", "77").code == 2
    assert searched("export", "s", "--best", "--trial", "1").code == 2


def test_list_show_and_delete(searched: Run) -> None:
    """A study by its name: listed, shown, asked about, deleted."""
    assert "digits" in searched("list").out
    assert searched("list", "--json").json[0]["n_trials"]["complete"] == 4
    shown = searched("show", "s")
    assert shown.code == 0
    assert shown.out.count("completed") == 4
    assert len(searched("show", "s", "--json").json["trials"]) == 4
    assert "2 more" in searched("show", "s", "--limit", "2").out
    assert searched("delete", "s").code == 1  # no terminal to answer yes
    assert open_study("s")
    deleted = searched("delete", "s", "--yes", "--json").json
    assert deleted == {"deleted": "s", "n_trials": 4, "files": str(Path("runs/s"))}
    assert "holds no studies" in searched("show", "s").err


def test_diagnose_importance_and_report(searched: Run) -> None:
    """Each in words and as JSON; the report is one file, offline."""
    assert searched("diagnose", "s").code == 0
    found = searched("diagnose", "s", "--json").json
    assert set(found) == {"study", "findings", "pruning"}
    assert searched("diagnose", "s", "--trial", "0", "--json").code == 0
    assert searched("diagnose", "s", "--trial", "99").code == 2
    importance = searched("importance", "s", "--json").json
    assert set(importance) >= {"study", "evaluators", "verdict"}
    assert searched("importance", "s").code == 0
    ran = searched("report", "s", "-o", "my.html")
    assert ran.code == 0
    assert "my.html" in ran.out
    page = Path("my.html").read_text()
    assert "<html" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?:", page)
    assert searched("report", "s", "--json").json["report"].endswith("report.html")


def test_a_study_of_optunas_own_is_told_too(run: Run, sqlite_url: str) -> None:
    """Importances, study-level findings, a report, and a line on what is missing and how to get it."""
    theirs = optuna.create_study(storage=sqlite_url, study_name="theirs")
    theirs.optimize(
        lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 9), n_trials=25
    )
    for command in ("diagnose", "importance", "report", "show"):
        assert run(command, "theirs", "--storage", sqlite_url).code == 0
    assert "not judged" in run("diagnose", "theirs", "--storage", sqlite_url).out
    assert "was not made by symptune" in run("resume", "theirs", "--storage", sqlite_url).err
    assert "was not made by symptune" in run("export", "theirs", "--storage", sqlite_url).err
    assert "not made by symptune" in run("list", "--storage", sqlite_url).out


def test_levers_and_spaces_are_shown(run: Run) -> None:
    """The vocabulary, as tables and as JSON."""
    assert "learning_rate" in run("levers").out
    assert "source" in run("levers", "dropout").out
    assert {space["name"] for space in run("spaces", "--json").json} >= {"quick", "mlp"}
    assert "mlp" in run("spaces").out
    assert run("levers", "dropout", "--json").json["name"] == "dropout"
    assert len(run("levers", "--json").json) > 10


def test_quiet_prints_nothing_but_the_answer(run: Run) -> None:
    """stderr stays empty; of trials that fail it holds the one sentence on why the search ended, no traceback."""
    ran = run(*SEARCH, "--trials", "2", "--quiet")
    assert ran.err == ""
    assert "Best" in ran.out
    ran = run(*SEARCH, "--study", "t", "--model", "tests.tuner.user_code:always_raises", "--quiet", "--json")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("error: the search ended early: ValueError")


def test_the_demo_runs_on_digits_where_there_is_no_mnist(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear line says so; best config, importances, findings and three commands are printed.

    The findings are those of `tuner diagnose`, which reads every step.
    """
    monkeypatch.delenv("TUNER_DATA", raising=False)
    monkeypatch.setattr(
        "tuner.training.datasets.downloads.is_reachable", lambda *_args, **_kwargs: False, raising=False
    )
    ran = run("demo", "--workers", "1")
    assert ran.code == 0
    assert ran.err.count("digits instead") == 1
    for part in (
        "Best",
        "Importance",
        "tuner report demo-digits",
        "tuner dashboard demo-digits",
        "tuner resume",
    ):
        assert part in ran.out
    assert ran.out.index("Best") < ran.out.index("Importance") < ran.out.index("Next")
    evidence = [
        line for line in run("diagnose", "demo-digits").out.splitlines() if line.startswith("  seen ")
    ]
    assert evidence == [line for line in ran.out.splitlines() if line.startswith("  seen ")]


def test_a_missing_subcommand_or_option_is_a_usage_error(run: Run) -> None:
    """2, as everywhere."""
    assert run("no-such-command").code == 2
    assert run("search", "--no-such-option").code == 2
    assert run("--version").out.startswith("tuner ")


def test_every_command_has_json() -> None:
    """Machines read everything that people do."""
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert "as_json" in command.callback.__annotations__, name


def test_help_loads_neither_torch_nor_optuna_nor_pandas() -> None:
    """Nor do the commands that only read need torch."""
    script = "import sys; sys.argv = ['tuner', *{arguments!r}]; from tuner.cli import main\ntry: main()\n"
    script += (
        "except SystemExit: pass\nprint(sorted(set(sys.modules) & {'torch', 'optuna', 'pandas', 'plotly'}))"
    )

    def loaded_by(*arguments: str) -> str:
        code = script.replace("{arguments!r}", repr(list(arguments)))
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return ran.stdout.strip().splitlines()[-1]

    assert loaded_by("--help") == "[]"
    assert loaded_by("search", "--help") == "[]"
    optuna.create_study(storage="sqlite:///theirs.db", study_name="theirs")
    for command in ("diagnose", "show", "report", "importance"):
        assert "torch" not in loaded_by(command, "theirs", "--storage", "sqlite:///theirs.db")
