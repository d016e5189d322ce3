"""The `where` of a change: a condition on the rows as they are written, before any number is known.

A column stands for the cell of the row. What it is compared with is what the cell says: a number, a
word, or an expression as it is written. So `act == act` finds the cells that say `act`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from archc.compiler.language import expressions as ex
from archc.compiler.language.expressions import Node, Value
from archc.compiler.language.problems import Place, Problem, SpecError, choices, suggest
from archc.compiler.spec.rows import ROW_KEYS, CallSpec

_BY_NAME = "name the rows under `at`"

Cells = Mapping[str, Value]
"""What a row says under each column. An expression is its text."""


def row_values(row: CallSpec) -> Cells:
    name = {} if row.name is None else {"name": str(row.name)}
    arguments = {str(key): value_of(node) for key, node in row.arguments.items()}
    return {"block": str(row.block), **name, **arguments}


def value_of(node: Node | None) -> Value:
    """What a cell says: a number or a word, or else its text."""
    if node is None:
        return None
    if not ex.is_constant(node) or ex.misuses(node):
        return ex.text(node)
    try:
        return node.evaluate({})
    except SpecError:
        return ex.text(node)  # what is wrong with it is reported where the row is bound


class Condition:
    """A `where`, and what is wrong with it for the rows of one network."""

    def __init__(self, node: Node, rows: Sequence[Cells]) -> None:
        self.rows = rows
        self.columns = {name for row in rows for name in row}
        self.node = self.read(node)
        mentioned = ex.names(self.node)
        self.mentioned = [name for name in mentioned if name in self.columns]
        self.words = {name: name for name in mentioned if name not in self.columns}
        self.problems = [*ex.misuses(node), *self.misuses(self.node)]

    def read(self, node: Node) -> Node:
        """`node` with what columns are compared with taken as what cells say."""
        match node:
            case ex.Compare() if self.is_column(node.left):
                return replace(node, right=ex.Literal(value_of(node.right), node.right.place))
            case ex.Logic() | ex.Unary():
                return ex.mapped(node, self.read)
        return node

    def misuses(self, node: Node) -> Iterator[Problem]:
        """Names that are no column and are compared with none, and what is known only later."""
        match node:
            case ex.Name() if node.id not in self.columns:
                yield self.no_column(node)
            case ex.Attribute():
                message = f"`{node}` is not known where rows are chosen"
                yield Problem("E021", message, node.place, "compare what the cells say")
            case _:
                compared = isinstance(node, ex.Compare) and any(map(self.is_column, node.operands))
                for child in node.operands:
                    if not (compared and isinstance(child, ex.Name)):
                        yield from self.misuses(child)

    def no_column(self, node: ex.Name) -> Problem:
        """What is wrong with a name that no cell stands under."""
        near = suggest(node.id, self.columns)
        if node.id in ROW_KEYS:
            near = f"it is a key of rows that `where` does not look at; {_BY_NAME}"
        hint = near or f"{choices(sorted(self.columns))}, which are keys and arguments of rows"
        return Problem("E021", f"no row has `{node.id}`", node.place, hint)

    def is_column(self, node: Node) -> bool:
        return isinstance(node, ex.Name) and node.id in self.columns

    def holds(self, row: Cells, place: Place) -> bool:
        """Whether it holds for a row. Not for one without all columns; see `SpecError` (E022)."""
        if not set(self.mentioned) <= row.keys():
            return False
        try:
            return bool(self.node.evaluate({**self.words, **row}))
        except SpecError as error:
            hint = "a cell is taken as it is written; say under `at` which rows to look at"
            here = ("for this row", place)
            raise SpecError(replace(p, hint=hint).also(here) for p in error.problems) from None

    def near(self) -> str | None:
        """What the rows say in the columns of the condition, for one that holds for none."""
        if not self.mentioned:
            return None
        column = self.mentioned[0]
        said = dict.fromkeys(ex.show(row[column]) for row in self.rows if column in row)
        words = (n.value for n in ex.walk(self.node) if isinstance(n, ex.Literal))
        near = (suggest(word, said) for word in words if isinstance(word, str))
        every = choices(said) if len(said) > 1 else f"`{next(iter(said))}`"
        return next((hint for hint in near if hint), f"`{column}` is {every}")
