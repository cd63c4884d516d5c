"""The levers we know, one file per family. A new lever is one entry there; nothing registers itself."""

from collections.abc import Mapping, Sequence

from search_spaces.catalog import architecture, batching, optimization, regularization, schedules
from search_spaces.errors import unknown_name
from search_spaces.lever import Lever, Value
from search_spaces.space import Condition

LEVERS: tuple[Lever, ...] = (
    *optimization.LEVERS,
    *batching.LEVERS,
    *regularization.LEVERS,
    *schedules.LEVERS,
    *architecture.LEVERS,
)
"""All of them, in the order in which spaces list them: a condition's lever comes first."""

_ADAM = ("adam", "adamw")
_FALLING = ("exponential", "cosine", "one_cycle", "linear", "plateau", "restarts")
CONDITIONS = {
    # rmsprop takes momentum, too; it is rarely used so, and need not be searched.
    "one_minus_momentum": Condition(key="optimizer", values=("sgd",)),
    "nesterov": Condition(key="optimizer", values=("sgd",)),
    "one_minus_beta1": Condition(key="optimizer", values=_ADAM),
    "one_minus_beta2": Condition(key="optimizer", values=_ADAM),
    "one_minus_alpha": Condition(key="optimizer", values=("rmsprop",)),
    "epsilon": Condition(key="optimizer", values=(*_ADAM, "rmsprop")),
    "clip_norm": Condition(key="clipping", values=(True,)),
    "weight_decay_kind": Condition(key="optimizer", values=("sgd", "adam", "rmsprop")),
    "final_lr_fraction": Condition(key="schedule", values=_FALLING),
    "step_size": Condition(key="schedule", values=("step",)),
    "step_gamma": Condition(key="schedule", values=("step", "multistep", "plateau")),
    "plateau_patience": Condition(key="schedule", values=("plateau",)),
    "restart_period": Condition(key="schedule", values=("restarts",)),
    "depth": Condition(key="model", values=("mlp",)),
}
"""Lever name -> the only configs in which it is worth a search, in a space that decides the condition's key."""


def conditions_for(levers: Sequence[Lever], fixed: Mapping[str, Value]) -> dict[str, Condition]:
    """The conditions that hold among these levers and fixed keys: those whose key one of them decides."""
    names, keys = {lever.name for lever in levers}, {lever.key for lever in levers} | set(fixed)
    return {
        name: condition for name, condition in CONDITIONS.items() if name in names and condition.key in keys
    }


def lever(name: str) -> Lever:
    """The lever of that name, or that sets that config key.

    Raises:
        ConfigurationError: if there is none.
    """
    known = {lever.key: lever for lever in LEVERS} | {lever.name: lever for lever in LEVERS}
    if name not in known:
        raise unknown_name("A lever of the catalog", name, known)
    return known[name]
