"""The arguments of blocks and ops as code gives them: those that are not at their default."""

from __future__ import annotations

from collections.abc import Mapping

from archc.backends.python.spelling import constant, is_literal, same
from archc.compiler.ir.interface import Argument, Interface, interface
from archc.compiler.ir.network import Block, Body, Network, Op, Row
from archc.compiler.language.expressions import Node


def effective(network: Network, target: Op | Block, given: Mapping[str, Node]) -> dict[str, Node]:
    """All arguments of an op: given ones, then the spec's defaults, then its own."""
    own = {name: constant(v) for name, v in network.defaults.get(target.name, {}).items()}
    usual = {p.name: p.default or constant(None) for p in target.parameters}
    known = {**usual, **own, **given}
    return {name: known[name] for name in usual}


def default(network: Network, block: Block, argument: Argument) -> Node | None:
    """The default of a generated block's argument; None where it has none."""
    own = network.defaults.get(block.name, {})
    if argument.name in own:
        return constant(own[argument.name])
    if argument.default is None and argument.type.optional:
        return constant(None) if _may_lack(network, block, argument) else None
    return argument.default


def _may_lack(network: Network, block: Block, argument: Argument) -> bool:
    """Whether a call gives no value; where all do, code takes none for granted."""
    bodies = [body for body in network.bodies if body.target is block]
    given = [value_of(body, argument) for body in bodies]
    return not given or any(node is None or is_literal(node, None) for node in given)


def value_of(body: Body, argument: Argument) -> Node | None:
    """What a call of a block gives one of its generated arguments; None if no step asks for it."""
    *path, name = argument.origin
    for step in path:
        inner = next((call for call in body.calls if call.name == step), None)
        if inner is None:
            return None
        body = inner.body
    return constant(body.arguments.get(name))


def row_arguments(network: Network, row: Row) -> dict[str, Node]:
    """The generated arguments of a row's call."""
    body = row.call.body
    block = body.target
    assert isinstance(block, Block)
    found = {}
    for argument in interface(block).arguments:
        node = row.spelled.get(argument.name) or value_of(body, argument)
        found[argument.name] = node or default(network, block, argument) or constant(None)
    return found


def unusual(network: Network, block: Block, given: Mapping[str, Node]) -> dict[str, Node]:
    """Those of a block's generated arguments that are not at their default."""
    usual = {each.name: default(network, block, each) for each in interface(block).arguments}
    return {
        name: given[name]
        for name, node in usual.items()
        if name in given and not same(given[name], node)
    }


def positional(block: Block, face: Interface) -> str | None:
    """The argument that a generated block takes by position: the one its spec names first."""
    first = block.parameters[0].name if block.parameters else None
    return first if any(a.name == first for a in face.arguments) else None
