"""A block as a function on tensors, and the network as one that makes the model.

So Keras's functional API has it: a layer is made where it is called, under a name that grows with
each block it is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from archc.backends.python.header import features_doc, model_doc
from archc.backends.python.model import Assign, Definition, If, Parameter, Return, Rows, Statement
from archc.backends.python.names import ModuleNames
from archc.backends.python.text import Expression, Names
from archc.backends.python.variables import operands_named, variables
from archc.backends.python.walk import BlockWalk, NetworkWalk, by_condition, optional
from archc.backends.python.wiring import assignments
from archc.compiler.ir.interface import interface, with_channels
from archc.compiler.ir.network import Block, Invoke, Row, Step, Use
from archc.compiler.language import expressions as ex

FEATURES_ONLY = "features_only"
"""The model's argument that asks for what is tapped."""


def seen(block: Block) -> set[str]:
    """Inputs that a block's function takes: it computes with them, or looks at their channels."""
    face = interface(block)
    return {*face.used, *face.sized}


class FunctionBlock(BlockWalk):
    """The function of one block definition."""

    def __init__(self, names: ModuleNames, block: Block) -> None:
        super().__init__(names, block, lambda name: f"{self.inputs[name]}.shape[-1]")
        taken = {*names.taken, *names.arguments[block].values()}
        self.variables = variables(block, self.inputs, taken, self.mentioned)
        nested = [c.name for _, c in block.invokes() if c.name not in self.variables]
        free = Names({*taken, *self.inputs.values(), *self.variables.values()})
        self.variables |= free.every(nested)

    def mentioned(self, step: Step) -> set[str]:
        """Inputs whose channels the step's code looks up."""
        nodes = [node for i in step.call.walk() for _, node in self.face.passed[i.name]]
        nodes += [step.when] if step.when is not None else []
        known = [with_channels(node, self.face.channels) for node in nodes]
        return {n.id for node in known for n in ex.walk(node) if isinstance(n, ex.Attribute)}

    def definition(self) -> Definition:
        inputs = [Parameter(self.inputs[x]) for x in self.block.inputs if x in seen(self.block)]
        first, others = self.parameters()
        named = (*others, Parameter("name"))
        body = tuple(self.body())
        name = self.names.blocks[self.block]
        return Definition(name, self.block.doc, (*inputs, *first), named, body, calls=self.calls)

    def body(self) -> Iterator[Statement]:
        last = self.block.steps[-1]
        for when, steps in by_condition(self.block.steps):
            if when is None:
                for step in steps:
                    variable = "" if step is last else self.variables[step.name]
                    yield from self.statements(step, variable)
                continue
            yield from optional(steps, self.spell(when), self.variables, self.statements)
            if steps[-1] is last:
                yield Return(self.variables[last.name])

    def statements(self, step: Step, variable: str) -> Iterator[Statement]:
        """A statement for each call of the step, the innermost first."""
        yield from self.nested(step.call)
        value = self.value(step.call)
        yield Assign(variable, value) if variable else Return(value)

    def nested(self, call: Invoke) -> Iterator[Statement]:
        for operand in self.operands(call):
            if isinstance(operand, Invoke):
                yield from self.nested(operand)
                yield Assign(self.variables[operand.name], self.value(operand))

    def operands(self, call: Invoke) -> list[Use | Invoke]:
        """The operands that the call's code mentions."""
        return operands_named(call, seen(call.target) if isinstance(call.target, Block) else None)

    def value(self, call: Invoke) -> Expression:
        """The expression that computes a call, of variables."""
        inputs = tuple(self.variables[operand.name] for operand in self.operands(call))
        if not isinstance(call.target, Block):
            return self.spelled(call, self.op_call(call, inputs=inputs))
        name = self.names.language.layer_name(call.name, True)
        found = self.calls[call.name] = self.block_call(call, inputs, name=name)
        return found


class FunctionNetwork(NetworkWalk):
    """The function of the network: one row a line."""

    def __init__(self, names: ModuleNames) -> None:
        super().__init__(names)
        taken = {*names.taken, "inputs", *names.kept}
        every = assignments(self.network.rows, "inputs", taken, seen)
        self.assignments = dict(zip(self.network.rows, every, strict=True))

    def definition(self) -> Definition:
        shape = f"({', '.join(self.names.language.shape(self.network.input))})"
        plain = [*self.parameters(), Parameter("input_shape", default=shape)]
        if self.network.taps:
            plain.insert(-1, Parameter(FEATURES_ONLY, "bool", "False"))
        body = (Rows(tuple(self.body())),)
        return Definition(self.names.model, self.doc(), tuple(plain), (), body, calls=self.calls)

    def doc(self) -> str:
        text = model_doc(self.network)
        if self.network.taps:
            taps = features_doc(self.network, self.names.language)
            text += f"\n{FEATURES_ONLY}: whether to return feature maps by name instead\n\n{taps}"
        return text

    def body(self) -> Iterator[Statement]:
        for when, group in groupby(self.network.rows, lambda row: row.when):
            rows = tuple(statement for row in group for statement in self.row(row))
            yield from rows if when is None else (If(self.spell(when), rows),)

    def row(self, row: Row) -> Iterator[Statement]:
        assignment = self.assignments[row]
        call = self.call(row, assignment.operands)
        shape = "x".join(self.names.language.shape(row.call.body.output))
        yield Assign(assignment.target, assignment.value(call), shape)
        if row.tap is not None:
            yield Assign(f'features["{row.tap}"]', "x")

    def call(self, row: Row, operands: tuple[str, ...]) -> Expression:
        target = row.call.body.target
        if not isinstance(target, Block):
            return self.spelled(row, self.op_call(row, inputs=operands))
        shown = [x for key, x in zip(target.inputs, operands, strict=True) if key in seen(target)]
        name = self.names.language.layer_name(row.call.name, False)
        return self.block_call(row, shown, name=name)
