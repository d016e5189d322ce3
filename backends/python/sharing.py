"""Expressions that several layers are given, as a function of the module: said once, made anew for
each layer.

In: definitions. Out: the same with calls of such functions, and the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from archc.backends.python.model import (
    Assign,
    Code,
    Definition,
    For,
    If,
    Return,
    Rows,
    Shared,
    Statement,
)
from archc.backends.python.text import Apply, Argument, Expression, Names, apply

Name = Callable[[Sequence[tuple[str, str]]], str]
"""name(uses) -> what a shared expression is called; each use is a callee and a keyword."""


def shared(
    definitions: Sequence[Definition], prefix: str, name: Name, names: Names
) -> tuple[list[Definition], tuple[Shared, ...]]:
    """The definitions with what is called `prefix`... in several places made by a function."""
    uses: dict[str, list[tuple[str, str]]] = {}
    found: dict[str, Apply] = {}
    for each in definitions:
        for callee, keyword, value in _given((*each.body, *each.rest)):
            if value.callee.startswith(prefix) and _is_constant(value):
                found[str(value)] = value
                uses.setdefault(str(value), []).append((callee, keyword))
    several = [text for text, every in uses.items() if len(every) > 1]
    called = {text: names.new(name(uses[text])) for text in several}
    made = tuple(Shared(called[text], found[text]) for text in several)
    return [_renamed(each, called) for each in definitions], made


def _is_constant(value: Apply) -> bool:
    """Whether it mentions no variable."""
    return not any("[" in str(given) for given in value.arguments)


def _given(code: Code) -> Iterator[tuple[str, str, Apply]]:
    """The calls that are given to others by name, with the other and the name."""
    for statement in code:
        match statement:
            case Assign(value=value) | Return(value=value):
                yield from _within(value)
            case If(body=body) | For(body=body) | Rows(body=body):
                yield from _given(body)


def _within(value: Expression) -> Iterator[tuple[str, str, Apply]]:
    if not isinstance(value, Apply):
        return
    for argument in value.arguments:
        keyword, given = argument if isinstance(argument, tuple) else ("", argument)
        if isinstance(given, Apply):
            yield value.callee, keyword, given
            yield from _within(given)
    for inner in value.inputs:
        yield from _within(inner)


def _renamed(definition: Definition, called: Mapping[str, str]) -> Definition:
    body, rest = (tuple(_code(part, called)) for part in (definition.body, definition.rest))
    return replace(definition, body=body, rest=rest)


def _code(code: Code, called: Mapping[str, str]) -> Iterator[Statement]:
    for statement in code:
        match statement:
            case Assign(value=value) | Return(value=value):
                yield replace(statement, value=_value(value, called))
            case If(body=body) | For(body=body) | Rows(body=body):
                yield replace(statement, body=tuple(_code(body, called)))
            case _:
                yield statement


def _value(value: Expression, called: Mapping[str, str]) -> Expression:
    if not isinstance(value, Apply):
        return value
    if str(value) in called:
        return apply(called[str(value)])
    arguments = tuple(_argument(argument, called) for argument in value.arguments)
    inputs = tuple(_value(inner, called) for inner in value.inputs)
    return replace(value, arguments=arguments, inputs=inputs)


def _argument(argument: Argument, called: Mapping[str, str]) -> Argument:
    if isinstance(argument, tuple):
        return argument[0], _value(argument[1], called)
    return _value(argument, called)
