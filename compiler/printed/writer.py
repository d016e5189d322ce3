"""Values and nodes as YAML text. PyYAML decides what has to be quoted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from io import StringIO
from typing import Any

import yaml

from archc.compiler.language.expressions import Value, spell
from archc.compiler.spec import reader
from archc.compiler.spec.kinds import is_given

_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + kind for kind in ("int", "float", "bool")}
_RESOLVER: Any = yaml.SafeDumper(StringIO())


class _Dumper(yaml.SafeDumper):
    """Lists are indented under their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _dump(node: yaml.Node) -> str:
    text: str = yaml.serialize(node, Dumper=_Dumper, allow_unicode=True, width=sys.maxsize)
    return text.removesuffix("\n")


def _text(text: str) -> yaml.Node:
    return yaml.ScalarNode(f"{_TAG}str", text, style='"' if "\n" in text else None)


def _expression(text: str) -> yaml.Node:
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    return yaml.ScalarNode(tag, text) if tag in _PLAIN else _text(text)


def _list(items: Iterable[yaml.Node], flow: bool) -> yaml.Node:
    return yaml.SequenceNode(f"{_TAG}seq", [*items], flow_style=flow)


def _node(node: reader.Node, lines: bool = False) -> yaml.Node:
    """A node as it was read. On one line where it holds scalars alone, unless `lines` are asked."""
    if isinstance(node, reader.Scalar):
        if not is_given(node):
            return yaml.ScalarNode(f"{_TAG}null", "~")
        return _expression(node) if node.plain else _text(node)
    inner = node if isinstance(node, reader.Sequence) else node.values()
    flow = not lines and all(isinstance(child, reader.Scalar) for child in inner)
    if isinstance(node, reader.Sequence):
        return _list((_node(child, lines) for child in node), flow)
    items = [(_text(key), _node(child, key in _LONG)) for key, child in node.items()]
    return yaml.MappingNode(f"{_TAG}map", items, flow_style=flow)


_LONG = ("steps", "let")
"""Keys of a block whose entries stand on lines of their own."""


@lru_cache(maxsize=4096)
def _flow(text: str, expression: bool) -> str:
    node = _expression(text) if expression else _text(text)
    return _dump(_list([node], True))[1:-1]


def text(value: str) -> str:
    """A name or a text, as it stands between braces."""
    return _flow(value, False)


def expression(value: str) -> str:
    """The text of an expression, as it stands between braces."""
    return _flow(value, True)


def value(value: Value, spell: Callable[[object], str] = spell) -> str:
    """A value to its last digit, as it stands between braces."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(spell, value))}]"
    return expression(spell(value))


def mapping(items: Mapping[str, str]) -> str:
    """A mapping of written values on one line."""
    return f"{{{', '.join(f'{text(key)}: {item}' for key, item in items.items())}}}"


def lines(node: reader.Node) -> str:
    """A node as it was read, on lines of its own."""
    return _dump(_node(node))
