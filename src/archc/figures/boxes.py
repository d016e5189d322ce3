"""What is written in the boxes of a figure, and how large and of which colour they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from archc.figures.graph import GIVEN, RETURNED, Graph, Node
from archc.figures.layout import Layout, laid_out

FONT, LINE, INSIDE = 12, 16, 9
"""Sizes of letters, of lines and of margins in boxes, in pixels."""
LETTER = 0.6 * FONT
"""More than the mean width of a letter in the usual fonts without serifs."""
MOST = 34
"""Letters in a line."""

PALE = (
    ("#dcebf7", "#2f6f9f"),
    ("#fde5d0", "#b35a12"),
    ("#d9f0e3", "#1f7a52"),
    ("#f6e0ec", "#9c3f74"),
    ("#fbf3c6", "#857000"),
    ("#e4e0f5", "#5a4aa0"),
    ("#d6f1f2", "#1a7378"),
    ("#ececec", "#5c5c5c"),
)
"""Fill and edge of boxes: one pair for each block, in order; again from the first if they run out.
Letters in dark grey have a contrast of at least 10 to each fill."""
ENDS = ("#ffffff", "#777777")
"""Of what is taken and given."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node with its place in the figure."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    """Below the title and the shape."""
    fill: str
    edge: str

    @property
    def badge(self) -> str:
        """What stands at the right of the title."""
        return self.node.shape


@dataclass(frozen=True, slots=True)
class Figure:
    """A graph with everything in its place."""

    graph: Graph
    boxes: list[Box]
    layout: Layout


def figure(graph: Graph) -> Figure:
    """Boxes for all nodes, laid out."""
    texts = [tuple(lines(node)) for node in graph.nodes]
    sizes = [_size(node, text) for node, text in zip(graph.nodes, texts, strict=True)]
    layout = laid_out(sizes, graph.edges)
    colours = _colours(graph.nodes)
    boxes = [
        Box(node, x - w / 2, y - h / 2, w, h, text, *colours[node.kind])
        for node, (x, y), (w, h), text in zip(
            graph.nodes, layout.centres, sizes, texts, strict=True
        )
    ]
    return Figure(graph, boxes, layout)


def _colours(nodes: Sequence[Node]) -> dict[str, tuple[str, str]]:
    kinds = dict.fromkeys(node.kind for node in nodes)
    own = [kind for kind in kinds if kind not in (GIVEN, RETURNED)]
    return {GIVEN: ENDS, RETURNED: ENDS} | {k: PALE[i % len(PALE)] for i, k in enumerate(own)}


def title(node: Node) -> str:
    """The first line, at the left."""
    return clipped(node.title)


def lines(node: Node) -> Iterator[str]:
    """What stands below the first line."""
    if node.kind in (GIVEN, RETURNED):
        return
    times = f"{node.times} \N{MULTIPLICATION SIGN} " if node.times > 1 else ""
    yield clipped(f"{times}{node.kind}")
    yield from filled([*node.arguments])
    yield from map(clipped, node.notes)


def filled(words: Sequence[str], most: int = 2) -> Iterator[str]:
    """Words with commas in at most so many lines; three dots stand for those that are left."""
    rows: list[str] = []
    for i, word in enumerate(words):
        comma = "," if i + 1 < len(words) else ""
        if rows and wide(f"{rows[-1]} {word}{comma}") <= MOST:
            rows[-1] += f" {word}{comma}"
        elif len(rows) < most:
            rows.append(clipped(f"{word}{comma}"))
        else:
            rows[-1] = clipped(f"{rows[-1]} {'.' * MOST}")
            break
    yield from rows


def wide(text: str) -> int:
    """The width of a text in letters; those of East Asia count as two."""
    return len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text)


def clipped(text: str, most: int = MOST) -> str:
    """A text that is not wider than a line."""
    if wide(text) <= most:
        return text
    while wide(text) >= most:
        text = text[:-1]
    return f"{text.rstrip(' .,')}\N{HORIZONTAL ELLIPSIS}"


def _size(node: Node, text: Sequence[str]) -> tuple[float, float]:
    head = wide(title(node)) * 1.08 + wide(node.shape) + 2
    letters = max([head, *map(wide, text)])
    return round(letters * LETTER + 2 * INSIDE), LINE * (1 + len(text)) + 2 * INSIDE - 4
