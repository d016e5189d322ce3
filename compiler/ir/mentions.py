"""What decides the calls within a block: of its parameters, and of its inputs' channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from functools import lru_cache
from typing import NamedTuple

from archc.compiler.ir.interface import interface, with_channels
from archc.compiler.ir.network import Block, Op
from archc.compiler.language import expressions as ex
from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import Node


class Mentions(NamedTuple):
    """What an expression within a block depends on."""

    names: frozenset[str]
    inputs: frozenset[str]
    """Those whose channels it asks for."""

    def is_open(self, names: frozenset[str], inputs: frozenset[str]) -> bool:
        return not (self.names.isdisjoint(names) and self.inputs.isdisjoint(inputs))


Named = tuple[tuple[str, Mentions], ...]


@lru_cache(maxsize=1024)
def mentions(block: Block) -> dict[str, tuple[Named, Named]]:
    """For each call of a block, by name: what its arguments and the channels of its tensors depend
    on."""
    channels = interface(block).channels
    found = {}
    for _, invoke in block.invokes():
        fed = zip(invoke.target.inputs, invoke.operands, strict=False)
        given = tuple((name, mentioned(block, node)) for name, node in invoke.arguments)
        taken = tuple((x, mentioned(block, channels.get(operand.name))) for x, operand in fed)
        found[invoke.name] = (given, taken)
    return found


def mentioned(block: Block, node: Node | None) -> Mentions:
    """What an expression in one of a block's steps depends on."""
    if node is None:
        return Mentions(frozenset(), frozenset())
    told = ex.substitute(with_channels(node, interface(block).channels), dict(block.lets))
    walked = [*ex.walk(told)]
    names = frozenset(n.id for n in walked if isinstance(n, ex.Name))
    return Mentions(names, frozenset(n.id for n in walked if isinstance(n, ex.Attribute)))


CHANNELS = "channels"
"""Stands for the channels of a block's inputs."""
Open = tuple[Op | Block, str]
"""What may be of another value: a parameter of a block or an op, or its `CHANNELS`."""


def reached(start: Iterable[Open]) -> Set[Open]:
    """What is of another value where `start` is, in all that is called."""
    return closure(start, _handed_on).keys()


def _handed_on(opened: Open) -> Iterator[Open]:
    block, name = opened
    if not isinstance(block, Block):
        return
    names, inputs = frozenset((name,)), frozenset(block.inputs if name == CHANNELS else ())
    made_if = _conditions(block)
    for step, invoke in block.invokes():
        given, fed = mentions(block)[invoke.name]
        yield from ((invoke.target, a) for a, said in given if said.is_open(names, inputs))
        if any(said.is_open(names, inputs) for _, said in fed):
            yield invoke.target, CHANNELS
        if made_if[step.name].is_open(names, inputs):
            yield from _all_of(invoke.target)


@lru_cache(maxsize=1024)
def _conditions(block: Block) -> dict[str, Mentions]:
    """For each step of a block, by name: what decides whether it is made."""
    return {step.name: mentioned(block, step.when) for step in block.steps}


def _all_of(target: Op | Block) -> Iterator[Open]:
    """All of a call that may be there or not: nobody knows what it gives where it is there."""
    for block in closure([target] if isinstance(target, Block) else [], Block.called):
        yield from ((block, name) for name in (CHANNELS, *block.parameter))
