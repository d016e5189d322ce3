"""What both ways of writing a block have in common: order, arguments, variables, literals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from typing import Any

from archc.backends.python.text import Names, plain
from archc.compiler.ir.activations import reached
from archc.compiler.ir.analysis import totals
from archc.compiler.ir.interface import Argument, Interface, interface, with_channels
from archc.compiler.ir.network import Block, Body, Invoke, Network, Op, Row, Step, Use
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Definition, Node, Value
from archc.compiler.language.names import BUILTINS
from archc.compiler.language.problems import Place, Source
from archc.compiler.language.values import ACTIVATIONS, show

ANNOTATIONS = {"int": "int", "float": "float", "bool": "bool"}
"""Kinds of parameters whose type generated code names."""

NOWHERE = Place(Source("generated", ""), 1, 1)


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
    pending = [row.call.body for row in network.rows]
    seen: set[Body] = set()
    while pending:
        body = pending.pop()
        if body not in seen:
            seen.add(body)
            for call in body.calls:
                found.setdefault((body.target, call.name), {})[call.body] = None
            pending += [call.body for call in body.calls]
    return {at: tuple(every) for at, every in found.items()}


def ranks(seen: Iterable[Body]) -> frozenset[int]:
    """The ranks of the first input, 3 or 1."""
    return frozenset(len(body.inputs[0].shape) for body in seen)


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


def activations(seen: Iterable[Body]) -> set[Value]:
    """What calls of the op `activation` apply: words, none, or blocks that serve as one."""
    return {
        body.target if isinstance(body.target, Block) else body.arguments.get("act")
        for body in seen
    }


def effective(network: Network, target: Op | Block, given: Mapping[str, Node]) -> dict[str, Node]:
    """All arguments of an op: given ones, then the spec's defaults, then its own."""
    own = network.defaults.get(target.name, {})
    found = {}
    for parameter in target.parameters:
        name = parameter.name
        node = given.get(name)
        if node is None and name in own:
            node = ex.Literal(own[name], NOWHERE)
        found[name] = node or parameter.default or ex.Literal(None, NOWHERE)
    return found


def default(network: Network, block: Block, argument: Argument) -> Node | None:
    """The default of a generated block's argument; None where it has none."""
    own = network.defaults.get(block.name, {})
    if argument.name in own:
        return ex.Literal(own[argument.name], NOWHERE)
    if argument.default is None and argument.type.optional:
        return ex.Literal(None, NOWHERE)
    return argument.default


def value_of(body: Body, argument: Argument) -> Node | None:
    """What a call of a block gives one of its generated arguments; None if no step asks for it."""
    *path, name = argument.origin
    for step in path:
        inner = next((call for call in body.calls if call.name == step), None)
        if inner is None:
            return None
        body = inner.body
    return ex.Literal(body.arguments.get(name), NOWHERE)


def row_arguments(network: Network, row: Row) -> Iterator[tuple[str, Node]]:
    """The generated arguments of a row's call, without those at their default."""
    body = row.call.body
    block = body.target
    assert isinstance(block, Block)
    for argument in interface(block).arguments:
        usual = default(network, block, argument)
        node = row.spelled.get(argument.name) or value_of(body, argument) or usual
        if node is None or not _same(node, usual):
            yield argument.name, node or ex.Literal(None, NOWHERE)


def passed_arguments(
    network: Network, face: Interface, invoke: Invoke
) -> Iterator[tuple[str, Node]]:
    """The generated arguments of a call within a block, without those at their default."""
    block = invoke.target
    assert isinstance(block, Block)
    given = dict(face.passed[invoke.name])
    for argument in interface(block).arguments:
        node = given.get(argument.name)
        if node is not None and not _same(node, default(network, block, argument)):
            yield argument.name, node


def _same(node: Node, other: Node | None) -> bool:
    """Whether both are the same constant: 1 and 1.0 are, 1 and true are not."""
    if not isinstance(node, ex.Literal) or not isinstance(other, ex.Literal):
        return False
    booleans = isinstance(node.value, bool), isinstance(other.value, bool)
    return booleans[0] == booleans[1] and ex.compact(node.value) == ex.compact(other.value)


NETWORK_VARIABLES = (
    *("x", "prev", "layer", "inputs", "input_shape"),
    *("features", "features_only", "outputs"),
)
"""Names that the code of a whole network uses itself."""


class ModuleNames:
    """What a module calls its model and its blocks, and they their inputs and arguments.

    `used` are names that the module's code uses itself, and `style` is how it spells a block's.
    """

    def __init__(
        self, network: Network, used: Iterable[str], style: Callable[[str], str] = str
    ) -> None:
        self.network = network
        self.model = network.name
        # What people call a model by is theirs: blocks make way.
        self.kept = frozenset(parameter.name for parameter in network.kept)
        names = Names((*used, *NETWORK_VARIABLES, *BUILTINS, self.model, *self.kept))
        self.seen = bodies(network)
        self.blocks = {b: names.new(style(b.name)) for b in used_blocks(network, self.seen)}
        self.taken = frozenset({*used, self.model, *self.blocks.values()})
        self.inputs = {b: Names(self.taken).every(b.inputs) for b in self.blocks}
        self.arguments = {b: self.arguments_of(b) for b in self.blocks}

    def arguments_of(self, block: Block) -> dict[str, str]:
        names = [argument.name for argument in interface(block).arguments]
        return Names({*self.taken, *self.inputs[block].values()}).every(names)


def positional(block: Block, face: Interface) -> str | None:
    """The argument that a generated block takes by position: the one its spec names first."""
    first = block.parameters[0].name if block.parameters else None
    return first if any(a.name == first for a in face.arguments) else None


# -------------------------------------------------------------------------------- expressions


class Speller:
    """Expressions of a block or a row as Python text."""

    def __init__(
        self,
        name: Callable[[str], str],
        channels: Callable[[str], str],
        activation: Callable[[Any], str],
        known: Mapping[str, Node] | None = None,
    ) -> None:
        self.name, self.channels, self.activation = name, channels, activation
        self.known = known or {}

    def __call__(self, node: Node) -> str:
        return ex.python(with_channels(node, self.known), self.leaf)

    def leaf(self, node: Node) -> str:
        match node:
            case ex.Name():
                return self.name(node.id)
            case ex.Attribute():
                return self.channels(node.id)
            case ex.Literal(value=str(word)) if word in ACTIVATIONS:
                return self.activation(word)
            case ex.Literal(value=Definition() as block):
                return self.activation(block)
            case ex.Literal(value=value):
                return literal(value)
        raise TypeError(f"{node} is not a leaf")


def literal(value: Value) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return repr(ex.compact(value))


def is_literal(node: Node, *values: Value) -> bool:
    return any(_same(node, ex.Literal(value, NOWHERE)) for value in values)


# ---------------------------------------------------------------------------------- variables


def uses(block: Block) -> Counter[str]:
    """How often each value of the block is used as an operand."""
    return Counter(
        operand.name
        for _, invoke in block.invokes()
        for operand in invoke.operands
        if isinstance(operand, Use)
    )


def variables(
    block: Block, inputs: Mapping[str, str], taken: Iterable[str], mentioned: Mentioned
) -> dict[str, str]:
    """A variable for each value: a link of a chain takes its predecessor's, others get their own.

    `mentioned` says which inputs a step's code looks at besides its operands.
    """
    count = uses(block)
    last = {name: i for i, s in enumerate(block.steps) for name in operands(s) | mentioned(s)}
    found = dict(inputs)
    chain = set(inputs.values())
    names = Names({*taken, *chain})
    following: list[Step | None] = [*block.steps[1:], None]
    for index, (step, after) in enumerate(zip(block.steps, following, strict=True)):
        first = first_operand(step)
        link = after is None or (count[step.name] == 1 and step.name in operands(after))
        if link and found[first] in chain and last[first] <= index:
            found[step.name] = found[first]
            continue
        found[step.name] = names.new("y" if link and first in inputs else step.name)
        if link and (first in inputs or step.when is not None):
            chain.add(found[step.name])
    return found


Mentioned = Callable[[Step], set[str]]


def no_mentions(step: Step) -> set[str]:
    return set()


def used_operands(call: Invoke) -> list[Use | Invoke]:
    """The operands that the code computes with: a block may look at no more than a stride."""
    used = interface(call.target).used if isinstance(call.target, Block) else None
    return operands_named(call, used)


def operands_named(call: Invoke, names: Container[str] | None) -> list[Use | Invoke]:
    """The operands for the inputs in `names`; all where there are no names."""
    if names is None:
        return list(call.operands)
    pairs = zip(call.target.inputs, call.operands, strict=True)
    return [operand for name, operand in pairs if name in names]


def operands(step: Step) -> set[str]:
    """Names of the values that a step uses."""
    assert isinstance(step.call, Invoke)
    return {o.name for invoke in step.call.walk() for o in invoke.operands if isinstance(o, Use)}


def first_operand(step: Step) -> str:
    """What a step passes through when it is left out."""
    call = step.call
    while isinstance(call, Invoke):
        call = call.operands[0]
    return call.name


# ------------------------------------------------------------------------------------- header


def header(network: Network, framework: str, spec: str) -> str:
    """The text of the module's docstring."""
    sums = totals(network)
    changed = settings_text(network)
    return "\n\n".join(
        (
            f"{network.name} for {framework}.",
            f"Input {network.input}, output {network.output}.\n{sums.trainable:,} trainable"
            f" parameters, {sums.total:,} in total.\n{sums.macs:,} MACs.",
            f"Generated by archc from {plain(spec)}{changed}. Edit the spec, not this file.",
        )
    )


def model_doc(network: Network) -> str:
    """The text of the model's docstring: where it comes from, and what its arguments mean."""
    arguments = [f"{p.name}: {p.doc}" for p in network.kept if p.doc]
    return "\n\n".join([network.doc or network.name, "\n".join(arguments)])


def features_doc(network: Network, shape: Callable[[Row], str]) -> str:
    """What the taps are, one a line: `c2: 24x56x56 at stride 4`."""
    taps = network.taps.items()
    return "\n".join(
        f"{tap}: {shape(row)} at stride {show(row.call.body.output.stride)}" for tap, row in taps
    )


def settings_text(network: Network) -> str:
    """The settings that differ from the spec's defaults, as ` with alpha=0.75`."""
    changed = [f"{name}={show(network.settings[name])}" for name in network.changed]
    return f" with {', '.join(changed)}" if changed else ""
