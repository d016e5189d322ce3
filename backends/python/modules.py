"""A block as a class that makes its layers in a constructor, and calls them in a method.

So PyTorch has it. Where a class has nothing to say but that its layers run one after the other, and
the framework has sequences, it is one, and has no such method.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import chain, groupby

from archc.backends.python.header import block_doc
from archc.backends.python.model import (
    Assign,
    Code,
    Definition,
    If,
    Method,
    Parameter,
    Return,
    Statement,
    Table,
)
from archc.backends.python.names import ModuleNames
from archc.backends.python.spelling import NOWHERE, Layer
from archc.backends.python.text import Choice, Expression, Names
from archc.backends.python.variables import mentioned, operands, variables
from archc.backends.python.walk import BlockWalk
from archc.compiler.ir.interface import interface, sized_inputs
from archc.compiler.ir.network import Block, Invoke, Op, Step, Use, uses
from archc.compiler.ir.ops.elementwise import ACTIVATION
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node


def is_module(target: Op | Block) -> bool:
    """Ops of several tensors are expressions; all else is a module."""
    return isinstance(target, Block) or (len(target.inputs) == 1 and not target.variadic)


def modules(step: Step) -> Iterator[Invoke]:
    """The calls of a step that are modules."""
    return (invoke for invoke in step.call.walk() if is_module(invoke.target))


def is_sequence(block: Block) -> bool:
    """Whether a block's steps are modules that run one after the other, and nothing else."""
    before = [block.inputs[0], *(step.name for step in block.steps)]
    return all(
        is_module(step.call.target) and step.call.operands == (Use(value, NOWHERE),)
        for value, step in zip(before, block.steps, strict=False)
    )


def tensors(names: ModuleNames, *variables: str) -> tuple[Parameter, ...]:
    """The inputs of a method."""
    kind = names.use(names.language.tensor)
    return tuple(Parameter(variable, kind) for variable in variables)


def handed(names: ModuleNames) -> tuple[Parameter, ...]:
    """What every constructor takes and hands on."""
    every = names.language.handed.items()
    return tuple(Parameter(name, names.use(kind)) for name, (kind, _) in every)


def initialized(made: Iterable[Statement]) -> Iterator[Statement]:
    """What gives the kernels of layers their first values, which `made` makes."""
    for condition, group in groupby(_layers(made), lambda each: each[0]):
        code = [
            replace(each, layer=f"{target}{each.layer}")
            for _, target, layer in group
            for each in layer.initial
        ]
        yield from code if condition is None else [If(condition, tuple(code))]


def _layers(made: Iterable[Statement]) -> Iterator[tuple[str | None, str, Layer]]:
    """The layers that have kernels: under which condition they are there, where, and what."""
    for each in made:
        match each:
            case Assign(target, Layer() as layer):
                yield None, target, layer
            case Assign(target, Choice(Layer() as layer, condition)):
                yield condition, target, layer
            case Table(target, _, rows):
                numbered = (replace(row, target=f"{target}[{i}]") for i, row in enumerate(rows))
                yield from _layers(numbered)


class ModuleBlock(BlockWalk):
    """The class of one block definition."""

    def __init__(self, names: ModuleNames, block: Block) -> None:
        super().__init__(names, block, lambda name: self.sizes[name])
        self.sizes = self.size_names()
        self.sequence = names.language.sequence is not None and is_sequence(block)
        self.variables = variables(block, self.inputs, names.taken)
        self.shared = self.shared_channels()
        self.pads: dict[str, str] = {}
        """The layers that pad before others, by the name of the call."""
        self.spell.name = self.named

    def named(self, name: str) -> str:
        """What an argument of the constructor is called, or a variable of its own."""
        return self.names.arguments[self.block].get(name, name)

    def shared_channels(self) -> dict[str, str]:
        """A variable for the channels of a value that several layers are told, where it takes a
        condition to tell them."""
        told = Counter(
            operand.name
            for step in self.block.steps
            for invoke in modules(step)
            for label, operand in zip(invoke.target.inputs, invoke.operands, strict=True)
            if step.when is None and label in sized_inputs(invoke.target)
        )
        known = self.names.arguments[self.block]
        names = Names({*self.names.taken, *known, *known.values(), *self.sizes.values()})
        return {
            name: names.new(f"{name}_channels")
            for name, count in told.items()
            if count > 1 and isinstance(self.spell.folded(self.face.channels[name]), ex.Conditional)
        }

    def size_names(self) -> dict[str, str]:
        if len(self.face.sized) == 1:
            return {self.face.sized[0]: self.names.language.size}
        names = Names((*self.names.taken, *self.names.arguments[self.block].values()))
        return {name: names.new(f"{name}_channels") for name in self.face.sized}

    def definition(self) -> Definition:
        first, others = self.parameters()
        named = (*others, *handed(self.names))
        plain = (*(Parameter(size, "int") for size in self.sizes.values()), *first)
        body = tuple(self.init())
        forward = self.forward()
        name = self.names.blocks[self.block]
        doc, sequence = block_doc(self.block), self.sequence
        return Definition(
            name, doc, plain, named, body, forward, sequence=sequence, calls=self.calls
        )

    # --------------------------------------------------------------------- construction

    def init(self) -> Iterator[Statement]:
        for name, variable in self.shared.items():
            yield Assign(variable, self.spell(self.face.channels[name]))
        for when, steps in self.groups():
            parts = [[*self.construct(step)] for step in steps]
            made = (*chain(*parts), *chain(*map(initialized, parts)))
            if when is None:
                yield from made
            elif self.sequence:
                yield If(self.spell(when), made)
            else:
                flag = f"self.{self.flag(steps[0])}"
                yield Assign(flag, self.spell(when))
                yield from [If(flag, made)] if made else []

    def condition(self, step: Step) -> Node | None:
        """The condition of a step for which leaving out its module is not all that it takes."""
        return None if self.replaceable(step) else step.when

    def replaceable(self, step: Step) -> bool:
        """Whether the identity can stand for a step that is left out."""
        if self.sequence or not is_module(step.call.target):
            return False
        every = mentioned(step.call.target, step.call.operands)
        return [x.name if isinstance(x, Use) else None for x in every] == [step.passed]

    def flag(self, first: Step) -> str:
        """The attribute that says whether a group of steps is there, of which this is the first."""
        taken = {invoke.name for step in self.block.steps for invoke in modules(step)}
        return self.free(f"has_{first.name}") if first.name in taken else first.name

    def construct(self, step: Step) -> Iterator[Statement]:
        for invoke in modules(step):
            layer = self.layer(invoke, step)
            if isinstance(layer, Layer) and layer.before is not None:
                yield self.padding(invoke.name, layer.before)
            if step.when is not None and self.replaceable(step):
                language, condition = self.names.language, self.spell(step.when)
                identity = f"{self.names.use(language.identity)}()"
                layer = Choice(layer, condition, identity, language.layer)
            doc = step.doc if self.sequence else ""
            yield Assign(f"self.{invoke.name}", layer, doc=doc)

    def padding(self, name: str, made: Expression) -> Statement:
        """What makes the layer that pads before the call `name`."""
        pad = self.pads[name] = self.free(f"{name}_pad")
        if self.sequence and isinstance(made, Choice):
            return If(made.condition, (Assign(f"self.{pad}", made.then),))
        return Assign(f"self.{pad}", made)

    def free(self, name: str) -> str:
        """`name` as that of a layer which no call has."""
        steps = {name for step, i in self.block.invokes() for name in (step.name, i.name)}
        return Names(steps).new(name)

    def layer(self, invoke: Invoke, step: Step) -> Expression:
        labels, when = invoke.target.inputs, step.when
        channels = {
            label: self.channels_of(operand.name, when)
            for label, operand in zip(labels, invoke.operands, strict=True)
            if operand.name in self.face.channels
        }
        if isinstance(invoke.target, Block):
            spell = self.spell.where(when)
            sizes = [spell(channels[name]) for name in interface(invoke.target).sized]
            return self.block_call(invoke, when, sizes, **self.names.language.handed_on)
        overwrites, apart = self.overwrites(invoke), when is None or not self.replaceable(step)
        given = {"channels": channels.get(labels[0]), "overwrites": overwrites, "apart": apart}
        return self.spelled(invoke.target, self.op_call(invoke, when, **given))

    def channels_of(self, name: str, when: Node | None) -> Node:
        """The channels of a value, as a variable of the constructor where it has one."""
        if when is None and name in self.shared:
            return ex.Name(self.shared[name], NOWHERE)
        return self.face.channels[name]

    def overwrites(self, invoke: Invoke) -> bool:
        """Whether it is an activation that may write over its input, which nothing else uses."""
        if invoke.target is not ACTIVATION or (self.block, invoke.name) in self.names.left_open:
            return False
        operand, steps = invoke.operands[0], {step.name: step for step in self.block.steps}
        if isinstance(operand, Use):
            step = steps.get(operand.name)
            if step is None or step.when is not None or uses(self.block.steps)[operand.name] != 1:
                return False
            operand = step.call
        target = operand.target if isinstance(operand, Invoke) else None
        return isinstance(target, Op) and target.fresh

    # -------------------------------------------------------------------------- forward

    def forward(self) -> Method | None:
        if self.sequence:
            return None
        inputs = tensors(self.names, *(self.variables[name] for name in self.face.used))
        last = self.block.steps[-1]
        returned = {self.variables[last.name]}
        if isinstance(last.call.target, Op) and last.call.target.operator is not None:
            returned |= {self.variables[name] for name in operands(last) & self.variables.keys()}
        return Method(inputs, typed(tuple(self.body()), inputs, returned))

    def said(self, when: Node, steps: list[Step]) -> str:
        return f"self.{self.flag(steps[0])}"

    def optional(self, steps: list[Step], condition: str) -> Iterator[Statement]:
        last = self.block.steps[-1]
        if steps == [last] and not is_module(last.call.target):
            value, passed = self.value(last.call), self.variables[last.passed]
            yield Return(Choice(value, condition, passed), last.doc)
        else:
            yield from super().optional(steps, condition)

    def statements(self, step: Step, variable: str) -> Iterator[Statement]:
        """What is returned has a name where it is a module's."""
        if not variable and not is_module(step.call.target):
            yield Return(self.value(step.call), step.doc)
            return
        yield Assign(variable or self.variables[step.name], self.value(step.call), doc=step.doc)
        if not variable:
            yield Return(self.variables[step.name])

    def value(self, call: Invoke | Use) -> str:
        """The expression that computes a call."""
        if isinstance(call, Use):
            return self.variables[call.name]
        if is_module(call.target):
            given = [self.value(operand) for operand in mentioned(call.target, call.operands)]
            pad = self.pads.get(call.name)
            inside = ", ".join(given) if pad is None else f"self.{pad}({', '.join(given)})"
            return f"self.{call.name}({inside})"
        texts = tuple(self.operand(call, i) for i in range(len(call.operands)))
        return str(self.spelled(call.target, self.op_call(call, None, inputs=texts)))

    def operand(self, call: Invoke, index: int) -> str:
        """An operand of an expression, in parentheses where it needs them."""
        operand = call.operands[index]
        text = self.value(operand)
        inner = operand.target if isinstance(operand, Invoke) else None
        outer = call.target
        assert isinstance(outer, Op)
        if not isinstance(inner, Op) or None in (inner.operator, outer.operator):
            return text
        ranks = [ex.precedence(op.operator) for op in (inner, outer) if op.operator is not None]
        loose = ranks[0] < ranks[1] or (ranks[0] == ranks[1] and index == 1)
        return f"({text})" if loose else text


def typed(body: Code, inputs: Collection[Parameter], variables: Iterable[str]) -> Code:
    """`body` with the types of `variables` told where they are first assigned: what a module gives
    has none for a type checker."""
    known = {each.name: each.annotation for each in inputs}
    kind, missing = next(iter(known.values())), set(variables) - known.keys()
    found: list[Statement] = []
    for each in body:
        if isinstance(each, Assign) and each.target in missing:
            missing.remove(each.target)
            each = replace(each, annotation=kind)
        found.append(each)
    return tuple(found)
