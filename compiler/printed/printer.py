"""The IR as text: one line a call, everything worked out, the same for the same network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archc.compiler.ir.network import Block, Call, Network, Parameter
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.names import INPUT
from archc.compiler.language.values import show


def text(network: Network) -> str:
    """The whole network. A block's calls stand indented below it, and name its inputs."""
    lines = [f"network {network.name}({', '.join(map(_kept, network.kept))})"]
    for name, own in network.inputs.items():
        lines.append(f"input -> {own.tensor}" if name == INPUT else f"input {name} -> {own.tensor}")
    names = [*network.inputs][::-1]
    for row in network.rows:
        feeds = [names[feed + len(network.inputs)] for feed in row.call.feeds]
        spelled = {name: _spelled(node) for name, node in row.spelled.items()}
        lines += _call(row.call, feeds, spelled, 0)
        names.append(row.call.name)
    return "\n".join([*lines, *_outputs(network), ""])


def _outputs(network: Network) -> Iterator[str]:
    """A line for each output, where there are several."""
    for name, row in network.outputs.items() if len(network.outputs) > 1 else ():
        only = " in training only" if row.training else ""
        yield f"output {name} = {row.call.name}{only}"


def _kept(parameter: Parameter) -> str:
    assert parameter.default is not None
    return f"{parameter.name}={_spelled(parameter.default)}"


def _call(call: Call, feeds: Sequence[str], spelled: dict[str, str], indent: int) -> Iterator[str]:
    body = call.body
    arguments = {name: show(value) for name, value in body.arguments.items()} | spelled
    inside = ", ".join([*feeds, *(f"{name}={value}" for name, value in arguments.items())])
    yield f"{' ' * indent}{call.name} = {body.target.name}({inside}) -> {body.output}"
    if not isinstance(body.target, Block):
        return
    names = [inner.name for inner in body.calls]
    for inner in body.calls:
        sources = [names[f] if f >= 0 else body.target.inputs[-1 - f] for f in inner.feeds]
        yield from _call(inner, sources, {}, indent + 2)


def _spelled(node: Node) -> str:
    return ex.python(node, lambda leaf: leaf.id if isinstance(leaf, ex.Name) else _value(leaf))


def _value(leaf: Node) -> str:
    assert isinstance(leaf, ex.Literal)
    return show(leaf.value)
