"""What a YAML file may say, as frozen pydantic models. Every node knows its place.

The models check structure alone: keys, kinds of value, names, and that expressions can be read.
What the names mean is the business of `bind`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from archc.compiler.language import expressions, parser
from archc.compiler.language.expressions import LARGEST, Node
from archc.compiler.language.names import (
    ROW_KEYS,
    check_model_name,
    check_module_name,
    check_name,
    check_parameter_name,
)
from archc.compiler.language.problems import (
    Invalid,
    Place,
    Problem,
    Source,
    SpecError,
    choices,
    quote,
    suggest,
)
from archc.compiler.language.values import KINDS
from archc.compiler.language.values import Type as ParameterType
from archc.compiler.spec import reader
from archc.compiler.spec.reader import Scalar

FORMAT = 1
"""The version of the spec format, which every file names first."""


def _custom(problem: Problem) -> PydanticCustomError:
    return PydanticCustomError("archc", "{problem}", {"problem": problem})


def _kind(value: object) -> str:
    """What a node is, in the words of a person."""
    if isinstance(value, Scalar):
        return "nothing" if value.plain and not value else quote(value)
    return "a mapping" if isinstance(value, reader.Mapping) else "a list"


def misfit(value: Any, wanted: str, hint: str | None = None) -> Problem:
    return Problem("E012", f"{_kind(value)} where {wanted} belongs", value.place, hint)


def _scalar(value: object, wanted: str) -> Scalar:
    if isinstance(value, Scalar):
        return value
    raise _custom(misfit(value, wanted))


def _checked(check: Callable[[str], object], wanted: str) -> PlainValidator:
    """A validator that takes a scalar which `check` accepts."""

    def validate(value: object) -> Scalar:
        scalar = _scalar(value, wanted)
        try:
            check(scalar)
        except Invalid as invalid:
            raise _custom(invalid.at(scalar.place)) from None
        return scalar

    return PlainValidator(validate)


MAX_ITEMS = 256
"""Of a list that is a value, such as the rows that one row joins."""
NOT_GIVEN = ("", "~", "null")
"""How a cell says that it gives nothing. `none` is a value."""


def _expression(value: object) -> Node | None:
    if isinstance(value, Scalar) and value.plain and value in NOT_GIVEN:
        return None
    return _node(value)


def _value(value: Any) -> Node:
    node = _expression(value)
    if node is None:
        raise _custom(misfit(value, "a value", "write `none` for the value that is none"))
    return node


def _node(value: object) -> Node:
    try:
        if isinstance(value, reader.Sequence):
            if len(value) > MAX_ITEMS:
                message = f"a list of more than {MAX_ITEMS} values"
                raise _custom(Problem("E008", message, value.place))
            return expressions.Items(tuple(_node(item) for item in value), value.place)
        scalar = _scalar(value, "a value")
        return parser.parse(scalar, scalar.place)
    except SpecError as error:
        raise _custom(error.problems[0]) from None


def _type(value: object) -> ParameterType:
    scalar = _scalar(value, "a type")
    kind, optional = scalar.removesuffix("?"), scalar.endswith("?")
    if kind not in KINDS:
        hint = suggest(kind, KINDS) or choices(KINDS) + ", with a `?` where it may be none"
        raise _custom(Problem("E034", f"unknown type {quote(scalar)}", scalar.place, hint))
    return ParameterType(kind, optional)


_NAME_SCHEMA = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"}
_VALUE_SCHEMA = {"type": ["string", "number", "boolean", "null", "array"]}

Name = Annotated[str, _checked(check_name, "a name"), WithJsonSchema(_NAME_SCHEMA)]
ParameterName = Annotated[
    str, _checked(check_parameter_name, "a name"), WithJsonSchema(_NAME_SCHEMA)
]
ModelName = Annotated[str, _checked(check_model_name, "a name"), WithJsonSchema(_NAME_SCHEMA)]
LayerName = Annotated[str, _checked(check_module_name, "a name"), WithJsonSchema(_NAME_SCHEMA)]
Text = Annotated[str, _checked(str, "a text"), WithJsonSchema({"type": "string"})]
Expression = Annotated[Any, PlainValidator(_expression), WithJsonSchema(_VALUE_SCHEMA)]
Value = Annotated[Any, PlainValidator(_value), WithJsonSchema(_VALUE_SCHEMA)]
"""An expression that must be there."""
TypeName = Annotated[
    ParameterType,
    PlainValidator(_type),
    WithJsonSchema({"enum": [kind + mark for kind in KINDS for mark in ("", "?")]}),
]


def _written(pattern: str, wanted: str) -> BeforeValidator:
    """A validator that lets through what looks as `wanted` does in this language."""

    def text(value: object) -> str:
        scalar = _scalar(value, wanted)
        if not re.fullmatch(pattern, scalar):
            raise _custom(misfit(scalar, wanted))
        return str(scalar)

    return BeforeValidator(text)


_A_NUMBER = _written(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", "a number")
Number = Annotated[float, _A_NUMBER, Field(ge=-LARGEST, le=LARGEST)]
Range = Annotated[tuple[Number, Number], BeforeValidator(lambda value: _range(value))]
Count = Annotated[int, _written("[-+]?[0-9]{1,24}", "a whole number"), Field(ge=1, le=2**16)]
Flag = Annotated[bool, _written("true|false", "`true` or `false`")]


def _range(value: Any) -> Any:
    if isinstance(value, reader.Sequence) and len(value) == 2:
        return value
    raise _custom(misfit(value, "`[smallest, largest]`"))


class SpecNode(BaseModel):
    """A mapping of the file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    example: ClassVar[str | None] = None
    """How to write one, for those who wrote something else."""
    _mapping: reader.Mapping = PrivateAttr()

    @model_validator(mode="wrap")
    @classmethod
    def _remember(cls, value: Any, handler: Callable[[Any], Self]) -> Self:
        if not isinstance(value, reader.Mapping):
            raise _custom(misfit(value, "a mapping", cls.example))
        node = handler(cls.rewritten(value))
        node._mapping = value
        return node

    @classmethod
    def rewritten(cls, value: reader.Mapping) -> reader.Mapping:
        """The long form of a mapping that has a short one."""
        return value

    @property
    def mapping(self) -> reader.Mapping:
        """The node as it is written."""
        return self._mapping

    @property
    def place(self) -> Place:
        return self._mapping.place

    def key_place(self, key: str) -> Place:
        """Where the key stands, or the mapping if it is not written."""
        return next((k.place for k in self._mapping if k == key), self.place)


def like(value: reader.Node, content: dict[Any, Any]) -> reader.Mapping:
    """A mapping of other content in the place of `value`."""
    mapping = reader.Mapping(content)
    mapping.place = value.place
    return mapping


class ParameterSpec(SpecNode):
    """A parameter of a network or a block; `kernel: int` is short for `kernel: {type: int}`."""

    example = "write `{type: int, default: 1}`, or the type alone"

    type: TypeName
    default: Expression = None
    min: Number | None = None
    max: Number | None = None
    above: Number | None = None
    below: Number | None = None
    usual: Range | None = None
    keep: Flag = False
    doc: Text = ""

    @model_validator(mode="wrap")
    @classmethod
    def _short(cls, value: Any, handler: Callable[[Any], Self]) -> Self:
        if isinstance(value, Scalar):
            mapping = reader.Mapping()
            mapping[Scalar("type")] = value
            mapping.place = value.place
            return handler(mapping)
        return handler(value)


class InputSpec(SpecNode):
    """The input's shape; other heights and widths work too, this one is counted."""

    example = "write `{channels: 3, height: 224, width: 224}`"

    channels: Count
    height: Count
    width: Count


class _CallSpec(SpecNode):
    """Keys and arguments of a row, but for its block."""

    name: LayerName | None = None
    when: Expression = None
    source: Annotated[Expression, Field(alias="from")] = None
    """What feeds the row: rows above by name, or by how far above they are (-1, -2, ...)."""
    repeat: Expression = None
    tap: LayerName | None = None
    """What the row's feature map is called among those that the model can return."""
    arguments: dict[Name, Expression] = {}

    @classmethod
    def rewritten(cls, value: reader.Mapping) -> reader.Mapping:
        own = {key: item for key, item in value.items() if key in RESERVED}
        rest = like(value, {key: item for key, item in value.items() if key not in own})
        return like(value, {**own, "arguments": rest})

    @property
    def given(self) -> dict[str, Node | None]:
        """What the mapping says by key and argument, as cells say it; None for `~`."""
        fields = {"source": "from"}
        own = {key: getattr(self, key) for key in self.model_fields_set - {"arguments"}}
        cells = {fields.get(key, key): _as_cell(value) for key, value in own.items()}
        return cells | dict(self.arguments)


def _as_cell(value: Node | Scalar | None) -> Node | None:
    """A word of a row, such as its name, as the expression that a cell would be."""
    return expressions.Name(str(value), value.place) if isinstance(value, Scalar) else value


class PatchSpec(_CallSpec):
    """Keys and arguments that a change gives to rows."""

    example = "write `{argument: value}`"

    block: Name | None = None


class RowSpec(_CallSpec):
    """One call in the network: a block or an op, and its arguments by name."""

    example = "write `{block: ...}`, or a list of cells under the `rows` of a table"

    block: Name

    def patched(self, patch: PatchSpec) -> RowSpec:
        """The row with what `patch` says in the place of its own."""
        keys = {key: getattr(patch, key) for key in patch.model_fields_set}
        own = {k: node for k, node in self.arguments.items() if k not in patch.arguments}
        return self.model_copy(update={**keys, "arguments": own | patch.arguments})


RESERVED = ROW_KEYS


def check_column(text: str) -> str:
    """`text` if a column may be called so. Raises `Invalid` (E013)."""
    return text if text in RESERVED else check_name(text)


Column = Annotated[str, _checked(check_column, "a name"), WithJsonSchema(_NAME_SCHEMA)]


class CellsSpec(tuple[Any, ...]):
    """A row written as a list: one cell for each column of its table."""

    written: reader.Sequence

    @property
    def place(self) -> Place:
        return self.written.place


def _cells(value: object) -> CellsSpec:
    assert isinstance(value, reader.Sequence)
    cells = CellsSpec(_expression(item) for item in value)
    cells.written = value
    return cells


def _cells_or_row(value: Any) -> Any:
    return _cells(value) if isinstance(value, reader.Sequence) else RowSpec.model_validate(value)


TableRow = Annotated[
    Any, PlainValidator(_cells_or_row), WithJsonSchema({"type": ["array", "object"]})
]


class TableSpec(SpecNode):
    """Rows under a header of column names."""

    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: Annotated[tuple[TableRow, ...], Field(min_length=1)]
    name: LayerName = "blocks"
    set: dict[Column, Value] = {}
    """Arguments and keys of rows; the name of a column stands for the cell."""


class StepSpec(SpecNode):
    """`name: expression`, with `when: condition` beside it if the step is optional."""

    example = "write `- name: expression`"

    name: LayerName
    value: Value
    when: Expression = None

    @classmethod
    def rewritten(cls, value: reader.Mapping) -> reader.Mapping:
        names = [key for key in value if key != "when"]
        if len(names) != 1:
            message = f"a step is one `name: expression`, not {len(names)}"
            hints = [hint for hint in (suggest(name, ["when"]) for name in names) if hint]
            hint = hints[0] if hints else cls.example
            raise _custom(Problem("E012", message, value.place, hint))
        rest = {key: item for key, item in value.items() if key == "when"}
        return like(value, {"name": names[0], "value": value[names[0]], **rest})


class BlockSpec(SpecNode):
    """A block: what it takes, and its steps from input to output."""

    doc: Text = ""
    inputs: tuple[Name, ...] = ("x",)
    params: dict[ParameterName, ParameterSpec] = {}
    let: dict[Name, Value] = {}
    steps: Annotated[tuple[StepSpec, ...], BeforeValidator(lambda v: _few(v)), Field(min_length=1)]
    returns: Expression = None
    on_vectors: Name | None = None
    """The activation that stands in for the block, used as one, where there is no feature map."""
    channels: Expression = None
    """How many channels the block gives, where its steps do not show it plainly. Checked."""
    replace: Flag = False
    """Whether it takes the place of the block of its name in a file that this one builds on."""


MAX_STEPS = 512


def _few(steps: Any) -> Any:
    if isinstance(steps, reader.Sequence) and len(steps) > MAX_STEPS:
        message, hint = f"a block of more than {MAX_STEPS} steps", "make blocks of parts of it"
        raise _custom(Problem("E008", message, steps.place, hint))
    return steps


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
    str,
    _checked(_row_name, "the name of a row"),
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


def _inserted(value: Any) -> Any:
    return _cells(value) if isinstance(value, reader.Sequence) else _entry(value)


Inserted = Annotated[Any, PlainValidator(_inserted), WithJsonSchema({"type": ["array", "object"]})]


class ChangeSpec(SpecNode):
    """A change of the rows of the spec that this one extends. It has one of three forms."""

    example = "write `{at: head, set: {act: relu}}`"

    at: RowNames = ()
    where: Value = None
    set: PatchSpec | None = None
    remove: RowNames = ()
    before: RowName | None = None
    after: RowName | None = None
    insert: Annotated[tuple[Inserted, ...], Field(min_length=1)] | None = None

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
        raise _custom(Problem("E012", message, change.place, ChangeSpec.example))
    verb, wanted = verbs[0], FORMS[verbs[0]]
    rest = [key for key in change if key != verb]
    for key in rest:
        if key not in wanted:
            message = f"`{key}` does not go with `{verb}`"
            hint = choices(wanted) + " goes with it" if wanted else "it names the rows itself"
            raise _custom(Problem("E012", message, key.place, hint))
    if wanted and not rest:
        message = f"the key `{wanted[0]}` or `{wanted[1]}` is missing"
        raise _custom(Problem("E011", message, change.place, f"it says where to {verb}"))
    if verb == "set" and not change[verb]:
        raise _custom(Problem("E011", "nothing to set", change[verb].place, ChangeSpec.example))
    if verb == "insert" and len(rest) > 1:
        message = "`before` and `after` in one change"
        raise _custom(Problem("E012", message, rest[1].place, "one of them says where"))


class Spec(SpecNode):
    """A file: a network, a block library, or both."""

    example = f"a spec starts with `archc: {FORMAT}`"

    archc: Annotated[Literal[1], BeforeValidator(lambda value: _version(value))]
    name: ModelName | None = None
    source: Text = ""
    doc: Text = ""
    use: tuple[Text, ...] = ()
    extends: Text | None = None
    set: dict[Name, Value] = {}
    change: Annotated[tuple[ChangeSpec, ...], Field(min_length=1)] = ()
    params: dict[Name, ParameterSpec] = {}
    let: dict[Name, Value] = {}
    require: tuple[Value, ...] = ()
    input: InputSpec | None = None
    defaults: dict[Name, dict[Name, Value]] = {}
    network: Annotated[tuple[Entry, ...], Field(min_length=1)] | None = None
    blocks: dict[Name, BlockSpec] = {}
    _bases: tuple[Source, ...] = PrivateAttr(())

    @property
    def bases(self) -> tuple[Source, ...]:
        """The files that this spec extends, the first of the chain first."""
        return self._bases

    def on(self, base: Spec, **update: Any) -> Spec:
        """`base` with `update`, as a spec of this file."""
        merged = base.model_copy(update={"extends": self.extends, **update})
        own = base.extends.place if isinstance(base.extends, Scalar) else base.place
        merged._bases = (*base.bases, own.source)
        return merged


def _version(value: object) -> int:
    scalar = _scalar(value, "the version of the format")
    if scalar != str(FORMAT):
        message = f"the version of the format is {quote(scalar)}"
        raise _custom(Problem("E012", message, scalar.place, f"this archc reads `archc: {FORMAT}`"))
    return FORMAT
