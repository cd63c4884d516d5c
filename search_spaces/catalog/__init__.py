"""The levers we know, one file per family. A new lever is one entry there; nothing registers itself."""

from search_spaces.catalog import architecture, batching, optimization, regularization, schedules
from search_spaces.errors import unknown_name
from search_spaces.lever import Lever
from search_spaces.space import Condition

LEVERS: tuple[Lever, ...] = (
    *optimization.LEVERS,
    *batching.LEVERS,
    *regularization.LEVERS,
    *schedules.LEVERS,
    *architecture.LEVERS,
)
"""All of them, in the order in which spaces list them: a condition's lever comes first."""

CONDITIONS = {"one_minus_momentum": Condition(key="optimizer", values=("sgd",))}
"""Lever name -> the only configs in which it means anything."""


def lever(name: str) -> Lever:
    """The lever of that name, or that sets that config key.

    Raises:
        ConfigurationError: if there is none.
    """
    known = {lever.key: lever for lever in LEVERS} | {lever.name: lever for lever in LEVERS}
    if name not in known:
        raise unknown_name("A lever of the catalog", name, [lever.name for lever in LEVERS])
    return known[name]
