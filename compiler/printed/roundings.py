"""What was rounded on the way to a network's numbers, and from what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archc.compiler.bind.program import Program
from archc.compiler.ir.network import Block, Body, Network, Row
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node, show

ROUNDERS = ("round_channels", "round", "floor", "ceil")


class Roundings:
    """The roundings in the values and rows of one network, each as `name: floor(2.5) -> 2`."""

    def __init__(self, program: Program, network: Network) -> None:
        self.program = program
        self.scope: dict[str, object] = dict(network.settings)
        for name, node in program.lets:
            self.scope[name] = node.evaluate(self.scope)
        self.set = set(network.changed)

    def of_values(self) -> Iterator[str]:
        """Those in the network's `let`s, and in its parameters where they have their defaults."""
        for parameter in self.program.parameters:
            if parameter.default is not None and parameter.name not in self.set:
                yield from _named(parameter.name, parameter.default, self.scope)
        for name, node in self.program.lets:
            yield from _named(name, node, self.scope)

    def of_row(self, row: Row) -> Iterator[str]:
        """Those in the row's arguments, and in the `let`s of its block and of blocks within it."""
        body = row.call.body
        turns = {f".{name}": turn for name, turn in row.turns.items()}
        scope = {**self.scope, ".x": body.inputs[0], **turns}
        for name, node in self.program.template(row).arguments.items():
            if name not in row.spelled:
                yield from _named(name, node, scope)
        yield from _within(body, "")


def _within(body: Body, prefix: str) -> Iterator[str]:
    if not isinstance(body.target, Block):
        return
    tensors = zip(body.target.inputs, body.inputs, strict=True)
    scope = {**body.arguments, **{f".{name}": tensor for name, tensor in tensors}}
    for name, node in body.target.lets:
        yield from _named(f"{prefix}{name}", node, scope)
    for call in body.calls:
        yield from _within(call.body, f"{prefix}{call.name}.")


def _named(name: str, node: Node, scope: Mapping[str, object]) -> Iterator[str]:
    for call in _evaluated(node, scope):
        if isinstance(call, ex.Call) and call.function in ROUNDERS:
            given = [show(argument.evaluate(scope)) for argument in call.arguments]
            result = show(call.evaluate(scope))
            if given[0] != result:
                yield f"{name}: {call.function}({', '.join(given)}) -> {result}"


def _evaluated(node: Node, scope: Mapping[str, object]) -> Iterator[Node]:
    """`node` and what is below it, inner ones first, but for branches that are not taken."""
    operands = node.operands
    if isinstance(node, ex.Conditional):
        operands = node.condition, node.then if node.condition.evaluate(scope) else node.otherwise
    elif isinstance(node, ex.Logic):
        decided = bool(node.left.evaluate(scope)) == (node.operator == "or")
        operands = operands[:1] if decided else operands
    for operand in operands:
        yield from _evaluated(operand, scope)
    yield node
