"""Initializers that blocks are given: what they are where no call says it, and cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from archc.compiler.elaborate.elaborator import Defaults, usual
from archc.compiler.ir.interface import interface
from archc.compiler.ir.network import Block, Network, Parameter
from archc.compiler.ir.pruning import left, pruned
from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import Literal, Name, Value
from archc.compiler.language.initializers import Initializer
from archc.compiler.language.problems import Problem


def inherited(block: Block, defaults: Defaults) -> dict[str, Value]:
    """What the optional initializers of a block are where neither a call nor `defaults` gives them:
    as those that it hands them on to would start without them. One that it hands on to several,
    which differ, is left out: a call has to give it."""
    given = defaults.get(block.name, {})
    found: dict[str, Value] = {}
    for parameter in _left(block):
        if parameter.name not in given:
            every = [*_handed(block, parameter.name, defaults)]
            if every and all(each == every[0] for each in every):
                found[parameter.name] = every[0]
    return found


@lru_cache(maxsize=1024)
def _left(block: Block) -> tuple[Parameter, ...]:
    """Its optional initializers."""
    starts = (p for p in block.parameters if p.type.kind == "initializer")
    return tuple(p for p in starts if p.type.optional and p.default is None)


def _handed(block: Block, name: str, defaults: Defaults) -> Iterator[Value]:
    for _, invoke in block.invokes():
        target = invoke.target
        known = usual(target, defaults)
        if isinstance(target, Block):
            known |= inherited(target, defaults)
        for argument, node in invoke.arguments:
            if isinstance(node, Name) and node.id == name:
                yield known.get(argument)


def vague_fans(network: Network) -> Iterator[Problem]:
    """Initializers with fans that a block hands on, and that its calls do not give alike (E023).

    The block's code takes them as an argument then, and does not know for which kernel.
    """
    called = {body.target for body in network.bodies if isinstance(body.target, Block)}
    if not any(p.type.kind == "initializer" for block in called for p in block.parameters):
        return
    # What is alike in all calls is no argument of the block: most often there is nothing else.
    found = {(b, p) for b, p, v in _given(network) if isinstance(v, Initializer) and v.has_fans}
    if not left(network, found):
        return
    told = set[tuple[str, str]]()
    for block, parameter, value in _given(pruned(network)):
        key = block.name, parameter.name
        if isinstance(value, Initializer) and value.has_fans and key not in told:
            told.add(key)
            yield _problem(block.name, parameter, value)


def _given(network: Network) -> Iterator[tuple[Block, Parameter, Value]]:
    """What calls give for each argument of a block that is an initializer, and what is left to it
    by default: calls that are made, and those that a step is written with."""
    bodies = [body for body in network.bodies if isinstance(body.target, Block)]
    blocks = closure((body.target for body in bodies if isinstance(body.target, Block)), _called)
    for body in bodies:
        assert isinstance(body.target, Block)
        yield from _of(body.target, body.arguments)
    for block in blocks:
        yield from _of(block, usual(block, network.defaults))
        for _, invoke in block.invokes():
            if isinstance(invoke.target, Block):
                nodes = dict(invoke.arguments)
                literal = {n: d.value for n, d in nodes.items() if isinstance(d, Literal)}
                yield from _of(invoke.target, literal)


def _called(block: Block) -> list[Block]:
    return [i.target for _, i in block.invokes() if isinstance(i.target, Block)]


def _of(block: Block, given: Mapping[str, Value]) -> Iterator[tuple[Block, Parameter, Value]]:
    for parameter in _told(block):
        yield block, parameter, given.get(parameter.name)


@lru_cache(maxsize=1024)
def _told(block: Block) -> tuple[Parameter, ...]:
    """The arguments of its code that are initializers."""
    known = {argument.name for argument in interface(block).arguments}
    return tuple(p for p in block.parameters if p.type.kind == "initializer" and p.name in known)


def _problem(block: str, parameter: Parameter, value: Initializer) -> Problem:
    message = (
        f"`{parameter.name}` of `{block}` is not alike in all calls, and `{value}` has fans,"
        " which depend on the kernel"
    )
    hint = "write it out in a step, give it under `defaults`, or say its `std`"
    assert parameter.place is not None
    return Problem("E023", message, parameter.place, hint)
