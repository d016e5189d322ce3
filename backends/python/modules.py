"""A block as a class that makes its layers in a constructor, and calls them in a method.

So PyTorch has it. Where a class has nothing to say but that its layers run one after the other, it
is a sequence, and has no such method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from archc.backends.python.header import features_doc, model_doc
from archc.backends.python.model import (
    Assign,
    Definition,
    For,
    If,
    Method,
    Parameter,
    Return,
    Statement,
    Table,
)
from archc.backends.python.names import ModuleNames
from archc.backends.python.spelling import NOWHERE, constant
from archc.backends.python.text import Expression, Names
from archc.backends.python.variables import (
    first_operand,
    no_mentions,
    operands,
    used_operands,
    uses,
    variables,
)
from archc.backends.python.walk import BlockWalk, NetworkWalk, by_condition, optional
from archc.backends.python.wiring import Assignment, assignments
from archc.compiler.ir.interface import interface
from archc.compiler.ir.network import Block, Invoke, Op, Row, Step, Use
from archc.compiler.ir.ops.elementwise import ACTIVATION
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.names import FEATURES, MODULE_ATTRIBUTES


def is_module(target: Op | Block) -> bool:
    """Ops of several tensors are expressions; all else is a module."""
    return isinstance(target, Block) or (len(target.inputs) == 1 and not target.variadic)


def modules(step: Step) -> Iterator[Invoke]:
    """The calls of a step that are modules."""
    return (invoke for invoke in step.call.walk() if is_module(invoke.target))


def split(block: Block) -> tuple[list[Step], list[Step]]:
    """A chain of modules that run one after the other, and the steps on its result.

    Both are empty-handed where the block is no such chain: then all steps are written out.
    """
    value = block.inputs[0]
    chain: list[Step] = []
    tail: list[Step] = []
    for step in block.steps:
        link = is_module(step.call.target) and step.call.operands == (Use(value, NOWHERE),)
        if link and not tail:
            chain.append(step)
            value = step.name
        else:
            tail.append(step)
    inner = {step.name for step in chain[:-1]}
    broken = any(list(modules(step)) or operands(step) & inner for step in tail)
    return ([], []) if broken or not chain else (chain, tail)


def tensors(names: ModuleNames, *variables: str) -> tuple[Parameter, ...]:
    """The inputs of a method."""
    kind = names.use(names.language.tensor)
    return tuple(Parameter(variable, kind) for variable in variables)


class ModuleBlock(BlockWalk):
    """The class of one block definition."""

    def __init__(self, names: ModuleNames, block: Block) -> None:
        super().__init__(names, block, lambda name: self.sizes[name])
        self.sizes = self.size_names()
        self.chain, self.tail = split(block)
        self.variables = variables(block, self.inputs, names.taken, no_mentions)

    def size_names(self) -> dict[str, str]:
        if len(self.face.sized) == 1:
            return {self.face.sized[0]: "in_channels"}
        names = Names((*self.names.taken, *self.names.arguments[self.block].values()))
        return {name: names.new(f"{name}_channels") for name in self.face.sized}

    def definition(self) -> Definition:
        first, others = self.parameters()
        plain = (*map(Parameter, self.sizes.values()), *first)
        body = tuple(self.init())
        forward = self.forward()
        name = self.names.blocks[self.block]
        doc, sequence = self.block.doc, bool(self.chain)
        return Definition(
            name, doc, plain, others, body, forward, sequence=sequence, calls=self.calls
        )

    # --------------------------------------------------------------------- construction

    def init(self) -> Iterator[Statement]:
        for when, steps in by_condition(self.block.steps):
            made = tuple(self.construct(steps))
            if when is None:
                yield from made
                continue
            flag = None if self.implicit(steps) else f"self.{self.flag(steps[0])}"
            if flag:
                yield Assign(flag, self.spell(when))
            if made:
                yield If(flag or self.spell(when), made)

    def implicit(self, steps: list[Step]) -> bool:
        """Whether leaving out the modules is all it takes: a sequence runs what there is."""
        return all(step in self.chain for step in steps)

    def flag(self, step: Step) -> str:
        """The attribute that says whether a step is there, and its neighbours of one `when`."""
        first = next(group[0] for _, group in by_condition(self.block.steps) if step in group)
        taken = {invoke.name for step in self.block.steps for invoke in modules(step)}
        if first.name not in taken:
            return first.name
        return Names({*taken, *(step.name for step in self.block.steps)}).new(f"has_{first.name}")

    def construct(self, steps: list[Step]) -> Iterator[Statement]:
        for step in steps:
            for invoke in modules(step):
                yield Assign(f"self.{invoke.name}", self.layer(invoke, step.when))

    def layer(self, invoke: Invoke, when: Node | None) -> Expression:
        labels = invoke.target.inputs
        channels = {
            label: self.face.channels[operand.name]
            for label, operand in zip(labels, invoke.operands, strict=True)
            if operand.name in self.face.channels
        }
        if isinstance(invoke.target, Block):
            sizes = [self.spell(channels[name]) for name in interface(invoke.target).sized]
            found = self.calls[invoke.name] = self.block_call(invoke, sizes)
            return found
        overwrites = self.overwrites(invoke)
        call = self.op_call(invoke, channels=channels.get("x"), when=when, overwrites=overwrites)
        return self.spelled(invoke, call)

    def overwrites(self, invoke: Invoke) -> bool:
        """Whether it is an activation that may write over its input, which nothing else uses."""
        if invoke.target is not ACTIVATION or (self.block, invoke.name) in self.names.left_open:
            return False
        operand, steps = invoke.operands[0], {step.name: step for step in self.block.steps}
        if isinstance(operand, Use):
            step = steps.get(operand.name)
            if step is None or step.when is not None or uses(self.block)[operand.name] != 1:
                return False
            operand = step.call
        target = operand.target if isinstance(operand, Invoke) else None
        return isinstance(target, Op) and target.fresh

    # -------------------------------------------------------------------------- forward

    def forward(self) -> Method | None:
        if self.chain and not self.tail:
            return None
        inputs = tensors(self.names, *(self.variables[name] for name in self.face.used))
        values = dict(self.variables)
        body: list[Statement] = []
        if self.chain:
            start = f"super().forward({self.variables[self.block.inputs[0]]})"
            if self.once(self.chain[-1].name):
                values[self.chain[-1].name] = start
            else:
                body.append(Assign(self.variables[self.chain[-1].name], start))
        body += self.statements(self.tail if self.chain else list(self.block.steps), values)
        return Method(inputs, tuple(body))

    def once(self, name: str) -> bool:
        """Whether a value is used once, always and at once, so that it needs no variable."""
        step = self.tail[0]
        return uses(self.block)[name] == 1 and name in operands(step) and step.when is None

    def statements(self, steps: list[Step], values: Mapping[str, str]) -> Iterator[Statement]:
        last = steps[-1]
        for when, members in by_condition(steps):
            flag = f"self.{self.flag(members[0])}"
            if when is None:
                for step in members:
                    yield self.statement(step, "" if step is last else values[step.name], values)
            elif members == [last]:
                passed = values[first_operand(last)]
                yield Return(f"{self.value(last.call, values)} if {flag} else {passed}")
            else:
                yield from optional(
                    members, flag, values, lambda s, v: iter([self.statement(s, v, values)])
                )
                if members[-1] is last:
                    yield Return(values[last.name])

    def statement(self, step: Step, variable: str, values: Mapping[str, str]) -> Statement:
        value = self.value(step.call, values)
        return Assign(variable, value) if variable else Return(value)

    def value(self, call: Invoke | Use, values: Mapping[str, str]) -> str:
        """The expression that computes a call."""
        if isinstance(call, Use):
            return values[call.name]
        if is_module(call.target):
            given = [self.value(operand, values) for operand in used_operands(call)]
            return f"self.{call.name}({', '.join(given)})"
        texts = tuple(self.operand(call, i, values) for i in range(len(call.operands)))
        return str(self.spelled(call, self.op_call(call, inputs=texts)))

    def operand(self, call: Invoke, index: int, values: Mapping[str, str]) -> str:
        """An operand of an expression, in parentheses where it needs them."""
        operand = call.operands[index]
        text = self.value(operand, values)
        inner = operand.target if isinstance(operand, Invoke) else None
        outer = call.target
        assert isinstance(outer, Op)
        if not isinstance(inner, Op) or None in (inner.operator, outer.operator):
            return text
        again = inner is outer and index == 1
        return f"({text})" if again or (inner.operator, outer.operator) == ("+", "*") else text


Assigned = Mapping[Row, Assignment]


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


class ModuleNetwork(NetworkWalk):
    """The class of the network: its tables, one row a line."""

    def __init__(self, names: ModuleNames) -> None:
        super().__init__(names)
        self.assignments = self.assigned(names.network.rows)
        self.end = [row for row in names.network.rows if row.when is not None]
        """The rows that the model may leave out, which are the last."""

    def definition(self) -> Definition:
        body = tuple(self.init())
        doc, plain = model_doc(self.network), tuple(self.parameters())
        forward, features = self.forward(), self.features()
        return Definition(
            self.names.model, doc, plain, (), body, forward, features, calls=self.calls
        )

    def assigned(self, rows: Sequence[Row]) -> Assigned:
        """How each of the rows is computed where those after them are not."""
        every = assignments(rows, "x", self.names.taken, lambda block: interface(block).used)
        return dict(zip(rows, every, strict=True))

    def groups(self) -> list[tuple[str | None, list[Row]]]:
        """Tables with their rows; a row with a name of its own is a group without one."""
        found: list[tuple[str | None, list[Row]]] = []
        for name, group in groupby(self.network.rows, lambda row: row.group):
            members = list(group)
            found += [(name, members)] if name else [(None, [row]) for row in members]
        return found

    # --------------------------------------------------------------------- construction

    def init(self) -> Iterator[Statement]:
        for name, rows in self.groups():
            if name is not None:
                yield self.table(name, rows)
            elif is_module(rows[0].call.body.target) and rows[0].when is None:
                yield self.made(rows[0])
        if self.end:
            yield Assign(f"self.{self.flag}", self.spell(self.when))
            yield If(f"self.{self.flag}", tuple(map(self.made, self.end)))

    def made(self, row: Row) -> Statement:
        return Assign(f"self.{row.call.name}", self.layer(row), self.shape(row))

    def shape(self, row: Row) -> str:
        return "x".join(self.names.language.shape(row.call.body.output))

    def table(self, name: str, rows: list[Row]) -> Statement:
        language = self.names.language
        opening, closing = language.sequence if self.chained(rows) else language.several
        made = tuple((self.layer(row), self.shape(row)) for row in rows)
        return Table(f"self.{name}", opening, made, closing)

    def chained(self, rows: list[Row]) -> bool:
        """Whether the rows run one after the other."""
        return all(self.assignments[row].chained for row in rows)

    def layer(self, row: Row) -> Expression:
        body = row.call.body
        known = [constant(x.channels) for x in body.inputs]
        channels = [kept or n for kept, n in zip(row.channels, known, strict=True)]
        if isinstance(body.target, Op):
            return self.spelled(row, self.op_call(row, channels=channels[0]))
        by_input = dict(zip(body.target.inputs, channels, strict=True))
        sizes = [self.spell(by_input[name]) for name in interface(body.target).sized]
        return self.block_call(row, sizes)

    # -------------------------------------------------------------------------- forward

    def forward(self) -> Method:
        *lines, last = (
            s for name, rows in self.groups() for s in self.statements(name, rows, self.assignments)
        )
        x = tensors(self.names, "x")
        if isinstance(last, Assign) and last.target == "x":
            return Method(x, (*lines, Return(last.value)))
        return Method(x, (*lines, last, Return("x")))

    def features(self) -> Method | None:
        """What runs the rows up to the last tap, and keeps the tapped feature maps."""
        if not self.network.taps:
            return None
        doc = f"Feature maps by name.\n\n{features_doc(self.network, self.names.language)}"
        left = len(self.network.taps)
        last = max(i for i, row in enumerate(self.network.rows) if row.tap is not None)
        assigned = self.assigned(self.network.rows[: last + 1])
        body: list[Statement] = []
        for name, rows in self.groups():
            start = 0
            for tap, part in _parts(rows):
                if left == 0:
                    break
                body += self.part(name, rows, start, part, assigned)
                start += len(part)
                if tap is not None:
                    body.append(Assign(f'features["{tap}"]', "x"))
                    left -= 1
        return Method(tensors(self.names, "x"), tuple(body), doc)

    def part(
        self, name: str | None, rows: list[Row], start: int, part: list[Row], assigned: Assigned
    ) -> Iterator[Statement]:
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

    def statements(
        self, name: str | None, rows: list[Row], assigned: Assigned
    ) -> Iterator[Statement]:
        """What computes a row, or the rows of a table."""
        if rows[0] in self.end[:1]:
            yield If(f"not self.{self.flag}", (Return("x"),))
        if name is None:
            yield self.statement(rows[0], f"self.{rows[0].call.name}", assigned)
        elif self.chained(rows):
            yield Assign("x", f"self.{name}(x)")
        else:
            yield from self.loops(f"self.{name}", rows, 0, len(rows), assigned)

    def loops(
        self, name: str, rows: list[Row], start: int, count: int, assigned: Assigned
    ) -> Iterator[Statement]:
        """A loop for each run of rows that are computed alike, of a table of `count` rows."""
        for statement, group in groupby(rows, lambda row: self.statement(row, "layer", assigned)):
            run = list(group)
            end = start + len(run)
            if len(run) == 1:
                yield self.statement(run[0], f"{name}[{start}]", assigned)
            else:
                part = f"[{start or ''}:{end if end < count else ''}]"
                yield For("layer", f"{name}{part if part != '[:]' else ''}", (statement,))
            start = end

    def statement(self, row: Row, layer: str, assigned: Assigned) -> Assign:
        assignment = assigned[row]
        target = row.call.body.target
        if isinstance(target, Op) and not is_module(target):
            call = self.op_call(row, inputs=assignment.operands)
            return Assign(assignment.target, assignment.value(self.spelled(row, call)))
        used = interface(target).used if isinstance(target, Block) else target.inputs
        pairs = zip(target.inputs, assignment.operands, strict=True)
        texts = ", ".join(operand for name, operand in pairs if name in used)
        return Assign(assignment.target, assignment.value(f"{layer}({texts})"))
