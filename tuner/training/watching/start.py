"""The network before its first update, as the first minibatch of somebody's loop shows it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from studies.readings import NAN, EpochReadings, LayerProbe, StepZeroProbe
from tuner.training.probes import (
    Activity,
    ProbePass,
    WatchedLayer,
    as_untrainable,
    layer_probe,
    probe_pass,
    relative_difference,
    sum_error,
)
from tuner.training.watching.grading import Graded, LossFunction, Validation
from tuner.training.watching.left_out import LeftOut
from tuner.training.watching.loss_form import LossForm
from tuner.training.watching.outputs import scores
from tuner.training.watching.passes import Call, Called, leaving_no_trace
from tuner.training.watching.wiring import Wiring

NO_PROBE = (
    "the model would not run in eval mode on the probe batch, so no activations and no probe loss are read"
)
NO_VALIDATION = "the model could not be graded on validation=, so nothing of validation is read"


@dataclass(kw_only=True)
class Start:
    """What was read between the first backward pass and the first update; the loss and the targets follow."""

    outputs: Tensor | None
    """In eval mode on the first minibatch; None where the model's outputs are no tensor."""
    repeat_difference: float
    gradient_norm: float
    layers: tuple[LayerProbe, ...]
    validation: Graded | None
    loss: Tensor | None = None
    """Of the first minibatch, as the loop told it."""
    n_samples: int = 0
    targets: Tensor | None = None

    def told(self, loss: Tensor, n_samples: int, targets: Tensor | None) -> None:
        """The first minibatch's loss and targets."""
        self.loss, self.n_samples, self.targets = loss, n_samples, targets

    def probe(self, form: LossForm) -> StepZeroProbe | None:
        """The step-0 probe; None before a loss was told."""
        if self.loss is None:
            return None
        seen = scores(self.outputs, self.targets)
        has_outputs = self.outputs is not None and self.outputs.numel() > 0
        outputs = self.outputs if self.outputs is not None and has_outputs else torch.tensor([NAN])
        return StepZeroProbe(
            train_loss=form.mean(float(self.loss), self.n_samples),
            expected_loss=NAN if seen is None else math.log(seen.outputs.shape[1]),
            gradient_norm=self.gradient_norm,
            output_low=float(outputs.min()),
            output_high=float(outputs.max()),
            output_sum_error=NAN if seen is None else sum_error(seen.outputs.float()),
            repeat_difference=self.repeat_difference,
            layers=self.layers,
        )

    def row(self, form: LossForm, loss_function: LossFunction | None) -> EpochReadings:
        """Epoch 0: the first minibatch and the validation samples in eval mode."""
        outputs, targets = self.outputs, self.targets
        graded = None
        if outputs is not None and targets is not None and len(outputs) == len(targets):
            graded = Graded(outputs=outputs, targets=targets).evaluation(form, loss_function, in_detail=False)
        validation = None if self.validation is None else self.validation.evaluation(form, loss_function)
        dead = [layer.dead_fraction for layer in self.layers if math.isfinite(layer.dead_fraction)]
        return EpochReadings(
            epoch=0,
            train_loss=NAN if graded is None else graded.loss,
            train_accuracy=NAN if graded is None else graded.accuracy,
            validation_loss=NAN if validation is None else validation.loss,
            validation_accuracy=NAN if validation is None else validation.accuracy,
            calibration_error=NAN if validation is None else validation.calibration_error,
            confidence=NAN if validation is None else validation.confidence,
            confident_error_rate=NAN if validation is None else validation.confident_error_rate,
            class_accuracy=() if validation is None else validation.class_accuracy,
            dead_fraction=max(dead, default=NAN),
        )


def read_start(
    model: nn.Module,
    layers: tuple[WatchedLayer, ...],
    wiring: Wiring,
    *,
    call: Call | None,
    gradients: Sequence[Tensor],
    validation: Validation | None,
    left_out: LeftOut,
) -> Start:
    """Read ``model`` just before its first update; ``gradients`` are those that the update will use.

    ``call`` is what it was called with for them; None where nobody saw it, or where its outputs are no tensor.
    """
    activities: Mapping[str, Activity] = {}
    outputs, difference = None, NAN
    graded = None
    with leaving_no_trace(model):
        if call is not None:
            with left_out.unless_it_fails("probe", NO_PROBE):
                first, again = _pass(model, layers, call), _pass(model, layers, call)
                outputs, activities = first.outputs, first.activities
                difference = relative_difference(first.outputs, again.outputs) if outputs.numel() else NAN
        if validation is not None:
            with left_out.unless_it_fails("validation", NO_VALIDATION):
                graded = validation.graded(model)
    norms = torch._foreach_norm(list(gradients)) if gradients else []  # noqa: SLF001 - one call
    return Start(
        outputs=outputs,
        repeat_difference=difference,
        gradient_norm=math.sqrt(sum(float(norm) ** 2 for norm in norms)),
        layers=tuple(_layer(layer, activities.get(layer.name, Activity()), wiring) for layer in layers),
        validation=graded,
    )


def _pass(model: nn.Module, layers: tuple[WatchedLayer, ...], call: Call) -> ProbePass:
    return probe_pass(Called(model), layers, call)  # type: ignore[arg-type]  # a Call in place of a tensor


def _layer(layer: WatchedLayer, activity: Activity, wiring: Wiring) -> LayerProbe:
    probe = layer_probe(layer, activity)
    if not probe.is_trainable or wiring.is_trainable(layer):
        return probe
    return as_untrainable(probe, layer)
