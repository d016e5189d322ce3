"""Arguments that decide the code of a block, and so are the same in all calls of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from archc.compiler.ir.interface import pinned
from archc.compiler.ir.network import Block, Body, Op, Row
from archc.compiler.language.expressions import Value
from archc.compiler.language.problems import Problem
from archc.compiler.language.values import show


def varying(rows: Iterable[Row]) -> Iterator[Problem]:
    """Rows that give another value than one above for what decides the code of a block (E023)."""
    first: dict[tuple[Op | Block, str], tuple[Value, Row]] = {}
    seen: set[Body] = set()
    for row in rows:
        problem = None
        for body in _pinning(row.call.body):
            if body not in seen:
                seen.add(body)
                problem = problem or _other_pin(body, row, first)
        if problem is not None:
            yield problem


@lru_cache(maxsize=2**11)
def _pinning(body: Body) -> tuple[Body, ...]:
    """The bodies in it, and itself, whose blocks have code that an argument decides; the last ones
    first."""
    found, pending = dict[Body, None](), [body]
    while pending:
        each = pending.pop()
        if each not in found:
            found[each] = None
            pending += [call.body for call in each.calls]
    return tuple(each for each in found if isinstance(each.target, Block) and pinned(each.target))


def _other_pin(
    body: Body, row: Row, first: dict[tuple[Op | Block, str], tuple[Value, Row]]
) -> Problem | None:
    block = body.target
    for name in sorted(pinned(block)) if isinstance(block, Block) else ():
        value = body.arguments[name]
        before, above = first.setdefault((block, name), (value, row))
        if before != value:
            what = f"`{name}` of `{block.name}` decides what its code is"
            message = f"{what}, and is `{show(value)}` here but `{show(before)}` above"
            hint = "give it the same value in all calls, or write a block for each value"
            return Problem("E023", message, row.place, hint).also(("the row above", above.place))
    return None
