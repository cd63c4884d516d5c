"""A sweep's text as W&B reads it, and where its writer surely meant something else.

W&B reads YAML 1.1 with PyYAML: 1e-5 is text there (a number needs a dot), ``off`` is false, 010 is 8, 1:30 is 90.
A number that W&B would take for text is read as the number; everything else is read as W&B does. Both are told.
"""

from typing import Any

from search_spaces.exchange.imported import Remarks
from search_spaces.files import parse_json, parse_yaml
from search_spaces.lever import is_number
from search_spaces.yaml_dialects import MergingLoader, Yaml11Loader


def read_document(text: str, remarks: Remarks, *, title: str) -> Any:
    """The sweep's data from YAML or JSON.

    Raises:
        ConfigurationError: for what is neither.
    """
    data = parse_json(text, title=title)
    if data is not None:
        return data
    as_read = parse_yaml(text, Yaml11Loader, title=title)
    as_meant = parse_yaml(text, MergingLoader, title=title)
    return _reconciled(as_read, as_meant, (), remarks)


def _reconciled(as_read: Any, as_meant: Any, path: tuple[str, ...], remarks: Remarks) -> Any:
    if isinstance(as_read, dict):
        pairs = zip(as_read.values(), as_meant.items(), strict=True)
        return {
            str(key): _reconciled(value, meant, (*path, str(key)), remarks) for value, (key, meant) in pairs
        }
    if isinstance(as_read, list):
        pairs_of_items = zip(as_read, as_meant, strict=True)
        return [_reconciled(value, meant, path, remarks) for value, meant in pairs_of_items]
    if type(as_read) is type(as_meant):
        return as_meant
    return _decided(as_read, as_meant, ".".join(path), remarks)


def _decided(as_read: Any, as_meant: Any, place: str, remarks: Remarks) -> Any:
    """One value of a scalar that the dialects read differently."""
    if isinstance(as_read, str) and is_number(as_meant):
        remarks.warnings.append(
            f"{place}: W&B's YAML takes {as_read} for text (it wants a dot and a signed exponent, as in 1.0e-5); "
            f"it is read as the number {as_meant:g} here"
        )
        return as_meant
    if isinstance(as_read, bool | int | float):
        meant = f"{as_meant:g}" if is_number(as_meant) else as_meant
        remarks.warnings.append(
            f"{place}: W&B's YAML takes {meant} for {str(as_read).lower()}, and so it is read here "
            "(write it in quotes if it is a word)"
        )
        return as_read
    return as_meant  # a date: text for W&B's parameters, too, once it is JSON
