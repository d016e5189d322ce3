"""Sources of backends in a report: highlighted, and each line that makes a row tied to it."""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from archc import backends
from archc.api import Net
from archc.backends import Name
from archc.compiler.language.problems import printable

KINDS = {tokenize.COMMENT: "c", tokenize.STRING: "s", tokenize.NUMBER: "n"}
SEVERAL = ("Sequential", "ModuleList")
"""What holds rows by number."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line; `kind` is a class of the page's style, or empty."""

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line, and the row that it makes, if it is the first to."""

    number: int
    pieces: tuple[Piece, ...]
    row: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a backend writes for a network."""

    backend: str
    name: str
    lines: tuple[SourceLine, ...]

    @property
    def rows(self) -> dict[str, int]:
        """The line of each row that has one."""
        return {line.row: line.number for line in self.lines if line.row}


def listings(net: Net) -> list[Listing]:
    """One for each backend that writes source."""
    return [_listing(net, name) for name in backends.sources()]


def _listing(net: Net, backend: Name) -> Listing:
    text = net.source(backend)
    rows = [block.path for block in net.blocks]
    at = {line: row for row, line in reversed([*lines_of(text, rows).items()])}
    every = enumerate(highlighted(text), 1)
    found = tuple(SourceLine(i, tuple(pieces), at.get(i, "")) for i, pieces in every)
    return Listing(backend, backends.source_name(net.stem, backend), found)


# ------------------------------------------------------------------------------------ rows in it


def lines_of(text: str, rows: Collection[str]) -> Mapping[str, int]:
    """The line of a source that makes each row, as far as it tells: by an attribute of `self`, by
    its place in a list of layers, or by a layer's name."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return {}
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        for name, line in _named(node):
            if name in rows:
                found.setdefault(name, line)
    return found


def _named(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Attribute):
                yield target.attr, node.lineno
                yield from _numbered(target.attr, node.value)
    elif isinstance(node, ast.Call):
        for argument in node.keywords:
            value = argument.value
            if argument.arg == "name" and isinstance(value, ast.Constant):
                yield str(value.value).replace("-", "."), node.lineno


def _numbered(name: str, value: ast.expr) -> Iterator[tuple[str, int]]:
    """`blocks.0`, ... where these are the arguments, or the list, that such a thing is made of."""
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Attribute):
        return
    if value.func.attr not in SEVERAL:
        return
    items = value.args
    if len(items) == 1 and isinstance(items[0], ast.List):
        items = items[0].elts
    for i, item in enumerate(items):
        if isinstance(item, ast.Starred):
            return
        yield f"{name}.{i}", item.lineno


# --------------------------------------------------------------------------------------- colours


def highlighted(text: str) -> list[list[Piece]]:
    """The lines of a source in pieces: comments, strings, numbers, keywords, names of what is
    defined, and the rest."""
    lines = text.splitlines()
    marks: list[list[tuple[int, int, str]]] = [[] for _ in lines]
    for kind, (top, left), (bottom, right) in _marks(text):
        for row in range(top, bottom + 1):
            start = left if row == top else 0
            end = right if row == bottom else len(lines[row - 1])
            marks[row - 1].append((start, end, kind))
    return [[*_cut(line, found)] for line, found in zip(lines, marks, strict=True)]


def _marks(text: str) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    before = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = KINDS.get(token.type, "")
            if token.type == tokenize.NAME:
                kind = "k" if keyword.iskeyword(token.string) else ""
                kind = "d" if before in ("def", "class") else kind
            if kind and token.string:
                yield kind, token.start, token.end
            before = token.string
    except (tokenize.TokenError, SyntaxError):
        return


def _cut(line: str, marks: list[tuple[int, int, str]]) -> Iterator[Piece]:
    at = 0
    for start, end, kind in marks:
        if start > at:
            yield Piece(_safe(line[at:start]))
        if end > start:
            yield Piece(_safe(line[start:end]), kind)
        at = end
    if line[at:]:
        yield Piece(_safe(line[at:]))


def _safe(text: str) -> str:
    return re.sub(r"[^\t]+", lambda part: printable(part[0]), text)
