"""The compiler: one tuple of passes from a path to a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from archc.compiler import expressions as ex
from archc.compiler import parser
from archc.compiler.activations import check_serves
from archc.compiler.bind import Program, bind
from archc.compiler.elaborate import elaborate
from archc.compiler.interface import interface, output_channels
from archc.compiler.ir import Block, Network, Parameter
from archc.compiler.load import LARGE, Files, load
from archc.compiler.origins import Settings
from archc.compiler.problems import (
    Enough,
    Invalid,
    Place,
    Problem,
    Problems,
    Source,
    SpecError,
    in_reading_order,
    listed,
    quote,
    suggest,
)
from archc.compiler.reader import Scalar
from archc.compiler.values import ACTIVATIONS, KINDS
from archc.compiler.variants import Same

Result = tuple[Any, list[Problem]]


def check_network(files: Files) -> Result:
    """The same files, if the spec says what a network must say."""
    spec = files.spec
    assert spec is not None
    missing = [key for key in ("name", "input", "network") if getattr(spec, key) is None]
    if not missing:
        return files, []
    if spec.network is None and spec.blocks:
        message, hint = "this is a block library, not a network", "name a file that has a `network`"
        return None, [Problem("E016", message, spec.place, hint)]
    place, where = spec.place, ""
    if isinstance(spec.extends, Scalar):
        place, where = spec.extends.place, ", here and in the spec that this one extends"
    every = [Problem("E011", f"the key `{key}` is missing{where}", place) for key in missing]
    return None, every


def check_interfaces(program: Program) -> Result:
    """The same program, if generated code can spell every block of it."""
    problems = Problems()
    with suppress(Enough):
        terms = 0
        for block in program.blocks.values():
            try:
                terms += interface(block).terms
            except SpecError as error:
                problems.extend(error.problems)
            if terms > MAX_TERMS:
                problems.append(_too_many_terms(block))
                break
    if not problems:
        problems.extend(_defaults_of_channels(program))
    return (None if problems else program), problems


MAX_TERMS = 2**17
"""Of the channels of all blocks' steps."""


def _too_many_terms(block: Block) -> Problem:
    message = f"the channels of the steps up to here come to more than {MAX_TERMS:,} terms"
    return Problem("E044", message, block.place, "work them out under `let`")


def _defaults_of_channels(program: Program) -> Iterator[Problem]:
    """Defaults that decide the channels of a call in a block, whose code does not mention them."""
    invokes = [invoke for block in program.blocks.values() for _, invoke in block.invokes()]
    for invoke in invokes:
        channels = output_channels(invoke.target)
        given = program.defaults.get(invoke.target.name, {})
        for name in sorted(
            ex.names(channels).keys() & given.keys() - dict(invoke.arguments).keys()
        ):
            message = f"`{name}` of `{invoke.target.name}` decides how many channels a step gives"
            hint = "give it in the step, not under `defaults`"
            related = (("in this step", invoke.place),)
            yield Problem("E023", message, given[name].place, hint, related)


PASSES: tuple[Callable[[Any], Result], ...] = (load, check_network, bind, check_interfaces)
"""What happens to a path before its parameters have values. `elaborate` follows."""


def run(value: Any, passes: tuple[Callable[[Any], Result], ...] = PASSES) -> Any:
    """`value` through the passes, up to the first that finds problems. Raises `SpecError`."""
    first = str(value)
    for step in passes:
        value, problems = step(value)
        if problems:
            raise SpecError(in_reading_order(problems, first))
    return value


def compile_network(
    path: Path, settings: Mapping[str, object] | None = None, include: Iterable[Path] = ()
) -> Network:
    """The network that the file at `path` describes, with `settings` for its parameters.

    A setting is a value, or the text of one as on the command line. What the file uses may lie in
    folders to `include` too. Raises `SpecError`.
    """
    return compile_program(path, settings, include)[1]


def compile_program(
    path: Path, settings: Mapping[str, object] | None = None, include: Iterable[Path] = ()
) -> tuple[Program, Network]:
    """The network, and the program that it comes from. Raises `SpecError`."""
    program = _program(path, include)
    given = _settings(program, settings or {})
    return program, run(path, (lambda _: elaborate(program, given),))


def _program(path: Path, include: Iterable[Path]) -> Program:
    """The bound program of a path; bound anew only where a file's text has changed."""
    files, problems = load(path, include)
    if problems or files is None:
        raise SpecError(in_reading_order(problems, str(path)))
    large = sum(len(spec.place.source.text) for spec in (files.spec, *files.libraries) if spec)
    return (_bound if large < LARGE else _bound.__wrapped__)(str(path), _Key(files))


class _Key(Same):
    """Files, equal where the very same specs stand behind them."""

    def __init__(self, files: Files) -> None:
        super().__init__(files.spec, *files.libraries)
        self.files = files


@lru_cache(maxsize=32)
def _bound(name: str, key: _Key) -> Program:
    value: Any = key.files
    for step in PASSES[1:]:
        value, problems = step(value)
        if problems:
            raise SpecError(in_reading_order(problems, name))
    return value  # type: ignore[no-any-return]


def _settings(program: Program, given: Mapping[str, object]) -> Settings:
    parameters = {p.name: p for p in program.parameters}
    settings, problems = {}, []
    for name, value in given.items():
        text = f"{name}={_written(value)}"
        place = Place(Source("--set", text), 1, 1, len(text))
        if name not in parameters:
            known = listed(parameters) or "none"
            hint = suggest(name, parameters) or f"the parameters are {known}"
            problems.append(Problem("E050", f"unknown parameter {quote(name)}", place, hint))
            continue
        try:
            settings[name] = _setting(parameters[name], value, place, program.blocks), place
        except Invalid as invalid:
            problems.append(invalid.at(place))
        except SpecError as error:
            problems.extend(replace(problem, code="E051") for problem in error.problems)
    if problems:
        raise SpecError(problems)
    return settings


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
        return value
    if parameter.type.kind == "activation":
        return _activation(parameter, value, blocks)
    at = Place(place.source, 1, len(parameter.name) + 2, len(value))
    node = parser.parse(value, at)
    if not ex.is_constant(node):
        return parameter.take(value)
    misuses = (n.misuse() for n in ex.walk(node) if isinstance(n, ex.Call))
    problems = [misuse for misuse in misuses if misuse is not None]
    if problems:
        raise SpecError(problems)
    return parameter.take(node.evaluate({}))
