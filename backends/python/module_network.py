"""The network as a class: its tables made in the constructor, a row a line, and run in methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from archc.backends.python.header import features_doc, model_doc, outputs_doc
from archc.backends.python.model import (
    Assign,
    Definition,
    For,
    If,
    Method,
    Return,
    Statement,
    Table,
)
from archc.backends.python.modules import handed, initialized, is_module, tensors
from archc.backends.python.names import NOT_SAVED, ModuleNames
from archc.backends.python.spelling import Layer, constant
from archc.backends.python.text import Expression, Names
from archc.backends.python.variables import Assignment, assignments, mentioned, used
from archc.backends.python.walk import NetworkWalk
from archc.compiler.ir.interface import interface
from archc.compiler.ir.network import Op, Row
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node

Assigned = Mapping[Row, Assignment]
ONLY = "in training only"
"""When an output is there that is not always."""


class ModuleNetwork(NetworkWalk):
    """The class of the network: its tables, one row a line."""

    def __init__(self, names: ModuleNames) -> None:
        super().__init__(names)
        self.sources = names.sources("x")
        self.pads: dict[Row, str] = {}
        """The layers that pad before rows."""
        self.assignments = self.assigned(names.network.rows)
        self.end = [row for row in names.network.rows if row.when is not None]
        """The rows that the model may leave out, which are the last."""

    def definition(self) -> Definition:
        body = tuple(self.init())
        language = self.names.language
        more = {name: meaning for name, (_, meaning) in language.handed.items()}
        doc, plain = model_doc(self.network, language, more), tuple(self.parameters())
        forward, features = self.forward(), self.features()
        named = handed(self.names)
        return Definition(
            self.names.model, doc, plain, named, body, forward, features, calls=self.calls
        )

    def assigned(self, rows: Sequence[Row], training: bool = True) -> Assigned:
        """How each of the rows is computed where those after them are not; and where those are not
        that run in `training` only."""
        taken = self.names.taken | NOT_SAVED | {*self.sources}
        return assignments(rows, self.sources, taken, used, training)

    def groups(self) -> list[tuple[str | None, list[Row]]]:
        """Tables with their rows; a row with a name of its own is a group without one."""
        found: list[tuple[str | None, list[Row]]] = []
        for name, group in groupby(self.network.rows, lambda row: row.group):
            members = list(group)
            found += [(name, members)] if name else [(None, [row]) for row in members]
        return found

    # --------------------------------------------------------------------- construction

    def init(self) -> Iterator[Statement]:
        made = [*self.always()]
        yield from (*made, *initialized(made))
        if self.end:
            yield Assign(f"self.{self.flag}", self.spell(self.when))
            made = [statement for row in self.end for statement in self.made(row)]
            yield If(f"self.{self.flag}", (*made, *initialized(made)))

    def always(self) -> Iterator[Statement]:
        """What makes the layers that are always there."""
        for name, rows in self.groups():
            if name is not None:
                yield self.table(name, rows)
            elif is_module(rows[0].call.body.target) and rows[0].when is None:
                yield from self.made(rows[0])

    def made(self, row: Row) -> Iterator[Statement]:
        layer = self.layer(row, apart=True)
        if isinstance(layer, Layer) and layer.before is not None:
            pad = self.pads[row] = self.free(f"{row.call.name}_pad")
            yield Assign(f"self.{pad}", layer.before)
        yield Assign(f"self.{row.call.name}", layer, self.shape(row))

    def table(self, name: str, rows: list[Row]) -> Statement:
        language = self.names.language
        opening, closing = self.sequence(rows) or language.several
        made = tuple(Assign("", self.layer(row), self.result(row), doc=row.doc) for row in rows)
        return Table(f"self.{name}", opening, made, closing)

    def result(self, row: Row) -> str:
        """What a row of a table gives: `16x112x112`, or `c1: 16x112x112` where it is tapped or an
        output."""
        name = row.tap or (row.output if self.several else None)
        return f"{name}: {self.shape(row)}" if name else self.shape(row)

    def sequence(self, rows: list[Row]) -> tuple[str, str] | None:
        """What makes one layer of the rows, if they run one after the other."""
        first, *others = (self.assignments[row] for row in rows)
        starts = first.chained or (rows[0].training and len(first.operands) == 1)
        alike = all(each.chained and each.variable == first.variable for each in others)
        return self.names.language.sequence if starts and alike else None

    def layer(self, row: Row, apart: bool = False) -> Expression:
        body = row.call.body
        known = [constant(x.channels) for x in body.inputs]
        channels = [kept or n for kept, n in zip(row.channels, known, strict=True)]
        if isinstance(body.target, Op):
            call = self.op_call(row, channels=channels[0], apart=apart)
            return self.spelled(body.target, call)
        by_input = dict(zip(body.target.inputs, channels, strict=True))
        sizes = [self.spell(by_input[name]) for name in interface(body.target).sized]
        return self.block_call(row, sizes, **self.names.language.handed_on)

    # -------------------------------------------------------------------------- forward

    def forward(self) -> Method:
        last = self.network.rows[-1].output
        body = (*self.no_outputs(), *self.computed(), *self.returned(last))
        inputs = tensors(self.names, *self.sources)
        if not self.several:
            return Method(inputs, body)
        tensor = self.names.use(self.names.language.tensor)
        doc = "Outputs by name; in evaluation the last alone." if self.alone else "Outputs by name."
        doc += f"\n\nReturns:\n{outputs_doc(self.network, self.names.language, ONLY)}"
        returns = f"{tensor} | dict[str, {tensor}]" if self.alone else f"dict[str, {tensor}]"
        return Method(inputs, body, doc, returns)

    def returned(self, last: str | None) -> Iterator[Statement]:
        """What gives the outputs, where `x` is the one called `last`; None is kept already."""
        keep = [] if last is None else [Assign(f'outputs["{last}"]', "x")]
        if self.alone:
            yield If("self.training", (*keep, Return("outputs")))
        yield from keep if self.several and not self.alone else ()
        yield Return("outputs" if self.several and not self.alone else "x")

    def computed(self) -> Iterator[Statement]:
        """What runs all rows; in training only those that run there alone."""
        for training, group in groupby(self.parts(), lambda part: part[0][0].training):
            parts = [*group]
            made = [statement for _, statements in parts for statement in statements]
            if training:
                yield from self.carried([row for rows, _ in parts for row in rows])
                yield If("self.training", tuple(made))
            else:
                yield from made

    def carried(self, rows: list[Row]) -> Iterator[Statement]:
        """A value for the variables of rows that run in training only, and that later ones take
        under a condition of their own: TorchScript wants one in any case."""
        every = self.network.rows
        feeds = {f for row in every if row.training and row not in rows for f in row.call.feeds}
        held = (self.assignments[row].variable for row in rows if every.index(row) in feeds)
        yield from (Assign(variable, self.sources[0]) for variable in dict.fromkeys(held))

    def parts(self) -> Iterator[tuple[list[Row], list[Statement]]]:
        """The rows, where all of a part run in training only or none, and what runs them and keeps
        those of their values that are outputs."""
        assigned = self.assignments
        for name, rows in self.groups():
            inner = any(row.output for row in rows[:-1])
            at_once = not rows[0].training or name is None or self.sequence(rows)
            statements = {self.statement(row, "layer", assigned) for row in rows}
            alike = len({row.training for row in rows}) == 1
            if alike and at_once and not inner:
                last = self.given(rows[-1], assigned[rows[-1]].variable)
                yield rows, [*self.statements(name, rows, assigned), *last]
            elif len(statements) == 1 and not rows[0].training:
                outputs = {i: row.output for i, row in enumerate(rows) if self.given(row, "x")}
                keep = self.numbered("named", outputs, "outputs", f"self.{name}", *statements)
                yield rows, [*keep]
            else:
                for index, row in enumerate(rows):
                    statement = self.statement(row, f"self.{name}[{index}]", assigned)
                    yield [row], [statement, *self.given(row, assigned[row].variable)]

    def features(self) -> Method | None:
        """What runs the rows up to the last tap, and keeps the tapped feature maps."""
        if not self.network.taps:
            return None
        doc = (
            f"Feature maps by name.\n\nReturns:\n{features_doc(self.network, self.names.language)}"
        )
        assigned = self.assigned(self.before_taps(), training=False)
        body: list[Statement] = []
        for name, rows in self.groups():
            part = [row for row in rows if row in assigned]
            body += self.kept(name, rows, part, assigned) if part else []
        return Method(tensors(self.names, *self.sources), tuple(body), doc)

    def kept(
        self, name: str | None, rows: list[Row], part: list[Row], assigned: Assigned
    ) -> Iterator[Statement]:
        """What computes the first rows of a group, and keeps what is tapped."""
        taps = {index: row.tap for index, row in enumerate(part) if row.tap is not None}
        statements = {self.statement(row, "layer", assigned) for row in part}
        if len(part) == len(rows) and taps.keys() <= {len(rows) - 1}:
            yield from self.statements(name, rows, assigned)
            yield from self.tapped(rows[-1])
        elif part != rows[: len(part)]:
            for row in part:
                yield self.statement(row, f"self.{name}[{rows.index(row)}]", assigned)
                yield from self.tapped(row)
        elif len(statements) == 1 and len(part) > 1:
            layers = f"self.{name}" if len(part) == len(rows) else f"[*self.{name}][:{len(part)}]"
            yield from self.numbered("taps", taps, "features", layers, *statements)
        else:
            for start, end in pairwise(sorted({0, *(index + 1 for index in taps), len(part)})):
                run = part[start:end]
                yield from self.loops(f"self.{name}", run, start, len(rows), assigned)
                yield from self.tapped(run[-1])

    def numbered(
        self,
        words: str,
        names: Mapping[int, str | None],
        kept: str,
        layers: str,
        statement: Statement,
    ) -> Iterator[Statement]:
        """A loop over layers that are computed alike, which keeps what has names, by number."""
        listed = ", ".join(f'{index}: "{name}"' for index, name in names.items())
        keep = If(f"index in {words}", (Assign(f"{kept}[{words}[index]]", "x"),))
        yield Assign(words, f"{{{listed}}}")
        yield For("index, layer", f"enumerate({layers})", (statement, keep))

    @property
    def when(self) -> Node:
        """What has to hold for the rows at the end to be there."""
        assert self.end[0].when is not None
        return self.end[0].when

    @property
    def flag(self) -> str:
        """The attribute that says whether the rows at the end are there."""
        wanted = self.when.id if isinstance(self.when, ex.Name) else "has_end"
        return self.free(wanted)

    def free(self, name: str) -> str:
        """`name` as an attribute that no layer has."""
        layers = ((row.group or row.call.name) for row in self.network.rows)
        return Names((*layers, *self.names.language.attributes)).new(name)

    def statements(
        self, name: str | None, rows: list[Row], assigned: Assigned
    ) -> Iterator[Statement]:
        """What computes a row, or the rows of a table."""
        if rows[0] in self.end[:1]:
            yield If(f"not self.{self.flag}", tuple(self.returned(self.early)))
        if name is None:
            statement = self.statement(rows[0], f"self.{rows[0].call.name}", assigned)
            yield replace(statement, doc=rows[0].doc)
        elif self.sequence(rows) is not None:
            first = assigned[rows[0]]
            yield Assign(first.variable, f"self.{name}({first.operands[0]})")
        else:
            yield from self.loops(f"self.{name}", rows, 0, len(rows), assigned)

    def loops(
        self, name: str, rows: list[Row], start: int, count: int, assigned: Assigned
    ) -> Iterator[Statement]:
        """A loop for each run of rows that are computed alike, of a table of `count` rows."""
        for statement, group in groupby(rows, lambda row: self.statement(row, "layer", assigned)):
            run = list(group)
            end = start + len(run)
            if len(run) == 1 or (self.several and len(run) < count):  # for TorchScript: no slices
                for index, row in enumerate(run, start):
                    yield self.statement(row, f"{name}[{index}]", assigned)
            else:
                part = f"[{start or ''}:{end if end < count else ''}]"
                yield For("layer", f"{name}{part if part != '[:]' else ''}", (statement,))
            start = end

    def statement(self, row: Row, layer: str, assigned: Assigned) -> Assign:
        assignment = assigned[row]
        target = row.call.body.target
        if isinstance(target, Op) and not is_module(target):
            call = self.op_call(row, inputs=assignment.operands)
            return Assign(assignment.target, assignment.value(self.spelled(target, call)))
        texts = ", ".join(mentioned(target, assignment.operands))
        texts = f"self.{self.pads[row]}({texts})" if row in self.pads else texts
        return Assign(assignment.target, assignment.value(f"{layer}({texts})"))
