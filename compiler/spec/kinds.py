"""What a node of a file may be: a name, a text, a number, an expression, a mapping.

Each kind takes a node as it was read, or says what belongs there. The models are made of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from archc.compiler.language import expressions, parser
from archc.compiler.language.expressions import LARGEST, Node
from archc.compiler.language.names import check_module_name, check_name
from archc.compiler.language.problems import Blame, Place, Problem, quote
from archc.compiler.spec import reader
from archc.compiler.spec.reader import Scalar


def refusal(*problems: Problem) -> PydanticCustomError:
    return PydanticCustomError("archc", "{problems}", {"problems": problems})


@contextmanager
def refusing(place: Place) -> Iterator[None]:
    """Hands what goes wrong with the node at `place` on through pydantic."""
    try:
        yield
    except Blame as blame:
        raise refusal(*blame.at(place)) from None


def misfit(value: Any, wanted: str, hint: str | None = None) -> Problem:
    kind = "a mapping" if isinstance(value, reader.Mapping) else "a list"
    if isinstance(value, Scalar):
        kind = "nothing" if value.plain and not value else quote(value)
    return Problem("E012", f"{kind} where {wanted} belongs", value.place, hint)


def scalar(value: object, wanted: str) -> Scalar:
    if isinstance(value, Scalar):
        return value
    raise refusal(misfit(value, wanted))


def checked(check: Callable[[str], object], wanted: str) -> PlainValidator:
    """A validator that takes a scalar which `check` accepts."""

    def validate(value: object) -> Scalar:
        found = scalar(value, wanted)
        with refusing(found.place):
            check(found)
        return found

    return PlainValidator(validate)


MAX_ITEMS = 256
"""Of a list that is a value, such as the rows that one row joins."""
NOT_GIVEN = ("", "~", "null")
"""How a cell says that it gives nothing. `none` is a value."""

NONE = "write `none` for the value that is none"


def is_given(value: object) -> bool:
    """Whether a cell gives something."""
    return not (isinstance(value, Scalar) and value.plain and value in NOT_GIVEN)


def _value(value: Any) -> Node:
    if not is_given(value):
        raise refusal(misfit(value, "a value", NONE))
    return _node(value)


def _word(value: object) -> expressions.Word | Node:
    """A word, or the expression that stands in its place: whoever means something by it tells."""
    word = parser.word(value, value.place) if isinstance(value, Scalar) else None
    return _node(value) if word is None else word


def _node(value: object) -> Node:
    if isinstance(value, reader.Sequence):
        if len(value) > MAX_ITEMS:
            message = f"a list of more than {MAX_ITEMS} values"
            raise refusal(Problem("E008", message, value.place))
        return expressions.Items(tuple(_node(item) for item in value), value.place)
    text = scalar(value, "a value")
    with refusing(text.place):
        return parser.parse(text, text.place)


NAME_SCHEMA = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"}
_VALUE_SCHEMA = {"type": ["string", "number", "boolean", "null", "array"]}

Name = Annotated[Scalar, checked(check_name, "a name"), WithJsonSchema(NAME_SCHEMA)]
LayerName = Annotated[Scalar, checked(check_module_name, "a name"), WithJsonSchema(NAME_SCHEMA)]
FileName = Annotated[Scalar, checked(str, "a text"), WithJsonSchema({"type": "string"})]
Text = Annotated[str, checked(str, "a text"), WithJsonSchema({"type": "string"})]
Value = Annotated[Any, PlainValidator(_value), WithJsonSchema(_VALUE_SCHEMA)]
"""An expression that must be there."""
EXPRESSION = PlainValidator(lambda value: _node(value) if is_given(value) else None)
Expression = Annotated[Any, EXPRESSION, WithJsonSchema(_VALUE_SCHEMA)]
Word = Annotated[Any, PlainValidator(lambda value: _word(value) if is_given(value) else None)]
"""A name in a table, if it is one: see `_word`."""


def _written(pattern: str, wanted: str) -> BeforeValidator:
    """A validator that lets through what looks as `wanted` does in this language."""

    def text(value: object) -> str:
        found = scalar(value, wanted)
        if not re.fullmatch(pattern, found):
            raise refusal(misfit(found, wanted))
        return str(found)

    return BeforeValidator(text)


_A_NUMBER = _written(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", "a number")
Number = Annotated[float, _A_NUMBER, Field(ge=-LARGEST, le=LARGEST)]
Range = Annotated[tuple[Number, Number], BeforeValidator(lambda value: _range(value))]
Flag = Annotated[bool, _written("true|false", "`true` or `false`")]


def _range(value: Any) -> Any:
    if isinstance(value, reader.Sequence) and len(value) == 2:
        return value
    raise refusal(misfit(value, "`[smallest, largest]`"))
