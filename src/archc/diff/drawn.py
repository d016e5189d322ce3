"""A diff as the text of a Mermaid flowchart: the changed rows, and where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from archc.compiler.language.problems import printable
from archc.diff.rows import RowDiff, shown
from archc.diff.told import Told, what
from archc.figures.boxes import clipped
from archc.figures.mermaid import escaped

STYLES: Mapping[str, tuple[str, str]] = {
    "": ("same", "fill:#ffffff,stroke:#999999,color:#555555,stroke-dasharray: 5 3"),
    "+": ("added", "fill:#d9f0e3,stroke:#1f7a52,color:#222222"),
    "-": ("removed", "fill:#fbdcdc,stroke:#a12a2a,color:#222222"),
    "~": ("changed", "fill:#fbf3c6,stroke:#857000,color:#222222"),
    ">": ("moved", "fill:#dcebf7,stroke:#2f6f9f,color:#222222"),
}
"""What a box of each mark is called, and looks like in light and dark pages."""
MOST_CELLS = 4
"""Of a row, each on a line of its own."""


@dataclass(slots=True)
class _Box:
    """Rows that follow each other and of which the same is to be said."""

    mark: str
    rows: list[RowDiff]
    news: set[str] = field(default_factory=set)
    """Which rows of the new network it stands for, and of the old one."""
    olds: set[str] = field(default_factory=set)


def mermaid(told: Told) -> str:
    """The whole flowchart; nothing where no row differs."""
    return "".join(f"{line}\n" for line in _lines(told)) if told.changed else ""


def _lines(told: Told) -> Iterator[str]:
    boxes = [*_boxes(told.diff.rows)]
    yield "flowchart TD"
    for i, box in enumerate(boxes):
        yield f'  n{i}["{"<br>".join(map(escaped, _label(box)))}"]'
    new, old = _edges(boxes)
    yield from (f"  n{a} --> n{b}" for a, b in new)
    yield from (f"  n{a} -.-> n{b}" for a, b in old)
    for mark, (name, style) in STYLES.items():
        if ids := [f"n{i}" for i, box in enumerate(boxes) if box.mark == mark]:
            yield f"  classDef {name} {style}"
            yield f"  class {','.join(ids)} {name}"


def _boxes(rows: list[RowDiff]) -> Iterator[_Box]:
    for (mark, *_), run in groupby(rows, _alike):
        box = _Box(mark, [*run])
        box.news = {row.name for row in box.rows if row.new}
        box.olds = {row.former for row in box.rows if row.old}
        yield box


def _alike(row: RowDiff) -> tuple[str, str]:
    """What rows in one box have in common; of those that are the same, nothing is said."""
    figures = row.new or row.old
    return row.mark, f"{figures and figures.block} {what(row)}" if row.mark else ""


def _label(box: _Box) -> Iterator[str]:
    first, last, count = box.rows[0], box.rows[-1], len(box.rows)
    yield clipped(f"{first.name} to {last.name}" if count > 1 else first.name)
    if not box.mark:
        yield f"{count} rows, the same" if count > 1 else "the same"
        return
    figures = last.new or last.old
    assert figures is not None
    # No line begins with the mark: some of them would begin a list of markdown.
    times = f"{count} \N{MULTIPLICATION SIGN} " if count > 1 else ""
    yield clipped(f"{STYLES[box.mark][0]} {times}{figures.block}")
    yield from map(clipped, _cells(first))
    yield from _figures(box.rows)


def _cells(row: RowDiff) -> Iterator[str]:
    """What a row says otherwise, each on a line; or else in what it differs."""
    if row.old is None or row.new is None:
        return
    cells = [f"{key} {was or '~'} to {now or '~'}" for key, (was, now) in row.cells.items()]
    yield from (printable(cell) for cell in cells[:MOST_CELLS])
    if cells[MOST_CELLS:]:
        yield f"and {len(cells) - MOST_CELLS} more"
    if not cells and (said := what(row)):
        yield printable(said)


def _figures(rows: list[RowDiff]) -> Iterator[str]:
    """What one row costs, and what the last gives."""
    a, b = rows[-1].old, rows[-1].new
    if a and b and a.params != b.params and len(rows) == 1:
        yield f"{a.params:,} to {b.params:,} parameters"
    shapes = dict.fromkeys(shown(side.output) for side in (a, b) if side)
    yield " to ".join(shapes)


Edges = list[tuple[int, int]]


def _edges(boxes: list[_Box]) -> tuple[Edges, Edges]:
    """From box to box, each once: what feeds what now, and what did so and does not any more."""
    news = {name: i for i, box in enumerate(boxes) for name in box.news}
    olds = {name: i for i, box in enumerate(boxes) for name in box.olds}
    rows = [(i, row) for i, box in enumerate(boxes) for row in box.rows]
    now = _between((news.get(f), i) for i, row in rows if row.new for f in row.new.feeds)
    before = _between((olds.get(f), i) for i, row in rows if row.old for f in row.old.feeds)
    gone = {i for i, box in enumerate(boxes) if box.mark == "-"}
    return now, [edge for edge in before if gone & {*edge}]


def _between(edges: Iterable[tuple[int | None, int]]) -> Edges:
    return [*dict.fromkeys((a, b) for a, b in edges if a is not None and a != b)]
