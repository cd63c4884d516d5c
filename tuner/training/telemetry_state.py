"""Telemetry as plain values and tensors, the form in which a checkpoint may hold it, and back."""

import dataclasses
from typing import Any

import numpy as np
import torch

from studies.readings import (
    DataProbe,
    EpochReadings,
    LayerProbe,
    LayerReadings,
    StepReadings,
    StepZeroProbe,
    Telemetry,
)

_STEP_ARRAYS = ("train_loss", "learning_rate", "gradient_norm", "clipped")


def telemetry_to_state(telemetry: Telemetry) -> dict[str, Any]:
    """Dictionaries, tuples, numbers and tensors only: what ``torch.load(weights_only=True)`` reads."""
    return {
        "epochs": [dataclasses.asdict(row) for row in telemetry.epochs],
        "steps": [
            {"epoch": block.epoch} | {name: torch.from_numpy(getattr(block, name)) for name in _STEP_ARRAYS}
            for block in telemetry.steps
        ],
        "step_zero": dataclasses.asdict(telemetry.step_zero) if telemetry.step_zero else None,
        "data": dataclasses.asdict(telemetry.data) if telemetry.data else None,
    }


def telemetry_from_state(state: dict[str, Any]) -> Telemetry:
    """The inverse of `telemetry_to_state`."""
    step_zero, data = state["step_zero"], state["data"]
    return Telemetry(
        epochs=tuple(
            EpochReadings(**{**row, "layers": tuple(LayerReadings(**layer) for layer in row["layers"])})
            for row in state["epochs"]
        ),
        steps=tuple(
            StepReadings(epoch=block["epoch"], **{name: _array(block[name]) for name in _STEP_ARRAYS})
            for block in state["steps"]
        ),
        step_zero=StepZeroProbe(
            **{**step_zero, "layers": tuple(LayerProbe(**layer) for layer in step_zero["layers"])}
        )
        if step_zero
        else None,
        data=DataProbe(**data) if data else None,
    )


def _array(tensor: torch.Tensor) -> "np.ndarray[Any, Any]":
    return np.asarray(tensor.numpy())
