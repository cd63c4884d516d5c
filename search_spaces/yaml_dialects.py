"""YAML as we read and write it (the plain words of YAML 1.2), and as W&B does (YAML 1.1, with merge keys)."""

import re
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"
_FLOAT = "tag:yaml.org,2002:float"
_UNICODE_LINE_ENDS = frozenset("\x85\u2028\u2029")

# YAML 1.1, PyYAML's, reads 1e-3 as text, `off` as false, 010 as 8 and 1:30 as 90. We read by the core schema
# of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), less its infinities, octal and hex numbers.
_PLAIN_WORDS = {
    "tag:yaml.org,2002:null": r"~|null|Null|NULL|",
    "tag:yaml.org,2002:bool": r"true|True|TRUE|false|False|FALSE",
    "tag:yaml.org,2002:int": r"[-+]?(?:0|[1-9][0-9]*)",
    _FLOAT: r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
}


class Yaml11Loader(yaml.SafeLoader):
    """PyYAML's own reading, which is W&B's, but a key that is there twice is refused."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A node's value; what PyYAML's conversions raise of themselves is told with its place."""
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
            raise yaml.constructor.ConstructorError(
                problem=f"{node.value!r:.80} is no {node.tag.rpartition(':')[2]}",
                problem_mark=node.start_mark,
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [key for key, _ in node.value if key.tag != _MERGE]  # what is merged in may be overridden
        keys = [self.construct_object(key, deep=True) for key in own]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {twice[0]!r} is there twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


class Yaml12Loader(Yaml11Loader):
    """Reads YAML 1.2's plain words; no merge keys, which YAML 1.2 does not have."""


class MergingLoader(Yaml11Loader):
    """Reads YAML 1.2's plain words and YAML 1.1's merge keys: a sweep as its writer meant it."""


class Yaml12Dumper(yaml.SafeDumper):
    """Quotes what ``Yaml12Loader`` would not read as text."""


class Yaml11Dumper(yaml.SafeDumper):
    """Quotes what either dialect would not read as text: 1e-3 is text in YAML 1.1 only."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Text as it is; PyYAML would fold Unicode's own line ends into spaces where it does not escape them."""
        style = '"' if _UNICODE_LINE_ENDS & {*text} else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


for _dialect in (Yaml12Loader, MergingLoader, Yaml12Dumper):
    _dialect.yaml_implicit_resolvers = {}
    for _tag, _pattern in _PLAIN_WORDS.items():
        _dialect.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), None)
MergingLoader.add_implicit_resolver(_MERGE, re.compile(r"^<<$"), None)
Yaml11Dumper.add_implicit_resolver(_FLOAT, re.compile(rf"^(?:{_PLAIN_WORDS[_FLOAT]})$"), None)
Yaml11Dumper.add_representer(str, Yaml11Dumper.represent_text)
