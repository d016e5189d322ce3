"""From a network for inference to one with fewer rows: batch norms and rescales that are rows of
their own are gone into the rows before or after them, and rows are gone that do nothing, or run in
training only.

A row of a table that goes by number becomes an identity, so that the others keep their numbers. A
row stays that is an output or a tap, or the last one, unless the row before it can be that.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from archc.compiler.elaborate.inference import Fold, is_idle, is_norm, takes_bias
from archc.compiler.elaborate.preceding import Lead, is_affine, readers, shifting, takes
from archc.compiler.elaborate.sizes import elaborated
from archc.compiler.ir.catalogue import OPS
from archc.compiler.ir.network import Block, Body, Call, Cost, Network, Op, Row
from archc.compiler.language import expressions as ex

_IDENTITY = next(op for op in OPS if op.idle)
Rows = tuple[Row, ...]


def joined(network: Network) -> tuple[Network, tuple[Fold | Lead, ...]]:
    """The network with fewer rows; and what is gone into which, in the order to do it in."""
    found: list[Fold | Lead] = []
    rows: Rows | None = network.rows
    while rows is not None:
        network = elaborated(_of(network, rows)) if rows != network.rows else network
        rows, done = _once(network.rows)
        found += [done] if done else []
    return network, tuple(found)


def _of(network: Network, rows: Rows) -> Network:
    """The network of these rows, without parameters that none of them mentions."""
    nodes = [node for row in rows for node in (*row.spelled.values(), row.when) if node]
    names = {name for node in nodes for name in ex.names(node)}
    return replace(network, rows=rows, kept=tuple(p for p in network.kept if p.name in names))


def _once(rows: Rows) -> tuple[Rows | None, Fold | Lead | None]:
    """The rows without one more, and where that is gone; None where none can go."""
    for index, row in enumerate(rows):
        body = row.call.body
        if (_does_nothing(row) and _is_inner(rows, index)) or _is_unused(rows, index):
            return _without(rows, index), None
        if is_norm(body.target) and (into := _before(rows, index)):
            return _without(_handed(_biased(rows, into), index), index), _fold(rows, index, into)
        if is_affine(body.target) and _is_inner(rows, index) and _are_taking(rows, index):
            left = _biased(rows, _taking(rows, index)) if shifting(body) else rows
            paths = (path for path, _ in readers([row.call for row in rows], index))
            return _without(left, index), Lead(row.call.name, tuple(paths))
    return None, None


def _does_nothing(row: Row) -> bool:
    """Whether the row can go: what keeps its number for the others is an identity."""
    body = row.call.body
    return is_idle(body) and (row.group is None or body.target is not _IDENTITY)


def _is_unused(rows: Rows, index: int) -> bool:
    """Whether a row runs in training only, and no other takes what it gives."""
    row = rows[index]
    return row.training and row.group is None and not _taking(rows, index)


def _is_inner(rows: Rows, index: int) -> bool:
    """Whether what a row gives is for other rows alone, under its own condition."""
    row, after = rows[index], rows[index + 1 : index + 2]
    return row.tap is None and row.output is None and all(each.when == row.when for each in after)


# --------------------------------------------------------------------------- into what is before


def _before(rows: Rows, index: int) -> dict[int, str]:
    """The layers that a row of a batch norm can go into: by row, their paths."""
    row, feed = rows[index], rows[index].call.feeds[0]
    shown = row.tap is not None or row.output is not None
    return {} if shown and feed != index - 1 else dict(_giving(rows, feed, index))


def _giving(rows: Rows, feed: int, index: int) -> list[tuple[int, str]]:
    """The layers that give what feeds a row, if nothing else does, and nothing else takes it."""
    if feed < 0:
        return []
    row, other = rows[feed], rows[index]
    shown = row.tap is not None or row.output is not None
    alone = sum(each.call.feeds.count(feed) for each in rows) == 1
    if shown or row.when != other.when or not alone:
        return []
    if isinstance(row.call.body.target, Op) and row.call.body.target.joins:
        parts = [_giving(rows, each, feed) for each in row.call.feeds]
        return [layer for part in parts for layer in part] if all(parts) else []
    path, leaf = _leaf(row.call)
    able = leaf is not None and takes_bias(leaf) and _can_add(row, leaf)
    return [(feed, path)] if able else []


def _leaf(call: Call) -> tuple[str, Body | None]:
    """The path and the body of the op whose value a call gives, and nothing else takes."""
    body = call.body
    if not isinstance(body.target, Block):
        return call.name, body
    if body.result < 0 or any(body.result in inner.feeds for inner in body.calls):
        return call.name, None
    path, leaf = _leaf(body.calls[body.result])
    return f"{call.name}.{path}", leaf


def _can_add(row: Row, layer: Body) -> bool:
    """Whether a layer of a row has a bias, or can be given one."""
    given = layer is row.call.body and "bias" not in row.spelled
    return given or layer.arguments["bias"] is True


def _fold(rows: Rows, index: int, into: dict[int, str]) -> Fold:
    row = rows[index]
    paths, feed = tuple(into.values()), row.call.feeds[0]
    if feed in into:
        return Fold(paths[0], row.call.name)
    return Fold(rows[feed].call.name, row.call.name, paths)


# ---------------------------------------------------------------------------- into what is after


def _taking(rows: Rows, index: int) -> list[int]:
    """The rows that take what a row gives."""
    return [number for number, row in enumerate(rows) if index in row.call.feeds]


def _are_taking(rows: Rows, index: int) -> bool:
    """Whether the rows after one can take in what it does."""
    row, after = rows[index], [rows[number] for number in _taking(rows, index)]
    alike = all(each.when == row.when for each in after)
    given = {each.call.name for each in after if _can_add(each, each.call.body)}
    return alike and takes(row.call.body, readers([each.call for each in rows], index), given)


# ------------------------------------------------------------------------------------ other rows


def _without(rows: Rows, index: int) -> Rows:
    """The rows without one; an identity is in its place where it goes by number."""
    gone = rows[index]
    if gone.group is not None:
        body = replace(
            gone.call.body, target=_IDENTITY, arguments={}, written=None, cost=Cost(), calls=()
        )
        row = replace(gone, call=replace(gone.call, body=body), spelled={})
        return (*rows[:index], row, *rows[index + 1 :])
    return tuple(_fed(row, index, gone.call.feeds[0]) for row in rows if row is not gone)


def _fed(row: Row, index: int, instead: int) -> Row:
    """A row where the one at `index` is gone, for which another stands."""
    feeds = (instead if feed == index else feed - (feed > index) for feed in row.call.feeds)
    return replace(row, call=replace(row.call, feeds=tuple(feeds)))


def _handed(rows: Rows, index: int) -> Rows:
    """The rows where what feeds one is a tap and an output in its place."""
    gone, feed = rows[index], rows[index].call.feeds[0]
    if gone.group is not None:
        return rows
    given = replace(rows[feed], tap=gone.tap, output=gone.output, doc=rows[feed].doc or gone.doc)
    return (*rows[:feed], given, *rows[feed + 1 :])


def _biased(rows: Rows, indices: Collection[int]) -> Rows:
    """The rows where those that are layers have a bias."""
    return tuple(_with_bias(row) if i in indices else row for i, row in enumerate(rows))


def _with_bias(row: Row) -> Row:
    body = row.call.body
    if isinstance(body.target, Block):
        return row
    written = body.written and {**body.written, "bias": True}
    body = replace(body, arguments={**body.arguments, "bias": True}, written=written)
    return replace(row, call=replace(row.call, body=body))
