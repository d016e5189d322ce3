"""The lines of a report's table: every row with its figures, and what is inside of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from archc.api import Layer, Net, dims
from archc.compiler.ir import analysis
from archc.compiler.ir.network import Block, Body
from archc.compiler.language.problems import printable
from archc.diff.compare import Diff
from archc.diff.rows import shown
from archc.diff.told import what
from archc.figures.graph import inside, of_rows
from archc.figures.svg import element

NAMES = ("parameters", "MACs", "activations", "sees")
"""Of the figures that have a bar, in their order."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure as text, and as a share of the largest of its column in percent."""

    text: str
    share: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What a row gives and costs, at the declared input and batch 1, by `NAMES`."""

    numbers: tuple[int, int, int, int]
    texts: tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table. Texts are printable; `figure` is markup."""

    anchor: str
    name: str
    block: str
    arguments: str
    notes: str
    doc: str
    output: str
    bars: tuple[Bar, ...]
    before: tuple[Bar, ...] = ()
    """Of the old network, where there is one."""
    mark: str = ""
    what: str = ""
    """What has become of it, in words."""
    figure: str = ""
    alike: str = ""
    """The row above that is the same inside: its name."""
    steps: tuple[Layer, ...] = ()


def lines(net: Net, prefix: str = "row") -> list[Line]:
    """Every row of a network, in order. `prefix` begins the anchors."""
    return _Lines(net, prefix).every()


def compared(diff: Diff) -> list[Line]:
    """Every row of two networks: those of the new one, with the old one's figures beside them, and
    removed ones."""
    olds, news = _Lines(diff.old, "old"), _Lines(diff.new, "row")
    most = [max(pair) for pair in zip(olds.most, news.most, strict=True)]
    olds.most = news.most = most
    found = []
    for row in diff.rows:
        said = (
            what(row)
            if row.mark in ("~", ">")
            else {"+": "added", "-": "removed"}.get(row.mark, "")
        )
        own = news if row.new else olds
        line = own.line(row.name if row.new else row.former)
        before = olds.bars(row.former) if row.old else ()
        old = row.old is not None and row.new is not None and row.old.output != row.new.output
        shapes = f"{shown(row.old.output)} \N{RIGHTWARDS ARROW} " if old and row.old else ""
        told = replace(line, mark=row.mark, what=printable(said), before=before)
        bars = line.bars if row.new else ()
        found.append(replace(told, output=shapes + line.output, bars=bars))
    return found


class _Lines:
    """Lines of one network."""

    def __init__(self, net: Net, prefix: str) -> None:
        self.net, self.prefix = net, prefix
        self.nodes = {node.name: node for node in of_rows(net, fold=False).nodes}
        self.rows = {row.call.name: row for row in net.network.rows}
        self.at = {name: i for i, name in enumerate(self.rows)}
        self.steps = _steps(net)
        self.figures = _figures(net)
        columns = zip(*(each.numbers for each in self.figures.values()), strict=True)
        self.most = [max(column) for column in columns]
        self.seen: dict[Body, str] = {}

    def every(self) -> list[Line]:
        return [self.line(name) for name in self.rows]

    def line(self, name: str) -> Line:
        node, row = self.nodes[name], self.rows[name]
        body = row.call.body
        is_block = isinstance(body.target, Block)
        alike = self.seen.setdefault(body, name) if is_block else name
        drawn = is_block and alike == name
        return Line(
            f"{self.prefix}-{self.at[name]}",
            node.name,
            node.kind,
            ", ".join(node.arguments),
            ", ".join(node.notes),
            node.doc,
            node.shape,
            self.bars(name),
            figure=element(inside(row.call, node.name), alone=False) if drawn else "",
            alike="" if alike == name else alike,
            steps=tuple(self.steps[name]) if is_block else (),
        )

    def bars(self, name: str) -> tuple[Bar, ...]:
        figures = self.figures[name]
        each = zip(figures.texts, figures.numbers, self.most, strict=True)
        return tuple(Bar(text, round(100 * n / (most or 1), 1)) for text, n, most in each)


def _steps(net: Net) -> dict[str, list[Layer]]:
    """The ops of each row, in order of evaluation."""
    found: dict[str, list[Layer]] = {}
    every = iter(net.layers)
    for row in net.network.rows:
        found[row.call.name] = [next(every) for _ in range(row.call.body.ops)]
    return found


def _figures(net: Net) -> dict[str, Figures]:
    found, whole = {}, max(net.input_shape[1:], default=1)
    bytes_of = activations(net)
    for layer in net.blocks:
        seen = layer.receptive_field
        sees = whole if seen is None else min(max(seen), whole)
        kept = bytes_of[layer.path]
        numbers = (layer.params.trainable, layer.macs, kept, sees)
        texts = (f"{layer.params.trainable:,}", f"{layer.macs:,}", size(kept), field(seen))
        found[layer.path] = Figures(numbers, texts)
    return found


def activations(net: Net) -> dict[str, int]:
    """Bytes of what the ops of each row give, in float32 at batch 1."""
    return {
        name: sum(_cells(step.output_shape) for step in steps) * analysis.FLOAT_BYTES
        for name, steps in _steps(net).items()
    }


def _cells(shape: Iterable[int]) -> int:
    found = 1
    for length in shape:
        found *= length
    return found


def field(seen: Sequence[int] | None) -> str:
    """How much of the input is seen: `all`, or rows x columns."""
    return "all" if seen is None else dims(seen)


def size(count: float) -> str:
    """Bytes as a reader takes them in: `4.59 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.4g} GiB"
