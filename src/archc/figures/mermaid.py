"""A figure as the text of a Mermaid flowchart, which GitHub and GitLab draw in markdown."""

from __future__ import annotations

from collections.abc import Iterator

from archc.figures.boxes import lines, title
from archc.figures.graph import GIVEN, RETURNED, Graph, Node

SAFE = " .,-_/()\N{MULTIPLICATION SIGN}\N{HORIZONTAL ELLIPSIS}"


def text(graph: Graph) -> str:
    """The whole flowchart."""
    return "\n".join([*_lines(graph), ""])


def _lines(graph: Graph) -> Iterator[str]:
    yield "flowchart TD"
    yield "  %% archc"
    for i, node in enumerate(graph.nodes):
        start, end = ('(["', '"])') if node.kind in (GIVEN, RETURNED) else ('["', '"]')
        yield f"  n{i}{start}{_label(node)}{end}"
    for a, b in graph.edges:
        yield f"  n{a} --> n{b}"
    if optional := [f"n{i}" for i, node in enumerate(graph.nodes) if node.optional]:
        yield "  classDef optional stroke-dasharray: 5 3"
        yield f"  class {','.join(optional)} optional"


def _label(node: Node) -> str:
    every = [title(node), *lines(node), node.shape]
    return "<br>".join(map(escaped, every))


def escaped(text: str) -> str:
    """A text of which nothing is markup: what is no letter or digit is written as its number."""
    return "".join(c if c.isalnum() or c in SAFE else f"#{ord(c)};" for c in text)
