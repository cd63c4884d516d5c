"""Experiment 4: sigmoids let the gradient fade from layer to layer until nothing is learned; ReLUs do not."""

from search_spaces import Space
from search_spaces.catalog import lever
from tuner.experiments.claims import end_below, ends_above
from tuner.experiments.experiment import Experiment, Variant
from tuner.experiments.network import shared_config

_ACTIVATIONS = ("relu", "sigmoid")
_DEPTHS = (1, 3, 5)

_SPACE = Space(
    name="activation-depth",
    levers=(lever("activation").among(_ACTIVATIONS), lever("depth").among(_DEPTHS)),
)

EXPERIMENT = Experiment(
    name="activation-depth",
    question="How deep may a network be with sigmoids, and how deep with ReLUs?",
    space=_SPACE,
    fixed=shared_config(_SPACE),
    variants=tuple(
        Variant(label=f"{activation} x {depth}", config={"activation": activation, "depth": depth})
        for activation in _ACTIVATIONS
        for depth in _DEPTHS
    ),
    claims=(
        ends_above("Five sigmoid layers end with a train loss above 2.2.", "sigmoid x 5", 2.2),
        end_below(
            "One and three sigmoid layers end with a train loss below 0.3.",
            ("sigmoid x 1", "sigmoid x 3"),
            0.3,
        ),
        end_below(
            "One, three and five ReLU layers end with a train loss below 0.06.",
            tuple(f"relu x {depth}" for depth in _DEPTHS),
            0.06,
        ),
    ),
)
