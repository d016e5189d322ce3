"""What a node of a recipe may be, beyond what one of a spec may: bounded numbers, stretches of
training, one of several words, and one of several mappings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema

from archc.compiler.ir.network import Parameter
from archc.compiler.language.problems import Problem, choices, suggest
from archc.compiler.language.values import Type
from archc.compiler.recipe.recipe import Duration
from archc.compiler.spec import reader
from archc.compiler.spec.kinds import checked, misfit, refusal, refusing, scalar
from archc.compiler.spec.reader import Scalar

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")
_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+) *(epochs?|steps?)")
_A_DURATION = "a number of `epochs` or of `steps`"
LARGEST = 2**31 - 1
"""Of a count: steps are counted in 32 bits somewhere."""


def number(
    *,
    min: float | None = None,
    max: float | None = LARGEST,
    above: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> PlainValidator:
    """A validator that takes a number within bounds. It refuses others with E012 and E035."""
    kind = "an integer" if whole else "a number"
    bounds = Parameter("", Type("float", False), None, min, max, above, below)

    def validate(value: object, info: ValidationInfo) -> float:
        text = scalar(value, kind)
        if not re.fullmatch(r"[-+]?[0-9]{1,19}" if whole else _NUMBER, text):
            raise refusal(misfit(text, kind))
        found = int(text) if whole else float(text)
        with refusing(text.place):
            bounds.check_bounds(found, f"`{info.field_name or 'it'}`")
        return found

    within = Field(ge=min, le=max if below is None else None, gt=above, lt=below)
    return PlainValidator(validate, Annotated[int if whole else float, within])


def _duration(value: object) -> Duration:
    text = scalar(value, _A_DURATION)
    match = _DURATION.fullmatch(text)
    if match is None:
        alone = _NUMBER.fullmatch(text)
        hint = f"write `{text} epochs` or `{text} steps`" if alone else "write `2 epochs`"
        raise refusal(misfit(text, _A_DURATION, hint))
    unit, count = match[2].removesuffix("s") + "s", float(match[1])
    if not 0 < count <= LARGEST:
        message = f"a stretch of {text}; it must be above 0 and at most {LARGEST:,}"
        raise refusal(Problem("E035", message, text.place))
    return Duration(count, "epochs" if unit == "epochs" else "steps", text.place)


STRETCH_SCHEMA = {
    "type": "string",
    "pattern": f"^(?=[0-9.]*[1-9])({_DURATION.pattern})$",
    "examples": ["2 epochs", "500 steps"],
}
Stretch = Annotated[Duration, PlainValidator(_duration), WithJsonSchema(STRETCH_SCHEMA)]
Setting = Annotated[
    Scalar,
    checked(str, "a text"),
    WithJsonSchema({"type": ["number", "boolean", "string"]}),
]
"""A value of a parameter, which the network reads."""


def word(**known: str) -> BeforeValidator:
    """One of these words, each with what it means."""

    def validate(value: object) -> str:
        text = scalar(value, choices(known))
        if text not in known:
            hint = suggest(text, known)
            raise refusal(misfit(text, choices(known), hint))
        return str(text)

    words: Any = {"anyOf": [{"const": each, "description": doc} for each, doc in known.items()]}
    return BeforeValidator(validate, Annotated[str, WithJsonSchema(words)])


def one_of(value: reader.Mapping, known: Iterable[str], what: str, beside: Iterable[str]) -> None:
    """Refuses a mapping that has none or several of the keys `known`, each of which is a kind of
    `what`, while those `beside` are not."""
    few = [key for key in value if key not in beside]
    if len(few) != 1:
        message = f"{what} is one of its kinds, not {len(few)}"
        raise refusal(Problem("E012", message, value.place, choices(known)))
    if few[0] not in known:
        hint = suggest(few[0], known) or choices(known)
        raise refusal(Problem("E010", f"unknown {what} `{few[0]}`", few[0].place, hint))
