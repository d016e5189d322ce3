"""A figure as SVG: text, the same for the same network, with no font or script from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from archc.figures.boxes import FONT, INSIDE, LINE, Box, figure, title
from archc.figures.graph import Graph, Node
from archc.figures.layout import Piece

MARGIN = 12
STYLE = f"""
.archc text {{ font: {FONT}px Helvetica, Arial, "Liberation Sans", sans-serif; fill: #222222 }}
.archc .name {{ font-weight: bold }}
.archc .shape {{ text-anchor: end; fill: #444444 }}
.archc .edge {{ fill: none; stroke: #777777; stroke-width: 1.4 }}
.archc .tip {{ fill: #777777 }}
.archc .node rect {{ stroke-width: 1.2 }}
.archc .optional rect {{ stroke-dasharray: 5 3 }}
"""


def document(graph: Graph) -> str:
    """A whole file."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{element(graph)}'


def _nowhere(node: Node) -> str:
    return ""


def element(
    graph: Graph,
    alone: bool = True,
    link: Callable[[Node], str] = _nowhere,
    changed: Collection[str] = (),
) -> str:
    """An <svg>. Where it does not stand `alone`, its page has `STYLE`. `link` gives the address
    that a box leads to, and `changed` are names of boxes that stand out."""
    found = figure(graph)
    width, height = (round(n + 2 * MARGIN) for n in (found.layout.width, found.layout.height))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="archc" role="img" width="{width}"'
        f' height="{height}" viewBox="{-MARGIN} {-MARGIN} {width} {height}">'
    )
    parts = [head, f"<title>{escape(graph.title)}</title>"]
    parts += [f"<style>{STYLE}</style>"] if alone else []
    parts += map(_edge, found.layout.pieces)
    for box in found.boxes:
        parts += _linked(_box(box, box.node.name in changed), link(box.node))
    return "\n".join([*parts, "</svg>", ""])


def _linked(markup: Iterable[str], address: str) -> Iterator[str]:
    if address:
        yield f"<a href={quoteattr(address)}>"
    yield from markup
    if address:
        yield "</a>"


def _edge(piece: Piece) -> str:
    """A line that leaves and arrives upright."""
    (x, y), (_, bend), (over, top), (_, end) = piece.start, piece.bend, piece.top, piece.end
    half = (bend + top) / 2
    tip = 6 if piece.arrow else 0
    path = f"M{_n(x)} {_n(y)}V{_n(bend)}"
    if abs(over - x) > 0.05:
        path += f"C{_n(x)} {_n(half)} {_n(over)} {_n(half)} {_n(over)} {_n(top - tip)}"
    line = f'<path class="edge" d="{path}V{_n(end - tip)}"/>'
    if not piece.arrow:
        return line
    corners = f"M{_n(over)} {_n(end)}l-4 -7h8z"
    return f'{line}<path class="tip" d="{corners}"/>'


def _box(box: Box, changed: bool) -> Iterator[str]:
    node, x = box.node, box.x + INSIDE
    kind = f"node{' optional' if node.optional else ''}{' changed' if changed else ''}"
    yield f'<g class="{kind}" data-name={quoteattr(node.name)}>'
    yield f"<title>{escape(said(box))}</title>"
    yield (
        f'<rect x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" height="{_n(box.height)}"'
        f' rx="5" fill="{box.fill}" stroke="{box.edge}"/>'
    )
    y = box.y + INSIDE + FONT - 3
    yield _text("name", x, y, title(node))
    yield _text("shape", box.x + box.width - INSIDE, y, node.shape)
    for i, line in enumerate(box.lines, 1):
        yield _text("", x, y + i * LINE, line)
    yield "</g>"


def said(box: Box) -> str:
    """All that is known of a node, in a line."""
    node = box.node
    times = f"{node.times} times " if node.times > 1 else ""
    every = [f"{times}{node.kind}", *node.arguments, *node.notes, f"gives {node.shape}", node.doc]
    return f"{node.title}: {', '.join(filter(None, every))}"


def _text(kind: str, x: float, y: float, text: str) -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{_n(x)}" y="{_n(y)}">{escape(text)}</text>'


def _n(number: float) -> str:
    """Tenths of a pixel are enough."""
    return f"{round(number, 1) + 0.0:.1f}".removesuffix(".0")
