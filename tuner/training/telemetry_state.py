"""Telemetry as plain values and tensors, the form in which a checkpoint may hold it, and back."""

import dataclasses
from typing import Any

import numpy as np
import torch

from studies.readings import (
    CodeProbe,
    Counterfactual,
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
        "code": dataclasses.asdict(telemetry.code) if telemetry.code else None,
        "counterfactuals": [dataclasses.asdict(each) for each in telemetry.counterfactuals],
    }


def telemetry_from_state(state: dict[str, Any]) -> Telemetry:
    """The inverse of `telemetry_to_state`; what an older checkpoint does not have was not read."""
    step_zero, data, code = state["step_zero"], state["data"], state.get("code")
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
        code=CodeProbe(**code) if code else None,
        counterfactuals=tuple(Counterfactual(**each) for each in state.get("counterfactuals", ())),
    )


def _array(tensor: torch.Tensor) -> "np.ndarray[Any, Any]":
    return np.asarray(tensor.numpy())
