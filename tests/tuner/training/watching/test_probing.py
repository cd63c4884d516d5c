"""`watch.findings(probe=True)`: a watched loop whose causes are in doubt is asked what it would do otherwise."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import tuner
from search_spaces.errors import ConfigurationError
from studies.diagnosis import Cause, CauseName, Finding, Severity
from studies.diagnosis.counterfactuals import Change
from studies.recorded import open_study
from studies.records import StudyRecord
from tests.problems import N_CLASSES, blobs
from tuner.training.watching import watch as watch_module
from tuner.training.watching.watch import Watch

Loss = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture(autouse=True)
def in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is trained shows a finding of two equal causes: which readings do is for the symptoms' tests."""
    causes = tuple(
        Cause(name=name, confidence=0.5)
        for name in (CauseName.LEARNING_RATE_TOO_LOW, CauseName.LEARNING_RATE_TOO_HIGH)
    )

    def one_finding(_record: StudyRecord, _trial: int | None = None) -> list[Finding]:
        return [Finding(trial=0, symptom="plateau", severity=Severity.WARNING, sentence="", causes=causes)]

    monkeypatch.setattr(watch_module, "diagnose_record", one_finding)


def watched(
    loss: Loss = functional.cross_entropy,
    *last: nn.Module,
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
    **options: Any,
) -> Watch:
    """A loop at a rate that is too high, and its watch."""
    data = blobs(300, spread=1.5)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, N_CLASSES), *last)
    learner = optimizer(model.parameters(), lr=1.0)  # type: ignore[call-arg]  # each has its own default
    with tuner.watch(model, learner, quiet=True, **options) as watch:
        for _ in range(3):
            for samples in torch.randperm(300).split(10):
                learner.zero_grad()
                found = loss(model(data.x_train[samples]), data.y_train[samples])
                found.backward()
                watch.step(found, data.x_train[samples], data.y_train[samples])
                if optimizer is torch.optim.SGD:
                    learner.step()
            watch.epoch()
    return watch


def asked(watch: Watch) -> list[str]:
    watch.findings(probe=True)
    return [row.change for row in watch.telemetry.counterfactuals]


@pytest.mark.parametrize(
    ("loss_function", "last"),
    [
        (functional.cross_entropy, ()),
        (functional.nll_loss, (nn.LogSoftmax(1),)),
        (lambda outputs, y: functional.nll_loss(outputs.log(), y), (nn.Softmax(1),)),
    ],
    ids=["cross entropy", "log softmax and nll", "softmax, log and nll"],
)
def test_a_loss_that_we_know_is_recomputed(loss_function: Loss, last: tuple[nn.Module, ...]) -> None:
    """Whatever form it has in the loop; the answers are part of the telemetry."""
    watch = watched(loss_function, *last)
    assert asked(watch) == [Change.LOWER_RATE, Change.HIGHER_RATE, Change.LARGER_BATCH]
    (row, *_others) = watch.telemetry.counterfactuals
    assert 0.0 < row.loss_after < row.unchanged_loss_after


def test_without_being_told_to_it_asks_nothing() -> None:
    """It costs seconds, and copies of the model."""
    watch = watched()
    watch.findings()
    assert watch.telemetry.counterfactuals == ()


def test_a_loss_of_ones_own_must_be_given() -> None:
    """One that we cannot recompute is not guessed."""

    def smoothed(outputs: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, y, label_smoothing=0.1)

    assert asked(watched(smoothed)) == []
    assert asked(watched(smoothed, loss_function=smoothed)) != []


def test_the_answers_are_kept_with_the_trial() -> None:
    """`tuner diagnose` finds them."""
    watch = watched(study="mine")
    assert asked(watch) != []
    (trial,) = open_study("mine").record().trials
    assert trial.telemetry is not None
    assert trial.telemetry.counterfactuals == watch.telemetry.counterfactuals


def test_an_optimizer_with_a_closure_is_refused_in_one_sentence() -> None:
    """It cannot be copied."""
    with pytest.raises(ConfigurationError, match="must step without a closure"):
        watched(optimizer=torch.optim.LBFGS).findings(probe=True)
