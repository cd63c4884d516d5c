"""Optimizers by name, over the kernels that torch's own optimizers call.

Not ``torch.optim`` itself: building one of its optimizers imports torch's compiler, about a second of every process,
and its bookkeeping costs as much as the update of a small network.
"""
# ruff: noqa: SLF001 - torch._foreach_add and its kin are what torch.optim itself calls; there is no public way

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress, count
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from search_spaces.errors import ConfigurationError
from tuner.training.config import TrainingConfig

TORCH_EPSILON = 1e-8
"""torch's default of adam, adamw and rmsprop."""

Tensors = list[Tensor]


class Optimizer(ABC):
    """Moves parameters along their gradients; one that has no gradient stays as it is, its state too.

    Args:
        parameters: what is trained.
        state: how each parameter's share of the state begins, by name.
        coefficients: what the update is made of beside the rate, by name.
        decoupled_decay: shrinks each parameter by ``rate`` times this before its update (Loshchilov and Hutter 2019,
            arXiv:1711.05101), for kernels that know weight decay only as part of the gradient.

    Raises:
        ConfigurationError: for complex parameters, for which torch has no such kernels.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        state: Mapping[str, Callable[[Tensor], Tensor]],
        *,
        coefficients: Mapping[str, float],
        decoupled_decay: float = 0.0,
    ) -> None:
        self.parameters = tuple(parameters)
        self.coefficients = {"weight_decay": 0.0, "decoupled_decay": decoupled_decay, **coefficients}
        self._decoupled_decay = decoupled_decay
        for parameter in self.parameters:
            if not parameter.is_floating_point():
                raise ConfigurationError(
                    f"A model's parameters must be real numbers, but got {parameter.dtype}."
                )
        self._state = {name: [begin(p) for p in self.parameters] for name, begin in state.items()}
        self._groups = _groups(self.parameters, list(self._state.values()))

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update every parameter that has a gradient."""
        for parameters, state in self._groups:
            gradients = [gradient for parameter in parameters if (gradient := parameter.grad) is not None]
            if len(gradients) == len(parameters):
                self._move(parameters, gradients, state, learning_rate)
            elif gradients:
                is_moved = [parameter.grad is not None for parameter in parameters]
                moved, *moved_state = (list(compress(column, is_moved)) for column in (parameters, *state))
                self._move(moved, gradients, moved_state, learning_rate)

    def _move(self, parameters: Tensors, gradients: Tensors, state: list[Tensors], rate: float) -> None:
        if self._decoupled_decay:
            torch._foreach_mul_(parameters, 1 - rate * self._decoupled_decay)
        self._update(parameters, gradients, state, rate)

    @abstractmethod
    def _update(self, parameters: Tensors, gradients: Tensors, state: list[Tensors], rate: float) -> None:
        """Update ``parameters``, all of one device and type; ``state`` has a column for each of its names."""

    def state_dict(self) -> dict[str, Tensors]:
        """The state by name, one tensor a parameter, not copied."""
        return {name: list(column) for name, column in self._state.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Take over what `state_dict` gave, from whatever device it is on."""
        for name, column in self._state.items():
            for mine, saved in zip(column, state[name], strict=True):
                mine.copy_(saved)

    def rest_on(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Let the state lie in the tensors of ``state`` from now on, which have its numbers, by name and parameter."""
        for name, column in self._state.items():
            for mine, place in zip(column, state[name], strict=True):
                mine.data = place


class SGD(Optimizer):
    """Stochastic gradient descent, as ``torch.optim.SGD(fused=True)``."""

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        decoupled_decay: float,
    ) -> None:
        # torch begins with the first gradient instead of zeros; without dampening that is the same.
        state = {"momentum": torch.zeros_like} if momentum else {}
        self._nesterov = nesterov and momentum > 0
        super().__init__(
            parameters,
            state,
            coefficients={
                "momentum": momentum,
                "nesterov": float(self._nesterov),
                "weight_decay": weight_decay,
            },
            decoupled_decay=decoupled_decay,
        )
        self._momentum = momentum
        self._weight_decay = weight_decay

    def _update(self, parameters: Tensors, gradients: Tensors, state: list[Tensors], rate: float) -> None:
        torch._fused_sgd_(
            parameters,
            gradients,
            state[0] if state else [],
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self._nesterov,
            maximize=False,
            is_first_step=False,
        )


class Adam(Optimizer):
    """Adam, as ``torch.optim.Adam(fused=True)``; weight decay is L2 regularization, part of the gradient."""

    _kernel: ClassVar[Callable[..., None]] = staticmethod(torch._fused_adam_)
    _decay: ClassVar[str] = "weight_decay"
    """The coefficient that the kernel makes of the weight decay."""

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        beta1: float,
        beta2: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        parameters = tuple(parameters)
        # One addition counts for all parameters: of eight small ones it takes 2 us instead of 11.
        self._counters = {p.device: torch.zeros(len(parameters), device=p.device) for p in parameters}
        places = count()
        super().__init__(
            parameters,
            {
                "n_steps": lambda p: self._counters[p.device][next(places)],
                "mean": torch.zeros_like,
                "square": torch.zeros_like,
            },
            coefficients={
                "beta1": beta1,
                "beta2": beta2,
                "epsilon": epsilon,
                self._decay: weight_decay,
            },
        )
        self._beta1, self._beta2 = beta1, beta2
        self._epsilon = epsilon
        self._weight_decay = weight_decay

    def _update(self, parameters: Tensors, gradients: Tensors, state: list[Tensors], rate: float) -> None:
        n_steps, means, squares = state
        counters = self._counters.get(parameters[0].device)
        if counters is not None and len(n_steps) == len(self.parameters):
            counters.add_(1)
        else:
            torch._foreach_add_(n_steps, 1)
        self._kernel(
            parameters,
            gradients,
            means,
            squares,
            [],
            n_steps,
            lr=rate,
            beta1=self._beta1,
            beta2=self._beta2,
            weight_decay=self._weight_decay,
            eps=self._epsilon,
            amsgrad=False,
            maximize=False,
        )

    def rest_on(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        super().rest_on(state)
        self._counters = {}  # the counts lie elsewhere now


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters and leaves the gradient alone."""

    _kernel: ClassVar[Callable[..., None]] = staticmethod(torch._fused_adamw_)
    _decay: ClassVar[str] = "decoupled_decay"


class RMSprop(Optimizer):
    """RMSprop, operation by operation as torch's foreach form: it has no fused one."""

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        alpha: float,
        momentum: float,
        epsilon: float,
        weight_decay: float,
        decoupled_decay: float,
    ) -> None:
        state = {"square": torch.zeros_like} | ({"momentum": torch.zeros_like} if momentum else {})
        super().__init__(
            parameters,
            state,
            coefficients={
                "alpha": alpha,
                "momentum": momentum,
                "epsilon": epsilon,
                "weight_decay": weight_decay,
            },
            decoupled_decay=decoupled_decay,
        )
        self._alpha = alpha
        self._momentum = momentum
        self._epsilon = epsilon
        self._weight_decay = weight_decay

    def _update(self, parameters: Tensors, gradients: Tensors, state: list[Tensors], rate: float) -> None:
        squares, *momenta = state
        if self._weight_decay:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=self._weight_decay))
        torch._foreach_mul_(squares, self._alpha)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - self._alpha)
        scales = torch._foreach_sqrt(squares)
        torch._foreach_add_(scales, self._epsilon)
        if momenta:
            torch._foreach_mul_(momenta[0], self._momentum)
            torch._foreach_addcdiv_(momenta[0], gradients, scales)
            torch._foreach_add_(parameters, momenta[0], alpha=-rate)
        else:
            torch._foreach_addcdiv_(parameters, gradients, scales, value=-rate)


def build_optimizer(config: TrainingConfig, parameters: Iterable[Parameter]) -> Optimizer:
    """The optimizer of ``config`` for the trainable ones of ``parameters``."""
    return _BUILDERS[config.optimizer](config, [p for p in parameters if p.requires_grad])


def _sgd(config: TrainingConfig, parameters: list[Parameter]) -> Optimizer:
    return SGD(
        parameters,
        momentum=config.momentum,
        nesterov=config.nesterov,
        **_decays(config),
    )


def _adam(config: TrainingConfig, parameters: list[Parameter]) -> Optimizer:
    # Adam with decoupled weight decay is AdamW.
    kind = AdamW if config.optimizer == "adamw" or config.weight_decay_kind == "decoupled" else Adam
    return kind(
        parameters,
        beta1=config.beta1,
        beta2=config.beta2,
        epsilon=_epsilon(config),
        weight_decay=config.weight_decay,
    )


def _rmsprop(config: TrainingConfig, parameters: list[Parameter]) -> Optimizer:
    return RMSprop(
        parameters,
        alpha=config.alpha,
        momentum=config.momentum,
        epsilon=_epsilon(config),
        **_decays(config),
    )


_BUILDERS: dict[str, Callable[[TrainingConfig, list[Parameter]], Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adam,
    "rmsprop": _rmsprop,
}


def _epsilon(config: TrainingConfig) -> float:
    return TORCH_EPSILON if config.epsilon is None else config.epsilon


def _decays(config: TrainingConfig) -> dict[str, float]:
    is_decoupled = config.weight_decay_kind == "decoupled"
    return {
        "weight_decay": 0.0 if is_decoupled else config.weight_decay,
        "decoupled_decay": config.weight_decay if is_decoupled else 0.0,
    }


def _groups(parameters: Sequence[Parameter], state: Sequence[Tensors]) -> list[tuple[Tensors, list[Tensors]]]:
    """Parameters and their state by device and type: a kernel takes only what is alike."""
    positions: dict[tuple[torch.device, torch.dtype], list[int]] = defaultdict(list)
    for position, parameter in enumerate(parameters):
        positions[parameter.device, parameter.dtype].append(position)
    return [
        ([parameters[i] for i in alike], [[column[i] for i in alike] for column in state])
        for alike in positions.values()
    ]
