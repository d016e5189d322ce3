"""What initializers cannot be, though each of them is sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archc.compiler.elaborate.elaborator import usual
from archc.compiler.ir.interface import interface
from archc.compiler.ir.network import Block, Network, Parameter
from archc.compiler.ir.pruning import pruned
from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import Literal, Value
from archc.compiler.language.initializers import Initializer
from archc.compiler.language.problems import Problem


def vague_fans(network: Network) -> Iterator[Problem]:
    """Initializers with fans that a block hands on, and that its calls do not give alike (E023).

    The block's code takes them as an argument then, and does not know for which kernel.
    """
    called = {body.target for body in network.bodies if isinstance(body.target, Block)}
    if not any(p.type.kind == "initializer" for block in called for p in block.parameters):
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
    known = {argument.name for argument in interface(block).arguments}
    for parameter in block.parameters:
        if parameter.type.kind == "initializer" and parameter.name in known:
            yield block, parameter, given.get(parameter.name)


def _problem(block: str, parameter: Parameter, value: Initializer) -> Problem:
    message = (
        f"`{parameter.name}` of `{block}` is not alike in all calls, and `{value}` has fans,"
        " which depend on the kernel"
    )
    hint = "write it out in a step, give it under `defaults`, or say its `std`"
    assert parameter.place is not None
    return Problem("E023", message, parameter.place, hint)
