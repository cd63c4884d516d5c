"""`tuner.watch`: telemetry of anyone's training loop, in three added lines."""

import contextlib
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import optuna
from torch import Tensor, nn
from torch.optim import Optimizer

from search_spaces.errors import ConfigurationError
from studies.diagnosis import Finding, diagnose_record
from studies.diagnosis.counterfactuals import changes_for_findings
from studies.readings import Telemetry
from studies.records import Outcome, StudyRecord, TrialError, TrialRecord
from studies.storage import resolve_url, shown_url
from tuner.training.functions import error_record
from tuner.training.watching.arguments import checked_config, checked_epoch, loss_tensor
from tuner.training.watching.gathering import Gatherer, Rows
from tuner.training.watching.grading import LossFunction, Validation
from tuner.training.watching.hooks import hooked
from tuner.training.watching.keeping import Keeper, keeper
from tuner.training.watching.probing import counterfactuals_of


def watch(  # noqa: PLR0913 - one keyword per concern
    model: nn.Module,
    optimizer: Optimizer,
    *,
    study: str | None = None,
    storage: str | None = None,
    trial: optuna.trial.BaseTrial | None = None,
    validation: Any = None,
    config: Mapping[str, Any] | None = None,
    loss_function: LossFunction | None = None,
    quiet: bool = False,
) -> "Watch":
    """Watch a training loop of one's own: ``with tuner.watch(model, optimizer, study="mine") as watch:``.

    Call ``watch.step(loss, inputs, targets)`` after each ``backward()``, and ``watch.epoch(...)`` after each epoch.
    The training itself stays, bit for bit, what it is without.

    Args:
        model: any module; the training must call it itself (``model(inputs)``) for its outputs to be seen.
        optimizer: the one that trains it.
        study: keep the telemetry as a trial of this study, which is made if it is missing.
        storage: the database it lives in; default ``TUNER_STORAGE``, else ``sqlite:///runs/tuner.db``.
        trial: keep it with this trial of an Optuna study instead; its state, value and reports stay the caller's.
            Without either, it is kept in memory only.
        validation: ``(x, y)`` or a DataLoader, evaluated at the end of each epoch; None leaves it to the loop.
        config: config keys (DESIGN's spelling) that cannot be seen from outside, such as ``clip_norm``.
        loss_function: ``(outputs, targets) -> loss``, for probes and validation, where the loss is an unusual one.
        quiet: whether to keep silent at the end.

    Raises:
        ConfigurationError: for arguments that do not fit together, and a storage that cannot be opened.
    """
    if not isinstance(model, nn.Module):
        raise ConfigurationError(
            f"watch() needs the model, a torch.nn.Module, but got a {type(model).__name__}."
        )
    if not isinstance(optimizer, Optimizer):
        raise ConfigurationError(
            f"watch() needs the optimizer, a torch.optim.Optimizer, but got a {type(optimizer).__name__}."
        )
    known = checked_config(config or {})
    gatherer = Gatherer(
        model,
        optimizer,
        validation=None if validation is None else Validation(validation),
        loss_function=loss_function,
    )
    return Watch(
        model,
        optimizer,
        gatherer,
        keeper(study, storage, trial),
        config=known,
        next_command=None if study is None else _next_command(study, storage),
        is_quiet=quiet,
    )


class Watch:
    """A training that is being watched, made by `watch`."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        gatherer: Gatherer,
        keeps: Keeper,
        *,
        config: Mapping[str, Any],
        next_command: str | None,
        is_quiet: bool,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._gatherer = gatherer
        self._keeper = keeps
        self._config = dict(config)
        self._next_command = next_command
        self._is_quiet = is_quiet
        self._hooks = contextlib.ExitStack()
        self._has_begun = self._tells_epochs = False
        self._outcome: Outcome | None = None

    def __enter__(self) -> Self:
        if self._has_begun:
            raise ConfigurationError(
                "A watch is of one training, but this one was entered before; call watch() again."
            )
        self._has_begun = True
        self._hooks = hooked(self._model, self._optimizer, self._gatherer.ear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._hooks.close()
        self._gatherer.ear.let_go()
        if not self._gatherer.ear.is_idle:
            self._close({}, is_cut=error is not None)
        self._outcome = _outcome_of(error, has_diverged=self._gatherer.has_diverged)
        rows = [row for row, _ in self._gatherer.rows]
        self._keeper.end(self._outcome, rows, _record_of(error))
        self._say_goodbye()

    def step(self, loss: Tensor | float, inputs: Any = None, targets: Any = None) -> None:
        """A minibatch was trained on: call it after ``backward()``, before or after ``optimizer.step()``.

        Args:
            loss: the minibatch's loss.
            inputs: what the model was given, [n, ...]; anything but a tensor is left out.
            targets: class numbers [n], rows of probabilities [n, n_classes], or numbers.

        Raises:
            ConfigurationError: for a loss that is not one number, and for the model's outputs in place of its inputs.
        """
        if not self._has_begun:
            raise ConfigurationError(
                "watch.step() needs the watch to be entered, but got no `with tuner.watch(...) as watch:` around it."
            )
        self._gatherer.ear.told(loss_tensor(loss), inputs, targets)

    def epoch(
        self,
        *,
        train_loss: float | None = None,
        train_accuracy: float | None = None,
        validation_loss: float | None = None,
        validation_accuracy: float | None = None,
    ) -> None:
        """An epoch is over. What is given here goes before what was read; nothing needs to be.

        Accuracies are shares, 0 to 1.

        Raises:
            ConfigurationError: for what is no number, and an accuracy that is no share.
        """
        told = {
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
        }
        given = checked_epoch(told)
        self._tells_epochs = True
        if not self._gatherer.ear.is_idle:
            self._close(given)
        elif self._gatherer.rows:  # the loop tells one epoch in two calls
            self._keep(self._gatherer.amend(given))

    @property
    def telemetry(self) -> Telemetry:
        """All readings up to the last epoch that has ended."""
        return self._gatherer.telemetry()

    @property
    def left_out(self) -> tuple[str, ...]:
        """What could not be read, and why."""
        return self._gatherer.ear.reasons

    def findings(self, *, probe: bool = False) -> list[Finding]:
        """What is wrong with this training so far, judged by itself.

        Args:
            probe: where causes are hard to tell apart, let copies of the model train for a few seconds more with one
                change at a time, and rank the causes by what that says (docs/counterfactuals.md).

        Raises:
            ConfigurationError: with ``probe``, for a model that cannot be copied, or an optimizer with a closure.
        """
        findings = diagnose_record(self.record(), self._keeper.number)
        changes = changes_for_findings(findings) if probe else ()
        if not changes:
            return findings
        left_out = self._gatherer.ear.left_out
        with left_out.unless_it_fails(
            "counterfactuals", "the causes are not told apart by counterfactual probes"
        ):
            self._gatherer.counterfactuals = counterfactuals_of(self._gatherer, changes, self._known_config())
        self._keeper.keep_counterfactuals(self._gatherer.counterfactuals)
        return diagnose_record(self.record(), self._keeper.number)

    def record(self) -> StudyRecord:
        """This training so far as the only trial of a study."""
        outcome = self._outcome or (Outcome.DIVERGED if self._gatherer.has_diverged else None)
        states = {
            None: "running",
            Outcome.COMPLETED: "complete",
            Outcome.DIVERGED: "pruned",
            Outcome.PRUNED: "pruned",
        }
        trial = TrialRecord(
            number=self._keeper.number,
            state=states.get(outcome, "fail"),
            outcome=outcome,
            value=None,
            config=self._known_config(),
            telemetry=self.telemetry,
        )
        return StudyRecord(name="watched", direction="maximize", trials=(trial,))

    def _close(self, given: Mapping[str, float], *, is_cut: bool = False) -> None:
        is_first = not self._gatherer.rows
        self._keep(self._gatherer.close(given, is_cut=is_cut, at_marks=not self._tells_epochs))
        if is_first:
            telemetry = self.telemetry
            self._keeper.keep_probes(telemetry.step_zero, telemetry.data)
            untrained = self._gatherer.untrained()
            if untrained is not None:
                self._keeper.keep_epoch(untrained, None)

    def _keep(self, rows: Rows) -> None:
        for row, steps in rows:
            self._keeper.keep_epoch(row, steps if len(steps) else None)
        self._keeper.keep_code(self._gatherer.code())
        self._keeper.keep_config(self._known_config())

    def _known_config(self) -> dict[str, Any]:
        return {**self._gatherer.config(), **self._config}

    def _say_goodbye(self) -> None:
        if self._is_quiet:
            return
        for reason in self.left_out:
            sys.stderr.write(f"tuner.watch left out: {reason}.\n")
        if self._next_command is not None:
            sys.stderr.write(f"Next: {self._next_command}\n")


def _next_command(study: str, storage: str | None) -> str:
    return f"tuner diagnose {study}" + (f" --storage {shown_url(resolve_url(storage))}" if storage else "")


def _outcome_of(error: BaseException | None, *, has_diverged: bool) -> Outcome:
    """A loop that stops because its loss is NaN has diverged, whatever it raises."""
    if error is not None and not isinstance(error, Exception):
        return Outcome.INTERRUPTED
    if has_diverged:
        return Outcome.DIVERGED
    if isinstance(error, optuna.TrialPruned):
        return Outcome.PRUNED
    return Outcome.COMPLETED if error is None else Outcome.FAILED


def _record_of(error: BaseException | None) -> TrialError | None:
    is_told = isinstance(error, Exception) and not isinstance(error, optuna.TrialPruned)
    return error_record(error) if error is not None and is_told else None
