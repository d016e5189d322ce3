"""YAML text to nodes that know their place.

The language has no YAML types: every scalar stays the text that was written, and whoever expects a
number or an expression reads it as one. So `no` is a name, `012` is a number and `1e-3` is one too.
Anchors, aliases and tags are refused: a block library says the same thing with a name.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Table
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from archc.compiler.language.expressions import Word
from archc.compiler.language.problems import (
    Enough,
    Place,
    Problem,
    Reporter,
    Source,
    SpecError,
    quote,
)

MISSING = "no such file"
MAX_BYTES = 2**19
USUAL_BYTES = 2**15
"""Most files are smaller: room for the largest takes longer to make than they take to read."""
MAX_DEPTH = 24
MAX_TEXT = 4000

# NEL, LS and PS are line breaks to YAML 1.1 and to nobody's editor. The marks that turn the
# direction of writing would show a reviewer of generated code another text than there is. Halves of
# surrogate pairs are no characters.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
# What libyaml says (in part), what a person would say, and what to do about it.
_SYNTAX = (
    ("start any token", "a text cannot start so", "quote it; indent with spaces, not tabs"),
    ("values are not allowed", "unexpected `: `", "quote the text, or indent like its neighbours"),
    ("'-' indicator", "not an entry of the list around it", "start each with `- `, all in line"),
    ("expected ':'", "a key without a value", "write `key: value`"),
    ("expected key", "not a key of the mapping around it", "write `key: value`, all keys in line"),
    ("expected ','", "a bracket is not closed", "close it, or put a comma between two entries"),
    ("node content", "a value is missing here", "write one, or quote a text that starts so"),
    ("end of stream", "a quote is not closed", "close it"),
    ("unknown escape", "unknown escape", "write two backslashes for one, or use single quotes"),
)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Scalar(Word):
    """The text of one scalar. `plain` is false where it was quoted."""

    plain: bool


class Sequence(list[Any]):
    place: Place


class Mapping(dict[Scalar, Any]):
    place: Place


Node = Scalar | Sequence | Mapping


_OVERLAID: ContextVar[Table[Path, str]] = ContextVar("_OVERLAID")


@contextmanager
def overlaid(texts: Table[Path, str]) -> Iterator[None]:
    """Meanwhile the files at these paths, which are without links, hold these texts and not what is
    on the disk: an editor has not saved them."""
    token = _OVERLAID.set(texts)
    try:
        yield
    finally:
        _OVERLAID.reset(token)


def _unsaved(path: Path) -> bytes | None:
    texts = _OVERLAID.get({})
    text = texts.get(Path(os.path.realpath(path))) if texts else None
    return None if text is None else text.encode("utf-8", "surrogatepass")


def read_source(path: Path, name: str | None = None, linked: bool = False) -> Source:
    """The text of a spec file. Raises `SpecError` with E001, E002, E003, E008 or E018.

    A file that is `linked`, from a spec that anyone may have written, is a regular one, and nothing
    that stands in it is told. One that a person names may be a pipe.
    """
    name = name or str(path)

    def refuse(code: str, message: str, hint: str | None = None) -> SpecError:
        return SpecError([Problem(code, message, Place(Source(name, ""), 1, 1), hint)])

    try:
        data = _unsaved(path)
        if data is None:
            data = _on_disk(path, linked, refuse)
    except FileNotFoundError:
        raise refuse("E001", MISSING) from None
    except (OSError, ValueError) as error:
        raise refuse("E001", getattr(error, "strerror", None) or str(error)) from None
    return decoded(data, name, linked)


def decoded(data: bytes, name: str, linked: bool = False) -> Source:
    """The text of what is called `name`. Raises `SpecError` with E002, E003 or E008."""

    def refuse(code: str, message: str, hint: str | None = None) -> SpecError:
        return SpecError([Problem(code, message, Place(Source(name, ""), 1, 1), hint)])

    if len(data) > MAX_BYTES:
        raise refuse("E008", f"the file is larger than {MAX_BYTES // 2**10} KiB")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        where = f"line {line} is not UTF-8 text (byte 0x{data[error.start]:02x})"
        message = "it is not UTF-8 text" if linked else where
        raise refuse("E002", message, "save the file as UTF-8") from None
    if not text.strip():
        raise refuse("E003", "the file is empty", "a spec starts with `archc: 1`")
    return Source(name, text)


def _on_disk(path: Path, linked: bool, refuse: Callable[..., SpecError]) -> bytes:
    if path.is_dir():
        raise refuse("E001", "this is a directory", "name a spec file in it")
    if linked and not stat.S_ISREG(path.stat().st_mode):
        raise refuse("E018", "it is no regular file", "name a spec file")
    with open(path, "rb", opener=_at_once if linked else None) as file:
        data = file.read(USUAL_BYTES)
        return data if len(data) < USUAL_BYTES else data + file.read(MAX_BYTES + 1 - USUAL_BYTES)


def _at_once(path: str, flags: int) -> int:
    """Opens without waiting, should the file have become a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def is_spec(text: str) -> bool:
    """Whether a text calls itself a spec: it says `archc`, well-formed or not."""
    if re.search("^archc *:", text, re.MULTILINE):
        return True
    node, _ = read(Source("", text))  # a mapping between braces, perhaps
    return isinstance(node, Mapping) and "archc" in node


def is_recipe(path: Path) -> bool:
    """Whether the file at a path calls itself a recipe of training; not where it cannot be read."""
    try:
        text = read_source(path).text
    except SpecError:
        return False
    return re.search("^recipe *:", text, re.MULTILINE) is not None


def read(source: Source) -> tuple[Node | None, list[Problem]]:
    """The root node of the only document in `source`, and what is wrong with it as YAML."""
    control = _CONTROL.search(source.text)
    if control:
        before = source.text[: control.start()]
        place = Place(source, before.count("\n") + 1, control.start() - before.rfind("\n"))
        message = f"control character U+{ord(control[0]):04X}"
        return None, [Problem("E002", message, place, "remove it")]
    reader = _Reader(source)
    try:
        reader.run(yaml.parse(source.text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        reader.tell([reader.syntax(error)])
    except (_Stop, Enough):
        pass
    return reader.root, reader.problems


class _Stop(Exception):
    """The rest of the file is not worth reading, or not safe to read."""


class _Reader(Reporter):
    """Builds nodes from parser events, with a stack of its own: depth is bounded in time."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.root: Node | None = None
        self.stack: list[Sequence | Mapping] = []
        self.keys: list[Scalar | None] = []

    def place(self, mark: Any, end: Any = None) -> Place:
        length = end.column - mark.column if end is not None and end.line == mark.line else 1
        return Place(self.source, mark.line + 1, mark.column + 1, max(1, length))

    def run(self, events: Iterable[Any]) -> None:
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self.refuse_decorations(event)
                self.add(self.scalar(event))
            elif isinstance(event, yaml.CollectionStartEvent):
                self.refuse_decorations(event)
                self.open(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.close(event)
            elif isinstance(event, yaml.AliasEvent):
                self.refuse_anchor(event, "alias")
            elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                place = self.place(event.start_mark)
                self.report("E004", "a second YAML document", place, "keep one spec in a file")
                raise _Stop

    def syntax(self, error: Any) -> Problem:
        """The problem that libyaml found, in the words of `_SYNTAX`."""
        said = error.problem or error.context
        known = (row[1:] for row in _SYNTAX if row[0] in said)
        words, hint = next(known, (said, None))
        mark, start = error.problem_mark or error.context_mark, error.context_mark
        place = self.within(mark)
        problem = Problem("E004", f"YAML syntax: {words}", place, hint)
        return problem if start is None else problem.also(("it starts here", self.within(start)))

    def within(self, mark: Any) -> Place:
        """The place of `mark`; that of the end for one on the line after a text without a break."""
        lines = self.source.lines
        end = Place(self.source, len(lines), len(lines[-1]) + 1)
        return end if mark.line >= len(lines) else self.place(mark)

    def refuse_anchor(self, event: Any, kind: str) -> None:
        hint = "write the value out, or make it a parameter or a block"
        message = f"a YAML {kind}, `{event.anchor}`, is not part of the language"
        self.report("E006", message, self.place(event.start_mark), hint)
        raise _Stop

    def refuse_decorations(self, event: Any) -> None:
        if event.anchor is not None:
            self.refuse_anchor(event, "anchor")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            place = replace(self.place(event.start_mark), length=len(tag))
            message = f"a YAML tag, {quote(tag)}, is not part of the language"
            self.report("E007", message, place, "remove the tag")

    def scalar(self, event: Any) -> Scalar:
        node = Scalar(event.value, self.place(event.start_mark, event.end_mark))
        node.plain = event.style is None or event.style == ""
        if len(node) > MAX_TEXT:
            self.report("E008", f"a text of more than {MAX_TEXT} characters", node.place)
            raise _Stop
        control = _CONTROL.search(node)
        if control:
            message = f"control character U+{ord(control[0]):04X}, written as an escape"
            self.report("E002", message, node.place, "remove it")
        return node

    def open(self, event: Any) -> None:
        node = Sequence() if isinstance(event, yaml.SequenceStartEvent) else Mapping()
        node.place = self.place(event.start_mark)
        if len(self.stack) >= MAX_DEPTH:
            self.report("E008", f"nested more than {MAX_DEPTH} deep", node.place)
            raise _Stop
        self.add(node)
        self.stack.append(node)
        self.keys.append(None)

    def close(self, event: Any) -> None:
        """Ends the innermost node, whose place covers all of it if it stands on one line."""
        node = self.stack.pop()
        self.keys.pop()
        if event.end_mark.line + 1 == node.place.line:
            node.place = replace(node.place, length=event.end_mark.column + 1 - node.place.column)

    def add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
        elif isinstance(self.stack[-1], Sequence):
            self.stack[-1].append(node)
        elif self.keys[-1] is not None:
            self.stack[-1].setdefault(self.keys[-1], node)
            self.keys[-1] = None
        elif isinstance(node, Scalar):
            self.keys[-1] = self.checked_key(node, self.stack[-1])
        else:
            self.report("E004", "a key must be a word", node.place)
            raise _Stop

    def checked_key(self, key: Scalar, mapping: Mapping) -> Scalar:
        if key == "<<" and key.plain:
            message = "a YAML merge key is not part of the language"
            self.report("E006", message, key.place, "write the merged keys out")
        first = next((known for known in mapping if known == key), None) if key in mapping else None
        if first is not None:
            message = f"the key {quote(key)} stands twice"
            self.report("E005", message, key.place, "remove one", ("first here", first.place))
        return key
