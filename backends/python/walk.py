"""The walk over a network and its blocks, of which functions and classes are two ways to write.

In: a network. Out: a render model. What is decided here is decided for every framework that is
written in Python: order, names, arguments, conditions, variables, which values are saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from types import MappingProxyType

from archc.backends.python import header
from archc.backends.python.arguments import (
    default,
    effective,
    positional,
    row_arguments,
    unusual,
)
from archc.backends.python.helpers import needed
from archc.backends.python.initial import initialized
from archc.backends.python.language import Language
from archc.backends.python.model import (
    Assign,
    Definition,
    If,
    Module,
    Parameter,
    Return,
    Shared,
    Statement,
)
from archc.backends.python.names import ModuleNames
from archc.backends.python.sharing import shared
from archc.backends.python.spelling import OpCall, Speller, constant, is_literal
from archc.backends.python.text import Apply, Expression, Names, apply
from archc.compiler.elaborate.static import static
from archc.compiler.ir.applied import applied
from archc.compiler.ir.interface import Argument, interface
from archc.compiler.ir.network import OUTPUT, Block, Invoke, Network, Op, Row, Step
from archc.compiler.ir.pruning import pruned
from archc.compiler.language.expressions import Node


def render(network: Network, language: Language, spec: str) -> Module:
    """The module for a network, of definitions of its blocks and then its own.

    `spec` is the name of the spec's file, for the header.
    """
    declared = network if language.numbers else replace(network, static=False)
    network = pruned(applied(static(declared)))
    names = ModuleNames(network, language)
    called = {body.target for body in network.bodies}
    blocks: Mapping[str, Definition] = {
        # One that no call makes may stand beside one of its name that calls make.
        each.name if each in called else f"{each.name}, uncalled {names.blocks[each]}": (
            language.block(names, each).definition()
        )
        for each in names.blocks
    }
    own = language.network(names).definition()
    (*others, own), initial = initialized([*blocks.values(), own], names.use, names.told_later)
    (*others, own), made = said_once([*others, own], names)
    blocks = dict(zip(blocks, others, strict=True))
    helpers, used = needed(language.helpers, names.used)
    doc = header.header(declared, language, spec)
    serving, taps = names.serving(), tuple(network.taps)
    return Module(doc, used, helpers, blocks, own, initial, made, serving, taps)


def said_once(
    definitions: list[Definition], names: ModuleNames
) -> tuple[list[Definition], tuple[Shared, ...]]:
    """The definitions with what the language shares made by functions."""
    if names.language.shared is None:
        return definitions, ()
    prefix, name = names.language.shared
    return shared(definitions, prefix, name, Names(names.every()))


def speller(
    names: ModuleNames,
    name: Callable[[str], str],
    channels: Callable[[str], str],
    known: Mapping[str, Node] = MappingProxyType({}),
) -> Speller:
    """What spells expressions of a block, or of the network."""
    return Speller(name, channels, names.activation, names.initializer, known)


class Walk:
    """What is decided alike of a block and of the whole network, however they are written."""

    def __init__(self, names: ModuleNames, spell: Speller) -> None:
        self.names, self.network, self.spell = names, names.network, spell
        self.calls: dict[str, Expression] = {}
        """How each call is spelled, by its name."""

    def spelled(self, target: Op | Block, call: OpCall) -> Expression:
        """How an op is spelled."""
        found = self.calls[call.name] = self.names.language.ops[target.name](call)
        return found

    def applied(
        self,
        name: str,
        block: Block,
        plain: Iterable[Expression],
        given: Mapping[str, Node],
        spell: Speller,
        /,
        **more: Expression,
    ) -> Apply:
        """`block(plain, first, other=..., more=...)`; what is at its default is left out."""
        nodes = unusual(self.network, block, given)
        first = positional(block, interface(block))
        by_position = [*plain, *([spell(nodes.pop(first))] if first in nodes else [])]
        arguments = self.names.arguments[block]
        named = {arguments[key]: spell(node) for key, node in nodes.items()}
        found = self.calls[name] = apply(self.names.blocks[block], *by_position, **named, **more)
        return found


class BlockWalk(Walk):
    """What is decided alike of a block."""

    def __init__(self, names: ModuleNames, block: Block, channels: Callable[[str], str]) -> None:
        self.block, self.face = block, interface(block)
        arguments = names.arguments[block].__getitem__
        super().__init__(names, speller(names, arguments, channels, self.face.channels))
        self.inputs = names.inputs[block]
        self.kinds = {a.name: a.type.kind for a in self.face.arguments}

    def groups(self) -> Iterator[tuple[Node | None, list[Step]]]:
        """Neighbours that are made under one condition together."""
        for when, group in groupby(self.block.steps, self.condition):
            yield when, list(group)

    def condition(self, step: Step) -> Node | None:
        return step.when

    # ------------------------------------------------------------------------ parameters

    def parameters(self) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
        """The argument that calls give by position, if there is one, and the others."""
        first = positional(self.block, self.face)
        by_name = {a.name: self.parameter(a) for a in self.face.arguments}
        plain = [by_name.pop(first)] if first in by_name else []
        # What has to be given stands before what may be left out.
        named = sorted(by_name.values(), key=lambda parameter: parameter.default is not None)
        return tuple(plain), tuple(named)

    def parameter(self, argument: Argument) -> Parameter:
        usual = default(self.network, self.block, argument)
        name = self.names.arguments[self.block][argument.name]
        values = self.names.values(self.block, argument)
        optional = (usual is not None and is_literal(usual, None)) or None in values
        opened = (self.block, argument.name) in self.names.opened
        annotation = self.names.annotation(argument.type, optional, opened, values)
        return Parameter(name, annotation, None if usual is None else self.spell(usual))

    # -------------------------------------------------------------------------- statements

    variables: Mapping[str, str]
    """By value."""

    def body(self) -> Iterator[Statement]:
        """What computes the steps and returns the last."""
        last = self.block.steps[-1]
        for when, steps in self.groups():
            if when is None:
                for step in steps:
                    variable = "" if step is last else self.variables[step.name]
                    yield from self.statements(step, variable)
            else:
                yield from self.optional(steps, self.said(when, steps))

    def said(self, when: Node, steps: list[Step]) -> str:
        """The condition of some steps where they are computed."""
        return self.spell(when)

    def optional(self, steps: list[Step], condition: str) -> Iterator[Statement]:
        """Steps that are left out together: until then each is its first input."""
        for step in steps:
            passed, own = self.variables[step.passed], self.variables[step.name]
            if passed != own:
                yield Assign(own, passed)
        body = (s for step in steps for s in self.statements(step, self.variables[step.name]))
        yield If(condition, tuple(body))
        if steps[-1] is self.block.steps[-1]:
            yield Return(self.variables[steps[-1].name])

    def statements(self, step: Step, variable: str) -> Iterator[Statement]:
        """What computes a step into a variable; "" is returned."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------ calls

    def block_call(
        self, invoke: Invoke, when: Node | None, plain: Iterable[Expression], **more: Expression
    ) -> Apply:
        """A call of a block within this one, where a condition holds."""
        assert isinstance(invoke.target, Block)
        given, spell = dict(self.face.passed[invoke.name]), self.spell.where(when)
        return self.applied(invoke.name, invoke.target, plain, given, spell, **more)

    def op_call(self, invoke: Invoke, when: Node | None, **more: object) -> OpCall:
        """A call of an op within this block, where a condition holds."""
        passed, spell = dict(self.face.passed[invoke.name]), self.spell.where(when)
        given = effective(self.network, invoke.target, passed)
        return OpCall(
            invoke.name,
            {name: spell.folded(node) for name, node in given.items()},
            spell,
            self.names.use,
            self.names.seen.get((self.block, invoke.name), ()),
            kinds=self.kinds,
            within=True,
            when=when,
            left_open=(self.block, invoke.name) in self.names.left_open,
            **more,  # type: ignore[arg-type]
        )


class NetworkWalk(Walk):
    """What is decided alike of the whole network."""

    def __init__(self, names: ModuleNames) -> None:
        super().__init__(names, speller(names, str, str))

    def parameters(self) -> Iterator[Parameter]:
        for kept in self.network.kept:
            assert kept.default is not None
            optional = kept.type.optional or kept.type.kind == "activation"
            annotation = self.names.annotation(kept.type, optional, True)
            yield Parameter(kept.name, annotation, self.spell(kept.default))

    def before_taps(self) -> tuple[Row, ...]:
        """The rows up to the last that is tapped."""
        tapped = [i for i, row in enumerate(self.network.rows) if row.tap is not None]
        return self.network.rows[: max(tapped, default=-1) + 1]

    def tapped(self, row: Row) -> list[Statement]:
        """What keeps a row's feature map, if it is tapped."""
        return [] if row.tap is None else [Assign(f'features["{row.tap}"]', "x")]

    @property
    def several(self) -> bool:
        """Whether the network has several outputs, which the model gives by name."""
        return len(self.network.outputs) > 1

    @property
    def alone(self) -> bool:
        """Whether all outputs but the last are there in training only."""
        return self.several and len(self.network.always) == 1

    @property
    def early(self) -> str | None:
        """What the last output is called where the rows are left out that the model may leave out;
        None where the row above them is an output itself."""
        before = [row.output for row in self.network.rows if row.when is None]
        return None if before and before[-1] else OUTPUT

    def no_outputs(self) -> list[Statement]:
        """Where the outputs are to go, if they are several."""
        kind = self.names.language.tensor
        annotation = f"dict[str, {kind}]"
        return [Assign("outputs", "{}", annotation=annotation)] if self.several else []

    def given(self, row: Row, variable: str) -> list[Statement]:
        """What keeps a row's value, if it is an output beside the last."""
        if row.output is None or row is self.network.rows[-1]:
            return []
        return [Assign(f'outputs["{row.output}"]', variable)]

    def shape(self, row: Row) -> str:
        """The shape of a row's output, as comments have it."""
        return "x".join(self.names.language.shape(row.call.body.output))

    def op_call(self, row: Row, **more: object) -> OpCall:
        """A row that calls an op."""
        body = row.call.body
        values = {name: constant(value) for name, value in body.arguments.items()}
        given = {**values, **row.spelled}
        name, use, opened = row.call.name, self.names.use, bool(row.spelled)
        return OpCall(name, given, self.spell, use, (body,), left_open=opened, **more)  # type: ignore[arg-type]

    def block_call(self, row: Row, plain: Iterable[Expression], **more: Expression) -> Apply:
        """A row that calls a block."""
        target, given = row.call.body.target, row_arguments(self.network, row)
        assert isinstance(target, Block)
        return self.applied(row.call.name, target, plain, given, self.spell, **more)
