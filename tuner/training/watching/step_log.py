"""The step cadence of somebody's loop: which loss belongs to which optimizer step, and what was read of each.

Nothing here waits for the device before an epoch is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from studies.readings import NAN, FloatArray, StepReadings
from tuner.training.watching.canary import Scalings
from tuner.training.watching.loss_form import LossForm
from tuner.training.watching.outputs import scores

BLOCK = 32
"""Steps whose readings become one tensor: thousands of small ones a pass slow Python's garbage collector down."""
_NO_STEP = -1


@dataclass(frozen=True, kw_only=True)
class LoggedSteps:
    """What was told and read in one epoch, on the host."""

    losses: npt.NDArray[np.float64]
    """Of each minibatch, as told."""
    sizes: npt.NDArray[np.int64]
    """Samples of each minibatch."""
    steps: npt.NDArray[np.int64]
    """The optimizer step of each minibatch; -1 where none came."""
    learning_rates: FloatArray
    """Of each optimizer step."""
    gradient_norms: FloatArray
    """Before clipping; NaN where they were not read."""
    is_read: npt.NDArray[np.bool_]
    """Optimizer steps whose gradients were read."""
    is_clipped: npt.NDArray[np.bool_]
    clip_factors: npt.NDArray[np.float64]
    """By which clipping shortened the gradient of each step; 1 where it did not, or was not looked at."""
    n_hits: int
    n_judged: int
    """Samples whose answer could be seen."""

    @property
    def accuracy(self) -> float:
        return self.n_hits / self.n_judged if self.n_judged else NAN

    def means(self, form: LossForm) -> npt.NDArray[np.float64]:
        """The losses as means over samples, whatever the loop divided them by."""
        return form.means(self.losses, self.sizes)

    def train_loss(self, form: LossForm) -> float:
        """The mean over the samples."""
        return float(np.average(self.means(form), weights=self.sizes)) if len(self.losses) else NAN

    def readings(self, epoch: int, form: LossForm, first: int = 0, last: int | None = None) -> StepReadings:
        """The steps ``first`` to ``last`` (excluded) for which a loss was told."""
        n = len(self.learning_rates)
        is_told = self.steps != _NO_STEP
        steps, sizes = self.steps[is_told], self.sizes[is_told]
        totals = np.bincount(steps, weights=self.means(form)[is_told] * sizes, minlength=n)
        kept = self._told_steps(first, last)
        return StepReadings(
            epoch=epoch,
            train_loss=(totals[kept] / np.bincount(steps, weights=sizes)[kept]).astype(np.float32),
            learning_rate=self.learning_rates[kept],
            gradient_norm=self.gradient_norms[kept],
            clipped=self.is_clipped[kept],
        )

    def gradient_norm(self, first: int, last: int) -> float:
        """The mean of those read in the steps ``first`` to ``last`` (excluded)."""
        norms = self.gradient_norms[self._read_steps(first, last)]
        return float(norms.mean(dtype=np.float64)) if len(norms) else NAN

    def clip_fraction(self, first: int, last: int) -> float:
        """Of the same steps, those clipped; NaN where none was, as it is not known then whether there is clipping."""
        is_clipped = self.is_clipped[self._read_steps(first, last)]
        return float(is_clipped.mean()) if is_clipped.any() else NAN

    def _told_steps(self, first: int, last: int | None) -> npt.NDArray[np.int64]:
        """Of the steps ``first`` to ``last`` (excluded), those for which a loss was told."""
        told = np.unique(self.steps[(self.steps != _NO_STEP) & (self.sizes > 0)])
        return told[(told >= first) & (told < (len(self.learning_rates) if last is None else last))]

    def _read_steps(self, first: int, last: int) -> npt.NDArray[np.int64]:
        told = self._told_steps(first, last)
        return told[self.is_read[told]]


class StepLog:
    """Collects one epoch: losses as `Watch.step` tells them, and steps as the optimizer takes them, in any order."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._loss_blocks: list[Tensor] = []
        self._sizes: list[int] = []
        self._steps: list[int] = []
        self._pending: list[int] = []
        """Places of minibatches whose step has not come."""
        self._waiting: int | None = None
        """The step whose last loss has not been told."""
        self._rates: list[float] = []
        self._read: list[int] = []
        """Steps whose gradients were read."""
        self._norms: list[list[Tensor]] = []
        self._norm_blocks: list[Tensor] = []
        self._answers: list[tuple[Tensor, Tensor]] = []
        """Outputs of minibatches, and their targets."""
        self._hits: list[Tensor] = []
        self._n_judged = 0
        self._are_rows: bool | None = None

    @property
    def n_steps(self) -> int:
        """Optimizer steps up to now."""
        return len(self._rates)

    @property
    def is_empty(self) -> bool:
        return not self._sizes and not self._rates

    def told(
        self, loss: Tensor, n_samples: int, outputs: Tensor | None, targets: object, *, are_rows: bool | None
    ) -> None:
        """A minibatch's loss. It belongs to the step just taken, or if none waits for one, to the next.

        Args:
            loss: a scalar.
            n_samples: of the minibatch.
            outputs: of the model; None where they were not seen.
            targets: of the minibatch.
            are_rows: as in `scores`.
        """
        self._losses.append(loss)
        self._sizes.append(n_samples)
        self._steps.append(_NO_STEP if self._waiting is None else self._waiting)
        if self._waiting is None:
            self._pending.append(len(self._steps) - 1)
        self._waiting = None
        if outputs is not None and outputs.ndim == 2 and isinstance(targets, Tensor):
            self._answers.append((outputs, targets))
        self._are_rows = are_rows
        if len(self._losses) >= BLOCK:
            self._pack_losses()

    def stepped(self, learning_rate: float, *, has_new_pass: bool) -> None:
        """An optimizer step is about to be taken, at ``learning_rate``.

        ``has_new_pass``: whether the model ran since the last loss was told, so that one more is to come for this step.
        """
        if self._pending and not has_new_pass:
            for place in self._pending:
                self._steps[place] = len(self._rates)
            self._pending, self._waiting = [], None
        else:
            for place in self._pending:  # earlier minibatches of this step
                self._steps[place] = len(self._rates)
            self._pending, self._waiting = [], len(self._rates)
        self._rates.append(learning_rate)

    def read(self, gradients: Sequence[Tensor], *, scale: Tensor | None) -> None:
        """Of the step that `stepped` told: the ``gradients`` of the optimizer's parameters.

        ``scale``: by which a gradient scaler has multiplied them, if the optimizer itself divides them.
        """
        self._read.append(len(self._rates) - 1)
        norms = torch._foreach_norm(list(gradients)) if gradients else [torch.tensor(NAN)]  # noqa: SLF001 - one call
        self._norms.append([norm / scale for norm in norms] if scale is not None else list(norms))
        if len(self._norms) >= BLOCK:
            self._pack_norms()

    def ended(self, scalings: Scalings | None) -> LoggedSteps:
        """Everything, on the host; ``scalings`` tell what was clipped."""
        self._pack_losses()
        self._pack_norms()
        n = len(self._rates)
        is_read, is_clipped = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        norms, factors = np.full(n, np.nan), np.ones(n)
        if self._read:
            norms[self._read] = torch.cat(self._norm_blocks).cpu().numpy()
            is_read[self._read] = True
            is_clipped[self._read], factors[self._read] = _clipping(len(self._read), scalings)
        return LoggedSteps(
            losses=torch.cat(self._loss_blocks).double().cpu().numpy() if self._loss_blocks else np.empty(0),
            sizes=np.array(self._sizes, dtype=np.int64),
            steps=np.array(self._steps, dtype=np.int64),
            learning_rates=np.array(self._rates, dtype=np.float32),
            gradient_norms=(norms / factors).astype(np.float32),
            is_read=is_read,
            is_clipped=is_clipped,
            clip_factors=factors,
            n_hits=int(torch.stack(self._hits).sum()) if self._hits else 0,
            n_judged=self._n_judged,
        )

    def _pack_losses(self) -> None:
        if self._losses:
            self._loss_blocks.append(torch.stack(self._losses))
            self._losses = []
        for outputs, targets in _joined(self._answers):
            seen = scores(outputs, targets, are_rows=self._are_rows)
            if seen is not None:
                self._hits.append(seen.outputs.argmax(1).eq(seen.labels).sum())
                self._n_judged += len(seen.labels)
        self._answers = []

    def _pack_norms(self) -> None:
        if not self._norms:
            return
        every = [norm for norms in self._norms for norm in norms]
        if len({(norm.device, norm.dtype) for norm in every}) > 1:
            every = [norm.to("cpu", torch.float32) for norm in every]
        counts = [len(norms) for norms in self._norms]
        squares = torch.stack(every).float().square()
        n_most = max(counts)
        if n_most * len(counts) != len(squares):  # some parameters had no gradient in some steps
            rows = [functional.pad(row, (0, n_most - len(row))) for row in torch.split(squares, counts)]
            squares = torch.cat(rows)
        self._norm_blocks.append(squares.view(len(counts), n_most).sum(1).sqrt())
        self._norms = []


def _joined(answers: Sequence[tuple[Tensor, Tensor]]) -> Sequence[tuple[Tensor, Tensor]]:
    """Outputs and targets of many minibatches as one, if they are of one form: a call costs more than its numbers."""
    if not answers:
        return []
    shapes, dtype = [part.shape for part in answers[0]], answers[0][1].dtype
    # Nearly always all are alike, and to see that takes a third of the time of the general question.
    are_alike = all(o.shape == shapes[0] and y.shape == shapes[1] and y.dtype is dtype for o, y in answers)
    if not are_alike and len({(o.shape[1:], y.shape[1:], y.dtype) for o, y in answers}) > 1:
        return answers
    outputs, targets = zip(*answers, strict=True)
    if any(o.shape[:1] != y.shape[:1] for o, y in (answers[:1] if are_alike else answers)):
        return answers
    return [(torch.cat(outputs), torch.cat(targets))]


def _clipping(
    n_steps: int, scalings: Scalings | None
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Which steps were clipped, and by what; of the first ones nothing may be known."""
    n_unknown = n_steps - (0 if scalings is None else len(scalings.factors))
    if scalings is None or n_unknown < 0:
        return np.zeros(n_steps, dtype=np.bool_), np.ones(n_steps)
    is_clipped = np.concatenate([np.zeros(n_unknown, dtype=np.bool_), scalings.is_clipped])
    factors = np.concatenate([np.ones(n_unknown), scalings.factors])
    return is_clipped, np.where(is_clipped, factors, 1.0)
