"""The table of a network as a paper prints it: a line a row, and a column an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archc.api import dims
from archc.compiler.ir.network import Network, Parameter, Row
from archc.compiler.language import expressions as ex
from archc.compiler.language.values import show
from archc.diff.compare import Diff
from archc.figures.graph import shown, single

INPUT, FROM, TAP = "input", "from", "tap"
"""Columns that are no argument; the last two where there is such a row."""

Cells = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    name: str
    mark: str
    block: str
    cells: Sequence[tuple[str, str]]
    """What each was, if it was something else, and what it is."""


@dataclass(frozen=True, slots=True)
class Table:
    columns: Sequence[str]
    entries: Sequence[Entry]


def of_one(network: Network) -> Table:
    """The table of a network."""
    cells = _cells(network)
    columns = _columns([network], cells.values())
    entries = [
        Entry(
            row.call.name, "", _block(row), [("", cells[row.call.name].get(c, "")) for c in columns]
        )
        for row in network.rows
    ]
    return Table(columns, entries)


def of_two(diff: Diff) -> Table:
    """The table of both, with the rows that a diff has, in its order."""
    old, new = diff.old.network, diff.new.network
    before, after = _cells(old), _cells(new)
    columns = _columns([new, old], [*after.values(), *before.values()])
    return Table(columns, [*_entries(diff, before, after, columns)])


def _entries(
    diff: Diff, before: Mapping[str, Cells], after: Mapping[str, Cells], columns: Sequence[str]
) -> Iterator[Entry]:
    for row in diff.rows:
        figures = row.new or row.old
        assert figures is not None
        was = before[row.former] if row.old else {}
        now = after[row.name] if row.new else was
        if FROM not in row.cells:  # of which another name for the same row is no change
            was = {**was, FROM: now.get(FROM, "")}
        pairs = [(_gone(was, now, column), now.get(column, "")) for column in columns]
        yield Entry(row.name, row.mark, figures.block, pairs)


def _gone(was: Cells, now: Cells, column: str) -> str:
    before = was.get(column, "")
    return "" if before == now.get(column, "") else before


def _block(row: Row) -> str:
    return row.call.body.target.name


def _columns(networks: Sequence[Network], cells: Iterable[Cells]) -> list[str]:
    """What a reader has to be told, in the order of the blocks that have most rows."""
    rows = [row for network in networks for row in network.rows]
    calls = Counter(row.call.body.target for row in rows)
    order = {row.call.body.target: row for row in reversed(rows)}
    names = dict.fromkeys(p.name for t, _ in calls.most_common() for p in _parameters(order[t]))
    told = {name for row in rows for name in _told(row)}
    there = {name for each in cells for name, text in each.items() if text}
    return [
        INPUT,
        *(FROM for _ in there & {FROM}),
        *(n for n in names if n in told),
        *there & {TAP},
    ]


def _told(row: Row) -> Iterator[str]:
    """The arguments of a row that are not what its block takes by default."""
    for parameter in _parameters(row):
        value, default = row.call.body.arguments.get(parameter.name), parameter.default
        usual = None if default is None else ex.text(default)
        if parameter.required or (value is not None and show(single(value)) != usual):
            yield parameter.name


def _parameters(row: Row) -> list[Parameter]:
    """What a call says of a row, less how its weights start, which no paper's table says."""
    return [p for p in row.call.body.target.parameters if p.type.kind != "initializer"]


def _cells(network: Network) -> dict[str, Cells]:
    names = [*[*network.inputs][::-1], *(row.call.name for row in network.rows)]
    first = len(network.inputs)
    found: dict[str, Cells] = {}
    for i, row in enumerate(network.rows):
        body = row.call.body
        fed = [names[feed + first] for feed in row.call.feeds]
        texts = {p.name: _text(body.arguments.get(p.name)) for p in _parameters(row)}
        above = fed == [names[i + first - 1]]
        more = {FROM: "" if above else ", ".join(fed), TAP: row.tap or ""}
        found[row.call.name] = {INPUT: dims(body.inputs[0].shape), **texts, **more}
    return found


def _text(value: object) -> str:
    """A value as a paper has it."""
    if value is None or value is False:
        return "-"
    return "yes" if value is True else shown(single(value))
