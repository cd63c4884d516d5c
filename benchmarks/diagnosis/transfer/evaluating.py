"""What all transfer sets do with a trained network: look at its parts, and ask the probes that it calls for."""

import dataclasses
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.diagnosis.runs import Run
from studies.diagnosis import diagnose_record
from studies.diagnosis.counterfactuals import changes_for_findings
from studies.records import Outcome, StudyRecord
from tuner.training.counterfactuals import of_live

N_KEPT = 2000
"""Training samples that counterfactual probes go on with."""


@torch.no_grad()
def evaluated(model: nn.Module, x: Tensor, y: Tensor, *, train_mode: bool = False) -> tuple[float, float]:
    """Mean loss and accuracy."""
    model.train(train_mode)
    outputs = model(x)
    return float(cross_entropy(outputs, y)), float((outputs.argmax(1) == y).double().mean())


@torch.no_grad()
def balanced_accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The mean over the classes."""
    hits = (model.eval()(x).argmax(1) == y).double()
    return float(torch.stack([hits[y == each].mean() for each in y.unique()]).mean())


def probed_record(
    record: StudyRecord,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    samples: tuple[Tensor, Tensor],
    *,
    seed: int,
    batch_size: int,
    clip_norm: float,
) -> StudyRecord:
    """With the counterfactual probes that its own findings ask for, as `watch.findings(probe=True)` would."""
    (trial,) = record.trials
    if trial.outcome is Outcome.DIVERGED or trial.telemetry is None:
        return record
    rates = trial.telemetry.step_series("learning_rate")
    answers = of_live(
        model,
        optimizer,
        samples[0][:N_KEPT],
        samples[1][:N_KEPT],
        cross_entropy,
        changes_for_findings(diagnose_record(record, trial.number)),
        seed,
        batch_size=batch_size,
        peak_learning_rate=float(rates.max()) if len(rates) else float("nan"),
        clip_norm=clip_norm,
    )
    telemetry = dataclasses.replace(trial.telemetry, counterfactuals=answers)
    return dataclasses.replace(record, trials=(dataclasses.replace(trial, telemetry=telemetry),))


def finished_run(
    name: str,
    seed: int,
    record: StudyRecord,
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    reported: float,
    started: float,
) -> Run:
    """The run of a ``model`` that was trained on x_train and y_train of ``tensors``, and what it is worth.

    Args:
        reported: the validation accuracy as the loop itself tells it.
        started: by `time.perf_counter`.
    """
    test = tensors["x_test"], tensors["y_test"]
    test_loss, test_accuracy = evaluated(model, *test)
    _loss, validation_accuracy = evaluated(model, tensors["x_validation"], tensors["y_validation"])
    return Run(
        case=name,
        seed=seed,
        record=record,
        validation_accuracy=validation_accuracy,
        reported_accuracy=reported,
        n_validation=len(tensors["x_validation"]),
        test_accuracy=test_accuracy,
        test_loss=test_loss,
        balanced_accuracy=balanced_accuracy(model, *test),
        seconds=time.perf_counter() - started,
    )
