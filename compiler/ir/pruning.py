"""From a network to the same network, whose blocks have no parameter that no call varies.

In: a network, elaborated. Out: one whose blocks lack the parameters that every call leaves at their
default, paddings and initializers that every call gives alike, what decides their code, and the
steps that are left out then. A block that is named where an activation belongs stays as it is, with
all that it calls:
whoever makes a model may give another in its place. So does what a kept parameter may reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache

from archc.compiler.ir.folding import folded, truth
from archc.compiler.ir.interface import is_initializer, pinned
from archc.compiler.ir.mentions import CHANNELS, Open, mentioned, reached
from archc.compiler.ir.network import (
    Block,
    Body,
    Call,
    Invoke,
    Network,
    Op,
    Parameter,
    Row,
    Step,
    Use,
)
from archc.compiler.language import expressions as ex
from archc.compiler.language.closure import closure
from archc.compiler.language.expressions import Node, Value
from archc.compiler.language.problems import Place, Source

_NOWHERE = Place(Source("generated", ""), 1, 1)


ALIKE = ("padding", "initializer")
"""Kinds of parameters that a block lacks where all calls give the same, whatever that is."""


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What is alike in every call of a block."""

    constants: Mapping[str, Node] = field(default_factory=dict)
    """Values of parameters that are none then."""
    conditions: Mapping[str, bool] = field(default_factory=dict)
    """Whether a step with a condition is there, by its name."""
    given: frozenset[str] = frozenset()
    """Parameters that may be none, and never are."""


_NOTHING = _Fixed()


def pruned(network: Network) -> Network:
    """`network` without what no call of a block varies. It computes the same."""
    pruner = _Pruner(_fixed(network), network.defaults)
    return replace(network, rows=tuple(map(pruner.row, network.rows)))


def left(network: Network, asked: Iterable[tuple[Block, Parameter]]) -> bool:
    """Whether any of these parameters is not alike in every call of its block."""
    asked = [*asked]
    if not asked:
        return False
    served, opened, calls = serving(network), left_open(network), network.called_blocks
    return any(
        block in served
        or block not in calls
        or ((block, parameter.name) in opened and parameter.name not in pinned(block))
        or not _is_fixed(network, block, parameter, [body.arguments for body in calls[block]])
        for block, parameter in asked
    )


# ----------------------------------------------------------------------- what no call varies


def _fixed(network: Network) -> dict[Op | Block, _Fixed]:
    served, opened = serving(network), left_open(network)
    calls = {
        block: bodies for block, bodies in network.called_blocks.items() if block not in served
    }
    every = {block: _of(network, block, opened, bodies) for block, bodies in calls.items()}
    whole = {b: f if _can_end(b, f) else _pins(b, f) for b, f in every.items()}
    return {block: fixed for block, fixed in whole.items() if fixed != _NOTHING}


def _pins(block: Block, fixed: _Fixed) -> _Fixed:
    """Of what is fixed, that which decides the code of the block, and how its arrays start: an
    initializer with fans is no argument of it."""
    kept = {n for n in fixed.constants if n in pinned(block) or is_initializer(block, n)}
    return _Fixed({n: node for n, node in fixed.constants.items() if n in kept})


def _of(network: Network, block: Block, opened: Set[Open], bodies: Sequence[Body]) -> _Fixed:
    given = [body.arguments for body in bodies]
    constants = {
        p.name: ex.Literal(given[0].get(p.name), _NOWHERE)
        for p in block.parameters
        if p.name in pinned(block)
        or ((block, p.name) not in opened and _is_fixed(network, block, p, given))
    }
    always = frozenset(
        p.name
        for p in block.parameters
        if (block, p.name) not in opened and all(a.get(p.name) is not None for a in given)
    )
    return _Fixed(constants, dict(_conditions(block, opened, bodies)), always)


def _conditions(
    block: Block, opened: Set[Open], bodies: Sequence[Body]
) -> Iterator[tuple[str, bool]]:
    """The steps that every call makes, or none."""
    made = [{call.name for call in body.calls} for body in bodies]
    for step in block.steps:
        if step.when is not None and not _is_open(block, step.when, opened):
            there = [step.call.name in names for names in made]
            if all(there) or not any(there):
                yield step.name, there[0]


def _is_open(block: Block, node: Node, opened: Set[Open]) -> bool:
    """Whether an argument of the model may decide an expression."""
    names = frozenset(p.name for p in block.parameters if (block, p.name) in opened)
    inputs = frozenset(block.inputs if (block, CHANNELS) in opened else ())
    return mentioned(block, node).is_open(names, inputs)


def _is_fixed(
    network: Network, block: Block, parameter: Parameter, given: list[Mapping[str, Value]]
) -> bool:
    first, *others = (_plain(arguments.get(parameter.name)) for arguments in given)
    if isinstance(first, ex.Definition) or any(other != first for other in others):
        return False
    own = network.defaults.get(block.name, {})
    if parameter.name in own:
        return first == _plain(own[parameter.name])
    usual = parameter.default
    left = first is None if usual is None else first == _plain(usual.evaluate({}))
    return parameter.type.kind in ALIKE or (left and not parameter.required)


def _plain(value: Value) -> tuple[bool, Value]:
    """A value that equals another only if they are alike: 1 and 1.0 are, 1 and true are not."""
    return isinstance(value, bool), ex.compact(value)


def serving(network: Network) -> set[Block]:
    """The blocks that are named where an activation belongs, and what they call."""
    named = [
        body.arguments.get(name) for body in network.bodies for name in _activations(body.target)
    ]
    named += [value for own in network.defaults.values() for value in own.values()]
    targets = {body.target for body in network.bodies}
    named += [other for each in targets if isinstance(each, Block) for other in each.activations]
    blocks = (value for value in named if isinstance(value, Block))
    return {*closure(blocks, Block.names)}


@lru_cache(maxsize=1024)
def _activations(target: Op | Block) -> tuple[str, ...]:
    """The parameters that may name a block."""
    return tuple(p.name for p in target.parameters if p.type.kind == "activation")


def left_open(network: Network) -> Set[Open]:
    """What an argument of the model may reach."""
    return reached(
        (row.call.body.target, name)
        for row in network.rows
        for name in (*row.spelled, *((CHANNELS,) if any(row.channels) else ()))
    )


def _can_end(block: Block, fixed: _Fixed) -> bool:
    """Whether the last step is there, or passes on what is computed just before it."""
    steps, instead = _made(block, fixed)
    last = block.steps[-1].name
    return bool(steps) and steps[-1].name == instead.get(last, last)


def _steps(block: Block, fixed: _Fixed) -> tuple[list[Step], dict[str, str]]:
    """The steps that code needs, and what stands for the others: all of them, where what is left
    could not end the block."""
    if _can_end(block, fixed):
        return _made(block, fixed)
    told = [None if s.when is None else _told(s.when, fixed.constants) for s in block.steps]
    return [replace(s, when=when) for s, when in zip(block.steps, told, strict=True)], {}


def _made(block: Block, fixed: _Fixed) -> tuple[list[Step], dict[str, str]]:
    """The steps that some call makes, and what stands for the others."""
    steps: list[Step] = []
    instead: dict[str, str] = {}
    for step in block.steps:
        when = None if step.when is None else _told(step.when, fixed.constants)
        there = True if when is None else fixed.conditions.get(step.name, truth(when, {}))
        if there is False:
            instead[step.name] = instead.get(step.passed, step.passed)
        else:
            when, otherwise = (None, None) if there else (when, step.otherwise)
            steps.append(replace(step, when=when, otherwise=otherwise))
    return steps, instead


# ------------------------------------------------------------------------------- without it


class _Pruner:
    """The same calls and blocks without what is fixed; each is made once."""

    def __init__(
        self, fixed: Mapping[Op | Block, _Fixed], defaults: Mapping[str, Mapping[str, Value]]
    ) -> None:
        self.fixed, self.defaults = fixed, defaults
        self.uncalled: dict[tuple[Block, tuple[Node, ...]], Block] = {}
        """Blocks as a step says that no call makes, but an argument of the model may, by what the
        step gives for their pinned parameters."""
        self.blocks: dict[Block, Block] = {}
        self.bodies: dict[Body, Body] = {}

    def row(self, row: Row) -> Row:
        fixed = self.of(row.call.body.target).constants
        spelled = {name: node for name, node in row.spelled.items() if name not in fixed}
        return replace(row, call=self.call(row.call), spelled=spelled)

    def call(self, call: Call) -> Call:
        return replace(call, body=self.body(call.body))

    def body(self, body: Body) -> Body:
        found = self.bodies.get(body)
        if found is None:
            calls = tuple(map(self.call, body.calls))
            found = replace(body, target=self.target(body.target), calls=calls)
            self.bodies[body] = found
        return found

    def of(self, target: Op | Block) -> _Fixed:
        return self.fixed.get(target, _NOTHING)

    def target(self, target: Op | Block) -> Op | Block:
        if not isinstance(target, Block):
            return target
        if target not in self.blocks:
            self.blocks[target] = self.block(target, self.of(target))
        return self.blocks[target]

    def pins(self, target: Block, invoke: Invoke, said: Mapping[str, Node]) -> dict[str, Node]:
        """What a step gives for the parameters that decide the target's code."""
        given, usual = dict(invoke.arguments), self.defaults.get(target.name, {})
        found = {}
        for name in sorted(pinned(target)):
            own = ex.Literal(usual.get(name), _NOWHERE) if name in usual else None
            node = given.get(name) or own or target.parameter[name].default
            found[name] = _told(node or ex.Literal(None, _NOWHERE), said)
        return found

    def called(
        self, invoke: Invoke, said: Mapping[str, Node]
    ) -> tuple[Op | Block, Mapping[str, Node]]:
        """The target of a step's call, and the parameters that it has no more."""
        target, constants = invoke.target, self.of(invoke.target).constants
        pins = self.pins(target, invoke, said) if isinstance(target, Block) else {}
        if isinstance(target, Op) or all(constants.get(n) == node for n, node in pins.items()):
            return self.target(target), constants
        key = (target, tuple(pins.values()))
        if key not in self.uncalled:
            self.uncalled[key] = self.block(target, _Fixed(pins))
        return self.uncalled[key], pins

    def block(self, block: Block, fixed: _Fixed) -> Block:
        targets = [invoke.target for _, invoke in block.invokes()]
        left = all(self.target(t) is t and (isinstance(t, Op) or not pinned(t)) for t in targets)
        if fixed == _NOTHING and left:
            return block
        steps, instead = _steps(block, fixed)
        said = {**fixed.constants, **passed_on(instead)}
        return replace(
            block,
            parameters=tuple(
                _demanded(p) if p.name in fixed.given else p
                for p in block.parameters
                if p.name not in fixed.constants
            ),
            lets=tuple((name, _told(node, said)) for name, node in block.lets),
            steps=tuple(self.step(step, said, instead) for step in steps),
            channels=None if block.channels is None else _told(block.channels, said),
        )

    def step(self, step: Step, said: Mapping[str, Node], instead: Mapping[str, str]) -> Step:
        when = None if step.when is None else _told(step.when, said)
        otherwise = step.otherwise and _renamed(step.otherwise, instead)
        call = self.invoke(step.call, said, instead)
        return replace(step, call=call, when=when, otherwise=otherwise)

    def invoke(
        self, invoke: Invoke, said: Mapping[str, Node], instead: Mapping[str, str]
    ) -> Invoke:
        target, fixed = self.called(invoke, said)
        operands = tuple(
            self.invoke(operand, said, instead)
            if isinstance(operand, Invoke)
            else _renamed(operand, instead)
            for operand in invoke.operands
        )
        arguments = tuple(
            (name, _told(node, said)) for name, node in invoke.arguments if name not in fixed
        )
        return replace(invoke, target=target, operands=operands, arguments=arguments)


def _renamed(use: Use, instead: Mapping[str, str]) -> Use:
    """A value, or what stands for it."""
    return replace(use, name=instead.get(use.name, use.name))


def _demanded(parameter: Parameter) -> Parameter:
    """A parameter that is never none, without none for a default."""
    default, type_ = parameter.default, replace(parameter.type, optional=False)
    none = isinstance(default, ex.Literal) and default.value is None
    return replace(parameter, type=type_, default=None if none else default)


def _told(node: Node, said: Mapping[str, Node]) -> Node:
    return folded(ex.substitute(node, said), {}) if said else node


def passed_on(instead: Mapping[str, str]) -> dict[str, Node]:
    """What is known of a step that is left out is known of what stands for it."""
    return {
        f"{name}.{field}": ex.Attribute(other, field, _NOWHERE)
        for name, other in instead.items()
        for field in ("channels", "stride", "height", "width")
    }
