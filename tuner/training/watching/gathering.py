"""Makes the telemetry of what was heard of a loop: a row an epoch, and the probes."""

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from studies.readings import (
    NAN,
    CodeProbe,
    Counterfactual,
    DataProbe,
    EpochReadings,
    LayerReadings,
    StepReadings,
    Telemetry,
)
from tuner.training.data_probe import COPIED
from tuner.training.evaluation import Evaluation
from tuner.training.leak_harm import NO_INFLATION, Inflation, LeakMarks
from tuner.training.probes import PROBE_BATCH, Activity, layer_readings, probe_pass
from tuner.training.readings import are_finite
from tuner.training.watching.grading import Graded, LossFunction, Validation
from tuner.training.watching.listening import Ear
from tuner.training.watching.loss_form import LossForm, loss_form
from tuner.training.watching.passes import Call, Called, leaving_no_trace
from tuner.training.watching.seen_config import batch_config, model_config, optimizer_config
from tuner.training.watching.seen_data import has_embeddings, seen_data, seen_leaks
from tuner.training.watching.seen_evaluation import seen_inflation, told_of
from tuner.training.watching.start import NO_PROBE, NO_VALIDATION
from tuner.training.watching.step_log import LoggedSteps

Rows = list[tuple[EpochReadings, StepReadings]]
ACCURACY = "validation_accuracy"
"""Of an epoch, as a loop tells it."""
NO_INFLATION_SEEN = "what the leak adds is not measured"
_UNKNOWN = Evaluation(loss=NAN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reading:
    """The network at the end of an epoch."""

    activities: Mapping[str, Activity] = dataclasses.field(default_factory=dict)
    probe: Evaluation = _UNKNOWN
    train_mode_probe_accuracy: float = NAN
    validation: Evaluation = _UNKNOWN
    inflation: Inflation = NO_INFLATION


class Gatherer:
    """All that is known of one training while its own loop goes on."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        validation: Validation | None,
        loss_function: LossFunction | None,
    ) -> None:
        self.ear = Ear(model, optimizer, validation)
        self.rows: Rows = []
        """From epoch 1 on."""
        self.data: DataProbe | None = None
        self._leaks: LeakMarks | None = None
        self.has_diverged = False
        self._model = self.ear.model
        self.counterfactuals: tuple[Counterfactual, ...] = ()
        """Of the last time that somebody asked."""
        self._optimizer = optimizer
        self._loss_function = loss_function
        self._config = optimizer_config(optimizer)
        self._form: LossForm | None = None
        self._probe_batch: tuple[Call, Tensor] | None = None
        self._began = time.perf_counter()

    def close(self, given: Mapping[str, Any], *, is_cut: bool = False, at_marks: bool = False) -> Rows:
        """End an epoch, and read the network as it is now.

        Args:
            given: quantities of the row that the loop itself knows.
            is_cut: whether the loop broke off, so that the model is not to run any more.
            at_marks: whether the loop told no epochs, so that each evaluation is taken for the end of one.

        Returns:
            One row, or with ``at_marks`` one for each epoch.
        """
        ear = self.ear
        training_seconds = ear.last_told_at - self._began - ear.seconds_aside
        logged = ear.take()
        with ear.left_out.unless_it_fails("loss", "the kind of loss is not known"):
            self._form = loss_form(ear.seen_losses())
        form = self.form
        is_finite = bool(np.isfinite([*logged.losses, given.get("train_loss", 0.0)]).all())
        is_finite = is_finite and are_finite(self._model)
        self.has_diverged = self.has_diverged or not is_finite
        if not self.rows:
            self._probe_batch = _probe_batch(ear)
        reading = _Reading() if is_cut else self._read(form)
        reading = dataclasses.replace(reading, inflation=self._told_inflation(reading, given))
        if self.data is None and "data" not in ear.left_out:
            with ear.left_out.unless_it_fails("data", "nothing of the data is read"):
                self._see_data(given)
        bounds = [*(ear.marks if at_marks else ()), len(logged.learning_rates)]
        rows = _plain_rows(logged, form, bounds, first_epoch=len(self.rows) + 1)
        row, steps = rows[-1]
        row = _completed(row, reading, self._layers(logged, reading.activities))
        now = time.perf_counter()
        speed = float(logged.sizes.sum()) / training_seconds if training_seconds > 0 else NAN
        row = dataclasses.replace(row, seconds=now - self._began, samples_per_second=speed)
        rows[-1] = (dataclasses.replace(row, **given), steps)
        self._note_config(logged)
        self._began = now
        ear.forget()
        self.rows += rows
        return rows

    def _see_data(self, given: Mapping[str, Any]) -> None:
        """Probe what was trained on and what is validated on: samples that were given, or that the loop itself runs."""
        ear = self.ear
        is_told = ear.validation is None and ear.samples_are_inputs
        told = told_of(ear.samples, ear.evaluated, given.get(ACCURACY)) if is_told else None
        self.data = seen_data(
            ear.samples,
            ear.validation,
            n_classes=ear.n_classes,
            n_evaluated=ear.evaluated.n_seen,
            told=told,
            looks_up=has_embeddings(self._model),
        )
        if self.data is not None:
            self._leaks = seen_leaks(self.data, ear.samples, ear.validation, n_classes=ear.n_classes)
            leaks = max(self.data.overlap_fraction, self.data.moved_fraction) > COPIED
            ear.listens_to_evaluations = told is not None and leaks

    def _told_inflation(self, reading: _Reading, given: Mapping[str, Any]) -> Inflation:
        """What is known of it already, or what copies add to the accuracy that a loop tells."""
        ear, found = self.ear, reading.inflation
        if self.data is not None and ear.listens_to_evaluations and "inflation" not in ear.left_out:
            with ear.left_out.unless_it_fails("inflation", NO_INFLATION_SEEN):
                moves = self.data.moved_fraction > COPIED
                found = seen_inflation(ear.samples, ear.evaluated, given.get(ACCURACY), looks_for_moved=moves)
        return found

    def amend(self, given: Mapping[str, Any]) -> Rows:
        """Put more of the loop's own quantities into the last row."""
        row, steps = self.rows[-1]
        self.rows[-1] = (dataclasses.replace(row, **given), steps)
        return self.rows[-1:]

    def untrained(self) -> EpochReadings | None:
        """Epoch 0; None before the first step."""
        start = self.ear.start
        row = None
        if start is not None and "start" not in self.ear.left_out:
            with self.ear.left_out.unless_it_fails("start", "the untrained model could not be graded"):
                row = start.row(self.form, self._loss_function)
        return row

    @property
    def model(self) -> nn.Module:
        return self._model

    @property
    def optimizer(self) -> Optimizer:
        return self._optimizer

    @property
    def loss_function(self) -> LossFunction | None:
        """The loop's own, if it was told."""
        return self._loss_function

    @property
    def form(self) -> LossForm:
        """The loss as far as it is known by now."""
        return self._form or LossForm()

    @property
    def trained_on(self) -> tuple[Tensor, Tensor] | None:
        """Inputs and targets of the first epoch, a sample of them, as the model was given them; None if unknown."""
        return self.ear.samples.samples() if self.ear.samples_are_inputs else None

    def code(self) -> CodeProbe:
        """What was seen of the loop's own code up to now."""
        ear, form = self.ear, self.form
        return CodeProbe(
            stale_gradient_share=ear.stale_share,
            training_in_eval_mode_share=ear.modes.training_in_eval_mode_share,
            evaluation_in_train_mode_share=ear.modes.evaluation_in_train_mode_share,
            n_layers_without_gradient=ear.wiring.n_layers_without_gradient,
            n_layers_not_optimized=ear.wiring.n_layers_not_optimized,
            n_layers_not_required=ear.wiring.n_layers_not_required,
            loss_of_probabilities=form.of_probabilities,
            loss_kind=form.kind,
        )

    def config(self) -> dict[str, Any]:
        """The config as far as it shows."""
        return {**self._config, **model_config(self._model), "epochs": len(self.rows)}

    def telemetry(self) -> Telemetry:
        """Everything up to the last epoch that has ended."""
        start, untrained = self.ear.start, self.untrained()
        return Telemetry(
            epochs=(*(() if untrained is None else (untrained,)), *(row for row, _ in self.rows)),
            steps=tuple(steps for _, steps in self.rows if len(steps)),
            step_zero=None if start is None else start.probe(self.form),
            data=self.data,
            code=self.code(),
            counterfactuals=self.counterfactuals,
        )

    def _read(self, form: LossForm) -> _Reading:
        """The probe batch and the validation samples, in eval mode."""
        reading, left_out = _Reading(), self.ear.left_out
        with leaving_no_trace(self._model):
            if self._probe_batch is not None and "outputs" not in left_out and "probe" not in left_out:
                with left_out.unless_it_fails("probe", NO_PROBE):
                    call, targets = self._probe_batch
                    seen = probe_pass(Called(self._model), self.ear.layers, call)  # type: ignore[arg-type]  # as a tensor
                    graded = Graded(outputs=seen.outputs, targets=targets)
                    found = graded.evaluation(form, self._loss_function, in_detail=False)
                    reading = dataclasses.replace(
                        reading,
                        activities=seen.activities,
                        probe=found,
                        train_mode_probe_accuracy=self._accuracy_in_train_mode(call, targets),
                    )
            if self.ear.validation is not None and "validation" not in left_out:
                with left_out.unless_it_fails("validation", NO_VALIDATION):
                    reading = dataclasses.replace(reading, validation=self._graded(self.ear.validation, form))
                if self._leaks is not None and "inflation" not in left_out:
                    with left_out.unless_it_fails("inflation", NO_INFLATION_SEEN):
                        inflation = self.ear.validation.inflation(self._model, self._leaks)
                        reading = dataclasses.replace(reading, inflation=inflation)
        return reading

    def _accuracy_in_train_mode(self, call: Call, targets: Tensor) -> float:
        """Of a model in eval mode; a pass of its own, and so only of a loop whose evaluations are in train mode."""
        if not self.ear.modes.only_drops_out:
            return NAN
        self._model.train()
        try:
            outputs = Called(self._model)(call)
        finally:
            self._model.eval()
        graded = Graded(outputs=outputs, targets=targets)
        return graded.evaluation(self.form, self._loss_function, in_detail=False).accuracy

    def _graded(self, validation: Validation, form: LossForm) -> Evaluation:
        graded = validation.graded(self._model)
        return _UNKNOWN if graded is None else graded.evaluation(form, self._loss_function)

    def _layers(self, logged: LoggedSteps, activities: Mapping[str, Activity]) -> tuple[LayerReadings, ...]:
        probed = []
        for step, norms in self.ear.layer_norms:
            gradient_norms, ratios = norms.tolist()
            factor = float(logged.clip_factors[step])
            probed.append([[norm / factor for norm in gradient_norms], ratios])
        return layer_readings([layer.name for layer in self.ear.layers], probed, activities)

    def _note_config(self, logged: LoggedSteps) -> None:
        if self.ear.first_rate is not None:
            self._config["learning_rate"] = self.ear.first_rate
        self._config |= batch_config(logged.sizes.tolist(), len(logged.learning_rates))


def _probe_batch(ear: Ear) -> tuple[Call, Tensor] | None:
    """Inputs and targets evenly spaced over the first epoch, as the model was given them; else its first minibatch."""
    kept = ear.samples.samples() if ear.samples_are_inputs else None
    if kept is None:
        return ear.first_minibatch
    x, y = kept
    places = (
        torch.linspace(0, len(x) - 1, min(PROBE_BATCH, len(x)), dtype=torch.float64)
        .round()
        .long()
        .to(x.device)
    )
    return Call(args=(x[places],)), y[places]


def _plain_rows(logged: LoggedSteps, form: LossForm, bounds: list[int], *, first_epoch: int) -> Rows:
    """What the steps alone tell, of each part of them that ends at one of ``bounds``."""
    rows: Rows = []
    first = 0
    for last in bounds:
        steps = logged.readings(first_epoch + len(rows), form, first, last)
        if not len(steps) and last != bounds[-1]:
            continue
        row = EpochReadings(
            epoch=steps.epoch,
            train_loss=float(steps.train_loss.mean(dtype=np.float64)) if len(steps) else NAN,
            learning_rate=float(steps.learning_rate[-1]) if len(steps) else NAN,
            gradient_norm=logged.gradient_norm(first, last),
            clip_fraction=logged.clip_fraction(first, last),
        )
        rows.append((row, steps))
        first = last
    if len(rows) == 1:
        row, steps = rows[0]
        whole = dataclasses.replace(row, train_loss=logged.train_loss(form), train_accuracy=logged.accuracy)
        rows = [(whole, steps)]
    return rows


def _completed(
    row: EpochReadings,
    reading: _Reading,
    layers: tuple[LayerReadings, ...],
) -> EpochReadings:
    """``row`` with what was read of the network at its end."""
    dead = [layer.dead_fraction for layer in layers if math.isfinite(layer.dead_fraction)]
    validation = reading.validation
    return dataclasses.replace(
        row,
        validation_loss=validation.loss,
        validation_accuracy=validation.accuracy,
        calibration_error=validation.calibration_error,
        confidence=validation.confidence,
        confident_error_rate=validation.confident_error_rate,
        class_accuracy=validation.class_accuracy,
        probe_loss=reading.probe.loss,
        probe_accuracy=reading.probe.accuracy,
        train_mode_probe_accuracy=reading.train_mode_probe_accuracy,
        **dataclasses.asdict(reading.inflation),
        dead_fraction=max(dead, default=NAN),
        layers=layers,
    )
