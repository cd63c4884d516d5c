"""Ready-made spaces by name."""

from search_spaces.catalog import CONDITIONS, lever
from search_spaces.errors import unknown_name
from search_spaces.space import Space

_MOMENTUM = "one_minus_momentum"

PRESETS = {
    space.name: space
    for space in (
        Space(
            name="quick",
            description="The four levers that matter first for SGD on a network you keep: for a first study.",
            levers=(
                # SGD below 1e-3 does not arrive within the few epochs of a first study.
                lever("learning_rate").within(low=1e-3),
                lever(_MOMENTUM),
                lever("weight_decay"),
                lever("dropout").within(high=0.3),
            ),
            conditions={_MOMENTUM: CONDITIONS[_MOMENTUM]},
            fixed={"optimizer": "sgd"},
        ),
        Space(
            name="mlp",
            description="Optimizer, schedule, regularization, batch size and shape of a multilayer net.",
            levers=(
                lever("learning_rate"),
                lever("optimizer"),
                lever(_MOMENTUM),
                lever("batch_size"),
                lever("weight_decay"),
                lever("dropout").within(high=0.3),
                lever("schedule"),
                lever("depth"),
                lever("width"),
                lever("activation"),
            ),
            conditions={_MOMENTUM: CONDITIONS[_MOMENTUM]},
        ),
    )
}


def preset(name: str) -> Space:
    """The ready-made space of that name.

    Raises:
        ConfigurationError: if there is none.
    """
    if name not in PRESETS:
        raise unknown_name("A preset space", name, PRESETS)
    return PRESETS[name]
