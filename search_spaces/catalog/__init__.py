"""The levers we know, one file per family. A new lever is one entry there; nothing registers itself."""

from collections.abc import Mapping, Sequence

from search_spaces.catalog import architecture, batching, optimization, regularization, schedules
from search_spaces.errors import unknown_name
from search_spaces.lever import Lever, Value, choices_of
from search_spaces.space import Condition, Space

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
    """The conditions that hold among these levers and fixed keys: those whose key one of them decides.

    A value that the catalog does not know, such as a model of one's own, may use any lever: it fulfills each condition.
    """
    there, deciding = {(known.name, known.key) for known in levers}, {known.key: known for known in levers}
    found = {}
    for name, condition in CONDITIONS.items():
        key = condition.key
        if (name, lever(name).key) not in there:  # of that name, but setting another key, it is someone's own
            continue
        if key in fixed:
            if _is_known(key, fixed[key]):
                found[name] = condition
        elif key in deciding:
            parent = deciding[key]
            choices = [parent.to_config(choice) for choice in choices_of(parent.distribution)]
            unknown = [choice for choice in choices if not _is_known(key, choice)]
            found[name] = Condition(key=key, values=(*condition.values, *unknown))
    return found


def decided(space: Space, key: str, value: Value) -> Space:
    """The space with a config key held at a value, as ``Space.fix`` does it, under the conditions that this brings.

    Where nothing decided the key before, levers that mean nothing at this value go. A lever that was without its
    condition though the key was decided is one that its writer wants everywhere; it stays.
    """
    before = conditions_for(space.levers, space.fixed)
    after = conditions_for(space.levers, {**space.fixed, key: value})
    ours = {
        name for name, known in space.conditions.items() if known.key == key and known == before.get(name)
    }
    bare = {name for name in space.names if name not in space.conditions}
    conditions = {name: known for name, known in space.conditions.items() if name not in ours} | {
        name: known
        for name, known in after.items()
        if known.key == key and name in (ours if space.decides(key) else bare)
    }
    levers = [lever for lever in space if lever.key != key]
    return space.rebuilt(levers=levers, conditions=conditions, fixed={**space.fixed, key: value})


def _is_known(key: str, value: Value) -> bool:
    """Whether the catalog knows what this value of a condition's key needs; of other keys it says nothing."""
    return all(lever.contains(value) for lever in LEVERS if lever.key == key)


def lever(name: str) -> Lever:
    """The lever of that name, or that sets that config key.

    Raises:
        ConfigurationError: if there is none.
    """
    known = {lever.key: lever for lever in LEVERS} | {lever.name: lever for lever in LEVERS}
    if name not in known:
        raise unknown_name("A lever of the catalog", name, known)
    return known[name]
