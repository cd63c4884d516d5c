"""What `LaneOptimizers` do, for all lanes at once: updates of the stacked tensors, each lane with its own coefficients.

A handful of kernels for a parameter instead of a handful for each lane of it, which is what counts where a launch costs
more than the numbers do. Everything that changes from step to step comes from tensors, so that a recording of the step
may be replayed: rates are given, and how many updates there were is counted on the device.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import compress

import torch
from torch import Tensor

from tuner.training.lanes.optimizers import LaneOptimizer, Updates, norm_by_lane, norms_by_parameter
from tuner.training.one_epoch import CLIP_EPSILON
from tuner.training.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from tuner.training.probes import TINY_NORM

State = Mapping[str, Sequence[Tensor]]
"""By name, a tensor [n_lanes, *shape] for each parameter."""


STACKED_DEVICES = frozenset({"cuda"})
"""Where updates of all lanes at once are faster. On a CPU each lane in turn is, while it sits in the cache."""


def stacks_lanes(device: torch.device, *, stacks: bool | None, is_recorded: bool) -> bool:
    """Whether lanes are updated at once: as ``stacks`` says, else where it is faster or steps are recorded.

    Raises:
        ValueError: for steps that are recorded and update lanes in turn: their rates would be part of the recording.
    """
    if is_recorded and stacks is False:
        raise ValueError("Steps that are recorded update all lanes at once, but got stacks=False.")
    return (is_recorded or device.type in STACKED_DEVICES) if stacks is None else stacks


class StackedOptimizers:
    """The optimizers of some lanes, for whom ``parameters`` are trained.

    State is stacked like the parameters, and that of the lanes' own optimizers are views of it from then on: what they
    say and load goes on working.

    Args:
        lanes: one or more; their trained parameters are of the same shapes.
        parameters: in the order of each lane's optimizer, [n_lanes, *shape].
    """

    def __init__(self, lanes: Sequence[LaneOptimizer], parameters: Sequence[Tensor]) -> None:
        self._lanes = tuple(lanes)
        self._parameters = tuple(parameters)
        optimizers = [lane.optimizer for lane in lanes]
        self._rule = RULES[type(optimizers[0])](optimizers, self._parameters)
        limits = torch.tensor([lane.clip_norm for lane in lanes], dtype=torch.float64)
        self._limits = _on_device(limits, self._parameters)
        self._clips_not = self._limits <= 0
        self._any_clips = bool(limits.any())
        self._weights = [self._stacked_weights(number) for number in range(len(lanes[0].layers))]

    @torch.no_grad()
    def step(
        self,
        gradients: Sequence[Tensor | None],
        learning_rates: Tensor,
        *,
        reads_norms: bool = False,
        is_probed: bool = False,
    ) -> Updates:
        """As of `LaneOptimizers`, but with ``learning_rates`` float64 [n_lanes] on the device."""
        norms = None
        by_parameter = torch.zeros(0)
        if reads_norms or is_probed or self._any_clips:
            by_parameter = norms_by_parameter(gradients, len(self._lanes))
            norms = by_parameter.square().sum(1).sqrt()
        before = [[weight.clone() for weight in layer] for layer in self._weights] if is_probed else []
        if self._any_clips and norms is not None:
            self._clip(gradients, norms)
        self._rule.move(gradients, learning_rates)
        if not is_probed:
            return Updates(norms=norms if reads_norms else None)
        return Updates(
            norms=norms if reads_norms else None,
            layer_norms=self._lanes[0].layer_norms(by_parameter),
            update_ratios=self._update_ratios(before),
        )

    def _clip(self, gradients: Sequence[Tensor | None], norms: Tensor) -> None:
        factors = (self._limits.to(norms.dtype) / (norms + CLIP_EPSILON)).clamp(max=1.0)
        # Not a limit of infinity: that over a norm of infinity is no number.
        factors.masked_fill_(self._clips_not, 1.0)
        for gradient in gradients:
            if gradient is not None:
                gradient.mul_(_along(factors.to(gradient.dtype), gradient))

    def _stacked_weights(self, number: int) -> list[Tensor]:
        """Of the layer of that number, each [n_lanes, *shape]. Frozen ones are copies, as they stay what they are."""
        positions = self._lanes[0].positions
        layers = [lane.layers[number] for lane in self._lanes]
        return [
            self._parameters[positions[weight]]
            if weight in positions
            else torch.stack([layer.weights[place].detach() for layer in layers])
            for place, weight in enumerate(layers[0].weights)
        ]

    def _update_ratios(self, before: Sequence[Sequence[Tensor]]) -> Tensor:
        """[n_lanes, n_layers]: how far the weights moved since ``before``, relative to their norm then."""
        ratios = []
        for weights, old_weights in zip(self._weights, before, strict=True):
            moves = [new - old for new, old in zip(weights, old_weights, strict=True)]
            ratios.append(_norms_of(moves) / (_norms_of(old_weights) + TINY_NORM))
        return torch.stack(ratios, dim=1) if ratios else torch.empty(len(self._lanes), 0)


class Rule(ABC):
    """How one kind of optimizer moves the stacked parameters.

    Numbers of the lanes are made in float64, as torch's kernels have theirs, and are then as the parameter is.

    Args:
        optimizers: of the lanes; their state becomes views of what is stacked here.
        parameters: stacked.
    """

    names: tuple[str, ...] = ()
    """Of the state; a lane's optimizer need not have all of it."""

    def __init__(self, optimizers: Sequence[Optimizer], parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._types = {parameter.dtype for parameter in parameters}
        self._numbers: dict[str, Tensor] = {}
        self._constants: dict[tuple[str, torch.dtype], Tensor] = {}
        self._is_used: dict[str, bool] = {}
        for name in optimizers[0].coefficients:
            values = [optimizer.coefficients[name] for optimizer in optimizers]
            self._is_used[name] = any(values)
            self._keep(name, _on_device(torch.tensor(values, dtype=torch.float64), parameters))
        states = [optimizer.state_dict() for optimizer in optimizers]
        self._state: State = {
            name: [_stacked([state.get(name) for state in states], i) for i in range(len(parameters))]
            for name in self.names
            if any(name in state for state in states)
        }
        self._lend(optimizers)

    def _keep(self, name: str, numbers: Tensor) -> None:
        """Hold ``numbers``, float64 [n_lanes], in the types of the parameters, too."""
        self._numbers[name] = numbers
        self._constants |= {(name, dtype): numbers.to(dtype) for dtype in self._types}

    def _lend(self, optimizers: Sequence[Optimizer]) -> None:
        """Let the lanes' own optimizers have their parts of the state."""
        for lane, optimizer in enumerate(optimizers):
            names = optimizer.state_dict()
            optimizer.rest_on({name: [each[lane] for each in self._state[name]] for name in names})

    def move(self, gradients: Sequence[Tensor | None], learning_rates: Tensor) -> None:
        """Update the parameters that have a gradient; ``gradients`` are used up."""
        self._begin(learning_rates, [gradient is not None for gradient in gradients])
        decays = self._in_types(1 - learning_rates * self._numbers["decoupled_decay"])
        for position, gradient in enumerate(gradients):
            if gradient is None:
                continue
            parameter = self._parameters[position]
            if self._is_used["decoupled_decay"]:
                parameter.mul_(_along(decays[parameter.dtype], parameter))
            if self._is_used["weight_decay"]:
                gradient.addcmul_(parameter, self._along("weight_decay", parameter))
            self._update(position, parameter, gradient)

    @abstractmethod
    def _begin(self, learning_rates: Tensor, is_moved: Sequence[bool]) -> None:
        """Before the first parameter of a step: what the rates make of it."""

    @abstractmethod
    def _update(self, position: int, parameter: Tensor, gradient: Tensor) -> None:
        """Update one parameter, which has been decayed."""

    def _along(self, name: str, like: Tensor) -> Tensor:
        return _along(self._constants[name, like.dtype], like)

    def _in_types(self, numbers: Tensor) -> dict[torch.dtype, Tensor]:
        """``numbers`` of a step by the types of the parameters, of which there is nearly always one."""
        return {dtype: numbers.to(dtype) for dtype in self._types}


class StackedSGD(Rule):
    """`SGD`. A lane without momentum, among some that have it, has one of 0: its last gradient, which is no state."""

    names = ("momentum",)

    def _begin(self, learning_rates: Tensor, is_moved: Sequence[bool]) -> None:
        del is_moved
        self._rates = self._in_types(-learning_rates)

    def _update(self, position: int, parameter: Tensor, gradient: Tensor) -> None:
        move = gradient
        if self._is_used["momentum"]:
            move = momentum = self._state["momentum"][position]
            torch.addcmul(gradient, momentum, self._along("momentum", momentum), out=momentum)
            if self._is_used["nesterov"]:
                ahead = torch.addcmul(gradient, momentum, self._along("momentum", momentum))
                move = torch.where(self._along("nesterov", momentum) > 0, ahead, momentum)
        parameter.addcmul_(move, _along(self._rates[parameter.dtype], parameter))


class StackedAdam(Rule):
    """`Adam` and `AdamW`, of which lanes may be side by side."""

    names = ("n_steps", "mean", "square")

    def __init__(self, optimizers: Sequence[Optimizer], parameters: Sequence[Tensor]) -> None:
        super().__init__(optimizers, parameters)
        self._keep("mean_share", 1 - self._numbers["beta1"])
        self._keep("square_root", (1 - self._numbers["beta2"]).sqrt())
        # As one tensor, so that one addition counts for all parameters.
        self._counts = torch.stack(list(self._state["n_steps"]))
        self._state = {**self._state, "n_steps": self._counts.unbind()}
        self._lend(optimizers)

    def _begin(self, learning_rates: Tensor, is_moved: Sequence[bool]) -> None:
        if all(is_moved):
            self._counts.add_(1)
        else:
            for count in compress(self._state["n_steps"], is_moved):
                count.add_(1)
        counts = self._counts.double()  # [n_parameters, n_lanes]
        corrections = (1 - self._numbers["beta2"] ** counts).sqrt_()
        # Both sides of the quotient are taken times the correction of the square.
        self._moves = self._in_types(-learning_rates * corrections / (1 - self._numbers["beta1"] ** counts))
        self._epsilons = self._in_types(self._numbers["epsilon"] * corrections)

    def _update(self, position: int, parameter: Tensor, gradient: Tensor) -> None:
        mean, square = self._state["mean"][position], self._state["square"][position]
        mean.lerp_(gradient, self._along("mean_share", mean))
        gradient.mul_(self._along("square_root", square))
        square.mul_(self._along("beta2", square)).addcmul_(gradient, gradient)
        scales = square.sqrt().add_(_along(self._epsilons[square.dtype][position], square))
        moves = torch.mul(mean, _along(self._moves[mean.dtype][position], mean), out=gradient)
        parameter.addcdiv_(moves, scales)


class StackedRMSprop(Rule):
    """`RMSprop`; a lane without momentum among some that have it has one of 0."""

    names = ("square", "momentum")

    def __init__(self, optimizers: Sequence[Optimizer], parameters: Sequence[Tensor]) -> None:
        super().__init__(optimizers, parameters)
        self._keep("square_share", 1 - self._numbers["alpha"])

    def _begin(self, learning_rates: Tensor, is_moved: Sequence[bool]) -> None:
        del is_moved
        self._rates = self._in_types(-learning_rates)

    def _update(self, position: int, parameter: Tensor, gradient: Tensor) -> None:
        square = self._state["square"][position]
        square.mul_(self._along("alpha", square))
        square.addcmul_(gradient * self._along("square_share", square), gradient)
        scales = square.sqrt().add_(self._along("epsilon", square))
        rates = _along(self._rates[parameter.dtype], parameter)
        if self._is_used["momentum"]:
            momentum = self._state["momentum"][position]
            momentum.mul_(self._along("momentum", momentum)).addcdiv_(gradient, scales)
            parameter.addcmul_(momentum, rates)
        else:
            parameter.addcdiv_(gradient.mul_(rates), scales)


RULES: Mapping[type[Optimizer], type[Rule]] = {
    SGD: StackedSGD,
    Adam: StackedAdam,
    AdamW: StackedAdam,
    RMSprop: StackedRMSprop,
}


def _on_device(numbers: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    return numbers.to(parameters[0].device) if parameters else numbers


def _stacked(columns: Sequence[Sequence[Tensor] | None], position: int) -> Tensor:
    """[n_lanes, *shape] of a parameter's state; zeros for lanes that have none."""
    like = next(column for column in columns if column is not None)[position]
    return torch.stack([torch.zeros_like(like) if each is None else each[position] for each in columns])


def _along(numbers: Tensor, like: Tensor) -> Tensor:
    """``numbers``, one a lane, along the lanes of ``like`` [n_lanes, *shape]."""
    return numbers.view(-1, *[1] * (like.ndim - 1))


def _norms_of(tensors: Sequence[Tensor]) -> Tensor:
    """[n_lanes]: over all of ``tensors``."""
    return torch.stack([norm_by_lane(tensor) for tensor in tensors]).square().sum(0).sqrt()
