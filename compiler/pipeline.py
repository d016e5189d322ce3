"""The compiler: one tuple of passes from a path to a network, and the loop that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from archc.compiler.bind.program import Program, bind
from archc.compiler.bind.settings import Given, read_settings
from archc.compiler.elaborate.network import elaborate
from archc.compiler.ir.interface import interface, output_channels
from archc.compiler.ir.network import Network
from archc.compiler.language import expressions as ex
from archc.compiler.language.problems import (
    Enough,
    Problem,
    Reporter,
    Source,
    SpecError,
    in_reading_order,
)
from archc.compiler.spec.load import LARGE, Files, load
from archc.compiler.spec.models import Spec

if TYPE_CHECKING:
    from archc.compiler.elaborate.inference import Fold
    from archc.compiler.elaborate.merging import Merge
    from archc.compiler.elaborate.preceding import Lead

Gone: TypeAlias = "tuple[Fold | Merge | Lead, ...]"
"""What is gone into which layers of a network for inference, in the order to do it in."""
Result = tuple[Any, list[Problem]]
Pass = Callable[[Any], Result]
"""A pass takes a value, and returns the next one and what is wrong."""


def check_network(files: Files) -> Result:
    """The same files, if the spec says what a network must say."""
    spec = files.spec
    assert spec is not None
    said = {"name": spec.name, "input": spec.input or spec.inputs, "network": spec.network}
    missing = [key for key, value in said.items() if value is None]
    if not missing:
        return files, [*_both_inputs(spec)]
    if spec.network is None and spec.blocks:
        message, hint = "this is a block library, not a network", "name a file that has a `network`"
        return None, [Problem("E016", message, spec.place, hint)]
    place, where = spec.place, ""
    if spec.extends is not None:
        place, where = spec.extends.place, ", here and in the spec that this one extends"
    every = [Problem("E011", f"the key `{key}` is missing{where}", place) for key in missing]
    return None, every


def _both_inputs(spec: Spec) -> Iterator[Problem]:
    """What is wrong with one input beside several."""
    if spec.input is not None and spec.inputs is not None:
        message, hint = "`input` is for a network of one input, `inputs` for several", "keep one"
        related = (("the other", spec.key_place("input")),)
        yield Problem("E012", message, spec.key_place("inputs"), hint, related)


def check_interfaces(program: Program) -> Result:
    """The same program, if generated code can spell every block of it."""
    reporter = Reporter()
    with suppress(Enough):
        terms = 0
        for block in program.blocks.values():
            with reporter.blaming(block.place):
                terms += interface(block).terms
            if terms > MAX_TERMS:
                message = (
                    f"the channels of the steps up to here come to more than {MAX_TERMS:,} terms"
                )
                reporter.report("E044", message, block.place, "work them out under `let`")
                break
    if not reporter.problems:
        reporter.tell(_defaults_of_channels(program))
    return (None if reporter.problems else program), reporter.problems


MAX_TERMS = 2**17
"""Of the channels of all blocks' steps."""


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


def passes(given: Given, include: Iterable[Path]) -> tuple[Pass, ...]:
    """What happens to a path on its way to a network, in order. A test can stop before any pass."""
    return (
        partial(load, include=include),
        check_network,
        bind,
        check_interfaces,
        partial(elaborate_with, given),
    )


def elaborate_with(given: Given, program: Program) -> Result:
    """The network that `program` is with the settings that are `given`."""
    settings, problems = read_settings(program, given)
    return (None, problems) if problems else elaborate(program, settings)


def run(value: Any, passes: tuple[Pass, ...], name: str | None = None) -> Any:
    """`value` through the passes, up to the first that finds problems. Raises `SpecError`, with the
    problems of the file called `name` first: that of the path, where `value` is one."""
    name = _name(value) if name is None else name
    for step in passes:
        value, problems = step(value)
        if problems:
            raise SpecError(in_reading_order(problems, name))
    return value


def _name(value: object) -> str:
    """What problems call the file that a spec is read from."""
    return value.name if isinstance(value, Source) else str(value)


def compile_network(
    path: Path | Source, settings: Given | None = None, include: Iterable[Path] = ()
) -> Network:
    """The network that the file at `path`, or a text, describes, with `settings` for parameters.

    A setting is a value, or the text of one as on the command line. What the file uses may lie in
    folders to `include` too. Raises `SpecError`.
    """
    return compile_program(path, settings, include)[1]


def compile_program(
    path: Path | Source, settings: Given | None = None, include: Iterable[Path] = ()
) -> tuple[Program, Network]:
    """The network, and the program that it comes from. Raises `SpecError`.

    The files are looked at each time, and bound anew only where the text of one has changed.
    """
    first, *middle, last = passes(settings or {}, include)
    files = run(path, (first,))
    specs = (spec for spec in (files.spec, *files.libraries) if spec is not None)
    size = sum(len(spec.place.source.text) for spec in specs)
    bound = _bound if size < LARGE else _bound.__wrapped__
    program = bound(files, tuple(middle), _name(path))
    return program, run(program, (last,), _name(path))


def is_library(path: Path, include: Iterable[Path] = ()) -> bool:
    """Whether the file at `path` has blocks and no network; not where it cannot be read."""
    files, _ = load(path, include)
    return files is not None and files.spec is not None and _is_library(files.spec)


def _is_library(spec: Spec) -> bool:
    return spec.network is None and spec.extends is None and bool(spec.blocks)


def check_library(path: Path, include: Iterable[Path] = ()) -> Program | None:
    """The blocks of the library at `path`, with all that can be said of them without a network;
    None where the file has a network, or nothing but words. Raises `SpecError`."""
    files = run(path, (partial(load, include=include),))
    return None if not _is_library(files.spec) else run(files, (bind, check_interfaces), str(path))


def compile_for_inference(
    program: Program, network: Network, settings: Given, name: str
) -> tuple[Program, Network, Gone]:
    """What is left of a program and its network for inference, and what is gone. Raises
    `SpecError`, with the problems of the file called `name` first."""
    from archc.compiler.elaborate.inference import folds, for_inference
    from archc.compiler.elaborate.joining import joined
    from archc.compiler.elaborate.merging import merged
    from archc.compiler.elaborate.preceding import preceding

    elaborate = (partial(elaborate_with, settings),)
    left, by_block = for_inference(program)
    found = run(left, elaborate, name)
    gone: list[Fold | Merge | Lead] = [*folds(network, by_block)]
    looks: tuple[Callable[[Program, Network], tuple[Program, Gone]], ...] = (merged, preceding)
    for look in looks:
        left, more = look(left, found)
        while more:
            gone += more
            found = run(left, elaborate, name)
            left, more = look(left, found)
    found, by_row = joined(found)
    return left, replace(found, inference=True), (*gone, *by_row)


@lru_cache(maxsize=32)
def _bound(files: Files, passes: tuple[Pass, ...], name: str) -> Program:
    return run(files, passes, name)  # type: ignore[no-any-return]
