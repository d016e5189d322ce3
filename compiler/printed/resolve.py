"""A network as one flat spec: no base, no library, no parameter but those kept, every number known.

Comments say what was rounded, and from what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import indent

from archc.compiler.bind.program import SIDES, Program
from archc.compiler.bind.settings import Given
from archc.compiler.elaborate.elaborator import usual
from archc.compiler.ir.catalogue import CATALOGUE
from archc.compiler.ir.network import OUTPUT, Block, Body, Input, Network, Op, Parameter, Row
from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import (
    Composite,
    Literal,
    Value,
    show,
    spell,
    spell_alone,
    text,
)
from archc.compiler.language.names import INPUT
from archc.compiler.language.problems import Problem, Source, SpecError, file_name, quote
from archc.compiler.pipeline import compile_program
from archc.compiler.printed import writer
from archc.compiler.printed.roundings import Roundings
from archc.compiler.spec import reader
from archc.compiler.spec.models import FORMAT, BlockSpec
from archc.compiler.spec.rows import TableSpec

Cells = dict[str, str]
"""The text of a row by key and argument."""


def resolve(
    path: Path | Source, settings: Given | None = None, include: Iterable[Path] = ()
) -> str:
    """The spec at `path` with `settings`, as a flat one that comes to the same network.

    Raises `SpecError`: what `compile_network` does, and E015 where a kept parameter is called like
    a word that has to be written.
    """
    program, network = compile_program(path, settings, include)
    file = Path(path.name) if isinstance(path, Source) else path
    _check_words(network)
    needed, roundings = _needed(network), Roundings(program, network)
    parts = (
        _head(program, network, roundings, file_name(file)),
        _keys(network, {block.name for block in needed}),
        _entries(network, roundings),
        _blocks((block.name, program.definitions[block.name]) for block in needed),
    )
    return "".join(f"{line}\n" for part in parts for line in part)


def _head(program: Program, network: Network, roundings: Roundings, source: str) -> Iterator[str]:
    settings = [f"{name}={show(network.settings[name])}" for name in network.changed]
    given = f" with {', '.join(settings)}" if settings else ""
    yield f"# {quote(source)}{given}: every number worked out."
    yield from (f"# {line}" for line in roundings.of_values())
    yield f"archc: {FORMAT}"
    yield f"name: {writer.text(network.name)}"
    for key in ("source", "doc"):
        if getattr(program.spec, key):
            yield f"{key}: {writer.text(getattr(program.spec, key))}"


def _keys(network: Network, blocks: set[str]) -> Iterator[str]:
    if network.kept:
        yield "params:"
        yield from (f"  {writer.text(p.name)}: {_parameter(p)}" for p in network.kept)
    if [*network.inputs] == [INPUT]:
        yield f"input: {_input(network.inputs[INPUT])}"
    else:
        yield "inputs:"
        yield from (f"  {name}: {_input(own)}" for name, own in network.inputs.items())
    if network.output_stride is not None:
        yield f"output_stride: {network.output_stride.stride}"
        yield from ["dilate_strided: true"] if network.output_stride.itself else []
    known = {name: own for name, own in network.defaults.items() if name in {*CATALOGUE, *blocks}}
    if any(known.values()):
        yield "defaults:"
    for name, own in known.items():
        if own:
            values = {key: writer.value(value) for key, value in own.items()}
            yield f"  {writer.text(name)}: {writer.mapping(values)}"


def _input(own: Input) -> str:
    sides = {key: getattr(own.tensor, key) for key in SIDES}
    given = {key: str(side) for key, side in sides.items() if side is not None}
    given |= {"range": writer.value(own.range)} if own.range else {}
    given |= {"doc": writer.text(own.doc)} if own.doc else {}
    return writer.mapping(given)


def _parameter(parameter: Parameter) -> str:
    assert isinstance(parameter.default, Literal)
    default = writer.value(parameter.default.value, spell_alone)
    keys = {"type": str(parameter.type), "default": default}
    bounds = {key: getattr(parameter, key) for key in ("min", "max", "above", "below")}
    keys |= {key: spell(bound) for key, bound in bounds.items() if bound is not None}
    keys |= {"usual": f"[{', '.join(map(spell, parameter.usual))}]"} if parameter.usual else {}
    doc = {"doc": writer.text(parameter.doc)} if parameter.doc else {}
    return writer.mapping({**keys, "keep": "true", **doc})


# ---------------------------------------------------------------------------------------- rows


def _entries(network: Network, roundings: Roundings) -> Iterator[str]:
    """The rows; those that go by number as a table of their group."""
    yield "network:"
    rows = [(row, _row(row, index, network)) for index, row in enumerate(network.rows)]
    for group, members in groupby(rows, key=lambda pair: pair[0].group):
        every = [*members]
        said = ["; ".join(roundings.of_row(row)) for row, _ in every]
        notes = [f"  # {comment}" if comment else "" for comment in said]
        cells = [own for _, own in every]
        if group:
            yield from _table(group, cells, notes)
        else:
            alone = zip(cells, notes, strict=True)
            yield from (f"  - {writer.mapping(own)}{note}" for own, note in alone)


def _row(row: Row, index: int, network: Network) -> Cells:
    body, target = row.call.body, row.call.body.target
    cells = {"block": writer.text(target.name)}
    if row.group is None and row.call.name != target.name:
        cells["name"] = writer.text(row.call.name)
    given, own = usual(target, network.defaults), body.written or body.arguments
    for name in target.parameter:
        if name in row.spelled:
            cells[name] = writer.expression(text(row.spelled[name]))
        elif name not in given or given[name] != own[name]:
            cells[name] = writer.value(own[name])
    if target.variadic or row.call.feeds != tuple(index - 1 - n for n in range(len(target.inputs))):
        cells["from"] = f"[{', '.join(_source(feed, index, network) for feed in row.call.feeds)}]"
    if row.when is not None:
        cells["when"] = writer.expression(text(row.when))
    if not row.dilate:
        cells["dilate"] = "false"
    if row.tap is not None:
        cells["tap"] = writer.text(row.tap)
    if row.output is not None and (row is not network.rows[-1] or row.output != OUTPUT):
        cells["output"] = writer.text(row.output)
    if row.output is not None and row.training:
        cells["training_only"] = "true"
    if row.doc:
        cells["doc"] = writer.text(row.doc)
    return cells


def _source(feed: int, index: int, network: Network) -> str:
    """What feeds the row of that index: how far above it is, or one of several inputs by name."""
    names = [*network.inputs]
    return names[-1 - feed] if feed < 0 and len(names) > 1 else str(feed - index)


def _table(group: str, rows: Sequence[Cells], notes: Sequence[str]) -> Iterator[str]:
    columns = _columns(rows)
    head = [writer.text(column) for column in columns]
    lines = [[cells.get(column, "~") for column in columns] for cells in rows]
    indented = len("- columns: [") - len("    - [")
    head[0] = head[0].rjust(len(head[0]) + indented)
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    unnamed = group == TableSpec.model_fields["name"].default
    name = "" if unnamed else f"name: {writer.text(group)}\n    "
    yield f"  - {name}columns: [{_aligned(head, widths)[indented:]}]"
    yield "    rows:"
    written = [f"[{_aligned(line, widths)}]" for line in lines]
    longest = max(map(len, written))
    for line, note in zip(written, notes, strict=True):
        yield f"      - {line.ljust(longest)}{note}".rstrip()


def _columns(rows: Sequence[Cells]) -> list[str]:
    """Every key of the rows; those of the fullest row first, as its block declares them."""
    fullest = sorted(rows, key=len, reverse=True)
    return [*dict.fromkeys(name for cells in fullest for name in cells)]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [f"{cell},".ljust(width + 1) for cell, width in zip(cells, widths, strict=True)]
    return " ".join([*padded[:-1], cells[-1]])


# -------------------------------------------------------------------------------------- blocks


def _needed(network: Network) -> list[Block]:
    """The blocks that rows call or name, and those that these do."""
    given = network.defaults
    pending = [target for row in network.rows for target in _called(row.call.body)]
    pending += [value for row in network.rows for value in _values(row.call.body.arguments)]
    pending += [value for op in CATALOGUE for value in _values(given.get(op, {}))]
    blocks = (target for target in pending if isinstance(target, Block))
    return [*closure(blocks, lambda b: [*b.names(), *_values(given.get(b.name, {}))])]


def _values(arguments: Mapping[str, Value]) -> Iterator[Block]:
    return (value for value in arguments.values() if isinstance(value, Block))


def _called(body: Body) -> Iterator[Op | Block]:
    yield body.target
    for call in body.calls:
        yield from _called(call.body)


def _blocks(definitions: Iterable[tuple[str, BlockSpec]]) -> Iterator[str]:
    for index, (name, block) in enumerate(definitions):
        yield "" if index else "blocks:"
        yield f"  {writer.text(name)}:"
        written = {key: node for key, node in block.mapping.items() if key != "replace"}
        yield indent(writer.lines(reader.Mapping(written)), "    ")


def _check_words(network: Network) -> None:
    """Raises `SpecError` (E015) for a word that would mean a kept parameter."""
    kept = {parameter.name: parameter for parameter in network.kept}
    rows = [value for row in network.rows for value in row.call.body.arguments.values()]
    given = [value for own in network.defaults.values() for value in own.values()]
    defaults = [p.default.value for p in network.kept if isinstance(p.default, Literal)]
    for value in (*rows, *given, *defaults):
        value = str(value) if isinstance(value, Composite) else value
        place = kept[value].place if isinstance(value, str) and value in kept else None
        if place is not None:
            message = f"the parameter `{value}` hides the word `{value}`, which a row has to say"
            raise SpecError([Problem("E015", message, place, "call the parameter otherwise")])
