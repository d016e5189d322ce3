"""From a network to the text of a PyTorch module: decides here, prints in template.py.jinja."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from archc.backends.python import blocks as common
from archc.backends.python.blocks import NOWHERE, Speller
from archc.backends.python.helpers import definitions, mentioned, needed
from archc.backends.python.rendering import template
from archc.backends.python.text import (
    WIDTH,
    Expression,
    Names,
    apply,
    camel_case,
    docstring,
    fitted,
    indented,
    layout,
    signature,
)
from archc.backends.python.wiring import Assignment, assignments
from archc.backends.torch.ops import ACTIVATIONS, IN_PLACE, INLINE, MAKE, MODULES, OpCall
from archc.compiler.ir.interface import Argument, Interface, interface, sized_inputs
from archc.compiler.ir.network import Block, Body, Invoke, Network, Op, Parameter, Row, Step, Use
from archc.compiler.ir.ops.elementwise import ACTIVATION
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.names import FEATURES, MODULE_ATTRIBUTES

FOLDER = Path(__file__).parent
HELPERS = FOLDER / "helpers.py"
GLOBALS = ("torch", "nn", "F", "math", "Tensor", "in_channels", "super", MAKE)


@dataclass(frozen=True, slots=True)
class ClassText:
    """What the template prints for one class; `forward` is empty where nn.Sequential's own does."""

    name: str
    base: str
    doc: Sequence[str]
    signature: Sequence[str]
    init: Sequence[str]
    forward: Sequence[str]

    @property
    def code(self) -> str:
        return "\n".join([self.base, *self.signature, *self.init, *self.forward])


def emit(network: Network, spec: str) -> str:
    """The text of the module; `spec` is the spec's file name, for the header."""
    names = _ModuleNames(network)
    classes = [_BlockClass(names, block).text() for block in names.blocks]
    classes.append(_NetworkClass(names).text())
    code = "\n".join(text.code for text in classes)
    helpers = needed(HELPERS, code)
    return template(FOLDER).render(
        doc=docstring(common.header(network, "PyTorch", spec)),
        imports=_imports("\n".join([code, *helpers])),
        helpers=[*helpers, *_made(names.serving())],
        classes=classes,
    )


def _made(serving: list[str]) -> Iterator[str]:
    """The function that makes an activation, where it may be one that owns weights."""
    if serving:
        chosen = f"is {serving[0]}" if len(serving) == 1 else f"in ({', '.join(serving)})"
        yield "\n".join(
            [
                f"def {MAKE}(act, channels):",
                f'    """`act` for maps of so many channels, which {serving[0]} asks for."""',
                f"    return act(channels) if act {chosen} else act()",
            ]
        )


def _imports(code: str) -> list[str]:
    """The import statements that the code needs."""
    used = mentioned(code, GLOBALS)
    lines = ["import math", ""] if "math" in used else []
    lines += ["import torch"] if "torch" in used else []
    lines += ["from torch import Tensor, nn"] if "Tensor" in used else ["from torch import nn"]
    lines += ["from torch.nn import functional as F"] if "F" in used else []
    return lines


class _ModuleNames(common.ModuleNames):
    """What the classes of one module are called, and how their constructors are called."""

    def __init__(self, network: Network) -> None:
        super().__init__(network, (*GLOBALS, *definitions(HELPERS)), camel_case)
        self.left_open = common.left_open(network)

    def constructor(
        self, block: Block, channels: Mapping[str, Node], given: dict[str, Node], spell: Speller
    ) -> Expression:
        """`Block(in_channels, first, other=...)`; `given` are arguments not at their default."""
        face = interface(block)
        plain = [spell(channels[name]) for name in face.sized]
        first = common.positional(block, face)
        if first in given:
            plain.append(spell(given.pop(first)))
        return apply(
            self.blocks[block],
            *plain,
            **{self.arguments[block][name]: spell(node) for name, node in given.items()},
        )

    def activation(self, value: str | Block) -> str:
        return ACTIVATIONS[value] if isinstance(value, str) else self.blocks[value]

    def serving(self) -> list[str]:
        """The classes that serve as activations where a block takes one as an argument, and are
        told their channels."""
        given = {
            body.target
            for (block, name), seen in self.seen.items()
            for body in seen
            if isinstance(_called(block, name), Op)
            and isinstance(body.target, Block)
            and sized_inputs(body.target)
        }
        return [name for block, name in self.blocks.items() if block in given]


def _called(block: Op | Block, name: str) -> Op | Block:
    """What the definition of `block` calls under `name`."""
    assert isinstance(block, Block)
    return next(invoke.target for _, invoke in block.invokes() if invoke.name == name)


class _BlockClass:
    """The class of one block definition."""

    def __init__(self, names: _ModuleNames, block: Block) -> None:
        self.names = names
        self.block = block
        self.face: Interface = interface(block)
        self.sizes = self.size_names()
        self.kinds = {a.name: a.type.kind for a in self.face.arguments}
        self.spell = Speller(
            names.arguments[block].__getitem__,
            self.sizes.__getitem__,
            names.activation,
            self.face.channels,
        )
        self.chain, self.tail = split(block)
        inputs = names.inputs[block]
        self.variables = common.variables(block, inputs, names.taken, common.no_mentions)

    def size_names(self) -> dict[str, str]:
        if len(self.face.sized) == 1:
            return {self.face.sized[0]: "in_channels"}
        names = Names((*self.names.taken, *self.names.arguments[self.block].values()))
        return {name: names.new(f"{name}_channels") for name in self.face.sized}

    def text(self) -> ClassText:
        return ClassText(
            self.names.blocks[self.block],
            "nn.Sequential" if self.chain else "nn.Module",
            indented(docstring(self.block.doc, 4), 4),
            indented(self.signature(), 4),
            list(self.init()),
            indented(self.forward(), 4),
        )

    # --------------------------------------------------------------------- construction

    def signature(self) -> list[str]:
        first = common.positional(self.block, self.face)
        plain = ["self", *self.sizes.values()]
        plain += [self.parameter(a) for a in self.face.arguments if a.name == first]
        named = [self.parameter(a) for a in self.face.arguments if a.name != first]
        return signature("__init__", plain, named, 4)

    def parameter(self, argument: Argument) -> str:
        default = common.default(self.names.network, self.block, argument)
        name = self.names.arguments[self.block][argument.name]
        return name if default is None else f"{name}={self.spell(default)}"

    def init(self) -> Iterator[str]:
        yield "        super().__init__()"
        for when, group in groupby(self.block.steps, lambda step: step.when):
            steps = list(group)
            flag = None if when is None or self.implicit(steps) else self.flag(steps[0])
            if when is None:
                yield from self.construct(steps, 8)
                continue
            if flag:
                yield fitted(f"        self.{flag} = {self.spell(when)}")
            made = list(self.construct(steps, 12))
            if made:
                yield fitted(f"        if {f'self.{flag}' if flag else self.spell(when)}:")
                yield from made

    def implicit(self, steps: list[Step]) -> bool:
        """Whether leaving out the modules is all it takes: nn.Sequential runs what there is."""
        return all(step in self.chain for step in steps)

    def flag(self, step: Step) -> str:
        """The attribute that says whether a step is there, and its neighbours of one `when`."""
        groups = [[*group] for _, group in groupby(self.block.steps, lambda step: step.when)]
        first = next(group[0] for group in groups if step in group)
        taken = {invoke.name for step in self.block.steps for invoke in modules(step)}
        if first.name not in taken:
            return first.name
        return Names({*taken, *(step.name for step in self.block.steps)}).new(f"has_{first.name}")

    def construct(self, steps: list[Step], indent: int) -> Iterator[str]:
        for step in steps:
            for invoke in modules(step):
                layer = self.layer(invoke, step.when)
                yield from layout(layer, indent, f"self.{invoke.name} = ")

    def layer(self, invoke: Invoke, when: Node | None) -> Expression:
        labels = invoke.target.inputs
        channels = {
            label: self.face.channels[operand.name]
            for label, operand in zip(labels, invoke.operands, strict=True)
            if operand.name in self.face.channels
        }
        network = self.names.network
        if isinstance(invoke.target, Block):
            given = dict(common.passed_arguments(network, self.face, invoke))
            return self.names.constructor(invoke.target, channels, given, self.spell)
        arguments = common.effective(network, invoke.target, dict(self.face.passed[invoke.name]))
        seen = self.names.seen.get((self.block, invoke.name), ())
        call = OpCall(
            arguments, channels.get("x"), self.spell, self.kinds, when,
            common.ranks(seen) or frozenset({3}),
            self.in_place(invoke, seen),
            any(isinstance(body.target, Block) and sized_inputs(body.target) for body in seen),
        )  # fmt: skip
        return MODULES[invoke.target.name](call)

    def in_place(self, invoke: Invoke, seen: Collection[Body]) -> bool:
        """Whether it is an activation that may write over its input, which nothing else uses."""
        left_open = (self.block, invoke.name) in self.names.left_open
        if invoke.target is not ACTIVATION or left_open:
            return False
        operand, steps = invoke.operands[0], {step.name: step for step in self.block.steps}
        if isinstance(operand, Use):
            step = steps.get(operand.name)
            once = common.uses(self.block)[operand.name] == 1
            if step is None or step.when is not None or not once:
                return False
            operand = step.call
        target = operand.target if isinstance(operand, Invoke) else None
        fresh = isinstance(target, Op) and target.fresh
        return fresh and bool(seen) and common.activations(seen) <= IN_PLACE

    # -------------------------------------------------------------------------- forward

    def forward(self) -> list[str]:
        if self.chain and not self.tail:
            return []
        inputs = [f"{self.variables[name]}: Tensor" for name in self.face.used]
        head = signature("forward", ["self", *inputs], [], 4, " -> Tensor:")
        values = dict(self.variables)
        body = []
        if self.chain:
            start = f"super().forward({self.variables[self.block.inputs[0]]})"
            if self.once(self.chain[-1].name):
                values[self.chain[-1].name] = start
            else:
                body.append(f"{self.variables[self.chain[-1].name]} = {start}")
        body += self.statements(self.tail if self.chain else list(self.block.steps), values)
        return ["", *head, *map(_stated, body)]

    def once(self, name: str) -> bool:
        """Whether a value is used once, always and at once, so that it needs no variable."""
        step = self.tail[0]
        used = common.uses(self.block)[name] == 1 and name in common.operands(step)
        return used and step.when is None

    def statements(self, steps: list[Step], values: Mapping[str, str]) -> Iterator[str]:
        last = steps[-1]
        for when, group in groupby(steps, lambda step: step.when):
            members = list(group)
            if when is None:
                yield from (self.statement(step, values, step is last) for step in members)
            elif members == [last]:
                passed = values[common.first_operand(last)]
                yield f"return {self.value(last, values)} if self.{self.flag(last)} else {passed}"
            else:
                yield from self.optional(members, values)
                if members[-1] is last:
                    yield f"return {values[last.name]}"

    def optional(self, steps: list[Step], values: Mapping[str, str]) -> Iterator[str]:
        for step in steps:
            passed = values[common.first_operand(step)]
            if passed != values[step.name]:
                yield f"{values[step.name]} = {passed}"
        yield f"if self.{self.flag(steps[0])}:"
        for step in steps:
            yield f"    {self.statement(step, values, False)}"

    def statement(self, step: Step, values: Mapping[str, str], last: bool) -> str:
        before = "return" if last else f"{values[step.name]} ="
        return f"{before} {self.value(step, values)}"

    def value(self, step: Step, values: Mapping[str, str]) -> str:
        assert isinstance(step.call, Invoke)
        return _evaluated(step.call, values)


def _evaluated(call: Invoke | Use, values: Mapping[str, str]) -> str:
    """The expression that computes a call in `forward`."""
    if isinstance(call, Use):
        return values[call.name]
    if not is_module(call.target):
        texts = [_operand(call, i, values) for i in range(len(call.operands))]
        return INLINE[call.target.name](texts)
    texts = [_evaluated(operand, values) for operand in common.used_operands(call)]
    return f"self.{call.name}({', '.join(texts)})"


def _operand(call: Invoke, index: int, values: Mapping[str, str]) -> str:
    """An operand of a sum or product, in parentheses where it needs them."""
    operand = call.operands[index]
    text = _evaluated(operand, values)
    inner = operand.target.name if isinstance(operand, Invoke) else ""
    outer = call.target.name
    again = inner == outer and inner in ("add", "multiply") and index == 1
    return f"({text})" if again or (inner, outer) == ("add", "multiply") else text


def is_module(target: Op | Block) -> bool:
    """Ops of several tensors are expressions; all else is a module."""
    return isinstance(target, Block) or (len(target.inputs) == 1 and not target.variadic)


def modules(step: Step) -> Iterator[Invoke]:
    assert isinstance(step.call, Invoke)
    return (invoke for invoke in step.call.walk() if is_module(invoke.target))


def split(block: Block) -> tuple[list[Step], list[Step]]:
    """A chain of modules that nn.Sequential can run, and the steps on its result.

    Both are empty-handed where the block is no such chain: then all steps are written out.
    """
    value = block.inputs[0]
    chain: list[Step] = []
    tail: list[Step] = []
    for step in block.steps:
        call = step.call
        assert isinstance(call, Invoke)
        link = is_module(call.target) and call.operands == (Use(value, NOWHERE),)
        if link and not tail:
            chain.append(step)
            value = step.name
        else:
            tail.append(step)
    inner = {step.name for step in chain[:-1]}
    broken = any(list(modules(step)) or common.operands(step) & inner for step in tail)
    return ([], []) if broken or not chain else (chain, tail)


Assigned = Mapping[Row, Assignment]


def _stated(line: str) -> str:
    """A statement of a method within its class, which the template indents."""
    return fitted(f"        {line}")[4:]


def _parts(rows: list[Row]) -> Iterator[tuple[str | None, list[Row]]]:
    """The rows, parted after each that is tapped; each part with its tap."""
    part: list[Row] = []
    for row in rows:
        part.append(row)
        if row.tap is not None:
            yield row.tap, part
            part = []
    if part:
        yield None, part


class _NetworkClass:
    """The class of the network: its tables, one row a line."""

    def __init__(self, names: _ModuleNames) -> None:
        self.names = names
        self.network = names.network
        self.spell = Speller(str, str, names.activation)
        self.assignments = self.assigned(names.network.rows)
        self.end = [row for row in names.network.rows if row.when is not None]
        """The rows that the model may leave out, which are the last."""

    def text(self) -> ClassText:
        network = self.network
        parameters = ["self", *map(self.parameter, network.kept)]
        return ClassText(
            self.names.model,
            "nn.Module",
            indented(docstring(common.model_doc(network), 4), 4),
            indented(signature("__init__", parameters, [], 4, " -> None:"), 4),
            list(self.init()),
            indented(self.forward(), 4),
        )

    def assigned(self, rows: Sequence[Row]) -> Assigned:
        """How each of the rows is computed where those after them are not."""
        every = assignments(rows, "x", self.names.taken, lambda block: interface(block).used)
        return dict(zip(rows, every, strict=True))

    def parameter(self, kept: Parameter) -> str:
        assert kept.default is not None
        kind = common.ANNOTATIONS.get(kept.type.kind)
        default = self.spell(kept.default)
        return f"{kept.name}: {kind} = {default}" if kind else f"{kept.name}={default}"

    def groups(self) -> list[tuple[str | None, list[Row]]]:
        """Tables with their rows; a row with a name of its own is a group without one."""
        rows = self.network.rows
        found: list[tuple[str | None, list[Row]]] = []
        for name, group in groupby(rows, lambda row: row.group):
            members = list(group)
            found += [(name, members)] if name else [(None, [row]) for row in members]
        return found

    def init(self) -> Iterator[str]:
        yield "        super().__init__()"
        off = False
        for name, rows in self.groups():
            if name is not None:
                # A row stays one line however long, and ruff is told so once a table.
                yield from () if off else ("        # fmt: off",)
                yield from self.table(name, rows)
                off = True
            elif is_module(rows[0].call.body.target) and rows[0].when is None:
                line = f"        {self.made(rows[0])}"
                # Just below `fmt: on`, ruff does not see a `fmt: skip`.
                if off and len(line) <= WIDTH:
                    yield "        # fmt: on"
                    off = False
                yield line if off else fitted(line)
        yield from ("        # fmt: on",) if off else ()
        if self.end:
            yield fitted(f"        self.{self.flag} = {self.spell(self.when)}")
            yield f"        if self.{self.flag}:"
            yield from (fitted(f"            {self.made(row)}") for row in self.end)

    def made(self, row: Row) -> str:
        return f"self.{row.call.name} = {self.layer(row)}  # {row.call.body.output}"

    def table(self, name: str, rows: list[Row]) -> Iterator[str]:
        chained = self.chained(rows)
        opening, closing = ("nn.Sequential(", ")") if chained else ("nn.ModuleList([", "])")
        yield f"        self.{name} = {opening}"
        for row in rows:
            yield f"            {self.layer(row)},  # {row.call.body.output}"
        yield f"        {closing}"

    def chained(self, rows: list[Row]) -> bool:
        """Whether nn.Sequential can run the rows."""
        return all(self.assignments[row].chained for row in rows)

    def layer(self, row: Row) -> Expression:
        body = row.call.body
        known = [ex.Literal(x.channels, NOWHERE) for x in body.inputs]
        channels = [kept or n for kept, n in zip(row.channels, known, strict=True)]
        if isinstance(body.target, Op):
            values = {name: ex.Literal(v, NOWHERE) for name, v in body.arguments.items()}
            ranks = frozenset({len(body.inputs[0].shape)})
            call = OpCall({**values, **row.spelled}, channels[0], self.spell, {}, ranks=ranks)
            return MODULES[body.target.name](call)
        given = dict(common.row_arguments(self.network, row))
        by_input = dict(zip(body.target.inputs, channels, strict=True))
        return self.names.constructor(body.target, by_input, given, self.spell)

    def forward(self) -> list[str]:
        lines = [
            line
            for name, rows in self.groups()
            for line in self.statements(name, rows, self.assignments)
        ]
        last = lines.pop() if lines[-1].startswith("x = ") else "x = x"
        lines.append(f"return {last.removeprefix('x = ')}")
        head = "def forward(self, x: Tensor) -> Tensor:"
        return ["", head, *map(_stated, lines), *self.forward_features()]

    def forward_features(self) -> Iterator[str]:
        """The method that runs the rows up to the last tap, and returns the tapped feature maps."""
        if not self.network.taps:
            return
        taps = common.features_doc(self.network, lambda row: str(row.call.body.output))
        doc = f"Feature maps by name.\n\n{taps}"
        yield from ("", f"def {FEATURES}(self, x: Tensor) -> dict[str, Tensor]:")
        yield from indented(docstring(doc, 8), 4)
        yield "    features = {}"
        left = len(self.network.taps)
        last = max(i for i, row in enumerate(self.network.rows) if row.tap is not None)
        assigned = self.assigned(self.network.rows[: last + 1])
        for name, rows in self.groups():
            start = 0
            for tap, part in _parts(rows):
                if left == 0:
                    break
                yield from map(_stated, self.part(name, rows, start, part, assigned))
                start += len(part)
                if tap is not None:
                    yield f'    features["{tap}"] = x'
                    left -= 1
        yield "    return features"

    def part(
        self, name: str | None, rows: list[Row], start: int, part: list[Row], assigned: Assigned
    ) -> Iterator[str]:
        """What computes some of the rows of a group, the first of them at `start`."""
        if name is None or len(part) == len(rows):
            yield from self.statements(name, rows, assigned)
        else:
            yield from self.loops(f"self.{name}", part, start, len(rows), assigned)

    @property
    def when(self) -> Node:
        """What has to hold for the rows at the end to be there."""
        assert self.end[0].when is not None
        return self.end[0].when

    @property
    def flag(self) -> str:
        """The attribute that says whether the rows at the end are there."""
        wanted = self.when.id if isinstance(self.when, ex.Name) else "has_end"
        layers = ((row.group or row.call.name) for row in self.network.rows)
        return Names((*layers, *MODULE_ATTRIBUTES, FEATURES)).new(wanted)

    def statements(self, name: str | None, rows: list[Row], assigned: Assigned) -> Iterator[str]:
        """What computes a row, or the rows of a table."""
        if rows[0] in self.end[:1]:
            yield f"if not self.{self.flag}:"
            yield "    return x"
        if name is None:
            yield self.statement(rows[0], f"self.{rows[0].call.name}", assigned)
        elif self.chained(rows):
            yield f"x = self.{name}(x)"
        else:
            yield from self.loops(f"self.{name}", rows, 0, len(rows), assigned)

    def loops(
        self, name: str, rows: list[Row], start: int, count: int, assigned: Assigned
    ) -> Iterator[str]:
        """A loop for each run of rows that are computed alike, of a table of `count` rows."""
        for _, group in groupby(rows, lambda row: self.statement(row, "layer", assigned)):
            run = list(group)
            end = start + len(run)
            if len(run) == 1:
                yield self.statement(run[0], f"{name}[{start}]", assigned)
            else:
                part = f"[{start or ''}:{end if end < count else ''}]"
                yield f"for layer in {name}{part if part != '[:]' else ''}:"
                yield f"    {self.statement(run[0], 'layer', assigned)}"
            start = end

    def statement(self, row: Row, layer: str, assigned: Assigned) -> str:
        assignment = assigned[row]
        target = row.call.body.target
        if not is_module(target):
            return assignment.text(INLINE[target.name](list(assignment.operands)))
        used = interface(target).used if isinstance(target, Block) else target.inputs
        pairs = zip(target.inputs, assignment.operands, strict=True)
        operands = ", ".join(operand for name, operand in pairs if name in used)
        return assignment.text(f"{layer}({operands})")
