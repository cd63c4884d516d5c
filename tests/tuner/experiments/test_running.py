"""An experiment conducted: one study, resumable, with everything that was read."""

import dataclasses
import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces import Space
from search_spaces.catalog import lever
from studies.recorded import list_studies, open_study
from tests.tuner.training.test_mnist import HAS_MNIST
from tuner.experiments import epochs, learning_rate, running
from tuner.experiments.claims import end_in_order
from tuner.experiments.experiment import Experiment, Variant
from tuner.experiments.running import conduct, study_name
from tuner.prepared_search import Progress
from tuner.training.alone import TrainingAlone
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset

RATES = Experiment(
    name="rates",
    question="Which rate learns?",
    space=Space(name="rates", levers=(lever("learning_rate").among((0.001, 0.1, 1e9)),)),
    fixed={"width": 8, "batch_size": 100, "split": "last", "stop_on_divergence": False},
    variants=(
        Variant(label="low", config={"learning_rate": 0.001}),
        Variant(label="right", config={"learning_rate": 0.1}),
        Variant(label="absurd", config={"learning_rate": 1e9}, max_seeds=1),
    ),
    claims=(
        end_in_order("The right rate ends lower than the low one.", ("low", "right")),
        end_in_order("The low rate ends lower than the right one.", ("right", "low")),
    ),
    epochs=2,
)
STOPPED = dataclasses.replace(
    epochs.EXPERIMENT,
    fixed={**epochs.EXPERIMENT.fixed, "width": 8, "learning_rate": 3.0},
    space=dataclasses.replace(
        epochs.EXPERIMENT.space,
        levers=(
            epochs.EXPERIMENT.space["epochs"].among((8,)),
            epochs.EXPERIMENT.space["patience"].among((0, 1)),
        ),
    ),
    variants=(
        Variant(label="50 epochs", config={"epochs": 8, "patience": 0}),
        Variant(label="early stopping", config={"epochs": 8, "patience": 1}),
    ),
)


def test_an_experiment_is_one_study_and_tells_all_that_was_read(sqlite_url: str) -> None:
    """Epoch 0 to the last, train and validation, loss and accuracy, and the computation; a claim that fails is told."""
    done = conduct(RATES, "digits", seeds=(0, 1), storage=sqlite_url, workers=1)
    assert [study.name for study in list_studies(sqlite_url)] == ["digits-experiment-rates-seeds-0-1"]
    assert [(run.label, run.seed) for run in done.runs] == [
        ("low", 0), ("right", 0), ("absurd", 0), ("low", 1), ("right", 1)
    ]  # fmt: skip
    assert done.is_complete
    assert [claim.held for claim in done.claims] == [True, False]
    assert not done.holds
    for run in done.runs:
        assert run.config["seed"] == run.seed
        assert [row.epoch for row in run.telemetry.epochs] == [0, 1, 2]
    told = done.to_json()["runs"][0]
    assert {"label", "config", "telemetry", "computation"} <= set(told)


def test_the_steps_of_the_computation_are_those_that_were_recorded(sqlite_url: str) -> None:
    """As many as the step cadence has readings, which an experiment does not load."""
    done = conduct(RATES, "digits", seeds=(0,), storage=sqlite_url, workers=1)
    trials = open_study(done.search.study, sqlite_url).record(steps=True).trials
    recorded = [len(trial.telemetry.step_series("train_loss")) for trial in trials if trial.telemetry]
    assert [run.computation["steps"] for run in done.runs] == recorded
    assert all(run.n_steps > 2 for run in done.runs)


def test_a_training_that_blows_up_has_a_final_accuracy(sqlite_url: str) -> None:
    """It goes on to its last epoch, with a train loss that claims take for infinite."""
    done = conduct(RATES, "digits", seeds=(0,), storage=sqlite_url, workers=1)
    (absurd,) = done.runs_of("absurd")
    assert absurd.n_epochs == 2
    assert absurd.last.train_accuracy < 0.2
    assert absurd.final_train_loss > 2.3


def test_a_seeds_training_is_the_one_that_tuner_train_would_do(sqlite_url: str) -> None:
    """The study adds nothing of its own: the same losses, but for the rounding of lanes side by side."""
    done = conduct(RATES, "digits", seeds=(3,), storage=sqlite_url, workers=1)
    config = TrainingConfig.from_mapping({**RATES.fixed, "learning_rate": 0.1, "epochs": 2, "seed": 3})
    rows = list(TrainingAlone(config, load_dataset("digits"), device="cpu").epochs())
    (run,) = done.runs_of("right")
    for quantity in ("train_loss", "validation_loss"):
        found, alone = ([getattr(row, quantity) for row in each] for each in (run.telemetry.epochs, rows))
        assert found == pytest.approx(alone, rel=1e-5)


def test_the_same_experiment_again_trains_nothing(sqlite_url: str) -> None:
    """Everything is read from the study."""
    first = conduct(RATES, "digits", seeds=(0,), storage=sqlite_url, workers=1)
    again = conduct(RATES, "digits", seeds=(0,), storage=sqlite_url, workers=1)
    n_trials = len(open_study(first.search.study, sqlite_url).study.trials)
    assert n_trials == 3
    assert [run.last.seconds for run in again.runs] == [run.last.seconds for run in first.runs]


def test_an_interrupted_experiment_judges_nothing_and_goes_on_later(sqlite_url: str) -> None:
    """The same call again does the rest."""

    looks = itertools.count()

    def interrupt(_progress: Progress) -> None:
        if next(looks) == 0:
            signal.raise_signal(signal.SIGINT)

    halted = conduct(RATES, "digits", seeds=(0,), storage=sqlite_url, workers=1, on_progress=interrupt)
    assert halted.search.interrupted_by == 130
    assert not halted.is_complete
    assert [claim.held for claim in halted.claims] == [None, None]
    done = conduct(RATES, "digits", seeds=(0,), storage=sqlite_url, workers=1)
    assert done.is_complete
    assert [claim.held for claim in done.claims] == [True, False]


def test_the_weights_of_early_stopping_are_evaluated(sqlite_url: str) -> None:
    """What is given back has the smallest validation loss that was recorded, and not the last."""
    lines: list[str] = []
    done = conduct(STOPPED, "digits", seeds=(0,), storage=sqlite_url, workers=1, announce=lines.append)
    (stopped,) = done.runs_of("early stopping")
    (other,) = done.runs_of("50 epochs")
    assert stopped.outcome == "stopped_early"
    assert stopped.restored is not None
    assert other.restored is None
    assert stopped.restored.evaluated == min(stopped.validation_losses())
    assert stopped.restored.evaluated != stopped.validation_losses()[-1]
    assert done.claims[-1].held is True
    assert any("with seed 0 again for its weights" in line for line in lines)


def test_weights_are_trained_again_once(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study keeps what came of it: the same call trains nothing, loads no data, and judges the same."""
    first = conduct(STOPPED, "digits", seeds=(0,), storage=sqlite_url, workers=1)
    monkeypatch.setattr(running, "TrainingAlone", None)
    monkeypatch.setattr(running, "split_dataset", None)
    again = conduct(STOPPED, "digits", seeds=(0,), storage=sqlite_url, workers=1)
    assert first.runs_of("early stopping")[0].restored is not None
    assert [run.restored for run in again.runs] == [run.restored for run in first.runs]
    assert again.claims == first.claims


@pytest.mark.parametrize(
    ("seeds", "name"), [((0, 1, 2), "mnist-experiment-rates"), ((0,), "mnist-experiment-rates-seeds-0")]
)
def test_other_seeds_are_another_study(seeds: tuple[int, ...], name: str) -> None:
    """A study's configs never change."""
    assert study_name(RATES, "mnist", seeds) == name


def test_the_definitions_load_no_torch() -> None:
    """`tuner experiments --dry-run` answers at once."""
    code = "import sys, tuner.experiments; print('torch' in sys.modules)"
    root = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert ran.stdout.strip() == "False"


@pytest.mark.skipif(not HAS_MNIST, reason="needs the MNIST files in TUNER_DATA")
def test_a_rate_of_10_learns_nothing_of_mnist(sqlite_url: str) -> None:
    """One claim of the article on the real data, after two epochs on one seed."""
    article = learning_rate.EXPERIMENT
    chosen = [variant for variant in article.variants if variant.label == "10"]
    short = dataclasses.replace(article, variants=tuple(chosen), claims=article.claims[:1], epochs=2)
    (claim,) = conduct(short, "mnist", seeds=(0,), storage=sqlite_url, workers=1).claims
    assert claim.claim.startswith("At rate 10")
    assert claim.held is True
