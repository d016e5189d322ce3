"""Which variables values are kept in: a block's, and those of a network's rows."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

from archc.backends.python.text import Expression, Names
from archc.compiler.ir.interface import interface
from archc.compiler.ir.network import Block, Op, Row, Step, Use, uses

T = TypeVar("T")
Inputs = Callable[[Block], Container[str]]
"""The inputs of a block that a call of its code mentions."""


def used(block: Block) -> Container[str]:
    """Inputs that the block computes with: it may look at no more than the stride of others."""
    return interface(block).used


def mentioned(target: Op | Block, operands: Sequence[T], inputs: Inputs = used) -> list[T]:
    """The operands that code says in a call: those for some inputs of a block, all of an op's."""
    if not isinstance(target, Block):
        return list(operands)
    names = inputs(target)
    pairs = zip(target.inputs, operands, strict=True)
    return [operand for name, operand in pairs if name in names]


# ---- Of a block


def variables(
    block: Block,
    inputs: Mapping[str, str],
    taken: Iterable[str],
    looked_at: Callable[[Step], set[str]] = lambda step: set(),
) -> dict[str, str]:
    """A variable for each value: a link of a chain takes its predecessor's, others get their own.

    `looked_at` says which inputs a step's code looks at besides its operands.
    """
    count = uses(block.steps)
    last = {name: i for i, s in enumerate(block.steps) for name in operands(s) | looked_at(s)}
    found = dict(inputs)
    chain = set(inputs.values())
    names = Names({*taken, *chain})
    following: list[Step | None] = [*block.steps[1:], None]
    for index, (step, after) in enumerate(zip(block.steps, following, strict=True)):
        passed = step.passed
        link = after is None or (count[step.name] == 1 and step.name in operands(after))
        # A variable that has the name of a step would be misread where another stands for it.
        misread = step.otherwise is not None and found[passed] == passed not in inputs
        if link and found[passed] in chain and last[passed] <= index and not misread:
            found[step.name] = found[passed]
            continue
        found[step.name] = names.new("y" if link and passed in inputs else step.name)
        if link and (passed in inputs or step.when is not None):
            chain.add(found[step.name])
    return found


def operands(step: Step) -> set[str]:
    """Names of the values that a step uses, or passes through."""
    used = {o.name for invoke in step.call.walk() for o in invoke.operands if isinstance(o, Use)}
    return used | ({step.otherwise.name} if step.otherwise else set())


# ---- Of a network


@dataclass(frozen=True, slots=True)
class Assignment:
    """`x = f(operands)`, or `saved, x = x, f(operands)` where the old `x` is still needed."""

    operands: tuple[str, ...]
    saved: str | None
    variable: str = "x"
    """What holds the row's value: a variable of its own, where it runs in training only."""

    @property
    def target(self) -> str:
        return f"{self.saved}, x" if self.saved else self.variable

    def value(self, computed: Expression) -> Expression:
        """What is assigned to `target`."""
        return f"x, {computed}" if self.saved else computed

    @property
    def chained(self) -> bool:
        """Whether this is `x = f(x)`, as in a plain chain."""
        return self.operands == (self.variable,) and self.saved is None


SOON = 4
"""Rows after which a reader no longer knows what `prev` is."""


def assignments(
    rows: Sequence[Row],
    sources: Sequence[str],
    taken: Iterable[str],
    inputs: Inputs,
    training: bool = True,
) -> dict[Row, Assignment]:
    """One assignment a row; the network's inputs are in `sources`. The last output ends up in `x`.
    Rows that run in `training` only may be passed over.

    The operand for an input that code does not mention may be gone, and is empty then.
    """
    there = [(i, row) for i, row in enumerate(rows) if training or not row.training]
    last_use: dict[int, int] = {}
    for index, row in there:
        feeds = mentioned(row.call.body.target, row.call.feeds, inputs)
        last_use |= dict.fromkeys(feeds, index)
    alive = {-1 - number: source for number, source in enumerate(sources)}
    found: dict[Row, Assignment] = {}
    before = -1
    for index, row in there:
        operands = tuple(alive.get(feed, "") for feed in row.call.feeds)
        for value in {*row.call.feeds, before}:
            if last_use.get(value, -2) <= index:
                alive.pop(value, None)
        if row.training:
            alive[index] = _own(rows, row, operands[0], {*alive.values(), *taken, "x", *sources})
            found[row] = Assignment(operands, None, alive[index])
            continue
        current = before if alive.get(before) == "x" else None
        if current is not None:
            soon = last_use[current] <= current + SOON
            alive[current] = _free(rows, current, {*alive.values(), *taken}, soon)
        saved = None if current is None else alive[current]
        if saved is None and before >= 0 and row.group and row.group == rows[before].group:
            # The last row of a table is written like those before it, needed or not; but not into
            # a variable that holds what a row further down takes.
            last = found[rows[before]]
            alike = last.operands == operands and last.saved not in alive.values()
            saved = last.saved if alike else None
        found[row] = Assignment(operands, saved)
        alive[index], before = "x", index
    return found


def _own(rows: Sequence[Row], row: Row, operand: str, held: Set[str]) -> str:
    """A variable for what runs in training only: that of its input, if that does too and nothing
    else needs it, or else the row's own name."""
    chained = row.call.feeds[0] >= 0 and rows[row.call.feeds[0]].training
    if chained and operand and operand not in held:
        return operand
    return Names(held).new(row.call.name.replace(".", "_"))


def _free(rows: Sequence[Row], value: int, taken: set[str], soon: bool) -> str:
    """A variable for a value needed later: `prev` where that is soon, else the row's own name."""
    row = rows[value].call.name.replace(".", "_") if value >= 0 else "image"
    return Names(taken).new("prev" if soon and "prev" not in taken else row)
