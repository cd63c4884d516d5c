"""Hears what a loop does, step by step, and notes it without waiting for the device."""

import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuner.training.leak_harm import answers
from tuner.training.probes import UpdateProbe, WatchedLayer, probed_steps, watched_layers
from tuner.training.watching.arguments import ORDER, check_inputs, no_classes, no_inputs, no_targets
from tuner.training.watching.canary import Canary, Scalings, choose
from tuner.training.watching.grading import Validation
from tuner.training.watching.left_out import LeftOut
from tuner.training.watching.loss_form import SeenLoss
from tuner.training.watching.modes import ModeLog
from tuner.training.watching.outputs import scores
from tuner.training.watching.passes import Call, is_own_pass, output_tensor
from tuner.training.watching.sample_log import SampleLog
from tuner.training.watching.seen_config import main_group
from tuner.training.watching.start import Start, read_start
from tuner.training.watching.step_log import LoggedSteps, StepLog
from tuner.training.watching.wiring import Wiring

KEPT_LOSSES = (1, 2, 3, 8)
"""Minibatches whose outputs are kept, to find out what the loss is."""
READINGS_AN_EPOCH = 100
"""Steps at which gradients are read, or up to twice as many: their norm and clipping are means of an epoch, and each
reading costs as much as a tenth of a small network's step."""


class Ear:
    """The `Listener` of one training: what its hooks and its `Watch.step` tell, in logs."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, validation: Validation | None) -> None:
        # A compiled model is probed uncompiled: hooks within would have it compiled again.
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        self.validation = validation
        self.left_out = LeftOut()
        self.n_classes: int | None = None
        """None before the first minibatch, and for a regression."""
        self.layers: tuple[WatchedLayer, ...] = ()
        self.wiring = Wiring((), optimizer)
        self.modes = ModeLog(model)
        self.samples = SampleLog()
        self.samples_are_inputs = True
        """Whether the samples are what the model was given."""
        self.first_minibatch: tuple[Call, Tensor] | None = None
        """With its targets. Only of a model that takes more than one tensor: of others there are the samples."""
        self.start: Start | None = None
        self.layer_norms: list[tuple[int, Tensor]] = []
        """Of probed steps: the step, and gradient norms and update ratios [2, n_layers]."""
        self.marks: list[int] = []
        """Optimizer steps of this epoch before which the loop evaluated."""
        self.losses: list[tuple[Tensor, Tensor, Tensor]] = []
        """A few losses with the outputs and targets that they were of."""
        self.evaluated = SampleLog(keeps_middles=False)
        """What the loop's last evaluation, between two steps, ran through the model without gradients; with its answers
        for labels."""
        self.listens_to_evaluations = True
        self.first_rate: float | None = None
        """Learning rate of the first step."""
        self.seconds_aside = 0.0
        """Of this epoch: what the start took."""
        self.last_told_at = time.perf_counter()
        self._optimizer = optimizer
        self._group = main_group(optimizer)
        self._log = StepLog()
        self._canary: Canary | None = None
        self._updates: UpdateProbe | None = None
        self._parameters: list[Tensor] = []
        self._probed: frozenset[int] = frozenset()
        self._reads_next = True
        """Whether the gradients of the next step are read."""
        self._n_steps_before: int | None = None
        """Of the last epoch; None in the first."""
        self._call: Call | None = None
        self._first_call: Call | None = None
        self._first_told: tuple[Tensor, int, Tensor | None] | None = None
        self._outputs: Tensor | None = None
        self._has_new_pass = self._has_evaluated = self._has_half_outputs = False
        self._are_rows: bool | None = None
        self._n_told = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing happened since the last epoch."""
        return self._log.is_empty

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is not read, and why."""
        if self._n_told or self.first_rate is None:
            return self.left_out.reasons
        return (f"{ORDER} was never called: no losses, nothing of the data", *self.left_out.reasons)

    @property
    def stale_share(self) -> float:
        """As in `CodeProbe`."""
        return float("nan") if self._canary is None else self._canary.stale_share()

    def passed(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if is_own_pass():
            return
        has_gradients = torch.is_grad_enabled()
        self.modes.passed(has_gradients=has_gradients)
        if not has_gradients:
            self._evaluated(Call(args=args, kwargs=kwargs), output_tensor(output))
            return
        self._has_new_pass = True
        found = output_tensor(output)
        self._outputs = None if found is None else found.detach()
        if self._n_steps_before is None:  # later on, nobody asks
            self._call = Call(args=args, kwargs=kwargs)

    def _evaluated(self, call: Call, output: Tensor | None) -> None:
        """Note what the loop evaluates in a row: how noisy its accuracy is, and whether it was trained on these."""
        if not self._has_evaluated:
            self.evaluated = SampleLog(keeps_middles=False)
        self._has_evaluated = True
        if not self.listens_to_evaluations or output is None or not output.ndim:
            return
        self.listens_to_evaluations = False
        with self.left_out.unless_it_fails("evaluation", "what the loop evaluates is not looked at"):
            self._log_evaluation(call.single, output.detach())
            self.listens_to_evaluations = True
        if not self.listens_to_evaluations:
            self.evaluated = SampleLog(keeps_middles=False)

    def _log_evaluation(self, inputs: Tensor | None, output: Tensor) -> None:
        n = output.shape[0]
        has_classes = output.ndim == 2 and output.shape[1] > 1 and output.is_floating_point()
        fits = inputs is not None and inputs.ndim > 0 and len(inputs) == n
        # Whole outputs are not kept: those of a language model are gigabytes.
        self.evaluated.add(inputs if fits else None, torch.empty(n), answers(output) if has_classes else None)

    def about_to_step(self) -> None:
        if self.start is None:
            self._begin()
        if self._has_evaluated and self._log.n_steps:
            self.marks.append(self._log.n_steps)
        self._has_evaluated = False
        rate = float(self._optimizer.param_groups[self._group]["lr"])
        self.first_rate = rate if self.first_rate is None else self.first_rate
        self._log.stepped(rate, has_new_pass=self._has_new_pass)
        if self._reads_next:
            with torch.no_grad():
                self._read_gradients()

    def has_stepped(self) -> None:
        if self._updates is not None:
            self._updates.after()
            self.layer_norms.append((self._log.n_steps - 1, self._updates.last))
            self._updates = None
        self._attend()

    def told(self, loss: Tensor, inputs: Any, targets: Any) -> None:
        """The loop tells the loss of a minibatch, and what it was of."""
        call, outputs = self._call, self._outputs
        self._call, self._outputs, self._has_new_pass = None, None, False
        self.modes.trained()
        self._n_told += 1
        value = loss.detach().mean() if loss.ndim else loss.detach()
        n_samples = _n_samples(targets, inputs, outputs)
        if self._first_told is None:
            check_inputs(inputs, outputs, None if call is None else call.single)
            self._meet(value, n_samples, call, outputs, inputs, targets)
        self._log.told(value, n_samples, outputs, targets, are_rows=self._are_rows)
        if isinstance(targets, Tensor) and targets.ndim:
            if self._n_told in KEPT_LOSSES and outputs is not None and len(outputs) == len(targets):
                self.losses.append((value.clone(), outputs.clone(), targets.detach().clone()))
            if self._n_steps_before is None and not self.marks:
                seen = scores(outputs, targets, are_rows=self._are_rows)
                self._sample(call, inputs, targets, None if seen is None else seen.labels)
        self.last_told_at = time.perf_counter()

    def take(self) -> LoggedSteps:
        """All steps since the last call; the next epoch begins."""
        self.modes.epoch_ended()
        # In float16 a scaler multiplies the gradients, and what else happens to them cannot be told.
        scalings = self._scalings()
        logged = self._log.ended(None if self._has_half_outputs else scalings)
        self._log = StepLog()
        if self.start is not None and self._first_told is not None:
            self.start.told(*self._first_told)
        self._n_steps_before = len(logged.learning_rates)
        self._probed = probed_steps(self._n_steps_before)
        self._find_parameters()  # some loops add groups as they go
        self._attend()
        return logged

    def forget(self) -> None:
        """Begin a new epoch, when what is left here of the last has been read."""
        self.layer_norms, self.marks = [], []
        self.seconds_aside = 0.0

    def seen_losses(self) -> list[SeenLoss]:
        """The few losses that were kept, on the host."""
        return [
            SeenLoss(value=float(value), outputs=outputs.cpu(), targets=targets.cpu())
            for value, outputs, targets in self.losses
        ]

    def let_go(self) -> None:
        """Remove the hooks of parameters."""
        if self._canary is not None:
            self._canary.let_go()

    def _scalings(self) -> Scalings | None:
        return None if self._canary is None else self._canary.scalings()

    def _begin(self) -> None:
        """Just before the first update: the layers are known now, lazy ones too, and the weights are still new."""
        began = time.perf_counter()
        self._find_parameters()
        self.layers = watched_layers(self.model)
        self.wiring = Wiring(self.layers, self._optimizer)
        self.wiring.look()
        chosen = choose([p for p in self._parameters if isinstance(p, nn.Parameter)])
        self._canary = None if chosen is None else Canary(chosen)
        call = self._first_call or self._call
        has_outputs = call is not None and "outputs" not in self.left_out and self._gave_tensor()
        with torch.no_grad():
            self.start = read_start(
                self.model,
                self.layers,
                self.wiring,
                call=call if has_outputs else None,
                gradients=self._gradients(),
                validation=self.validation,
                left_out=self.left_out,
            )
        self.seconds_aside += time.perf_counter() - began

    def _gave_tensor(self) -> bool:
        return self._outputs is not None or self._first_told is not None

    def _find_parameters(self) -> None:
        """Those that are optimized. Sparse gradients have no norm that could be had in one call."""
        optimized = [p for group in self._optimizer.param_groups for p in group["params"]]
        self._parameters = [p for p in optimized if p.grad is None or p.grad.layout is torch.strided]
        if len(self._parameters) < len(optimized):
            self.left_out.note("sparse", "sparse gradients are not part of the gradient's norm")

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self._parameters if p.grad is not None]

    def _read_gradients(self) -> None:
        """Of the step about to be taken."""
        # torch.amp.GradScaler sets a scale for fused optimizers.
        self._log.read(self._gradients(), scale=getattr(self._optimizer, "grad_scale", None))
        if self._canary is not None:
            self._canary.before_step()
        if self._is_probed(self._log.n_steps):
            self.wiring.look()
            if self.layers and "layers" not in self.left_out:
                with self.left_out.unless_it_fails("layers", "gradients and updates by layer are not read"):
                    updates = UpdateProbe(layers=self.layers)
                    updates.before()
                    self._updates = updates

    def _attend(self) -> None:
        """Decide what to read of the next step: of a short epoch's steps all.

        An epoch of unknown length is taken to be as long as it is by now.
        """
        n = self._log.n_steps
        period = max((self._n_steps_before or n) // READINGS_AN_EPOCH, 1)
        is_probed = self._is_probed(n + 1)
        self._reads_next = is_probed or n % period == 0
        if self._canary is not None:
            self._canary.listen(is_on=self._reads_next)
            if is_probed:
                self._canary.look_at_next()

    def _is_probed(self, number: int) -> bool:
        """Whether the epoch's step of that number, from 1, is looked at layer by layer."""
        if self._n_steps_before is None:  # how long the epoch is, nobody knows
            return number > 1 and number & (number - 1) == 0
        return number - 1 in self._probed

    def _meet(
        self,
        loss: Tensor,
        n_samples: int,
        call: Call | None,
        outputs: Tensor | None,
        inputs: Any,
        targets: Any,
    ) -> None:
        """The first minibatch: are there classes, and what cannot be read?"""
        is_tensor = isinstance(targets, Tensor)
        self._first_told = (loss.clone(), n_samples, targets.detach().clone() if is_tensor else None)
        self._first_call = call
        seen = scores(outputs, targets)
        self._are_rows = seen is not None
        self.n_classes = None if seen is None else seen.outputs.shape[1]
        self._has_half_outputs = outputs is not None and outputs.dtype is torch.float16
        if not is_tensor:
            self.left_out.note("targets", no_targets(targets))
        elif outputs is None:
            self.left_out.note(
                "outputs", "the model was not called itself, or gave no tensor: no accuracy, no probes"
            )
        elif seen is None:
            self.left_out.note("classes", no_classes(inputs, targets, outputs, call))

    def _sample(self, call: Call | None, inputs: Any, targets: Tensor, labels: Tensor | None) -> None:
        """Of the first epoch: what the network was given, else what the loop says it was."""
        given = None if call is None else call.single
        self.samples_are_inputs = self.samples_are_inputs and given is not None
        x = given if given is not None and len(given) == len(targets) else inputs
        if not isinstance(x, Tensor) or not x.ndim or len(x) != len(targets):
            self.left_out.note("inputs", no_inputs(x, targets))
            x = None
        self.samples.add(x, targets, labels)
        if call is not None and given is None and self.first_minibatch is None:
            self.first_minibatch = (call.kept(), targets.detach().clone())


def _n_samples(*parts: Any) -> int:
    """The length of the first tensor that has one."""
    for part in parts:
        if isinstance(part, Tensor) and part.ndim:
            return part.shape[0]  # len() of a tensor takes as long as all the rest of this
    return 1
