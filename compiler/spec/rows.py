"""Rows, tables and changes of rows, as a file says them.

A row is a mapping, or a list of cells under the columns of its table. As soon as its columns are
known, either is a `CallSpec`, and that is what all later stages read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
)

from archc.compiler.language import expressions
from archc.compiler.language.names import check_module_name, check_name
from archc.compiler.language.problems import Invalid, Problem, choices, quote
from archc.compiler.spec import kinds, reader
from archc.compiler.spec.nodes import SpecNode, like
from archc.compiler.spec.reader import Scalar

MAX_DOC = 200
"""Characters of what a row or a step says of itself: generated code holds it as one comment."""


def _doc(value: object) -> expressions.Word | None:
    """One line of text, or none."""
    given = kinds.scalar(value, "a text")
    text = given.strip() if kinds.is_given(given) else ""
    if len(text) > MAX_DOC:
        message, hint = f"a `doc` of more than {MAX_DOC} characters", "say the rest in a comment"
        raise kinds.refusal(Problem("E008", message, given.place, hint))
    if len(text.splitlines()) > 1:
        message, hint = "a `doc` of more than one line", "say it on one line"
        raise kinds.refusal(Problem("E012", message, given.place, hint))
    return expressions.Word(text, given.place) if text else None


Doc = Annotated[
    str | None,
    PlainValidator(_doc),
    WithJsonSchema({"type": ["string", "null"], "maxLength": MAX_DOC}),
]


class CallSpec(SpecNode):
    """A row, or what the `set` of a table or of a change gives to rows: keys, and arguments."""

    block: kinds.Word = Field(None, description="A block or an op.")
    name: kinds.Word = Field(
        None, description="What the row is called in paths; else it goes by its block."
    )
    when: kinds.Expression = Field(None, description="The row is left out where this is false.")
    source: kinds.Expression = Field(
        None,
        alias="from",
        description="What feeds the row: rows above by name, or by how far above (-1, -2, ...).",
    )
    repeat: kinds.Expression = Field(None, description="How many times the row stands here.")
    tap: kinds.Word = Field(
        None, description="A name for the row's feature map, which the model can then return."
    )
    dilate: kinds.Expression = Field(
        None,
        description="Where this is false, `output_stride` ends: not for the row, nor what follows.",
    )
    output: kinds.Word = Field(
        None, description="A name for what the row gives, which then is an output of the model."
    )
    training_only: kinds.Expression = Field(
        None, description="Whether the row's output is there in training only."
    )
    doc: Doc = Field(None, description="What is to be said of the row, on one line.")
    arguments: dict[kinds.Name, kinds.Expression] = Field({})
    _listed: bool = PrivateAttr(False)

    @classmethod
    def rewritten(cls, value: reader.Mapping) -> reader.Mapping:
        own = {key: item for key, item in value.items() if key in ROW_KEYS}
        rest = like(value, {key: item for key, item in value.items() if key not in own})
        return like(value, {**own, "arguments": rest})

    @property
    def listed(self) -> bool:
        """Whether the row is still the list of cells that was written."""
        return self._listed

    @property
    def is_sound(self) -> bool:
        """Whether there is a word wherever one belongs."""
        given = (word for word in (self.name, self.tap, self.output) if word is not None)
        return all(isinstance(word, expressions.Word) for word in (self.block, *given))

    @property
    def given(self) -> dict[str, Any]:
        """What is said by key and argument, in the order in which it is written; None for `~`."""
        own = {key: getattr(self, name) for key, name in ROW_KEYS.items()}
        return {key: own[key] if key in own else self.arguments[key] for key in self.mapping}

    def saying(self, given: Mapping[str, Any]) -> CallSpec:
        """What stands in the same place, and says what is `given` instead."""
        rest: Any = {key: said for key, said in given.items() if key not in ROW_KEYS}
        own = {key: said for key, said in given.items() if key not in rest}
        call = CallSpec.model_construct(**own, arguments=rest)
        call._mapping = like(self.mapping, {**given})
        return call

    def patched(self, patch: CallSpec) -> CallSpec:
        """The row with what `patch` says in the place of its own."""
        new = patch.given
        return self.saying({key: said for key, said in self.given.items() if key not in new} | new)


_FIELDS = CallSpec.model_fields
ROW_KEYS = {f.alias or name: name for name, f in _FIELDS.items() if name != "arguments"}
"""Keys of a row, and columns of a table, that are not arguments, each with its field."""
VALUES = {key for key, name in ROW_KEYS.items() if kinds.EXPRESSION in _FIELDS[name].metadata}
"""Those that are values; the others are words and texts."""


def is_value(key: str) -> bool:
    """Whether a key or an argument of a row is a value, which the `set` of a table can use."""
    return key in VALUES or key not in ROW_KEYS


class PatchSpec(CallSpec):
    """Keys and arguments that a change gives to rows."""

    example = "write `{argument: value}`"

    block: kinds.Name | None = None
    name: kinds.LayerName | None = None
    tap: kinds.LayerName | None = None
    output: kinds.Name | None = None


class RowSpec(PatchSpec):
    """One call in the network: a block or an op, and its arguments by name."""

    example = "write `{block: ...}`, or a list of cells under the `rows` of a table"

    # Required here, and pydantic keeps the order of fields.
    block: kinds.Name  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride]


def row_of(columns: Sequence[str], cells: reader.Sequence) -> CallSpec | reader.Sequence:
    """The row that a list of cells says under the columns of its table; the list as it is, if it
    has another length."""
    row = CallSpec.model_validate(like(cells, dict(zip(columns, cells, strict=False))))
    row._listed = True
    return row if len(columns) == len(cells) else cells


def check_column(text: str) -> str:
    """`text` if a column may be called so. Raises `Invalid` (E013)."""
    return text if text in ROW_KEYS else check_name(text)


def check_parameter_name(text: str) -> str:
    """`text` if a parameter of a block may be called so. Raises `Invalid` (E013)."""
    if text in ROW_KEYS:
        message = f"`{text}` cannot name a parameter: a row has a key called so"
        raise Invalid("E013", message, f"try `{text}_`")
    return check_name(text)


Column = Annotated[Scalar, kinds.checked(check_column, "a name"), WithJsonSchema(kinds.NAME_SCHEMA)]


def _table_row(value: Any, info: ValidationInfo) -> CallSpec | reader.Sequence:
    if isinstance(value, reader.Sequence):
        return row_of(info.data.get("columns", ()), value)
    return RowSpec.model_validate(value)


def _set(value: Any) -> CallSpec:
    call = CallSpec.model_validate(value)
    empty = [cell for cell in call.mapping.values() if not kinds.is_given(cell)]
    if empty:
        raise kinds.refusal(*(kinds.misfit(cell, "a value", kinds.NONE) for cell in empty))
    return call


TableName = Annotated[
    str, kinds.checked(check_module_name, "a name"), WithJsonSchema(kinds.NAME_SCHEMA)
]
TableRow = Annotated[Any, PlainValidator(_table_row), WithJsonSchema({"type": ["array", "object"]})]


class TableSpec(SpecNode):
    """Rows under a header of column names."""

    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: Annotated[tuple[TableRow, ...], Field(min_length=1)]
    """Lists of another length than the header are still as they were read."""
    name: TableName = "blocks"
    set: Annotated[CallSpec | None, PlainValidator(_set), WithJsonSchema({})] = None
    """Arguments and keys of rows; the name of a column stands for the cell."""

    @property
    def given(self) -> dict[str, Any]:
        """What `set` says, in order."""
        return {} if self.set is None else self.set.given


def _entry(value: Any) -> TableSpec | RowSpec:
    table = isinstance(value, reader.Mapping) and ("columns" in value or "rows" in value)
    return TableSpec.model_validate(value) if table else RowSpec.model_validate(value)


Entry = Annotated[
    TableSpec | RowSpec,
    PlainValidator(_entry, json_schema_input_type=TableSpec | RowSpec),
]


def _row_name(text: str) -> str:
    """`text` if it may mean a row: `head`, or `blocks.3`. Raises `Invalid` (E013)."""
    name, dot, number = text.partition(".")
    if dot and not (number.isascii() and number.isdigit()):
        hint = "write the row's own name, or its table and number, as in `blocks.3`"
        raise Invalid("E013", f"{quote(text)} means no row", hint)
    return text if check_name(name) else name


RowName = Annotated[
    Scalar,
    kinds.checked(_row_name, "the name of a row"),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_]*(\.[0-9]+)?$"}),
]
RowNames = Annotated[
    tuple[RowName, ...],
    Field(min_length=1),
    BeforeValidator(
        lambda value: [value] if isinstance(value, Scalar) else value,
        json_schema_input_type=RowName | tuple[RowName, ...],
    ),
]


Inserted = Annotated[
    Any,
    PlainValidator(lambda value: value if isinstance(value, reader.Sequence) else _entry(value)),
    WithJsonSchema({"type": ["array", "object"]}),
]
"""A list of cells stays as it was read until it stands in a table."""


class ChangeSpec(SpecNode):
    """A change of the rows of the spec that this one extends. It has one of three forms."""

    example = "write `{at: head, set: {act: relu}}`"

    at: RowNames = ()
    where: kinds.Value = None
    was: PatchSpec | None = None
    set: PatchSpec | None = None
    remove: RowNames = ()
    before: RowName | None = None
    after: RowName | None = None
    insert: Annotated[tuple[Inserted, ...], Field(min_length=1)] | None = None

    @property
    def named(self) -> tuple[Scalar, ...]:
        """The rows and tables that it names."""
        beside = [name for name in (self.before, self.after) if name is not None]
        return (*self.at, *self.remove, *beside)

    @classmethod
    def rewritten(cls, value: reader.Mapping) -> reader.Mapping:
        if all(key in cls.model_fields for key in value):
            _check_form(value)
        return value


FORMS = {"set": ("at", "where"), "remove": (), "insert": ("before", "after")}
"""What a change does, and the keys that say to which rows or where."""


def _check_form(change: reader.Mapping) -> None:
    verbs = [key for key in change if key in FORMS]
    if len(verbs) != 1:
        message = "a change says one of `set`, `remove` and `insert`"
        raise kinds.refusal(Problem("E012", message, change.place, ChangeSpec.example))
    verb, wanted = verbs[0], FORMS[verbs[0]]
    rest = [key for key in change if key not in (verb, "was")]
    if "was" in change and rest == ["where"]:
        message, hint = "`was` does not go with `where` alone", "it is of rows that `at` names"
        raise kinds.refusal(
            Problem("E012", message, next(key.place for key in change if key == "was"), hint)
        )
    for key in rest:
        if key not in wanted:
            message = f"`{key}` does not go with `{verb}`"
            hint = choices(wanted) + " goes with it" if wanted else "it names the rows itself"
            raise kinds.refusal(Problem("E012", message, key.place, hint))
    if wanted and not rest:
        message = f"the key `{wanted[0]}` or `{wanted[1]}` is missing"
        raise kinds.refusal(Problem("E011", message, change.place, f"it says where to {verb}"))
    if verb == "set" and not change[verb]:
        raise kinds.refusal(
            Problem("E011", "nothing to set", change[verb].place, ChangeSpec.example)
        )
    if verb == "insert" and len(rest) > 1:
        message = "`before` and `after` in one change"
        raise kinds.refusal(Problem("E012", message, rest[1].place, "one of them says where"))
