"""Which layers can learn: those that require a gradient, get one, and are in the optimizer."""

from collections.abc import Sequence

from torch.optim import Optimizer

from tuner.training.probes import WatchedLayer


class Wiring:
    """Looks at the layers at some steps, between the backward pass and the optimizer step."""

    def __init__(self, layers: Sequence[WatchedLayer], optimizer: Optimizer) -> None:
        self._layers = layers
        self._optimizer = optimizer
        self._without_gradient = {layer.name for layer in layers}
        self._not_optimized = {layer.name for layer in layers}
        self._versions = {layer.name: _version(layer) for layer in layers}
        self.n_looks = 0

    def look(self) -> None:
        """Note which layers have a gradient now, and which are in the optimizer."""
        self.n_looks += 1
        optimized = {id(p) for group in self._optimizer.param_groups for p in group["params"]}
        for layer in self._layers:
            if any(parameter.grad is not None for parameter in layer.parameters):
                self._without_gradient.discard(layer.name)
            # Another optimizer's steps count too: they show in torch's version of the weights.
            if any(id(p) in optimized for p in layer.parameters) or self._has_changed(layer):
                self._not_optimized.discard(layer.name)

    def is_trainable(self, layer: WatchedLayer) -> bool:
        """Whether any of the layer's parameters can change."""
        return _requires_gradient(layer) and layer.name not in self._not_optimized

    @property
    def n_layers_without_gradient(self) -> int:
        if not self.n_looks:
            return 0
        return sum(_requires_gradient(layer) and self._is_left(layer) for layer in self._layers)

    @property
    def n_layers_not_optimized(self) -> int:
        if not self.n_looks:
            return 0
        names = self._not_optimized - self._without_gradient
        return sum(_requires_gradient(layer) and layer.name in names for layer in self._layers)

    @property
    def n_layers_not_required(self) -> int:
        return sum(not _requires_gradient(layer) for layer in self._layers)

    def _is_left(self, layer: WatchedLayer) -> bool:
        return layer.name in self._without_gradient

    def _has_changed(self, layer: WatchedLayer) -> bool:
        return self.n_looks > 1 and _version(layer) != self._versions[layer.name]


def _requires_gradient(layer: WatchedLayer) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters)


def _version(layer: WatchedLayer) -> int:
    return sum(weight._version for weight in layer.weights)  # noqa: SLF001 - torch counts changes in place there
