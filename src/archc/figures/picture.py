"""A figure as PNG, from the same layout as the SVG. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path as File
from typing import Any

from archc.figures.boxes import FONT, INSIDE, LINE, Box, figure, title
from archc.figures.graph import Graph
from archc.figures.layout import Piece
from archc.figures.svg import MARGIN

DOTS = 72
"""Pixels of the layout per inch of matplotlib's; a PNG has twice as many."""
MOST = 2**15
"""Pixels of a side that readers of PNG take."""


def draw(graph: Graph, path: File) -> None:
    """Draws into the file. Raises `ModuleNotFoundError` without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = figure(graph)
    width, height = (n + 2 * MARGIN for n in (found.layout.width, found.layout.height))
    scale = min(2.0, MOST / max(width, height))
    with pyplot.rc_context({"font.family": "DejaVu Sans", "font.size": FONT * 0.9}):
        drawn = pyplot.figure(figsize=(width / DOTS, height / DOTS))
        axes = drawn.add_axes((0, 0, 1, 1))
        axes.set_xlim(-MARGIN, width - MARGIN)
        axes.set_ylim(height - MARGIN, -MARGIN)
        axes.axis("off")
        for piece in found.layout.pieces:
            _edge(axes, piece)
        for box in found.boxes:
            _box(axes, box)
        drawn.savefig(path, dpi=DOTS * scale, metadata={"Software": "archc"}, format="png")
        pyplot.close(drawn)


def _edge(axes: Any, piece: Piece) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    (x, bend), (over, top), (_, end) = piece.bend, piece.top, piece.end
    half, tip = (bend + top) / 2, 6 if piece.arrow else 0
    corners = [
        piece.start,
        (x, bend),
        (x, half),
        (over, half),
        (over, top - tip),
        (over, end - tip),
    ]
    codes = [Path.MOVETO, Path.LINETO, *[Path.CURVE4] * 3, Path.LINETO]
    axes.add_patch(PathPatch(Path(corners, codes), fill=False, edgecolor="#777777", linewidth=1.2))
    if piece.arrow:
        tip_at = [(over, end), (over - 4, end - 7), (over + 4, end - 7)]
        axes.add_patch(Polygon(tip_at, facecolor="#777777", edgecolor="none"))


def _box(axes: Any, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    dashes = (0, (5, 3)) if box.node.optional else "-"
    style = "round,pad=0,rounding_size=5"
    outline: dict[str, Any] = {"facecolor": box.fill, "edgecolor": box.edge, "linestyle": dashes}
    corner = (box.x, box.y)
    axes.add_patch(FancyBboxPatch(corner, box.width, box.height, boxstyle=style, **outline))
    x, y = box.x + INSIDE, box.y + INSIDE + FONT - 3
    plain = {"color": "#222222", "parse_math": False}
    axes.text(x, y, title(box.node), weight="bold", **plain)
    axes.text(box.x + box.width - INSIDE, y, box.node.shape, ha="right", **plain)
    for i, line in enumerate(box.lines, 1):
        axes.text(x, y + i * LINE, line, **plain)
