"""Which variables a network's rows are computed from, and into which."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from archc.backends.python.text import Expression, Names
from archc.compiler.ir.network import Block, Call, Row


@dataclass(frozen=True, slots=True)
class Assignment:
    """`x = f(operands)`, or `saved, x = x, f(operands)` where the old `x` is still needed."""

    operands: tuple[str, ...]
    saved: str | None

    @property
    def target(self) -> str:
        return f"{self.saved}, x" if self.saved else "x"

    def value(self, computed: Expression) -> Expression:
        """What is assigned to `target`."""
        return f"x, {computed}" if self.saved else computed

    @property
    def chained(self) -> bool:
        """Whether this is `x = f(x)`, as in a plain chain."""
        return self.operands == ("x",) and self.saved is None


Mentioned = Callable[[Block], Container[str]]
"""The inputs of a block that a call of its code mentions."""


def assignments(
    rows: Sequence[Row], source: str, taken: Iterable[str], mentioned: Mentioned
) -> list[Assignment]:
    """One assignment a row; the network's input is in `source`. The last output ends up in `x`.

    The operand for an input that code does not mention may be gone, and is empty then.
    """
    last_use = {feed: i for i, row in enumerate(rows) for feed in _taken(row.call, mentioned)}
    alive = {-1: source}
    found: list[Assignment] = []
    for index, row in enumerate(rows):
        operands = tuple(alive.get(feed, "") for feed in row.call.feeds)
        for value in {*row.call.feeds, index - 1}:
            if last_use.get(value, -2) <= index:
                alive.pop(value, None)
        current = index - 1 if alive.get(index - 1) == "x" else None
        if current is not None:
            alive[current] = _free(rows, current, {*alive.values(), *taken})
        saved = None if current is None else alive[current]
        if saved is None and index and row.group and row.group == rows[index - 1].group:
            # The last row of a table is written like those before it, needed or not; but not into
            # a variable that holds what a row further down takes.
            alike = found[-1].operands == operands and found[-1].saved not in alive.values()
            saved = found[-1].saved if alike else None
        found.append(Assignment(operands, saved))
        alive[index] = "x"
    return found


def _taken(call: Call, mentioned: Mentioned) -> Iterator[int]:
    """The feeds of a row that its code mentions."""
    target = call.body.target
    if not isinstance(target, Block):
        return iter(call.feeds)
    seen = mentioned(target)
    return (feed for x, feed in zip(target.inputs, call.feeds, strict=True) if x in seen)


def _free(rows: Sequence[Row], value: int, taken: set[str]) -> str:
    """A variable for a value needed later: `prev`, or where that is taken the row's own name."""
    row = rows[value].call.name.replace(".", "_") if value >= 0 else "image"
    return Names(taken).new(row if "prev" in taken else "prev")
