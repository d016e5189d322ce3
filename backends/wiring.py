"""Which variables a network's rows are computed from, and into which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archc.backends.text import Names
from archc.compiler.ir import Row


@dataclass(frozen=True, slots=True)
class Assignment:
    """`x = f(operands)`, or `saved, x = x, f(operands)` where the old `x` is still needed."""

    operands: tuple[str, ...]
    saved: str | None

    def text(self, value: str) -> str:
        """The statement that computes `value`."""
        return f"{self.saved}, x = x, {value}" if self.saved else f"x = {value}"

    @property
    def chained(self) -> bool:
        """Whether this is `x = f(x)`, as in a plain chain."""
        return self.operands == ("x",) and self.saved is None


def assignments(rows: Sequence[Row], source: str, taken: Iterable[str]) -> list[Assignment]:
    """One assignment a row; the network's input is in `source`. The last output ends up in `x`."""
    last_use = {feed: i for i, row in enumerate(rows) for feed in row.call.feeds}
    alive = {-1: source}
    found: list[Assignment] = []
    for index, row in enumerate(rows):
        operands = tuple(alive[feed] for feed in row.call.feeds)
        for value in {*row.call.feeds, index - 1}:
            if last_use.get(value, -2) <= index:
                del alive[value]
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


def _free(rows: Sequence[Row], value: int, taken: set[str]) -> str:
    """A variable for a value needed later: `prev`, or where that is taken the row's own name."""
    row = rows[value].call.name.replace(".", "_") if value >= 0 else "image"
    return Names(taken).new(row if "prev" in taken else "prev")
