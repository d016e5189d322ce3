"""Prints a render model's statements, signatures and docstrings: what templates are given for it.

What fits stands on one line, what does not has one argument a line, as ruff has it; rows of tables,
and what cannot be broken, stay on a line of their own, and ruff is told so around them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from archc.backends.python.model import (
    Assign,
    Code,
    Do,
    For,
    If,
    Module,
    Return,
    Rows,
    Statement,
    Table,
)
from archc.backends.python.text import WIDTH, Choice, Expression, broken, docstring, remark

LONGEST = 120
"""Columns of a row with what it gives; in a longer one this stands above."""


def print_module(module: Module, folder: Path) -> str:
    """The text of a module, by `template.py.jinja` of a backend's folder."""
    return environment(folder).get_template("template.py.jinja").render(module=module)


@cache
def environment(*folders: Path) -> Environment:
    """What renders the templates of these folders."""
    found = Environment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    found.filters |= {"code": code, "doc": doc, "listed": listed}
    return found


def doc(text: str, indent: int = 0) -> str:
    """A docstring that its text cannot close."""
    return _indented(docstring(text, indent), indent)


def listed(items: Iterable[object], opening: str, closing: str, indent: int = 0) -> str:
    """`opening items closing`, as of `def name(` and `):`; an item a line where it is long. A
    parameter is not broken, however long its name is."""
    texts, margin = [*map(str, items)], " " * indent
    line = f"{margin}{opening}{', '.join(texts)}{closing}"
    if len(line) <= WIDTH or not texts:
        return line
    lines = [f"{margin}    {text}," for text in texts]
    kept = closing.endswith(":") and max(map(len, lines)) > WIDTH
    return "\n".join([margin + opening, *lines, margin + closing + _comment("fmt: skip" * kept)])


def code(statements: Code, indent: int) -> str:
    """Statements, a line or more each."""
    return "\n".join(_lines(statements, indent, WIDTH))


def _indented(lines: Iterable[str], indent: int) -> str:
    return "\n".join(f"{' ' * indent}{line}" if line else "" for line in lines)


def _lines(statements: Code, indent: int, width: float) -> Iterator[str]:
    """The lines of statements, where what is kept as it is has any width."""
    for kept, group in groupby(statements, lambda each: _is_kept(each, indent, width)):
        marks = [f"{' ' * indent}# fmt: {mark}" for mark in ("off", "on")] if kept else []
        yield from marks[:1]
        for each in group:
            yield from _printed(each, indent, math.inf if kept else width)
        yield from marks[1:]


def _is_kept(statement: Statement, indent: int, width: float) -> bool:
    """Whether ruff has to be told to leave a statement alone, and has not been told yet."""
    match statement:
        case _ if width > WIDTH:
            return False
        case Table() | Rows():
            return True
        case If() | For():
            return len(statement.opening) + indent > width
    return max(map(len, _printed(statement, indent, width))) > width


def _printed(statement: Statement, indent: int, width: float) -> Iterator[str]:
    """The lines of a statement."""
    margin = " " * indent
    match statement:
        case Assign(target, value, comment, _, said):
            yield from remark(said, indent)
            if isinstance(value, Choice):
                yield from _chosen(target, value, indent, comment, width)
            else:
                yield from _statement(value, indent, statement.before, width, comment)
        case Do(call):
            yield from _statement(call, indent, "", width)
        case Return(value, said):
            yield from remark(said, indent)
            yield from _statement(value, indent, "return ", width)
        case If() | For():
            yield f"{margin}{statement.opening}"
            yield from _lines(statement.body, indent + 4, width)
            if isinstance(statement, If):
                yield from _otherwise(statement.otherwise, indent, width)
        case Table(target, opening, rows, closing):
            yield f"{margin}{target} = {opening}"
            for row in rows:
                yield from remark(row.doc, indent + 4)
                yield from _row(f"{margin}    {row.value},", row.comment)
            yield f"{margin}{closing}"
        case Rows(body):
            yield from _lines(body, indent, width)


def _otherwise(code: Code, indent: int, width: float) -> Iterator[str]:
    """The lines of an `else`, or of an `elif` where it is one condition more."""
    margin = " " * indent
    if len(code) == 1 and isinstance(code[0], If):
        first, *rest = _lines(code, indent, width)
        yield from [f"{margin}el{first.removeprefix(margin)}", *rest]
    elif code:
        yield from [f"{margin}else:", *_lines(code, indent + 4, width)]


def _statement(
    value: Expression, indent: int, before: str, width: float, comment: str = ""
) -> list[str]:
    line = f"{' ' * indent}{before}{value}{_comment(comment)}"
    if width > WIDTH:
        return _row(f"{' ' * indent}{before}{value}", comment)
    if len(line) <= width:
        return [line]
    first, *rest = broken(value, indent, before, "")
    return [f"{first}{_comment(comment)}", *rest]


def _row(line: str, comment: str) -> list[str]:
    """A row of a table on one line, however long, and its comment beside or above it."""
    beside = f"{line}{_comment(comment)}"
    if len(beside) <= LONGEST or not comment:
        return [beside]
    margin = line[: len(line) - len(line.lstrip())]
    return [f"{margin}# {comment}", line]


def _chosen(target: str, choice: Choice, indent: int, comment: str, width: float) -> list[str]:
    """A choice that is too long for a line, as what holds otherwise and a condition; or as one of
    two branches, where no type is told."""
    margin = " " * indent
    line = f"{margin}{target} = {choice}{_comment(comment)}"
    if len(line) <= width:
        return [line]
    then = broken(choice.then, indent + 4, f"{target} = ", "")
    if not choice.kind:
        otherwise = f"{margin}    {target} = {choice.otherwise}"
        first = f"{margin}if {choice.condition}:{_comment(comment)}"
        return [first, *then, f"{margin}else:", otherwise]
    return [
        f"{margin}{target}: {choice.kind} = {choice.otherwise}{_comment(comment)}",
        f"{margin}if {choice.condition}:",
        *then,
    ]


def _comment(text: str) -> str:
    return f"  # {text}" if text else ""
