"""From a network to the text of a Keras module: decides here, prints in template.py.jinja."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from archc.backends.keras.names import SEPARATOR, layer_name
from archc.backends.keras.ops import ACTIVATIONS, OPS, OpCall
from archc.backends.python import blocks as common
from archc.backends.python.blocks import NOWHERE, Speller
from archc.backends.python.helpers import definitions, needed
from archc.backends.python.rendering import template
from archc.backends.python.text import (
    Apply,
    Argument,
    Expression,
    Names,
    apply,
    docstring,
    fitted,
    indented,
    layout,
    signature,
)
from archc.backends.python.wiring import assignments
from archc.compiler.ir import interface as faces
from archc.compiler.ir.interface import Interface, interface
from archc.compiler.ir.network import Block, Invoke, Network, Op, Parameter, Row, Step, Use
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node

FOLDER = Path(__file__).parent
HELPERS = FOLDER / "helpers.py"
GLOBALS = ("keras", "layers", "name")
FEATURES_ONLY = "features_only"
"""The model's argument that asks for what is tapped."""


@dataclass(frozen=True, slots=True)
class FunctionText:
    """What the template prints for one function."""

    signature: Sequence[str]
    doc: Sequence[str]
    body: Sequence[str]


def emit(network: Network, spec: str) -> str:
    """The text of the module; `spec` is the spec's file name, for the header."""
    names = _ModuleNames(network)
    functions = [_BlockFunction(names, block).text() for block in names.blocks]
    functions.append(_NetworkFunction(names).text())
    code = "\n".join(line for f in functions for line in (*f.signature, *f.body))
    return template(FOLDER).render(
        doc=docstring(common.header(network, "Keras", spec)),
        helpers=needed(HELPERS, code),
        functions=functions,
    )


class _ModuleNames(common.ModuleNames):
    """What the functions of one module are called, and how they are called."""

    def __init__(self, network: Network) -> None:
        super().__init__(network, (*GLOBALS, *definitions(HELPERS)))

    def activation(self, value: str | Block) -> str:
        """Keras's own by name, others as the function that makes the layer."""
        if isinstance(value, Block):
            return self.blocks[value]
        return f'"{value}"' if value in ACTIVATIONS else value

    def call(
        self,
        block: Block,
        tensors: Sequence[Expression],
        given: dict[str, Node],
        spell: Speller,
        name: str,
    ) -> Apply:
        """`block(x, first, other=..., name=...)`; `given` are arguments not at their default."""
        first = common.positional(block, interface(block))
        plain: list[Argument] = [*tensors]
        if first in given:
            plain.append(spell(given.pop(first)))
        named = {self.arguments[block][key]: spell(node) for key, node in given.items()}
        return apply(self.blocks[block], *plain, **named, name=name)


class _BlockFunction:
    """The function of one block definition."""

    def __init__(self, names: _ModuleNames, block: Block) -> None:
        self.names = names
        self.block = block
        self.face: Interface = interface(block)
        self.inputs = names.inputs[block]
        self.spell = Speller(
            names.arguments[block].__getitem__,
            lambda name: f"{self.inputs[name]}.shape[-1]",
            names.activation,
            self.face.channels,
        )
        taken = {*names.taken, *names.arguments[block].values()}
        self.variables = common.variables(block, self.inputs, taken, self.mentioned)
        nested = [c.name for _, c in block.invokes() if c.name not in self.variables]
        free = Names({*taken, *self.inputs.values(), *self.variables.values()})
        self.variables |= free.every(nested)

    def mentioned(self, step: Step) -> set[str]:
        """Inputs whose channels the step's code looks up."""
        assert isinstance(step.call, Invoke)
        nodes = [node for i in step.call.walk() for _, node in self.face.passed[i.name]]
        nodes += [step.when] if step.when is not None else []
        known = [faces.with_channels(node, self.face.channels) for node in nodes]
        return {n.id for node in known for n in ex.walk(node) if isinstance(n, ex.Attribute)}

    def text(self) -> FunctionText:
        return FunctionText(
            self.signature(), indented(docstring(self.block.doc, 4), 4), list(self.body())
        )

    def signature(self) -> list[str]:
        first = common.positional(self.block, self.face)
        plain = [variable for x, variable in self.inputs.items() if x in _seen(self.block)]
        plain += [self.parameter(a) for a in self.face.arguments if a.name == first]
        named = [self.parameter(a) for a in self.face.arguments if a.name != first]
        return signature(self.names.blocks[self.block], plain, [*named, "name"])

    def parameter(self, argument: faces.Argument) -> str:
        default = common.default(self.names.network, self.block, argument)
        name = self.names.arguments[self.block][argument.name]
        return name if default is None else f"{name}={self.spell(default)}"

    # ----------------------------------------------------------------------------- body

    def body(self) -> Iterator[str]:
        last = self.block.steps[-1]
        for when, group in groupby(self.block.steps, lambda step: step.when):
            steps = list(group)
            if when is None:
                for step in steps:
                    before = "return " if step is last else f"{self.variables[step.name]} = "
                    yield from self.statements(_call(step), 4, before)
                continue
            yield from self.optional(when, steps)
            if steps[-1] is last:
                yield f"    return {self.variables[last.name]}"

    def optional(self, when: Node, steps: list[Step]) -> Iterator[str]:
        for step in steps:
            passed = self.variables[common.first_operand(step)]
            if passed != self.variables[step.name]:
                yield f"    {self.variables[step.name]} = {passed}"
        yield fitted(f"    if {self.spell(when)}:")
        for step in steps:
            yield from self.statements(_call(step), 8, f"{self.variables[step.name]} = ")

    def statements(self, call: Invoke, indent: int, before: str) -> Iterator[str]:
        """`before call`, after a statement for each call among its operands."""
        for operand in self.operands(call):
            if isinstance(operand, Invoke):
                yield from self.statements(operand, indent, f"{self.variables[operand.name]} = ")
        yield from layout(self.value(call), indent, before)

    def operands(self, call: Invoke) -> list[Use | Invoke]:
        """The operands that the call's code mentions."""
        seen = _seen(call.target) if isinstance(call.target, Block) else None
        return common.operands_named(call, seen)

    def value(self, call: Invoke) -> Apply:
        """The expression that computes a call, of variables."""
        texts = tuple(self.variables[operand.name] for operand in self.operands(call))
        path = f"{{name}}{SEPARATOR}{call.name}"
        if isinstance(call.target, Block):
            given = dict(common.passed_arguments(self.names.network, self.face, call))
            return self.names.call(call.target, texts, given, self.spell, f'f"{path}"')
        passed = dict(self.face.passed[call.name])
        arguments = common.effective(self.names.network, call.target, passed)
        seen = common.activations(self.names.seen.get((self.block, call.name), ()))
        varied = not seen <= {*ACTIVATIONS, None}
        return OPS[call.target.name](OpCall(arguments, texts, path, self.spell, varied))


class _NetworkFunction:
    """The function of the network: one row a line."""

    def __init__(self, names: _ModuleNames) -> None:
        self.names = names
        self.network = names.network
        self.spell = Speller(str, str, names.activation)
        taken = {*names.taken, "inputs", *names.kept}
        every = assignments(self.network.rows, "inputs", taken, _seen)
        self.assignments = dict(zip(self.network.rows, every, strict=True))

    def text(self) -> FunctionText:
        network = self.network
        size = network.input
        shape = f"input_shape=({size.height}, {size.width}, {size.channels})"
        features = [f"{FEATURES_ONLY}: bool = False"] if network.taps else []
        parameters = [*map(self.parameter, network.kept), *features, shape]
        return FunctionText(
            signature(self.names.model, parameters, [], 0, " -> keras.Model:"),
            indented(docstring(self.doc(), 4), 4),
            list(self.body()),
        )

    def doc(self) -> str:
        text = common.model_doc(self.network)
        if self.network.taps:
            taps = common.features_doc(self.network, _shape)
            text += f"\n{FEATURES_ONLY}: whether to return feature maps by name instead\n\n{taps}"
        return text

    def parameter(self, kept: Parameter) -> str:
        assert kept.default is not None
        kind = common.ANNOTATIONS.get(kept.type.kind)
        default = self.spell(kept.default)
        return f"{kept.name}: {kind} = {default}" if kind else f"{kept.name}={default}"

    def body(self) -> Iterator[str]:
        name = Names(row.call.name for row in self.network.rows).new("input")
        yield f'    inputs = keras.Input(input_shape, name="{name}")'
        if self.network.taps:
            yield "    features = {}"
        # A row stays one line however long.
        yield "    # fmt: off"
        for when, rows in groupby(self.network.rows, lambda row: row.when):
            if when is not None:
                yield f"    if {self.spell(when)}:"
            for row in rows:
                yield from (f"    {'    ' * (when is not None)}{line}" for line in self.row(row))
        yield "    # fmt: on"
        outputs = "outputs" if self.network.taps else "x"
        if self.network.taps:
            yield f"    outputs = features if {FEATURES_ONLY} else x"
        model = apply("keras.Model", "inputs", outputs, name=f'"{self.network.name}"')
        yield from layout(model, 4, "return ")

    def row(self, row: Row) -> Iterator[str]:
        assignment = self.assignments[row]
        call = str(self.call(row, assignment.operands))
        yield f"{assignment.text(call)}  # {_shape(row)}"
        if row.tap is not None:
            yield f'features["{row.tap}"] = x'

    def call(self, row: Row, operands: tuple[str, ...]) -> Apply:
        target, name = row.call.body.target, layer_name(row.call.name)
        if isinstance(target, Op):
            values = {k: ex.Literal(v, NOWHERE) for k, v in row.call.body.arguments.items()}
            varied = not common.activations([row.call.body]) <= {*ACTIVATIONS, None}
            call = OpCall({**values, **row.spelled}, operands, name, self.spell, varied)
            return OPS[target.name](call)
        given = dict(common.row_arguments(self.network, row))
        seen = [x for name, x in zip(target.inputs, operands, strict=True) if name in _seen(target)]
        return self.names.call(target, seen, given, self.spell, f'"{name}"')


def _call(step: Step) -> Invoke:
    assert isinstance(step.call, Invoke)
    return step.call


def _seen(block: Block) -> set[str]:
    """Inputs that a block's function takes: it computes with them, or looks at their channels."""
    face = interface(block)
    return {*face.used, *face.sized}


def _shape(row: Row) -> str:
    """The output's shape in Keras's order: height, width, channels."""
    channels, *sides = row.call.body.output.shape
    return "x".join(map(str, (*sides, channels)))
