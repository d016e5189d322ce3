"""A block as a function on tensors, and the network as one that makes the model.

So Keras's functional API has it: a layer is made where it is called, under a name that grows with
each block it is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from archc.backends.python.header import block_doc, features_doc, model_doc, outputs_doc
from archc.backends.python.model import (
    Assign,
    Definition,
    Entry,
    If,
    Parameter,
    Return,
    Rows,
    Statement,
)
from archc.backends.python.names import NOT_SAVED, ModuleNames, shape_arguments
from archc.backends.python.text import Expression, Names
from archc.backends.python.variables import assignments, mentioned, variables
from archc.backends.python.walk import BlockWalk, NetworkWalk
from archc.compiler.ir.interface import interface, with_channels
from archc.compiler.ir.network import Block, Invoke, Row, Step
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node

FEATURES_ONLY = "features_only"
"""The model's argument that asks for what is tapped."""
AUXILIARY = "auxiliary"
"""The model's argument that asks for the outputs that are for training only."""


def seen(block: Block) -> set[str]:
    """Inputs that a block's function takes: it computes with them, or looks at their channels."""
    face = interface(block)
    return {*face.used, *face.sized}


class FunctionBlock(BlockWalk):
    """The function of one block definition."""

    def __init__(self, names: ModuleNames, block: Block) -> None:
        super().__init__(names, block, lambda name: f"{self.inputs[name]}.shape[-1]")
        taken = {*names.taken, *names.arguments[block].values()}
        self.variables = variables(block, self.inputs, taken, self.looked_at)
        nested = [c.name for _, c in block.invokes() if c.name not in self.variables]
        free = Names({*taken, *self.inputs.values(), *self.variables.values()})
        self.variables |= free.every(nested)

    def looked_at(self, step: Step) -> set[str]:
        """Inputs whose channels the step's code looks up."""
        nodes = [node for i in step.call.walk() for _, node in self.face.passed[i.name]]
        nodes += [step.when] if step.when is not None else []
        known = [with_channels(node, self.face.channels) for node in nodes]
        return {n.id for node in known for n in ex.walk(node) if isinstance(n, ex.Attribute)}

    def definition(self) -> Definition:
        kind = self.names.language.tensor
        shown = [self.inputs[x] for x in self.block.inputs if x in seen(self.block)]
        inputs = [Parameter(variable, kind) for variable in shown]
        first, others = self.parameters()
        named = (Parameter("name", "str"), *others)
        body = tuple(self.body())
        name = self.names.blocks[self.block]
        return Definition(
            name, block_doc(self.block), (*inputs, *first), named, body, calls=self.calls
        )

    def statements(self, step: Step, variable: str) -> Iterator[Statement]:
        """A statement for each call of the step, the innermost first."""
        yield from self.nested(step.call, step.when)
        value = self.value(step.call, step.when)
        yield Assign(variable, value, doc=step.doc) if variable else Return(value, step.doc)

    def nested(self, call: Invoke, when: Node | None) -> Iterator[Statement]:
        for operand in mentioned(call.target, call.operands, seen):
            if isinstance(operand, Invoke):
                yield from self.nested(operand, when)
                yield Assign(self.variables[operand.name], self.value(operand, when))

    def value(self, call: Invoke, when: Node | None) -> Expression:
        """The expression that computes a call, of variables."""
        operands = mentioned(call.target, call.operands, seen)
        inputs = tuple(self.variables[operand.name] for operand in operands)
        if not isinstance(call.target, Block):
            return self.spelled(call.target, self.op_call(call, when, inputs=inputs))
        name = self.names.language.layer_name(call.name, True)
        return self.block_call(call, when, inputs, name=name)


class FunctionNetwork(NetworkWalk):
    """The function of the network: one row a line."""

    def __init__(self, names: ModuleNames) -> None:
        super().__init__(names)
        self.sources = names.sources("inputs")
        taken = names.taken | NOT_SAVED | names.kept | {*self.sources}
        self.assignments = assignments(self.network.rows, self.sources, taken, seen)
        self.shapes = shape_arguments(self.network)

    def definition(self) -> Definition:
        rows = self.network.rows
        plain = [*self.parameters()]
        if self.network.taps:
            plain.append(Parameter(FEATURES_ONLY, "bool", "False"))
        if self.auxiliary:
            plain.append(Parameter(AUXILIARY, "bool", "True"))
        plain += [
            Parameter(argument, "tuple[int | None, ...]", self.shape_of(name))
            for name, argument in self.shapes.items()
        ]
        before = self.before_taps()
        first, rest = (tuple(self.body(part)) for part in (before, rows[len(before) :]))
        body, rest = (*self.no_outputs(), *first), (*rest, *self.last())
        name, doc, calls = self.names.model, self.doc(), self.calls
        return Definition(
            name, doc, tuple(plain), (), body, rest=rest, result=self.result, calls=calls,
            entries=self.entries,
        )  # fmt: skip

    def shape_of(self, name: str) -> str:
        """The declared shape of an input: `(224, 224, 3)`, or `(16,)`."""
        sides = self.names.language.shape(self.network.inputs[name].tensor)
        return f"({', '.join(sides)}{',' if len(sides) == 1 else ''})"

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The model's inputs."""
        free = Names(row.call.name for row in self.network.rows)
        pairs = zip(self.network.inputs, self.sources, strict=True)
        return tuple(
            Entry(variable, self.shapes.get(name) or self.shape_of(name), free.new(name))
            for name, variable in pairs
        )

    @property
    def result(self) -> str:
        """What is made the outputs of the model."""
        if not self.several:
            return "x"
        return f"outputs if {AUXILIARY} else x" if self.alone else "outputs"

    @property
    def auxiliary(self) -> bool:
        """Whether there are outputs for training only."""
        return any(row.training for row in self.network.rows)

    def doc(self) -> str:
        language = self.names.language
        axes = ", ".join(language.ordered(("channels", "height", "width")))
        more = dict.fromkeys(self.shapes.values(), f"({axes}); height and width may be None")
        lists = []
        if self.auxiliary:
            more = {AUXILIARY: "whether to give the outputs that are for training only", **more}
        if self.network.taps:
            more = {FEATURES_ONLY: "whether to return feature maps by name instead", **more}
            lists.append(f"Feature maps:\n{features_doc(self.network, language)}")
        if self.several:
            only = f"with `{AUXILIARY}` only"
            lists.append(f"Outputs:\n{outputs_doc(self.network, language, only)}")
        return "\n\n".join([model_doc(self.network, language, more), *lists])

    def body(self, rows: Iterable[Row]) -> Iterator[Statement]:
        for (when, training), members in groupby(rows, lambda row: (row.when, row.training)):
            made = tuple(self.statements(members))
            condition = AUXILIARY if training else when and self.spell(when)
            yield from (If(condition, made),) if condition else made

    def last(self) -> Iterator[Statement]:
        """What keeps the last output, where there are several."""
        row = self.network.rows[-1]
        name = f'"{row.output}"'
        if row.when is not None and self.early != row.output:
            name += f' if {self.spell(row.when)} else "{self.early}"'
        if self.several and not self.within(row):
            yield Assign(f"outputs[{name}]", "x")

    def within(self, row: Row) -> bool:
        """Whether the last output is kept where the rows stand that the model may leave out."""
        return row.when is not None and self.early is None

    def statements(self, rows: Iterable[Row]) -> Iterator[Statement]:
        """What computes some rows; those of a table stay on a line each."""
        for group, members in groupby(rows, lambda row: row.group):
            made = tuple(statement for row in members for statement in self.row(row))
            yield from made if group is None else (Rows(made),)

    def row(self, row: Row) -> Iterator[Statement]:
        assignment = self.assignments[row]
        call = self.call(row, assignment.operands)
        yield Assign(assignment.target, assignment.value(call), self.shape(row), doc=row.doc)
        yield from self.tapped(row)
        yield from self.given(row, assignment.variable)
        if self.several and row is self.network.rows[-1] and self.within(row):
            yield Assign(f'outputs["{row.output}"]', "x")

    def call(self, row: Row, operands: tuple[str, ...]) -> Expression:
        target = row.call.body.target
        if not isinstance(target, Block):
            return self.spelled(target, self.op_call(row, inputs=operands))
        shown = mentioned(target, operands, seen)
        name = self.names.language.layer_name(row.call.name, False)
        return self.block_call(row, shown, name=name)
