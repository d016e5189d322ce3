"""Python text that ruff leaves as it is, whatever line length it is told from 88 up.

Ruff keeps what fits on a line, and keeps what is broken after a trailing comma. So a call stands on
one line of at most 88 columns, or has one argument a line, and nothing in between.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from keyword import iskeyword

WIDTH = 88


class Text:
    """What stands for its text: `str` gives it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Apply(Text):
    """A call: `callee(arguments)`. An argument is text, a call, or a named one.

    With `inputs` the result is called in turn, as Keras's layers are: on one input, or on a list.
    """

    callee: str
    arguments: tuple[Argument, ...]
    inputs: tuple[Expression, ...] = ()

    def __str__(self) -> str:
        return f"{self.callee}({', '.join(map(_argument, self.arguments))}){self.tail}"

    @property
    def tail(self) -> str:
        if len(self.inputs) > 1:
            return f"([{', '.join(map(str, self.inputs))}])"
        return f"({self.inputs[0]})" if self.inputs else ""


Expression = str | Text
Argument = Expression | tuple[str, Expression]


@dataclass(frozen=True, slots=True)
class Choice(Text):
    """`then if condition else otherwise`."""

    then: Expression
    condition: str
    otherwise: str
    kind: str = ""
    """The type that both have; "" where they may be of different kinds, so that no attribute may be
    given first one and then the other."""

    def __str__(self) -> str:
        condition = f"({self.condition})" if " if " in self.condition else self.condition
        then = f"({self.then})" if isinstance(self.then, Choice) else self.then
        return f"{then} if {condition} else {self.otherwise}"


def apply(callee: str, *arguments: Argument, **named: Expression) -> Apply:
    return Apply(callee, (*arguments, *named.items()))


def _argument(argument: Argument) -> str:
    if isinstance(argument, tuple):
        return f"{argument[0]}={argument[1]}"
    return str(argument)


def broken(expression: Expression, indent: int, before: str, after: str) -> Iterator[str]:
    """The lines of `before expression after`: one, or a call's with an argument a line."""
    line = f"{' ' * indent}{before}{expression}{after}"
    if len(line) <= WIDTH or not isinstance(expression, Apply) or not expression.arguments:
        yield line
        return
    if len(expression.inputs) > 1:
        yield from _on_list(expression, indent, before, after)
        return
    yield f"{' ' * indent}{before}{expression.callee}("
    for argument in expression.arguments:
        name, value = argument if isinstance(argument, tuple) else ("", argument)
        yield from broken(value, indent + 4, f"{name}=" if name else "", ",")
    yield f"{' ' * indent}){expression.tail}{after}"


def _on_list(expression: Apply, indent: int, before: str, after: str) -> Iterator[str]:
    """A layer on a list of inputs, one a line."""
    yield f"{' ' * indent}{before}{Apply(expression.callee, expression.arguments)}("
    yield f"{' ' * indent}    ["
    for x in expression.inputs:
        yield from broken(x, indent + 8, "", ",")
    yield f"{' ' * indent}    ],"
    yield f"{' ' * indent}){after}"


def docstring(text: str, indent: int = 0) -> list[str]:
    """`text` as a docstring that it cannot close; long lines are wrapped."""
    wrapped = (_wrapped(line, WIDTH - indent - 6) for line in text.split("\n"))
    lines = "\n".join(wrapped).strip().split("\n")
    if lines == [""]:
        return []
    if len(lines) == 1:
        return [f'"""{lines[0]}"""']
    return [f'"""{lines[0]}', *lines[1:], '"""']


_PRAGMA = re.compile(r"[\w.]+: ?\w|noqa|nosec|pragma|-\*-", re.IGNORECASE)


def remark(text: str, indent: int) -> Iterator[str]:
    """`text` as comments that no tool takes for an instruction."""
    said = " ".join(plain(text).replace("#", " ").split())
    said = f"Note: {said}" if _PRAGMA.match(said) else said
    margin = f"{' ' * indent}# "
    yield from textwrap.wrap(said, WIDTH, initial_indent=margin, subsequent_indent=margin)


def _wrapped(line: str, width: int) -> str:
    """A line of a docstring; what is indented goes on indented further."""
    lead = line[: len(line) - len(line.lstrip(" "))]
    return textwrap.fill(
        plain(line),
        width,
        break_long_words=False,
        initial_indent=lead,
        subsequent_indent=f"{lead}    " if lead else "",
    )


def plain(text: str) -> str:
    """`text` on one line, without what could end a docstring, hide on a screen, or be an example
    that doctest runs."""
    shown = "".join(c for c in text if c.isprintable() or c.isspace())
    line = " ".join(shown.split()).replace("\\", "/").replace('"', "'")
    return re.sub(">(?=>>)", "> ", line)


class Names:
    """Hands out names that are not taken yet."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)

    def new(self, wanted: str) -> str:
        name = wanted
        while name in self.taken or iskeyword(name):
            name += "_"
        self.taken.add(name)
        return name

    def every(self, wanted: Iterable[str]) -> dict[str, str]:
        """A name for each that is wanted."""
        return {name: self.new(name) for name in wanted}


def camel_case(name: str) -> str:
    """`inverted_residual` -> `InvertedResidual`, `frelu` -> `FReLU`."""
    parts = (part[:1].upper() + part[1:] for part in name.split("_"))
    return "".join(part.replace("relu", "ReLU") for part in parts) or name
