"""Initializers that blocks are given: what they are where no call says it, and cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from archc.compiler.elaborate.elaborator import Defaults, usual
from archc.compiler.ir.interface import interface
from archc.compiler.ir.network import Block, Body, Network, Op, Parameter, bodies_of
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
    for target, argument in _onward(block, name):
        known = inherited(target, defaults) if isinstance(target, Block) else {}
        yield {**usual(target, defaults), **known}.get(argument)


@lru_cache(maxsize=1024)
def _onward(block: Block, name: str) -> tuple[tuple[Op | Block, str], ...]:
    """What a block hands a parameter on to, and as which argument."""
    calls = [invoke for _, invoke in block.invokes()]
    given = [(call.target, own, node) for call in calls for own, node in call.arguments]
    return tuple((t, own) for t, own, n in given if isinstance(n, Name) and n.id == name)


def vague_fans(network: Network) -> Iterator[Problem]:
    """Initializers with fans that a block hands on, and that its calls do not give alike (E023).

    The block's code takes them as an argument then, and does not know for which kernel.
    """
    # What is alike in all calls is no argument of the block: most often there is nothing else.
    if not left(network, _asked(network)):
        return
    told = set[tuple[str, str]]()
    narrowed = pruned(network)
    blocks = _blocks(narrowed.bodies)
    made = (each for body in narrowed.bodies for each in _given(body))
    for block, parameter, value in (*made, *_by_default(blocks, network.defaults)):
        if (block.name, parameter.name) not in told:
            told.add((block.name, parameter.name))
            yield _problem(block.name, parameter, value)


Given = tuple[Block, Parameter, Initializer]
"""What is given for an argument of a block: an initializer with fans."""


def _asked(network: Network) -> set[tuple[Block, Parameter]]:
    """The arguments of blocks for which initializers with fans are given."""
    every = [_within(row.call.body) for row in network.rows]
    blocks = frozenset[Block]().union(*(blocks for blocks, _ in every))
    found = {(b, p) for b, p, _ in _by_default(blocks, network.defaults)}
    return found.union(*(asked for _, asked in every))


@lru_cache(maxsize=2**11)
def _within(body: Body) -> tuple[frozenset[Block], frozenset[tuple[Block, Parameter]]]:
    """The blocks of a call, and the arguments for which it and those in it give initializers with
    fans. Bodies are shared, by networks too, so each is looked into once."""
    bodies = bodies_of([body])
    asked = frozenset((b, p) for each in bodies for b, p, _ in _given(each))
    return frozenset(_blocks(bodies)), asked


def _blocks(bodies: Iterable[Body]) -> Iterable[Block]:
    """The blocks that are called, and those that are written in them; the nearest first."""
    return closure((b.target for b in bodies if isinstance(b.target, Block)), Block.called)


def _given(body: Body) -> Iterator[Given]:
    """What a call gives."""
    if isinstance(body.target, Block):
        yield from _of(body.target, body.arguments)


def _by_default(blocks: Iterable[Block], defaults: Defaults) -> Iterator[Given]:
    """What is left to blocks by default, and what calls in them are written with."""
    for block in blocks:
        yield from _of(block, usual(block, defaults))
        yield from _written(block)


@lru_cache(maxsize=1024)
def _written(block: Block) -> tuple[Given, ...]:
    """What calls in a block are written with."""
    said = [(invoke.target, dict(invoke.arguments)) for _, invoke in block.invokes()]
    literal = [
        (target, {n: d.value for n, d in nodes.items() if isinstance(d, Literal)})
        for target, nodes in said
    ]
    return tuple(g for t, given in literal if isinstance(t, Block) for g in _of(t, given))


def _of(block: Block, given: Mapping[str, Value]) -> Iterator[Given]:
    for parameter in _told(block):
        value = given.get(parameter.name)
        if isinstance(value, Initializer) and value.has_fans:
            yield block, parameter, value


@lru_cache(maxsize=1024)
def _told(block: Block) -> tuple[Parameter, ...]:
    """The arguments of its code that are initializers."""
    starts = [p for p in block.parameters if p.type.kind == "initializer"]
    known = {argument.name for argument in interface(block).arguments} if starts else ()
    return tuple(p for p in starts if p.name in known)


def _problem(block: str, parameter: Parameter, value: Initializer) -> Problem:
    message = (
        f"`{parameter.name}` of `{block}` is not alike in all calls, and `{value}` has fans,"
        " which depend on the kernel"
    )
    hint = "write it out in a step, give it under `defaults`, or say its `std`"
    assert parameter.place is not None
    return Problem("E023", message, parameter.place, hint)
