"""Counterfactual probes of a watched loop: what it would do with one change, on copies of its model and optimizer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from studies.diagnosis.counterfactuals import Change
from studies.readings import Counterfactual
from tuner.training.counterfactuals import of_live
from tuner.training.watching.gathering import Gatherer
from tuner.training.watching.loss_form import LossForm
from tuner.training.watching.outputs import are_probabilities, as_logits
from tuner.training.watching.passes import output_tensor

_SEED = 0
"""Of the data order of the continuations: the loop's own seed is not known."""

_Function = Callable[[Tensor, Tensor], Tensor]


def counterfactuals_of(
    gatherer: Gatherer, changes: Sequence[Change], config: Mapping[str, Any]
) -> tuple[Counterfactual, ...]:
    """What each of ``changes`` that applies would do to the loop as it is now.

    ``()`` where the samples that were kept are not what the model got, and where the loss is none that we know.

    Raises:
        ConfigurationError: for a model that cannot be copied, and an optimizer that steps with a closure.
    """
    samples, function = gatherer.trained_on, gatherer.loss_function or _known(gatherer.form)
    if samples is None or function is None or gatherer.has_diverged:
        return ()
    rates = gatherer.telemetry().step_series("learning_rate")
    batch_size = config.get("batch_size")
    inputs, targets = samples
    return of_live(
        gatherer.model,
        gatherer.optimizer,
        inputs,
        targets,
        lambda outputs, y: function(_tensor_of(outputs), y),
        changes,
        _SEED,
        batch_size=batch_size if isinstance(batch_size, int) else len(inputs),
        peak_learning_rate=float(rates.max()) if len(rates) else float("nan"),
        clip_norm=float(config.get("clip_norm") or 0.0),
    )


def _known(form: LossForm) -> _Function | None:
    match form.kind:
        case "cross_entropy" if not form.of_probabilities:
            return functional.cross_entropy
        case "nll":
            return _nll
        case "mse":
            return lambda outputs, y: functional.mse_loss(outputs, y.reshape(outputs.shape))
    return None


def _nll(outputs: Tensor, y: Tensor) -> Tensor:
    """Of log-probabilities, or of probabilities whose logarithm the loop takes itself."""
    return functional.cross_entropy(as_logits(outputs, of_probabilities=are_probabilities(outputs)), y)


def _tensor_of(outputs: object) -> Tensor:
    found = output_tensor(outputs)
    if found is None:
        raise TypeError("The model gave no tensor, which was checked when its first outputs were seen.")
    return found
