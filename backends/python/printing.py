"""Prints a render model's statements, signatures and docstrings: what templates are given for it.

What fits stands on one line, what does not has one argument a line, as ruff has it; rows of tables,
and what cannot be broken, stay on a line of their own, and ruff is told so around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from archc.backends.python.model import (
    Assign,
    Code,
    For,
    If,
    Initialize,
    Module,
    Return,
    Rows,
    Statement,
    Table,
)
from archc.backends.python.text import WIDTH, Choice, Expression, broken, docstring, remark


def print_module(module: Module, folder: Path) -> str:
    """The text of a module, by `template.py.jinja` of a backend's folder."""
    return _template(folder).render(module=module)


@cache
def _template(folder: Path) -> Template:
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {"code": code, "doc": doc, "listed": listed}
    return environment.get_template("template.py.jinja")


def doc(text: str, indent: int = 0) -> str:
    """A docstring that its text cannot close."""
    return _indented(docstring(text, indent), indent)


def listed(items: Iterable[object], opening: str, closing: str, indent: int = 0) -> str:
    """`opening items closing`, as of `def name(` and `):`; an item a line where it is long."""
    texts, margin = [*map(str, items)], " " * indent
    line = f"{margin}{opening}{', '.join(texts)}{closing}"
    if len(line) <= WIDTH or not texts:
        return line
    return "\n".join([margin + opening, *(f"{margin}    {t}," for t in texts), margin + closing])


def code(statements: Code, indent: int) -> str:
    """Statements, a line or more each."""
    return "\n".join(_lines(statements, indent))


def _indented(lines: Iterable[str], indent: int) -> str:
    return "\n".join(f"{' ' * indent}{line}" if line else "" for line in lines)


def _lines(statements: Code, indent: int) -> Iterator[str]:
    for kept, group in groupby(statements, lambda each: _is_kept(each, indent)):
        every = [*group]
        if not kept:
            yield from (line for each in every for line in _printed(each, indent))
            continue
        yield f"{' ' * indent}# fmt: off"
        yield from (line for each in every for line in _row(each, indent))
        yield f"{' ' * indent}# fmt: on"


def _is_kept(statement: Statement, indent: int) -> bool:
    """Whether ruff has to be told to leave a statement alone."""
    match statement:
        case Table() | Rows():
            return True
        case If() | For():
            return len(_opening(statement)) + indent > WIDTH
    return max(map(len, _printed(statement, indent))) > WIDTH


def _printed(statement: Statement, indent: int) -> list[str]:
    """The lines of a statement that ruff lays out so, too."""
    match statement:
        case Assign(doc=str(said)) if said:
            return [*remark(said, indent), *_printed(replace(statement, doc=""), indent)]
        case Assign(target, Choice() as choice, comment):
            return _chosen(target, choice, indent, comment)
        case Assign(_, value, comment):
            return _statement(value, indent, statement.before, comment=comment)
        case Initialize():
            return _statement(statement.call, indent, "")
        case Return(value, said):
            return [*remark(said, indent), *_statement(value, indent, "return ")]
        case If() | For():
            opening = f"{' ' * indent}{_opening(statement)}"
            return [opening, *_lines(statement.body, indent + 4)]
    raise TypeError(f"{statement} is always kept")


def _statement(
    value: Expression, indent: int, before: str, after: str = "", comment: str = ""
) -> list[str]:
    line = f"{' ' * indent}{before}{value}{after}{_comment(comment)}"
    if len(line) <= WIDTH:
        return [line]
    first, *rest = broken(value, indent, before, after)
    return [f"{first}{_comment(comment)}", *rest]


def _chosen(target: str, choice: Choice, indent: int, comment: str) -> list[str]:
    """A choice that is too long for a line, as what holds otherwise and a condition; or as one of
    two branches, where no type is told."""
    margin = " " * indent
    line = f"{margin}{target} = {choice}{_comment(comment)}"
    if len(line) <= WIDTH:
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


def _row(statement: Statement, indent: int) -> Iterator[str]:
    """A statement on a line of its own, however long."""
    margin = " " * indent
    match statement:
        case Assign(_, value, comment, _, said):
            yield from remark(said, indent)
            yield f"{margin}{statement.before}{value}{_comment(comment)}"
        case Initialize():
            yield f"{margin}{statement.call}"
        case Return(value, said):
            yield from remark(said, indent)
            yield f"{margin}return {value}"
        case Table(target, opening, rows, closing):
            yield f"{margin}{target} = {opening}"
            for row in rows:
                yield from remark(row.doc, indent + 4)
                yield f"{margin}    {row.value},{_comment(row.comment)}"
            yield f"{margin}{closing}"
        case If() | For():
            yield f"{margin}{_opening(statement)}"
            yield from (line for each in statement.body for line in _row(each, indent + 4))
        case Rows(body):
            yield from (line for each in body for line in _row(each, indent))


def _opening(statement: If | For) -> str:
    match statement:
        case If(condition):
            return f"if {condition}:"
        case For(variable, values):
            return f"for {variable} in {values}:"


def _comment(text: str) -> str:
    return f"  # {text}" if text else ""
