"""Settings of a network's parameters, from the command line and from Python.

In goes what a person gave by name, text or a value of any kind; out come values of the language,
each with a place of its own, since a problem of a setting stands in no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from archc.compiler.bind.program import Program
from archc.compiler.bind.values import Scope, ValueBinder
from archc.compiler.ir.activations import check_serves
from archc.compiler.ir.network import Block, Parameter
from archc.compiler.language import expressions as ex
from archc.compiler.language import parser
from archc.compiler.language.expressions import Value
from archc.compiler.language.problems import (
    Invalid,
    Place,
    Problem,
    Reporter,
    Source,
    SpecError,
    listed,
    quote,
    suggest,
)
from archc.compiler.language.values import ACTIVATIONS, KINDS, Type

Given = Mapping[str, object]
"""Settings as they are given: values, or their text as on the command line, by name."""
Settings = Mapping[str, tuple[Value, Place]]
"""Values of parameters, each with a place."""


def read_settings(program: Program, given: Given) -> tuple[Settings, list[Problem]]:
    """The settings that are `given` by name, as values of the program's parameters, and what is
    wrong with them (E050, E051, or what a parameter says of a value)."""
    parameters = {p.name: p for p in program.parameters}
    settings: dict[str, tuple[Value, Place]] = {}
    reporter = Reporter()
    for name, value in given.items():
        place, within = _places(name, value)
        if name not in parameters:
            known = listed(parameters) or "none"
            hint = suggest(name, parameters) or f"the parameters are {known}"
            where = name.place if isinstance(name, ex.Word) else place
            reporter.report("E050", f"unknown parameter {quote(name)}", where, hint)
            continue
        with reporter.blaming(place):
            settings[name] = _setting(parameters[name], value, within, program.blocks), place
    return settings, reporter.problems


def _places(name: str, value: object) -> tuple[Place, Place]:
    """Where a setting stands, and where its value does: in a file, if it comes out of one."""
    if issubclass(type(value), ex.Word):
        word: Any = value
        return word.place, word.place
    text = f"{name}={_written(value)}"
    place = Place(Source("--set", text), 1, 1, len(text))
    return place, place.at(len(name) + 1, max(1, len(text) - len(name) - 1))


def _written(value: object) -> str:
    """A setting as a message shows it; the text of an object that is no setting may be anything."""
    try:
        plain = _plain(value, "")
    except Invalid:
        return f"... ({type(value).__name__})"
    return str(list(plain) if isinstance(plain, tuple) else plain)


MOST_ITEMS = 16
"""Of a list that is given for a parameter."""


def _plain(value: object, what: str) -> Any:
    """A setting from Python as a value of the language. Raises `Invalid`."""
    if issubclass(type(value), list | tuple):
        items: Any = value
        return tuple(_scalar(item, what) for item in items[: MOST_ITEMS + 1])
    return _scalar(value, what)


def _scalar(value: Any, what: str) -> Any:
    if not issubclass(type(value), tuple(PLAIN)):
        with suppress(Exception):  # a number of NumPy's or a framework's; or an object of any kind
            value = value.item()
    kind = next((kind for kind in PLAIN if issubclass(type(value), kind)), None)
    if kind is None:
        message = f"{what} is a {quote(type(value).__name__)}, which is no value of a parameter"
        raise Invalid("E034", message)
    if kind is int and not -ex.LARGEST <= int.__int__(value) <= ex.LARGEST:
        raise Invalid("E035", f"{what} is not a number between -2**53 and 2**53")
    return PLAIN[kind](value)


PLAIN: Mapping[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    type(None): lambda value: value,
    ex.Definition: lambda value: value,
    ex.Composite: lambda value: value,
}
"""What a setting can be, and how it is itself and not what a class made of it."""


def _activation(parameter: Parameter, value: str, blocks: Mapping[str, Block]) -> Any:
    if value in blocks:
        return check_serves(blocks[value])
    try:
        return parameter.take(None if value == "none" else value)
    except Invalid as invalid:
        hint = suggest(value, [*ACTIVATIONS, *blocks]) or invalid.hint
        raise Invalid(invalid.code, invalid.message, hint) from None


def _setting(parameter: Parameter, value: object, place: Place, blocks: Mapping[str, Block]) -> Any:
    value = _plain(value, f"`{parameter.name}`")
    if not isinstance(value, str):
        return parameter.take(value)
    if value in KINDS[parameter.type.kind].words:
        return parameter.take(value)
    if parameter.type.kind == "activation":
        return _activation(parameter, value, blocks)
    return parameter.take(_worked_out(value, place, parameter.type))


def _called(node: ex.Call, kind: Type) -> Value:
    """The initializer that a call comes to. Raises `SpecError`."""
    binder = ValueBinder({})
    bound = binder.value(node, Scope({}, hint="write a number"), kind)
    if binder.problems:
        raise SpecError(binder.problems)
    return bound.evaluate({})


def _worked_out(text: str, place: Place, kind: Type) -> Value:
    """What an expression comes to, or its text if it mentions names. Raises `SpecError` (E051)."""
    try:
        node = parser.parse(text, place)
        if kind.kind == "initializer" and isinstance(node, ex.Call):
            return _called(node, kind)
        if not ex.is_constant(node):
            return text
        if problems := ex.misuses(node):
            raise SpecError(problems)
        return node.evaluate({})
    except SpecError as error:
        raise SpecError(replace(problem, code="E051") for problem in error.problems) from None
