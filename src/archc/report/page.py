"""The page of a report: a template, filled in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from archc.api import Net, dims
from archc.compiler.language.problems import printable
from archc.compiler.language.values import show
from archc.diff.compare import compare
from archc.diff.sides import Side
from archc.diff.told import Told, share
from archc.figures.graph import Node, of_rows
from archc.figures.svg import STYLE, element
from archc.report.rows import NAMES, Line, compared, field, lines, size
from archc.report.sources import Listing, listings
from archc.report.table import Table, of_one, of_two

GENERATOR = '<meta name="generator" content="archc report">'
"""What tells a page that archc wrote."""


@dataclass(frozen=True, slots=True)
class View:
    """One network of the page. `graph` is markup."""

    name: str
    label: str
    prefix: str
    """Of the anchors of its rows."""
    graph: str
    listings: list[Listing]
    anchors: dict[str, str]
    """Of its rows in the table."""


def page(net: Net) -> str:
    """The page of one network."""
    every = lines(net)
    anchors = {line.name: line.anchor for line in every}
    view = _view(net, printable(net.spec.name), "row", anchors, frozenset())
    facts = [(name, "", text, "") for name, text in _facts(net)]
    return _rendered(net, [view], every, of_one(net.network), facts, {})


def comparison(before: Side, after: Side, settings: Mapping[str, str]) -> str:
    """The page of two networks."""
    diff = compare(before.net, after.net)
    told, every = Told(before, after, diff, settings), compared(diff)
    changed = frozenset(line.name for line in every if line.mark)
    news = {line.name: line.anchor for line in every if line.anchor.startswith("row")}
    olds = {row.former: news[row.name] for row in told.diff.rows if row.former and row.new}
    olds |= {line.name: line.anchor for line in every if line.anchor.startswith("old")}
    changed_before = {row.former for row in told.diff.rows if row.mark and row.former}
    old = _of_side(before, "old", olds, frozenset(changed_before))
    new = _of_side(after, "row", news, changed)
    pairs = zip(_facts(before.net), _facts(after.net), strict=True)
    numbers = {name: share(was, now) for name, was, now in told.figures()}
    facts = [(name, was, now, numbers.get(name, "")) for (name, was), (_, now) in pairs]
    return _rendered(after.net, [old, new], every, of_two(diff), facts, _verdict(told))


def _of_side(side: Side, prefix: str, anchors: dict[str, str], changed: frozenset[str]) -> View:
    return _view(side.net, printable(side.name), prefix, anchors, changed)


def _verdict(told: Told) -> dict[str, object]:
    """What a comparison says above its table."""
    found = told.diff.findings
    return {
        "effect": str(told.diff.effect),
        "tensors": told.weights(),
        "findings": [(each.id, str(each.effect), printable(each.message)) for each in found],
    }


def _view(
    net: Net, label: str, prefix: str, anchors: dict[str, str], changed: frozenset[str]
) -> View:
    def link(node: Node) -> str:
        return f"#{anchors[node.name]}" if node.name in anchors else ""

    graph = of_rows(net)
    # Of equal rows in one box, each may be what has changed.
    held = {block.path for block in net.blocks} & changed
    svg = element(graph, alone=False, link=link, changed=_boxes(net, held))
    return View(printable(net.name), label, prefix, svg, listings(net), anchors)


def _boxes(net: Net, rows: set[str]) -> frozenset[str]:
    """The names of the boxes in which these rows are."""
    names, found, box = {node.name for node in of_rows(net).nodes}, set(), ""
    for block in net.blocks:
        box = block.path if block.path in names else box
        if block.path in rows:
            found.add(box)
    return frozenset(found)


def _facts(net: Net) -> Iterator[tuple[str, str]]:
    yield "input", ", ".join(dims(each.shape) for each in net.inputs)
    yield "output", ", ".join(dims(each.shape) for each in net.outputs)
    yield "parameters", f"{net.params.trainable:,}"
    yield "running averages", f"{net.params.total - net.params.trainable:,}"
    yield "MACs", f"{net.macs:,}"
    yield "activations in all", size(net.memory.sum)
    yield "bytes of activations at once", size(net.memory.peak)
    network = net.network
    given = ", ".join(f"{name} = {show(network.settings[name])}" for name in network.changed)
    yield "settings", printable(given) or "as the spec has them"


def _rendered(
    net: Net,
    views: list[View],
    every: list[Line],
    paper: Table,
    facts: list[tuple[str, str, str, str]],
    verdict: dict[str, object],
) -> str:
    script = _text("report.js.jinja")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        generator=Markup(GENERATOR),
        title=" and ".join(dict.fromkeys(view.name for view in views)),
        doc=printable(net.network.doc),
        views=views,
        rows=every,
        paper=paper,
        columns=NAMES,
        facts=facts,
        verdict=verdict,
        style=Markup(_text("report.css.jinja") + STYLE),
        script=Markup(script),
        digest=digest,
        markup=Markup,
        dims=dims,
        field=field,
        two=len(views) > 1,
    )


def _text(name: str) -> str:
    return files("archc.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    """Everything that it is given is escaped, but for what is `Markup`."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_text("report.html.jinja"))
