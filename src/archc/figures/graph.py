"""What a figure shows: the rows of a network, or what is inside of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from archc.api import Net, dims
from archc.compiler.ir.analysis import calls
from archc.compiler.ir.network import Block, Call, Network, Row, Tensor
from archc.compiler.language import expressions as ex
from archc.compiler.language.names import INPUT
from archc.compiler.language.problems import printable
from archc.compiler.language.values import show

GIVEN, RETURNED = "input", "output"
"""Kinds of nodes that are no call."""

FIRST = ("kernel", "stride", "dilation", "out", "filters", "units", "classes", "expand", "se")
"""Arguments that a reader looks for, in this order; other whole numbers follow."""

PLAIN = {"stride": 1, "dilation": 1, "groups": 1}
"""What goes without saying."""


@dataclass(frozen=True, slots=True)
class Node:
    """A box. All texts are on one line and printable."""

    name: str
    kind: str
    """The block or the op; "input" and "output" are the ends of the figure."""
    shape: str
    arguments: tuple[str, ...] = ()
    """`kernel 3`, ..."""
    notes: tuple[str, ...] = ()
    """What else is true of it: `tap c2`, `in training only`."""
    optional: bool = False
    """Whether some models, or some modes of them, are without it."""
    last: str = ""
    """The last of several equal rows that it stands for."""
    times: int = 1
    doc: str = ""

    @property
    def title(self) -> str:
        """`blocks.4`, or `layer3.1 to layer3.5`."""
        return f"{self.name} to {self.last}" if self.last else self.name


@dataclass(frozen=True, slots=True)
class Graph:
    """Boxes and what feeds them, in order of evaluation."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]
    """From box to box, each once."""


class NoInside(ValueError):
    """There is nothing to show by this path; the text says why."""


# ------------------------------------------------------------------------------------------- rows


def of_rows(net: Net, fold: bool = True) -> Graph:
    """The rows of a network. With `fold`, equal rows that follow each other are one box."""
    network = net.network
    runs = list(_runs(network.rows)) if fold else [[i] for i in range(len(network.rows))]
    given = list(_inputs(network))
    at = {-1 - i: i for i in range(len(given))}
    at |= {i: len(given) + box for box, run in enumerate(runs) for i in run}
    boxes = [_row(network, [network.rows[i] for i in run]) for run in runs]
    feeds = [(f, i) for i, row in enumerate(network.rows) for f in row.call.feeds]
    ends = [(row, name) for name, row in network.outputs.items()] if _several(network) else []
    fed = [(at[f], at[i]) for f, i in feeds if at[f] != at[i]]
    names = {row.call.name: i for i, row in enumerate(network.rows)}
    first = len(given) + len(boxes)
    fed += [(at[names[row.call.name]], first + n) for n, (row, _) in enumerate(ends)]
    boxes += [_returned(name, row.call.body.output) for row, name in ends]
    return Graph(_title(net), (*given, *boxes), tuple(dict.fromkeys(fed)))


def _several(network: Network) -> bool:
    return len(network.outputs) > 1


def _title(net: Net) -> str:
    return printable(net.name)


def _inputs(network: Network) -> Iterator[Node]:
    for name, own in network.inputs.items():
        said = name if name == INPUT else f"{INPUT} {name}"
        yield Node(said, GIVEN, str(own.tensor), doc=printable(own.doc))


def _returned(name: str, tensor: Tensor) -> Node:
    return Node(f"{RETURNED} {name}".removesuffix(f" {RETURNED}"), RETURNED, str(tensor))


def _runs(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Numbers of rows, those together that one box can stand for."""
    users: dict[int, set[int]] = {}
    for i, row in enumerate(rows):
        for feed in row.call.feeds:
            users.setdefault(feed, set()).add(i)
    run: list[int] = []
    for i, row in enumerate(rows):
        if run and not (_alike(rows[i - 1], row) and users.get(i - 1) == {i}):
            yield run
            run = []
        run.append(i)
    if run:
        yield run


def _alike(above: Row, row: Row) -> bool:
    """Whether a row does the same as the one above, which nothing else is known of."""
    return (
        row.call.body is above.call.body
        and len(row.call.feeds) == 1
        and above.tap is above.output is None
        and row.training == above.training
        and (row.when and ex.text(row.when)) == (above.when and ex.text(above.when))
    )


def _row(network: Network, rows: Sequence[Row]) -> Node:
    first, last = rows[0], rows[-1]
    notes = [f"tap {last.tap}"] if last.tap else []
    notes += [f"when {printable(ex.text(first.when))}"] if first.when else []
    notes += ["in training only"] if first.training else []
    return Node(
        first.call.name,
        first.call.body.target.name,
        str(last.call.body.output),
        tuple(arguments(first.call)),
        tuple(notes),
        first.when is not None or first.training,
        last.call.name if len(rows) > 1 else "",
        len(rows),
        printable(first.doc),
    )


def arguments(call: Call) -> Iterator[str]:
    """The arguments of a call that a reader looks for: `kernel 3`, `stride 2`, `act relu`."""
    given = call.body.arguments
    names = [parameter.name for parameter in call.body.target.parameters]
    order = [name for name in FIRST if name in names] + [n for n in names if n not in FIRST]
    for name in order:
        value = single(given.get(name))
        if value == PLAIN.get(name) or value is None or isinstance(value, bool):
            continue
        if name in FIRST or name == "act" or isinstance(value, int):
            yield f"{name} {shown(value)}"


def single(value: object) -> object:
    """A pair of equal numbers as one of them."""
    return value[0] if isinstance(value, tuple) and len({*value}) == 1 else value


def shown(value: object) -> str:
    """An argument's value, short and on one line."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple) and all(isinstance(each, int) for each in value):
        return dims(value)
    return printable(show(value))


# ----------------------------------------------------------------------------------------- inside


def of_inside(net: Net, path: str) -> Graph:
    """What is inside of a row, or of a step in it, by path: `cells_1.0`, `cells_1.0.y1_left`.

    Raises `NoInside`.
    """
    found = dict(calls(net.network))
    if path not in found:
        raise NoInside(f"{_title(net)} has no row or step called `{printable(path)}`.")
    call = found[path]
    if not isinstance(call.body.target, Block):
        raise NoInside(f"`{path}` is a single op, {call.body.target.name}; nothing is inside.")
    return inside(call, f"{_title(net)} {path}")


def inside(call: Call, title: str) -> Graph:
    """The steps of one call of a block, between what it takes and what it returns."""
    body, target = call.body, call.body.target
    steps = [_step(inner) for inner in body.calls]
    given = [
        Node(name, GIVEN, str(tensor))
        for name, tensor in zip(target.inputs, body.inputs, strict=False)
    ]

    def box(feed: int) -> int:
        return len(given) + feed if feed >= 0 else -1 - feed

    fed = [(box(f), box(i)) for i, inner in enumerate(body.calls) for f in inner.feeds]
    fed.append((box(body.result), len(given) + len(steps)))
    end = Node(RETURNED, RETURNED, str(body.output))
    return Graph(title, (*given, *steps, end), tuple(dict.fromkeys(fed)))


def _step(call: Call) -> Node:
    target, output = call.body.target, call.body.output
    return Node(call.name, target.name, str(output), tuple(arguments(call)))
