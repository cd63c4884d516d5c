"""One small parameter, watched through every backward pass: what a loop does to its gradient, it does to all."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils.hooks import RemovableHandle

SMALL = 4096
"""Numbers of a parameter that may be copied at each step: less than a microsecond."""
BLOCK = 32
"""Steps whose gradients become one tensor."""
SAME_FACTOR = 1e-4
"""Relative difference of two factors that count as one."""
SAME_DIRECTION = 1e-5
"""1 - cosine of gradients that were scaled as a whole."""

Factors = npt.NDArray[np.float64]


def choose(parameters: list[Parameter]) -> Parameter | None:
    """The last small one that has a gradient, which is the bias of the outputs as a rule: its gradient is never 0."""
    with_gradient = [p for p in parameters if p.grad is not None and p.grad.layout is torch.strided]
    small = [parameter for parameter in with_gradient if parameter.numel() <= SMALL]
    return small[-1] if small else min(with_gradient, key=lambda p: p.numel(), default=None)


@dataclass(frozen=True, kw_only=True)
class Scalings:
    """By what the gradients of each step were multiplied between the backward pass and the step."""

    factors: Factors
    """1 where nothing happened, NaN where nothing is known; shape [n_steps]."""
    is_clipped: npt.NDArray[np.bool_]


class Canary:
    """Whether gradients of steps already taken are still there, and whether gradients are clipped.

    Stale: after a step, no backward pass leaves exactly the gradient that it brought. Clipped: at the step, the
    gradient is shorter than the last backward pass left it, and points the same way.
    """

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self._handle: RemovableHandle | None = None
        self._is_done = False
        self._incoming_handle: RemovableHandle | None = None
        self._incoming: Tensor | None = None
        self._after_backward: Tensor | None = None
        self._is_fresh: list[Tensor] = []
        self._windows: list[Tensor] = []
        """One for each step looked at: whether some backward pass began with no gradient, as a tensor."""
        self._pairs: list[Tensor] = []
        """Gradients after the last backward pass and at the step, in turns."""
        self._blocks: list[Tensor] = []
        self.listen(is_on=True)

    def listen(self, *, is_on: bool) -> None:
        """Whether to note what the backward passes leave until the next step: a hook costs even if it does nothing."""
        if is_on and self._handle is None and not self._is_done:
            self._handle = self._parameter.register_post_accumulate_grad_hook(self._accumulated)  # type: ignore[no-untyped-call]
        elif not is_on and self._handle is not None:
            self._handle.remove()
            self._handle = None

    def look_at_next(self) -> None:
        """Compare what the backward passes bring until the next step with what they leave."""
        if self._incoming_handle is None:
            self._incoming_handle = self._parameter.register_hook(self._arrived)  # type: ignore[no-untyped-call]

    def before_step(self) -> None:
        gradient = self._parameter.grad
        known = self._after_backward
        if known is None or gradient is None:
            known = gradient = torch.full_like(self._parameter.detach(), torch.nan)
        self._pairs += [known, gradient.detach().clone()]
        if len(self._pairs) >= 2 * BLOCK:
            self._pack()
        self._after_backward = None
        if self._incoming_handle is not None:
            self._incoming_handle.remove()
            self._incoming_handle = None
            if self._is_fresh:
                self._windows.append(torch.stack(self._is_fresh).any())
                self._is_fresh = []

    def _pack(self) -> None:
        """Turn the steps since the last time into one tensor: thousands of small ones slow Python down."""
        if self._pairs:
            pairs = torch.stack(self._pairs)
            self._blocks.append(pairs.view(len(self._pairs) // 2, 2, -1))
            self._pairs = []

    def scalings(self) -> Scalings:
        """Of the steps looked at since the last call."""
        self._pack()
        pairs = torch.cat(self._blocks).double().cpu() if self._blocks else torch.empty(0, 2, 1)
        self._blocks = []
        norms = torch.linalg.vector_norm(pairs, dim=2)
        factors = norms[:, 1] / norms[:, 0]
        cosines = (pairs[:, 0] * pairs[:, 1]).sum(1) / (norms[:, 0] * norms[:, 1])
        factors[~(cosines > 1 - SAME_DIRECTION)] = torch.nan
        known = factors.numpy()
        if _is_constant(known):  # divided by the minibatches of a step, or by the scale of a half precision
            return Scalings(factors=known, is_clipped=np.zeros(len(known), dtype=np.bool_))
        return Scalings(factors=known, is_clipped=known < 1 - SAME_FACTOR)

    def stale_share(self) -> float:
        """Of the steps looked at, those that used gradients of earlier ones; NaN when none was."""
        if not self._windows:
            return float("nan")
        return 1.0 - float(torch.stack(self._windows).double().mean())

    def let_go(self) -> None:
        """Remove all hooks, for good."""
        self._is_done = True
        self.listen(is_on=False)
        if self._incoming_handle is not None:
            self._incoming_handle.remove()

    def _arrived(self, incoming: Tensor) -> None:
        self._incoming = incoming.detach().clone()

    def _accumulated(self, parameter: Tensor) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        self._after_backward = gradient.detach().clone()
        if self._incoming is not None:
            is_same = (self._after_backward == self._incoming) | self._after_backward.isnan()
            self._is_fresh.append(is_same.all())
            self._incoming = None


def _is_constant(factors: Factors) -> bool:
    """Whether the known factors are one number, or all powers of two, as those of a gradient scaler."""
    known = factors[np.isfinite(factors) & (factors > 0)]
    if not len(known):
        return True
    mantissas = np.frexp(known)[0]
    is_one = bool(np.ptp(known) <= SAME_FACTOR * known.max()) and len(known) > 1
    return is_one or bool(np.all((np.abs(mantissas - 0.5) < SAME_FACTOR) | (mantissas > 1 - SAME_FACTOR)))
