"""What stands at a position of a file, as far as the file can be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from archc.compiler.language.problems import Place, Source
from archc.compiler.spec.reader import Mapping, Node, Scalar, Sequence
from archc.lsp.text import Cursor, line_of

Key = Scalar | str | int | None
"""The key of a mapping, or the index in a list; None where a key is about to be written."""


@dataclass(frozen=True)
class Spot:
    """The containers around a position, from the root on, each with the key that leads on."""

    nodes: tuple[Mapping | Sequence, ...] = ()
    keys: tuple[Key, ...] = ()
    scalar: Scalar | None = None
    """The text at the position, or before it."""
    on_key: bool = False


def spot(root: Node | None, source: Source, cursor: Cursor) -> Spot:
    """What stands at the cursor."""
    return _Finder(source, cursor).find(root)


class _Finder:
    def __init__(self, source: Source, cursor: Cursor) -> None:
        self.lines, self.cursor = source.lines, cursor
        line = line_of(self.lines, cursor[0])
        self.indent = len(line) - len(line.lstrip()) + 1 if line.strip() else cursor[1]

    def find(self, root: Node | None) -> Spot:
        nodes: list[Mapping | Sequence] = []
        keys: list[Key] = []
        node: Any = root
        while isinstance(node, Mapping | Sequence):
            nodes.append(node)
            key, inner, on_key = self.inside(node)
            keys.append(key)
            if on_key or not isinstance(inner, Mapping | Sequence):
                scalar = key if on_key and isinstance(key, Scalar) else inner
                return Spot(tuple(nodes), tuple(keys), scalar, on_key)
            node = inner
        return Spot(tuple(nodes), tuple(keys))

    def inside(self, node: Mapping | Sequence) -> tuple[Key, Any, bool]:
        return self.in_mapping(node) if isinstance(node, Mapping) else self.in_sequence(node)

    def in_mapping(self, node: Mapping) -> tuple[Key, Any, bool]:
        before = [item for item in node.items() if self.starts_before(item[0].place)]
        if not before:
            return self.unread(node.place), None, False
        key, value = max(before, key=lambda item: _start(item[0].place))
        if self.within(key.place):
            return key, None, True
        if not self.is_past(value, node, key):
            return key, value, False
        return self.unread(value.place if _text(value) else key.place), None, False

    def in_sequence(self, node: Sequence) -> tuple[Key, Any, bool]:
        before = [i for i, item in enumerate(node) if self.starts_before(item.place)]
        last = before[-1] if before else 0
        if self.flows(node):
            start = node[last].place if before else node.place.at(1, 0)
            commas = self.between(_end(start) if before else _start(start)).count(",")
            inside = before and self.contains(node[last])
            index = last if inside else last + commas
            return index, node[last] if before and index == last else None, False
        if before and not self.is_past(node[last], node, None):
            return last, node[last], False
        return last + bool(before), None, False

    def is_past(self, value: Node, parent: Mapping | Sequence, key: Scalar | None) -> bool:
        """Whether the cursor is behind a value that starts before it."""
        if self.contains(value):
            return False
        here = value.place if key is None or _text(value) else key.place
        if self.flows(parent):
            return not isinstance(value, Scalar) or "," in self.between(_end(here))
        if isinstance(value, Scalar):
            return self.cursor[0] > here.line and self.indent <= parent.place.column
        if self.flows(value):
            return _closed(value)
        return self.cursor[0] > value.place.line and not self.indented(value)

    def indented(self, value: Mapping | Sequence) -> bool:
        """Whether the cursor's line belongs to a container that is written line by line."""
        entry = line_of(self.lines, self.cursor[0])[self.indent - 1 :].startswith("-")
        # The entries of a list may stand below the key that it is the value of.
        deeper = isinstance(value, Sequence) and not entry
        return self.indent >= value.place.column + deeper

    def contains(self, value: Node) -> bool:
        if isinstance(value, Scalar):
            return self.within(value.place) if value else False
        return (
            self.flows(value)
            and self.starts_before(value.place)
            and (not _closed(value) or self.cursor < _end(value.place))
        )

    def within(self, place: Place) -> bool:
        return _start(place) <= self.cursor <= _end(place)

    def starts_before(self, place: Place) -> bool:
        return _start(place) <= self.cursor

    def flows(self, node: Node) -> bool:
        """Whether a container is written between brackets."""
        return line_of(self.lines, node.place.line)[node.place.column - 1 :][:1] in ("{", "[")

    def between(self, start: Cursor) -> str:
        """The text from there to the cursor."""
        first, last = start[0] - 1, self.cursor[0]
        text = self.lines[first:last]
        if not text:
            return ""
        text[-1] = text[-1][: self.cursor[1] - 1]
        text[0] = text[0][start[1] - 1 :]
        return "\n".join(text)

    def unread(self, after: Place) -> str | None:
        """The key whose value is about to be written: the rest of a file that is half there is not
        read."""
        found = re.search(r"(?:^|[{,\n])\s*(\w+)\s*:\s[^,]*$", self.between(_end(after)))
        return found[1] if found else None


def _start(place: Place) -> Cursor:
    return place.line, place.column


def _end(place: Place) -> Cursor:
    return place.line, place.column + place.length


def _closed(node: Node) -> bool:
    return node.place.length > 1


def _text(node: Node) -> bool:
    return bool(node) or not isinstance(node, Scalar)
