"""Blocks that are told what is applied instead of what is written: the strides and dilations that
an output stride makes of it, and the paddings of a network for one size.

In: a network, elaborated. Out: the same, whose blocks give their calls what these are applied with.
That is written out where it is the same in all calls of a block. Else it takes the place of the
parameter that is handed on, where nothing else that the block decides changes with it; and else it
is a parameter of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from archc.compiler.ir.network import (
    Block,
    Body,
    Call,
    Invoke,
    Network,
    Op,
    Parameter,
)
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node, Value
from archc.compiler.language.problems import Invalid, Place, Source
from archc.compiler.language.values import Type

_NOWHERE = Place(Source("generated", ""), 1, 1)
_TOLD = ("stride", "dilation", "padding", "ceil_mode", "count_padding")
"""Arguments of ops that may be applied otherwise than they are written."""


def _none_or_sides(padding: Value) -> Value:
    return None if padding == "symmetric" else padding


def _alike(padding: Value) -> Value:
    """Rows and columns of what is alike on opposite sides."""
    four = isinstance(padding, tuple) and len(padding) == 4
    return ex.compact(padding[::2]) if four else padding  # type: ignore[index]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a parameter of a block says what is applied."""

    name: str
    """What it is called, where it is alone."""
    usual: Value = 1
    meant: Callable[[Value], Value] = ex.compact
    """meant(argument of an op) -> argument of a block."""
    type: Type | None = None
    """None where it is that of its values: of one number or two."""
    handed_on: bool = False
    """Whether a parameter that is written may be given it."""
    required: bool = False
    varies: bool = False


_KINDS = {
    "stride": _Kind("stride", handed_on=True),
    "dilation": _Kind("dilation", handed_on=True),
    "padding": _Kind("padding", None, _none_or_sides, Type("sides", optional=True)),
    "pool_padding": _Kind("padding", 0, _alike, varies=True),
    "sides": _Kind("padding", (0, 0, 0, 0), type=Type("sides"), required=True, varies=True),
    "bool": _Kind("ceil_mode", False, type=Type("bool"), varies=True),
}
"""By the name of an op's argument, or its type."""

Given = Mapping[Body, Value]
"""What each call of a block gives for something, where it asks for it."""


def applied(network: Network) -> Network:
    """`network` with blocks that are told what an output stride makes of them. It computes the
    same."""
    if network.output_stride is None and not network.static:
        return network
    writer = _Writer(network.called_blocks)
    rows = [replace(row, call=writer.call(row.call)) for row in network.rows]
    return replace(network, rows=tuple(rows))


@dataclass(frozen=True, slots=True)
class _Demand:
    """An argument of a call in a block that is not applied as it is written."""

    invoke: Invoke
    name: str
    kind: str
    """Which of the `_KINDS` it is."""
    node: Node
    """What is written, or else the default."""
    values: Given
    """What it is applied with, by the call of the block; without those that leave it out."""

    @property
    def at(self) -> tuple[str, str]:
        return self.invoke.name, self.name


@dataclass(slots=True)
class _Told:
    """A block that is told, and what its calls give it."""

    block: Block
    given: dict[str, dict[Body, Value]] = field(default_factory=dict)
    """By parameter, what calls give that is not written."""
    kinds: dict[str, str] = field(default_factory=dict)
    """Of these parameters."""


class _Writer:
    """The same calls with blocks that are told; each is made once."""

    def __init__(self, bodies: Mapping[Block, Sequence[Body]]) -> None:
        self.every = bodies
        self.told: dict[Block, _Told] = {}
        self.bodies: dict[Body, Body] = {}

    def call(self, call: Call) -> Call:
        return replace(call, body=self.body(call.body))

    def body(self, body: Body) -> Body:
        if not isinstance(body.target, Block):
            return body
        if body not in self.bodies:
            told = self.of(body.target)
            more = {name: values[body] for name, values in told.given.items() if body in values}
            usual = {name: _KINDS[told.kinds[name]].usual for name in told.given}
            arguments = {**usual, **body.arguments, **more}
            calls = tuple(map(self.call, body.calls))
            self.bodies[body] = replace(body, target=told.block, arguments=arguments, calls=calls)
        return self.bodies[body]

    def of(self, block: Block) -> _Told:
        if block not in self.told:
            self.told[block] = self.tell(block)
        return self.told[block]

    def tell(self, block: Block) -> _Told:
        bodies = self.every.get(block, ())
        demands = [d for _, invoke in block.invokes() for d in self.demands(invoke, bodies)]
        told = _Told(block)
        rest = [d for d in demands if d.at not in _handed_on(told, demands)]
        said = {d.at: node for d, node in _said(told, rest)}
        steps = tuple(replace(step, call=self.invoke(step.call, said)) for step in block.steps)
        if said or any(a.call != b.call for a, b in zip(steps, block.steps, strict=True)):
            told.block = replace(told.block, steps=steps)
        return told

    def demands(self, invoke: Invoke, bodies: Iterable[Body]) -> Iterator[_Demand]:
        """The arguments of a call within a block that are not applied as they are written."""
        made = {b: call.body for b in bodies for call in b.calls if call.name == invoke.name}
        said, target = dict(invoke.arguments), invoke.target
        parameters = target.parameter
        if isinstance(target, Block):
            kinds, parameters = self.of(target).kinds, self.of(target).block.parameter
        else:
            kinds = _kinds(target)
        for name, kind in kinds.items():
            usual = _KINDS[kind].usual
            values = {b: self.applied(inner, name, usual) for b, inner in made.items()}
            if any(values[b] != _written(inner, name, usual) for b, inner in made.items()):
                node = parameters[name].default or ex.Literal(None, _NOWHERE)
                yield _Demand(invoke, name, kind, said.get(name, node), values)

    def applied(self, body: Body, name: str, usual: Value) -> Value:
        """What a call is applied with for an argument."""
        told = self.of(body.target).given[name] if isinstance(body.target, Block) else {}
        return ex.compact(told.get(body, body.arguments.get(name, usual)))

    def invoke(self, invoke: Invoke, said: Mapping[tuple[str, str], Node]) -> Invoke:
        own = {name: node for (call, name), node in said.items() if call == invoke.name}
        operands = tuple(
            self.invoke(operand, said) if isinstance(operand, Invoke) else operand
            for operand in invoke.operands
        )
        arguments = tuple({**dict(invoke.arguments), **own}.items())
        target = self.of(invoke.target).block if isinstance(invoke.target, Block) else invoke.target
        return replace(invoke, target=target, operands=operands, arguments=arguments)


def _kinds(op: Op) -> dict[str, str]:
    """Of what kinds the arguments of an op are that may be applied otherwise."""
    given = {name: op.parameter[name].type.kind for name in _TOLD if name in op.parameter}
    return {name: kind if kind in _KINDS else name for name, kind in given.items()}


def _written(body: Body, name: str, usual: Value) -> Value:
    """What is written of an argument; the usual value of one that is new."""
    own = body.arguments if body.written is None else body.written
    return ex.compact(own.get(name, usual))


# ------------------------------------------------------------- in the place of what is handed on


def _handed_on(told: _Told, demands: Sequence[_Demand]) -> set[tuple[str, str]]:
    """The demands that parameters of the block meet which are handed on, once calls give these what
    is applied."""
    found: set[tuple[str, str]] = set()
    able = [d for d in demands if _KINDS[d.kind].handed_on]
    for name in {name: None for d in able for name in ex.names(d.node)}:
        parameter = told.block.parameter.get(name)
        own = [d for d in able if name in ex.names(d.node) and d.at not in found]
        values = None if parameter is None else _given(parameter, own)
        if values and all(_unmoved(b, name, value, own, demands) for b, value in values.items()):
            told.given[name], told.kinds[name] = values, own[0].kind
            found.update(d.at for d in own)
    return found


def _given(parameter: Parameter, demands: Iterable[_Demand]) -> dict[Body, Value] | None:
    """What each call gives the parameter; none where demands differ, or it cannot hold that."""
    found: dict[Body, Value] = {}
    for demand in demands:
        for body, value in demand.values.items():
            if found.setdefault(body, value) != value:
                return None
    try:
        return {body: parameter.take(value) for body, value in found.items()}
    except Invalid:
        return None


def _unmoved(
    body: Body, name: str, value: Value, own: Iterable[_Demand], demands: Iterable[_Demand]
) -> bool:
    """Whether a parameter with a value meets its `own` demands in a call of a block, and all else
    stays as it is."""
    scope = _scope(body)
    moved = {**scope, name: value}
    met = (ex.compact(d.node.evaluate(moved)) == d.values[body] for d in own if body in d.values)
    others = (node for node in _others(body, demands) if name in ex.names(node))
    return all(met) and all(
        ex.compact(node.evaluate(scope)) == ex.compact(node.evaluate(moved)) for node in others
    )


def _others(body: Body, demands: Iterable[_Demand]) -> Iterator[Node]:
    """The expressions in a call of a block that are no demands."""
    block, said, made = body.target, {d.at for d in demands}, {call.name for call in body.calls}
    assert isinstance(block, Block)
    yield from (node for _, node in block.lets)
    yield from (step.when for step in block.steps if step.when is not None)
    yield from () if block.channels is None else (block.channels,)
    for _, invoke in block.invokes():
        given = invoke.arguments if invoke.name in made else ()
        yield from (node for name, node in given if (invoke.name, name) not in said)


def _scope(body: Body) -> dict[str, object]:
    """Values by name, and tensors by name after a dot."""
    block, made = body.target, {call.name: call.body.output for call in body.calls}
    assert isinstance(block, Block)
    scope: dict[str, object] = dict(body.arguments)
    scope |= {f".{x}": tensor for x, tensor in zip(block.inputs, body.inputs, strict=True)}
    for step in block.steps:
        scope[f".{step.name}"] = made.get(step.call.name, scope[f".{step.passed}"])
    return scope


# --------------------------------------------------------------------- written out, or as new ones


def _said(told: _Told, demands: Sequence[_Demand]) -> Iterator[tuple[_Demand, Node]]:
    """What a block's calls are given for each demand."""
    shared: dict[tuple[str, frozenset[tuple[Body, Value]]], str] = {}
    varying = [demand for demand in demands if len({*demand.values.values()}) > 1]
    for demand in demands:
        if demand not in varying:
            yield demand, ex.Literal(next(iter(demand.values.values())), _NOWHERE)
            continue
        key = demand.kind, frozenset(demand.values.items())
        if key not in shared:
            named = _KINDS[demand.kind].name
            alone = sum(_KINDS[other.kind].name == named for other in varying) == 1
            shared[key] = _name(told.block, demand, alone)
            _add(told, shared[key], demand)
        yield demand, ex.Name(shared[key], _NOWHERE)


def _name(block: Block, demand: _Demand, alone: bool) -> str:
    """What a parameter for a demand is called: `dilation`, or `conv_dilation` where that is not
    `alone` in the block."""
    taken = {*block.parameter, *block.inputs, *(name for name, _ in block.lets)}
    call = demand.invoke.name.removesuffix("_pad" if demand.kind == "sides" else "")
    own = f"{call}_{demand.name}"
    name = _KINDS[demand.kind].name if alone else own
    if name in taken:
        name = own
    while name in taken:
        name += "_"
    return name


def _add(told: _Told, name: str, demand: _Demand) -> None:
    """Adds a parameter to the block, which its calls give what is demanded."""
    kind = _KINDS[demand.kind]
    values = {body: kind.meant(value) for body, value in demand.values.items()}
    number = "int" if all(isinstance(value, int) for value in values.values()) else "size"
    usual = None if kind.required else ex.Literal(kind.usual, _NOWHERE)
    parameter = Parameter(name, kind.type or Type(number), usual, varies=kind.varies)
    told.block = replace(told.block, parameters=(*told.block.parameters, parameter))
    told.given[name], told.kinds[name] = values, demand.kind
