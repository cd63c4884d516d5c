"""What a training reads of a space: the config keys and what they take. Importing this module loads no torch."""

from typing import Any, Literal, get_args, get_origin, get_type_hints

from search_spaces import ConfigurationError, Space
from search_spaces.exchange.config_names import ConfigKey
from search_spaces.lever import Value
from tuner.training.config import TrainingConfig


def config_keys() -> dict[str, ConfigKey]:
    """The keys of ``TrainingConfig``, with the words they may be and whether they take whole numbers only."""
    return {key: _key_of(hint) for key, hint in get_type_hints(TrainingConfig).items()}


def unread_keys(space: Space) -> list[str]:
    """The config keys of a space that no training reads; only a user's own code can use them."""
    known = config_keys()
    return [key for key in (*(lever.key for lever in space), *space.fixed) if key not in known]


def refused_values(space: Space) -> list[str]:
    """A sentence for each fixed value, end of a range or choice that a training would refuse."""
    known = config_keys()
    tried = [
        (lever.key, lever.to_config(value))
        for lever in space
        if lever.key in known
        for value in lever.grid(2)
    ]
    tried += [(key, value) for key, value in space.fixed.items() if key in known]
    return [fault for key, value in tried if (fault := _fault(key, value))]


def _fault(key: str, value: Value) -> str:
    try:
        TrainingConfig.from_mapping({key: value})
    except ConfigurationError as error:
        return str(error)
    return ""


def _key_of(hint: Any) -> ConfigKey:
    kinds = _kinds(hint)
    words = tuple(word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind))
    return ConfigKey(words=words, is_whole=int in kinds and float not in kinds)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The members of a union; the hint itself otherwise. ``Annotated`` is gone by then."""
    is_plain = get_origin(hint) in {None, Literal, tuple}
    return (hint,) if is_plain else get_args(hint)
