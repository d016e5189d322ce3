"""The network's tables as one list of rows, each with its target and its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from archc.compiler.bind.blocks import Blocks
from archc.compiler.bind.values import TURNS, Scope, ValueBinder
from archc.compiler.ir.network import Block, Op, Parameter
from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node, Value
from archc.compiler.language.names import check_module_name, check_name
from archc.compiler.language.problems import Invalid, Place, Problem, Source, suggest
from archc.compiler.language.values import Type
from archc.compiler.spec.reader import Scalar, Sequence
from archc.compiler.spec.rows import CallSpec, TableSpec, is_value

REPEAT = Parameter("repeat", Type("int"), min=0, max=1000)
DILATE = Parameter("dilate", Type("bool"))
TRAINING = Parameter("training_only", Type("bool"))

WORDS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "name": ("the row", check_module_name),
    "tap": ("the row's feature map", check_module_name),
    "output": ("what the row gives", check_name),
}
"""Columns that hold names: of what, and what may be one."""
CLAIMED = {"tap": "two rows are tapped as", "output": "two outputs are called"}
"""Those of them that no two rows share, beside `name`; and what is wrong where two do."""


@dataclass(frozen=True, eq=False)
class RowTemplate:
    """A row before its numbers are known."""

    row: CallSpec
    """As it is written, with the `set` of its table applied."""
    name: str
    group: str | None
    """Where rows go by number: the table, or the row that is repeated."""
    target: Op | Block
    arguments: Mapping[str, Node]
    sources: tuple[Node, ...] | None
    """What feeds it: rows by name, or by how far above they are; None for those just above."""
    repeat: Node | None
    when: Node | None
    dilate: Node | None
    place: Place
    table: TableSpec | None
    """Where it stands, and whose `set` its arguments may come from."""
    training: Node | None = None
    """Whether its output is there in training only."""

    @cached_property
    def mentioned(self) -> frozenset[str]:
        """Names in the arguments."""
        return frozenset(name for node in self.arguments.values() for name in ex.names(node))

    @cached_property
    def constants(self) -> Mapping[str, Value]:
        """The arguments that are written as values, as far as the target takes them."""
        found = {}
        for name, node in self.arguments.items():
            with suppress(Invalid):
                if isinstance(node, ex.Literal):
                    found[name] = self.target.parameter[name].take(node.value)
        return found

    @cached_property
    def steady(self) -> Mapping[str, Node]:
        """The other arguments that are alike in all repeats of the row."""
        others = {k: node for k, node in self.arguments.items() if k not in self.constants}
        return {k: node for k, node in others.items() if not ex.asks_tensors(node)}

    @cached_property
    def varying(self) -> Mapping[str, Node]:
        """Those that ask for a tensor, or which of the repeats or of the table's rows it is."""
        return {k: node for k, node in self.arguments.items() if ex.asks_tensors(node)}

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """Names in those."""
        return tuple({name: None for node in self.varying.values() for name in ex.names(node)})

    @property
    def plain(self) -> bool:
        """Whether it takes what stands just above, and says nothing of what takes part in it."""
        return self.sources is None and self.dilate is None and self.training is None

    @cached_property
    def turns(self) -> tuple[ex.Attribute, ...]:
        """Where the arguments ask which of how many this is: `repeat.index`, `table.count`."""
        nodes = (n for node in self.arguments.values() for n in ex.walk(node))
        return tuple(n for n in nodes if isinstance(n, ex.Attribute) and n.id in TURNS)


@dataclass(eq=False)
class RowBinder:
    """Binds the rows of a network, one after another."""

    values: ValueBinder
    blocks: Blocks
    scope: Scope
    base: Source
    """The file of the network; rows of other files were put in by variants."""
    names: dict[str, Place] = field(default_factory=dict)
    """Rows and tables so far."""
    inputs: frozenset[str] = frozenset()
    """What the network is given, by name."""
    words: dict[tuple[str, str], Place] = field(default_factory=dict)
    """What rows are tapped and given out as so far, by key and word."""
    missing: list[tuple[ex.Name, str | None]] = field(default_factory=list)
    """Names that `from` does not find above, each with a suggestion."""

    def rows(self, entries: Iterable[TableSpec | CallSpec]) -> Iterator[RowTemplate]:
        for entry in entries:
            yield from self.table(entry) if isinstance(entry, TableSpec) else self.row(entry)
        for name, near in self.missing:
            if name.id in self.inputs - self.names.keys():
                continue
            rule = "a row can take only from rows above it"
            hint = f"{rule}, and `{name.id}` is not" if name.id in self.names else near or rule
            what = "no row above and no input" if len(self.inputs) > 1 else "no row above"
            self.values.report("E045", f"{what} is called `{name.id}`", name.place, hint)

    def take_inputs(self, names: Iterable[str], scope: Mapping[str, Type]) -> None:
        """Takes note of the inputs. One of several has its name for itself; a sole one is called
        `input` unless a row is."""
        self.inputs = frozenset(map(str, names))
        for name in names:
            if isinstance(name, Scalar):
                if name in scope:
                    message = f"`{name}` is a parameter or a `let` already"
                    self.values.report("E015", message, name.place, "call the input something else")
                self.claim(str(name), name.place)

    def claim(self, name: str, place: Place) -> None:
        """Claims a name among the rows and tables."""
        if name in self.names:
            what = "an input and a row or table" if name in self.inputs else "two rows or tables"
            message = f"{what} are called `{name}`"
            other = self.names[name]
            if place.source is self.base is not other.source:
                place, other = other, place
            related = ("the other", other)
            hint = "call one something else" if name in self.inputs else "give one a `name`"
            self.values.report("E015", message, place, hint, related)
        self.names.setdefault(name, place)

    def claim_words(self, row: CallSpec) -> None:
        """Claims what the row is tapped and given out as."""
        for key, twice in CLAIMED.items():
            word = getattr(row, key)
            if not isinstance(word, ex.Word):
                continue
            if (key, word) in self.words:
                related = ("the other", self.words[key, word])
                message, hint = f"{twice} `{word}`", "call one something else"
                self.values.report("E015", message, word.place, hint, related)
            self.words.setdefault((key, str(word)), word.place)

    # ---------------------------------------------------------------------------- tables

    def table(self, table: TableSpec) -> Iterator[RowTemplate]:
        named = "name" in {*table.columns, *table.given}
        named = named or any(getattr(row, "name", None) for row in table.rows)
        if not named:
            self.claim(str(table.name), table.place)
        if self.bad_columns(table):
            return
        every = [(row, self.settled(table, row)) for row in table.rows]
        rows = [(row, settled) for row, settled in every if settled is not None]
        if named and self.misnamed(table, [settled for _, settled in rows]):
            return
        for row, settled in rows:
            listed = row.listed and row.place.source is table.place.source
            yield from self.row(settled, table, table if listed else None, numbered=not named)

    def bad_columns(self, table: TableSpec) -> bool:
        columns = table.columns
        first = {column: i for i, column in reversed([*enumerate(columns)])}
        twice = [column for i, column in enumerate(columns) if first[column] < i]
        for column in twice:
            self.values.report("E015", f"two columns are called `{column}`", column.place)
        if "block" not in columns:
            message, hint = "a table needs a column `block`", "it names the block or op of each row"
            self.values.report("E011", message, table.key_place("columns"), hint)
        return bool(twice) or "block" not in columns

    def misnamed(self, table: TableSpec, rows: list[CallSpec]) -> bool:
        """Reports a table whose rows have names, but not all of them, or that has one itself."""
        unnamed = [row for row in rows if row.name is None]
        half = 0 < len(unnamed) < len(rows)
        if half:
            message = "this row has no name, but others in its table have one"
            hint = "name every row of the table, or none"
            self.values.report("E012", message, unnamed[0].place, hint)
        elif "name" in table.model_fields_set:
            message = "the rows of this table have names, so it has no use for its own"
            self.values.report("E012", message, table.key_place("name"), "remove it, or theirs")
        return half

    def settled(self, table: TableSpec, row: CallSpec | Sequence) -> CallSpec | None:
        """A row with the `set` of its table applied. Reports one that is broken."""
        if isinstance(row, Sequence):
            self.wrong_length(table, row)
            return None
        given = {key: said for key, said in row.given.items() if said is not None}
        none = ex.Literal(None, row.place)
        keys = filter(is_value, (*table.columns, *given))
        seen = {str(key): given.get(key, none) for key in keys}
        for name, said in table.given.items():
            if name in given or name not in table.columns:
                with self.values.blaming(row.place):
                    given[name] = ex.substitute(said, seen) if is_value(name) else said
                    seen |= {name: given[name]} if is_value(name) else {}
        settled = row.saying(given)
        return settled if self.has_words(settled) else None

    def wrong_length(self, table: TableSpec, row: Sequence) -> None:
        columns = table.columns
        message = f"this row has {len(row)} cells, but the table has {len(columns)} columns"
        related = ("the columns", table.key_place("columns"))
        short = len(row) < len(columns)
        hint = "write `~` where it gives nothing" if short else "remove cells, or name columns"
        self.values.report("E014", message, row.place, hint, related)

    def has_words(self, row: CallSpec) -> bool:
        """Whether a row says what it calls. Reports cells that are no words where one belongs."""
        if not isinstance(row.block, ex.Word):
            place = row.place if row.block is None else row.block.place
            self.values.report("E030", "the column `block` names a block or an op", place)
        for column, (what, check) in WORDS.items():
            said = getattr(row, column)
            if isinstance(said, ex.Word):
                with self.values.blaming(said.place):
                    check(said)
            elif said is not None:
                hint = "use a word, as in `stem` or `cell_1`"
                message = f"the column `{column}` names {what}"
                self.values.report("E013", message, said.place, hint)
        named = row.name is None or isinstance(row.name, ex.Word)
        return named and isinstance(row.block, ex.Word)

    # ------------------------------------------------------------------------------ rows

    def row(
        self,
        row: CallSpec,
        table: TableSpec | None = None,
        header: TableSpec | None = None,
        numbered: bool = False,
    ) -> Iterator[RowTemplate]:
        """The bound row. It goes by number where it is `numbered` in its table, or repeated.

        `header` is the table whose columns are to blame for what the row lacks.
        """
        values, place = self.values, row.block.place
        target = self.blocks.target(row.block, place)
        when = None if row.when is None else values.value(row.when, self.scope)
        repeat, dilate, training = (
            None if node is None else values.argument(parameter, node, self.scope)
            for parameter, node in (
                (REPEAT, row.repeat),
                (DILATE, row.dilate),
                (TRAINING, row.training_only),
            )
        )
        sources = None if row.source is None else tuple(map(self.source, _items(row.source)))
        name = str(table.name) if table and numbered else str(row.name or row.block)
        if not numbered:
            self.claim(name, (row.name or row.block).place)
        self.claim_words(row)
        if target is not None:
            with values.remarking(partial(_in_row, place)):
                arguments = self.arguments(target, row, table, header)
                self.check_sources(target, row, sources)
            group = name if numbered or repeat is not None else None
            if group is not None:
                self.check_counted(target, place, repeat)
            yield RowTemplate(
                row,
                name,
                group,
                target,
                arguments,
                sources,
                repeat,
                when,
                dilate,
                place,
                table,
                training,
            )

    def arguments(
        self, target: Op | Block, row: CallSpec, table: TableSpec | None, header: TableSpec | None
    ) -> dict[str, Node]:
        given = {key: node for key, node in row.arguments.items() if node is not None}
        related = [("for this row", row.block.place)] if table else []
        scope = replace(self.scope, turns=("repeat", "table") if table else ("repeat",))
        found = dict(self.values.arguments(target, given.items(), scope, *related))
        self.values.check_given(target, given, row.block.place, header)
        return found

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
        self, target: Op | Block, row: CallSpec, sources: tuple[Node, ...] | None
    ) -> None:
        """Reports a `from` that gives another number of tensors than the target takes."""
        place = row.block.place if row.source is None else row.source.place
        takes = len(target.inputs)
        if target.variadic and not sources:
            message = f"`{target.name}` needs `from`: the rows that it joins"
            self.values.report("E037", message, place)
        elif not target.variadic and sources is not None and len(sources) != takes:
            tensors = f"{takes} tensor{'s' * (takes > 1)} ({', '.join(target.inputs)})"
            message = f"`{target.name}` takes {tensors}, but `from` gives {len(sources)}"
            self.values.report("E037", message, place)


def _in_row(row: Place, problem: Problem) -> Problem:
    """A problem of a cell that stands in a variant names the row of its base too."""
    named = any(place is row for _, place in problem.related)
    elsewhere = problem.place.source is not row.source
    return problem.also(("for this row", row)) if elsewhere and not named else problem


def _items(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, ex.Items) else (node,)
