"""The network's tables as one list of rows, each with its target and its arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from archc.compiler.bind.blocks import Blocks
from archc.compiler.bind.values import Scope, ValueBinder
from archc.compiler.ir.network import Block, Op, Parameter
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node
from archc.compiler.language.names import check_module_name
from archc.compiler.language.problems import Invalid, Place, Problem, Source, SpecError, suggest
from archc.compiler.language.values import Type
from archc.compiler.spec.models import RESERVED, CellsSpec, RowSpec, TableSpec
from archc.compiler.spec.reader import Scalar

REPEAT = Parameter("repeat", Type("int"), min=1, max=1000)

WORDS = ("block", "name", "tap")
"""Keys of a row whose cells are words, and no values that the `set` of a table could use."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A row as it is written, as a mapping or as cells; what is `~` is not given."""

    block: Scalar
    name: Scalar | None
    source: Node | None
    repeat: Node | None
    when: Node | None
    arguments: Mapping[str, Node]
    place: Place
    tap: Scalar | None = None
    header: TableSpec | None = None
    """The table whose columns are to blame for what the row lacks."""


@dataclass(frozen=True, eq=False)
class RowTemplate:
    """A row before its numbers are known."""

    name: str
    group: str | None
    """Where rows go by number: the table, or the row that is repeated."""
    target: Op | Block
    arguments: Mapping[str, Node]
    sources: tuple[Node, ...] | None
    """What feeds it: rows by name, or by how far above they are; None for those just above."""
    repeat: Node | None
    when: Node | None
    place: Place
    in_table: bool
    """Whether arguments may come from the `set` of a table."""
    tap: str | None = None

    @cached_property
    def mentioned(self) -> frozenset[str]:
        """Names in the arguments."""
        return frozenset(name for node in self.arguments.values() for name in ex.names(node))


class RowBinder:
    """Binds the rows of a network, one after another."""

    def __init__(
        self, values: ValueBinder, blocks: Blocks, scope: Scope, base: Source | None = None
    ) -> None:
        """`base` is the file of the network; rows of other files were put in by variants."""
        self.values = values
        self.base = base
        self.blocks = blocks
        self.scope = scope
        self.names: dict[str, Place] = {}
        """Rows and tables so far."""
        self.taps: dict[str, Place] = {}
        self.missing: list[tuple[ex.Name, str | None]] = []
        """Names that `from` does not find above, each with a suggestion."""

    def rows(self, entries: Iterable[TableSpec | RowSpec]) -> Iterator[RowTemplate]:
        for entry in entries:
            if isinstance(entry, TableSpec):
                yield from self.table(entry)
            else:
                line = self.read(_given(entry.given), entry.place)
                if line is not None:
                    yield from self.row(line)
        for name, near in self.missing:
            rule = "a row can take only from rows above it"
            hint = f"{rule}, and `{name.id}` is not" if name.id in self.names else near or rule
            self.values.report("E045", f"no row above is called `{name.id}`", name.place, hint)

    def claim(self, name: str, place: Place) -> None:
        """Claims a name among the rows and tables."""
        if name in self.names:
            message = f"two rows or tables are called `{name}`"
            other = self.names[name]
            if place.source is self.base is not other.source:
                place, other = other, place
            related = ("the other", other)
            self.values.report("E015", message, place, "give one a `name`", related)
        self.names.setdefault(name, place)

    def claim_tap(self, tap: Scalar | None) -> None:
        if tap is None:
            return
        if tap in self.taps:
            related = ("the other", self.taps[tap])
            message = f"two rows are tapped as `{tap}`"
            self.values.report("E015", message, tap.place, "call one something else", related)
        self.taps.setdefault(str(tap), tap.place)

    # ---------------------------------------------------------------------------- tables

    def table(self, table: TableSpec) -> Iterator[RowTemplate]:
        columns = [str(column) for column in table.columns]
        named = "name" in {*columns, *table.set}
        named = named or any(getattr(row, "name", None) for row in table.rows)
        if not named:
            self.claim(str(table.name), table.place)
        if self.bad_columns(table, columns):
            return
        every = [self.line(table, row) for row in table.rows]
        lines = [line for line in every if line is not None]
        if named and self.misnamed(table, lines):
            return
        for line in lines:
            yield from self.row(line, table, numbered=not named)

    def bad_columns(self, table: TableSpec, columns: list[str]) -> bool:
        before = len(self.values.problems)
        seen = set()
        for column in table.columns:
            assert isinstance(column, Scalar)
            if column in seen:
                message = f"two columns are called `{column}`"
                self.values.report("E015", message, column.place)
            seen.add(column)
        if "block" not in columns:
            message, hint = "a table needs a column `block`", "it names the block or op of each row"
            self.values.report("E011", message, table.key_place("columns"), hint)
        return len(self.values.problems) > before

    def misnamed(self, table: TableSpec, lines: list[_Line]) -> bool:
        """Reports a table whose rows have names, but not all of them, or that has one itself."""
        unnamed = [line for line in lines if line.name is None]
        half = 0 < len(unnamed) < len(lines)
        if half:
            message = "this row has no name, but others in its table have one"
            hint = "name every row of the table, or none"
            self.values.report("E012", message, unnamed[0].place, hint)
        elif "name" in table.model_fields_set:
            message = "the rows of this table have names, so it has no use for its own"
            self.values.report("E012", message, table.key_place("name"), "remove it, or theirs")
        return half

    def line(self, table: TableSpec, row: CellsSpec | RowSpec) -> _Line | None:
        """What a row of a table says, with the table's `set` applied."""
        cells = row.given if isinstance(row, RowSpec) else self.cells(table, row)
        if cells is None:
            return None
        header = table if isinstance(row, CellsSpec) else None
        here = header if row.place.source is table.place.source else None
        return self.read(self.settled(table, _given(cells), row.place), row.place, here)

    def cells(self, table: TableSpec, row: CellsSpec) -> dict[str, Node | None] | None:
        """What a row says under the table's columns. Reports one of another length."""
        columns = table.columns
        if len(row) == len(columns):
            return dict(zip(columns, row, strict=True))
        message = f"this row has {len(row)} cells, but the table has {len(columns)} columns"
        related = ("the columns", table.key_place("columns"))
        short = len(row) < len(columns)
        hint = "write `~` where it gives nothing" if short else "remove cells, or name columns"
        self.values.report("E014", message, row.place, hint, related)
        return None

    def read(
        self, given: dict[str, Node], place: Place, header: TableSpec | None = None
    ) -> _Line | None:
        """The row with its keys set apart from its arguments."""
        own = {key: given.pop(key, None) for key in RESERVED}
        block = self.block_cell(own["block"], place)
        name, tap = (self.name_cell(own[key], key) for key in ("name", "tap"))
        if block is None or (name is None and own["name"] is not None):
            return None
        return _Line(
            block, name, own["from"], own["repeat"], own["when"], given, place, tap, header
        )

    def settled(self, table: TableSpec, given: dict[str, Node], place: Place) -> dict[str, Node]:
        """The cells of a row with the table's `set` applied."""
        none = ex.Literal(None, place)
        seen = {key: given.get(key, none) for key in (*table.columns, *given) if key not in WORDS}
        for name, node in table.set.items():
            if name in given or name not in table.columns:
                try:
                    given[name] = seen[name] = ex.substitute(node, seen)
                except SpecError as error:
                    self.values.problems.extend(error.problems)
        return given

    def block_cell(self, node: Node | None, place: Place) -> Scalar | None:
        if isinstance(node, ex.Name):
            return _word(node)
        place = place if node is None else node.place
        self.values.report("E030", "the column `block` names a block or an op", place)
        return None

    def name_cell(self, node: Node | None, column: str) -> Scalar | None:
        if isinstance(node, ex.Name):
            try:
                check_module_name(node.id)
            except Invalid as invalid:
                self.values.problems.append(invalid.at(node.place))
            return _word(node)
        if node is not None:
            what = {"name": "the row", "tap": "the row's feature map"}[column]
            hint = "use a word, as in `stem` or `cell_1`"
            self.values.report("E013", f"the column `{column}` names {what}", node.place, hint)
        return None

    # ------------------------------------------------------------------------------ rows

    def row(
        self, line: _Line, table: TableSpec | None = None, numbered: bool = False
    ) -> Iterator[RowTemplate]:
        """The bound row. It goes by number where it is `numbered` in its table, or repeated."""
        values, place = self.values, line.block.place
        target = self.blocks.target(line.block, place)
        when = None if line.when is None else values.value(line.when, self.scope)
        repeat = None if line.repeat is None else values.argument(REPEAT, line.repeat, self.scope)
        sources = None if line.source is None else tuple(map(self.source, _items(line.source)))
        name = str(table.name) if table and numbered else str(line.name or line.block)
        if not numbered:
            self.claim(name, (line.name or line.block).place)
        self.claim_tap(line.tap)
        if target is None:
            return
        related = (("for this row", place),) if table else ()
        before = len(values.problems)
        arguments = dict(values.arguments(target, line.arguments.items(), self.scope, *related))
        values.check_given(target, line.arguments, place, line.header)
        self.check_sources(target, line, sources)
        values.problems[before:] = [_in_row(p, place) for p in values.problems[before:]]
        group = name if numbered or repeat is not None else None
        if group is not None:
            self.check_counted(target, place, repeat)
        yield RowTemplate(
            name, group, target, arguments, sources, repeat, when, place, table is not None,
            None if line.tap is None else str(line.tap),
        )  # fmt: skip

    def check_counted(self, target: Op | Block, place: Place, repeat: Node | None) -> None:
        """Reports an op of several tensors that goes by number: it makes no layer to count."""
        if isinstance(target, Op) and (target.variadic or len(target.inputs) > 1):
            message = f"`{target.name}` joins tensors, so its row cannot go by number"
            table, alone = "name every row of the table, or set it apart", "write out the repeats"
            hint = f"give it a name of its own: {alone if repeat else table}"
            self.values.report("E012", message, place, hint)

    # ---------------------------------------------------------------------------- wiring

    def source(self, node: Node) -> Node:
        """What feeds a row: the name of one above, as a literal, or how far above it is."""
        if isinstance(node, ex.Conditional):
            condition = self.values.value(node.condition, self.scope)
            then, otherwise = self.source(node.then), self.source(node.otherwise)
            return ex.Conditional(condition, then, otherwise, node.place)
        if not isinstance(node, ex.Name):
            return self.values.value(node, self.scope)
        if node.id not in self.names:
            if node.id in self.scope.values:
                return node
            self.missing.append((node, suggest(node.id, self.names)))
        return ex.Literal(node.id, node.place)

    def check_sources(
        self, target: Op | Block, line: _Line, sources: tuple[Node, ...] | None
    ) -> None:
        """Reports a `from` that gives another number of tensors than the target takes."""
        place = line.block.place if line.source is None else line.source.place
        takes = len(target.inputs)
        if target.variadic and not sources:
            message = f"`{target.name}` needs `from`: the rows that it joins"
            self.values.report("E037", message, place)
        elif not target.variadic and sources is not None and len(sources) != takes:
            tensors = f"{takes} tensor{'s' * (takes > 1)} ({', '.join(target.inputs)})"
            message = f"`{target.name}` takes {tensors}, but `from` gives {len(sources)}"
            self.values.report("E037", message, place)


def _in_row(problem: Problem, row: Place) -> Problem:
    """A problem of a cell that stands in a variant names the row of its base too."""
    named = any(place is row for _, place in problem.related)
    elsewhere = problem.place.source is not row.source
    return problem.also(("for this row", row)) if elsewhere and not named else problem


def _given(cells: Mapping[str, Node | None]) -> dict[str, Node]:
    return {name: node for name, node in cells.items() if node is not None}


def _items(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, ex.Items) else (node,)


def _word(node: ex.Name) -> Scalar:
    word = Scalar(node.id)
    word.place = node.place
    return word
