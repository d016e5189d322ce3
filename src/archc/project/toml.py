"""TOML text to nodes that know their place.

`tomllib` says what is TOML and what a value is, and no Python library says where it stands. Of a
text that it took, a scan of tokens finds the places: nothing here checks syntax again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from archc.compiler.language.problems import Place, Problem, Source
from archc.compiler.spec.reader import Mapping, Node, Scalar, Sequence

_TOKEN = re.compile(
    r"""
      (?P<skip>[ \t]+|\#[^\n]*)
    | (?P<end>\n)
    | (?P<text>\"{3}(?:[^\\]|\\.)*?\"{3,5}|'{3}.*?'{3,5}|"(?:[^"\\]|\\.)*"|'[^']*')
    | (?P<mark>[][{}=,.])
    | (?P<bare>[^][{}=,.\s\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_AT = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: Place


def read(source: Source) -> tuple[Mapping, list[Problem]]:
    """The root of a TOML text, and what is wrong with its syntax: a text of its values by key, as
    `reader.read` has those of a YAML text."""
    try:
        tomllib.loads(source.text)
        return _Reader(source).document(), []
    except tomllib.TOMLDecodeError as error:
        problem = _syntax(source, str(error))
    except RecursionError:
        problem = Problem("E008", "nested too deeply", Place(source, 1, 1))
    return _at(Mapping(), Place(source, 1, 1)), [problem]


def _at(node: Any, place: Place) -> Any:
    node.place = place
    return node


def _syntax(source: Source, said: str) -> Problem:
    """The problem that `tomllib` found."""
    found = _AT.fullmatch(said)
    words, line, column = found.groups() if found else (said, "1", "1")
    last = source.lines[-1]
    place = Place(source, int(line or len(source.lines)), int(column or len(last) + 1))
    return Problem("E004", f"TOML syntax: {words[:1].lower()}{words[1:]}", place)


def _tokens(source: Source) -> Iterator[_Token]:
    line, start = 1, 0
    for found in _TOKEN.finditer(source.text):
        text, kind = found[0], str(found.lastgroup)
        if kind != "skip":
            length = 1 if "\n" in text else len(text)
            yield _Token(kind, text, Place(source, line, found.start() - start + 1, length))
        if "\n" in text:
            line, start = line + text.count("\n"), found.start() + text.rindex("\n") + 1


class _Reader:
    def __init__(self, source: Source) -> None:
        self.tokens = [*_tokens(source)]
        self.next = 0
        self.root: Mapping = _at(Mapping(), Place(source, 1, 1))

    def see(self) -> str:
        """The token that comes: a text is no mark, whatever it holds."""
        if self.next == len(self.tokens):
            return ""
        token = self.tokens[self.next]
        return token.kind if token.kind in ("text", "bare") else token.text

    def take(self) -> _Token:
        self.next += 1
        return self.tokens[self.next - 1]

    def skip(self, *marks: str) -> None:
        while self.see() in marks:
            self.take()

    def document(self) -> Mapping:
        table = self.root
        while self.next < len(self.tokens):
            if self.see() == "\n":
                self.take()
            elif self.see() == "[":
                table = self.header()
            else:
                self.pair(table)
        return self.root

    def header(self) -> Mapping:
        """The table that `[a.b]` or `[[a.b]]` starts."""
        self.take()
        several = self.see() == "["
        self.skip("[")
        keys = self.keys()
        self.skip("]")
        return _entered(self.root, keys, several)

    def keys(self) -> list[Scalar]:
        """`a."b".c`."""
        found = [self.key()]
        while self.see() == ".":
            self.take()
            found.append(self.key())
        return found

    def key(self) -> Scalar:
        token = self.take()
        text = _value(token.text) if token.kind == "text" else token.text
        return _scalar(text, token.place, token.kind == "bare")

    def pair(self, table: Mapping) -> None:
        *above, key = self.keys()
        self.take()  # =
        _entered(table, above)[key] = self.value()

    def value(self) -> Node:
        token = self.take()
        if token.text == "[" and token.kind == "mark":
            return self.list_(_at(Sequence(), token.place))
        if token.text == "{" and token.kind == "mark":
            return self.inline(_at(Mapping(), token.place))
        if token.kind == "text":
            return _scalar(_value(token.text), token.place, False)
        last = token  # `0.75` is three tokens, and a date may be two with a blank between
        while self.see() in (".", "bare"):
            last = self.take()
        start, end = token.place.column - 1, last.place.column + last.place.length - 1
        text = token.place.source.lines[token.place.line - 1][start:end]
        place = replace(token.place, length=len(text))
        return _scalar(_written(_value(text), text), place, True)

    def list_(self, items: Sequence) -> Sequence:
        self.skip("\n", ",")
        while self.see() != "]":
            items.append(self.value())
            self.skip("\n", ",")
        self.take()
        return items

    def inline(self, table: Mapping) -> Mapping:
        self.skip("\n", ",")
        while self.see() != "}":
            self.pair(table)
            self.skip("\n", ",")
        self.take()
        return table


def _scalar(text: str, place: Place, plain: bool) -> Scalar:
    node = Scalar(text, place)
    node.plain = plain
    return node


def _value(text: str) -> Any:
    """What `tomllib` makes of one value."""
    return tomllib.loads(f"it = {text}")["it"]


def _written(value: object, text: str) -> str:
    """A number or a truth value as the spec language writes it; a date as it stands."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else text


def _entered(table: Mapping, keys: list[Scalar], several: bool = False) -> Mapping:
    """The table below `table` that `keys` lead to, which is made where there is none; another one
    of `several`."""
    for number, key in enumerate(keys):
        last = several and number == len(keys) - 1
        if key not in table:
            table[key] = _at(Sequence() if last else Mapping(), key.place)
        below = table[key]
        if last:
            below.append(_at(Mapping(), key.place))
        table = below[-1] if isinstance(below, Sequence) else below
    return table
