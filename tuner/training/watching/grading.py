"""How good somebody's model is: outputs and targets as an `Evaluation`, whatever form the outputs have."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.errors import ConfigurationError
from studies.readings import NAN
from tuner.training.evaluation import EVALUATION_BATCH, Evaluation, evaluate
from tuner.training.leak_harm import NO_INFLATION, Inflation, LeakMarks, answers, inflations
from tuner.training.watching.loss_form import LossForm
from tuner.training.watching.outputs import Scores, are_probabilities, as_logits, scores
from tuner.training.watching.passes import Call, Called
from tuner.training.watching.sample_log import MOST_SAMPLES

LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Graded:
    """A network's answers on some samples."""

    outputs: Tensor
    targets: Tensor

    def evaluation(
        self, form: LossForm, loss_function: LossFunction | None, *, in_detail: bool = True
    ) -> Evaluation:
        """The loss as the loop computes it where that is known, the plain one elsewhere; of numbers NaN if unknown.

        Without ``in_detail`` only loss and accuracy.
        """
        seen = scores(self.outputs, self.targets)
        if seen is None:
            found = Evaluation(loss=self._loss_of_numbers(form))
        else:
            found = _of_classes(seen, form, in_detail=in_detail)
        if loss_function is None:
            return found
        return dataclasses.replace(found, loss=float(loss_function(self.outputs, self.targets)))

    def _loss_of_numbers(self, form: LossForm) -> float:
        if form.kind != "mse":
            return NAN
        return float(functional.mse_loss(self.outputs, self.targets.reshape(self.outputs.shape)))


def _of_classes(seen: Scores, form: LossForm, *, in_detail: bool) -> Evaluation:
    n_classes = seen.outputs.shape[1]
    is_answerable = (seen.labels >= 0) & (seen.labels < n_classes)  # -100 is no class but "ignore"
    outputs, labels = seen.outputs[is_answerable], seen.labels[is_answerable]
    if not len(labels):
        return Evaluation(loss=NAN)
    has_probabilities = are_probabilities(outputs)
    logits = as_logits(outputs, of_probabilities=has_probabilities)
    found = evaluate(nn.Identity(), nn.Identity(), logits, labels, kind="classification", in_detail=in_detail)
    if not form.of_probabilities:
        return found
    probabilities = outputs.float() if has_probabilities else outputs.float().softmax(1)
    return dataclasses.replace(found, loss=float(functional.cross_entropy(probabilities, labels)))


class Validation:
    """The user's validation samples: tensors, or whatever yields minibatches of them.

    Raises:
        ConfigurationError: when it is neither.
    """

    def __init__(self, given: Any) -> None:
        self._pair: tuple[Tensor, Tensor] | None = None
        self._minibatches: Iterable[Any] = ()
        self.x: Tensor | None = None
        """Up to `MOST_SAMPLES` of the inputs; None before the first pass, and where they are no tensors."""
        self.y: Tensor | None = None
        self.kept_y: Tensor | None = None
        """The targets of ``x``."""
        self._largest = EVALUATION_BATCH
        """Samples of the largest minibatch that the model has taken."""
        if isinstance(given, tuple | list) and len(given) == 2 and _are_arrays(given):
            x, y = (torch.as_tensor(part) for part in given)
            if len(x) != len(y):
                raise ConfigurationError(
                    f"validation=(x, y) must have a target for each sample, but got {len(x)} and {len(y)}."
                )
            self._pair = (x, y)
        elif isinstance(given, Iterable) and not isinstance(given, str | bytes | Iterator):
            self._minibatches = given
        else:
            raise ConfigurationError(
                f"validation= must be (x, y) as tensors or arrays, or a DataLoader, but got a {type(given).__name__}."
            )

    def graded(self, model: nn.Module) -> Graded | None:
        """The answers of ``model``, which is in eval mode; None where they cannot be read."""
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        called = Called(model)
        outputs, targets, inputs = [], [], []
        with _own_order(self._minibatches):
            for minibatch in self._all():
                if not isinstance(minibatch, tuple | list) or len(minibatch) < 2:
                    raise ConfigurationError(
                        f"validation= must yield (inputs, targets), but it yielded a {type(minibatch).__name__}."
                    )
                x, y = (_on(part, device) for part in minibatch[:2])
                outputs.append(called(Call(args=(x,))))
                targets.append(y)
                inputs.append(x)
        if not outputs or not all(isinstance(y, Tensor) for y in targets):
            return None
        self._largest = max(map(len, targets))
        self._remember(inputs, targets)
        return Graded(outputs=torch.cat(outputs), targets=torch.cat(targets))

    def inflation(self, model: nn.Module, marks: LeakMarks) -> Inflation:
        """What marked leaks add to the accuracy of ``model``, which is in eval mode; of the kept samples."""
        if self.x is None or self.kept_y is None:
            return NO_INFLATION
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        called = Called(model)
        (found,) = inflations(
            marks,
            lambda x: answers(called(Call(args=(x.to(device),))))[None].cpu(),
            self.x,
            self.kept_y,
            batch=self._largest,
        )
        return found

    def _all(self) -> Iterable[Any]:
        if self._pair is None:
            return self._minibatches
        x, y = self._pair
        return zip(torch.split(x, EVALUATION_BATCH), torch.split(y, EVALUATION_BATCH), strict=True)

    def _remember(self, inputs: list[Any], targets: list[Tensor]) -> None:
        if self.y is not None:
            return
        self.y = torch.cat(targets).cpu()
        if all(isinstance(x, Tensor) and x.shape[1:] == inputs[0].shape[1:] for x in inputs):
            stride = max(-(-len(self.y) // MOST_SAMPLES), 1)
            self.x = torch.cat([x[::stride] for x in inputs]).cpu()
            self.kept_y = torch.cat([y[::stride] for y in targets]).cpu()


def _are_arrays(parts: Iterable[Any]) -> bool:
    return all(isinstance(part, Tensor | np.ndarray) for part in parts)


def _on(part: Any, device: torch.device) -> Any:
    return part.to(device) if isinstance(part, Tensor) else part


@contextmanager
def _own_order(minibatches: Iterable[Any]) -> Iterator[None]:
    """A loader may draw from a generator of its own, which the user's loop shares."""
    generator = getattr(minibatches, "generator", None)
    if not isinstance(generator, torch.Generator):
        yield
        return
    state = generator.get_state()
    try:
        yield
    finally:
        generator.set_state(state)
