"""What a network makes of its blocks: which it names, and what each call in them comes to."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from archc.compiler.ir.activations import reached
from archc.compiler.ir.network import Block, Body, Network, Op
from archc.compiler.language import expressions as ex


def used_blocks(network: Network, seen: Seen) -> list[Block]:
    """Every block that the network's code names, those that others name first; `seen` are its
    bodies. A block may be named where it is never called: as an activation of a step left out."""
    found: dict[Block, None] = {}

    def visit(target: object) -> None:
        if isinstance(target, Block) and target not in found:
            for other in target.names():
                visit(other)
            found[target] = None

    # Blocks that serve as activations come first: they are called in no other's definition.
    called = dict.fromkeys(body.target for every in seen.values() for body in every)
    defined = _called(network)
    for target in [t for t in called if t not in defined]:
        visit(target)
    for own in network.defaults.values():
        for value in own.values():
            visit(value)
    for row in network.rows:
        for argument in row.call.body.arguments.values():
            visit(argument)
        visit(row.call.body.target)
    return [*found]


def _called(network: Network) -> set[Op | Block]:
    """What the rows call, and what is called in the definitions of that."""
    found: set[Op | Block] = set()
    pending = [row.call.body.target for row in network.rows]
    while pending:
        target = pending.pop()
        if target not in found:
            found.add(target)
            pending += [i.target for _, i in target.invokes()] if isinstance(target, Block) else []
    return found


Seen = Mapping[tuple[Op | Block, str], Collection[Body]]
"""What each call within a block comes to, over the whole network."""


def bodies(network: Network) -> Seen:
    """Every body by the block and the call within it."""
    found: dict[tuple[Op | Block, str], dict[Body, None]] = {}
    for body in network.bodies:
        for call in body.calls:
            found.setdefault((body.target, call.name), {})[call.body] = None
    return {at: tuple(every) for at, every in found.items()}


def left_open(network: Network) -> set[tuple[Block, str]]:
    """Activations within blocks that an argument of the model decides, so that any may come."""
    kinds = {p.name for p in network.kept if p.type.kind == "activation"}
    return {
        call
        for row in network.rows
        for argument, node in row.spelled.items()
        if ex.names(node).keys() & kinds and isinstance(row.call.body.target, Block)
        for call in reached(row.call.body.target, argument)
    }
